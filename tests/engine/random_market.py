"""A market that a test makes up: as long, as gappy and as full of ties as it needs."""

import numpy as np
import pandas as pd

from data import Market
from data.timeframe import parse_timeframe


def made_market(bars=600, symbols=2, seed=0, missing=0.0, timeframe="1h", moves=None):
    """Candles of a random walk, some of them missing."""
    rng = np.random.default_rng(seed)
    index = pd.date_range("2024-01-01", periods=bars, freq=parse_timeframe(timeframe), tz="UTC")
    frames = {}
    for number in range(symbols):
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars) if moves is None else rng.choice(moves, bars)))
        opens = np.concatenate([[100.0], close[:-1]])
        frame = pd.DataFrame({"open": opens, "high": np.maximum(opens, close), "low": np.minimum(opens, close)}, index)
        frame = frame.assign(close=close, volume=rng.uniform(1, 2, bars), signal=rng.normal(0, 1, bars))
        kept = rng.uniform(size=bars) >= missing
        kept[0] = True
        frames[f"S{number}/USD"] = frame[kept]
    return Market.from_frames(frames, timeframe=timeframe)
