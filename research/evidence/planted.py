"""Markets and strategies of known truth: by what share of them passes, a gate is measured.

    world = planted_market(seed=1, edge=0.08)
    gate(paper_evidence(SignalFollower(), world, baseline=backtest(CoinFlips(1), world)))

The market's returns have fat tails and no drift, but for what its field "signal" foretells, so that its strength is
known. `SignalFollower` follows it: with an edge of 0 it has no skill. `CoinFlips` knows nothing: each number is another
one, and the best of many looks as good as luck makes it. `Peeking` is told what will be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.market import Market
from engine.strategy import Strategy

HOLD: Final = 72  # bars for which a signal stands
_VOLATILITY: Final = 0.6  # a year's
_HOURS: Final = 8_760
_TAILS: Final = 4.0  # degrees of freedom of the returns
_MIX: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def planted_market(seed: int, edge: float = 0.0, bars: int = 2 * _HOURS) -> Market:
    """Hourly bars of one symbol, and the field "signal": a standard normal number that changes every 72 bars.

    Args:
        seed: of everything.
        edge: mean return of a bar under a signal of 1, in deviations of a bar's return.
        bars: two years by default.
    """
    chance = np.random.default_rng(seed)
    signal = np.repeat(chance.standard_normal(-(-bars // HOLD)), HOLD)[:bars]
    deviation = _VOLATILITY / np.sqrt(_HOURS)
    noise = chance.standard_t(_TAILS, bars) / np.sqrt(_TAILS / (_TAILS - 2.0))
    known = np.concatenate(([0.0], signal[:-1]))  # what is known at a close moves the next bar
    close = 30_000.0 * np.exp(np.cumsum(deviation * (noise + edge * known) - deviation**2 / 2.0))
    opens = np.concatenate(([30_000.0], close[:-1]))
    spread = deviation * np.abs(chance.standard_normal((2, bars))) / 2.0
    index = pd.date_range("2022-01-01", periods=bars, freq="h", tz="UTC", name="time")
    frame = pd.DataFrame(
        {
            "open": opens,
            "high": np.maximum(opens, close) * (1.0 + spread[0]),
            "low": np.minimum(opens, close) * (1.0 - spread[1]),
            "close": close,
            "volume": chance.lognormal(6.0, 0.5, bars),
        },
        index=index,
    )
    market = Market.from_frames({"BTC/USDT": frame}, "1h")
    return market.with_fields(signal=pd.DataFrame({"BTC/USDT": signal}, index=index))


@dataclass(frozen=True)
class SignalFollower(Strategy):
    """Long while the market's signal exceeds a threshold."""

    threshold: float = 0.1
    weight: float = 0.5

    @property
    def warmup(self) -> int:
        """One bar."""
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        """The weight, or nothing."""
        return _where(market, market["signal"].to_numpy() > self.threshold, self.weight)


@dataclass(frozen=True)
class CoinFlips(Strategy):
    """Long or out for 72 bars at a time, by a coin: each number is another coin."""

    number: int = 1
    weight: float = 0.5

    @property
    def warmup(self) -> int:
        """One bar."""
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        """The weight, or nothing."""
        hours = market.index.as_unit("ns").asi8 // 3_600_000_000_000
        heads = _coins(self.number, hours // HOLD)
        return _where(market, np.repeat(heads[:, None], len(market.symbols), axis=1), self.weight)


@dataclass(frozen=True)
class Peeking(Strategy):
    """Long for 72 bars where they will rise: nobody can know, and a backtest does not notice."""

    weight: float = 0.5

    @property
    def warmup(self) -> int:
        """One bar."""
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        """The weight, or nothing."""
        close = market.close.to_numpy()
        first = np.arange(len(close)) // HOLD * HOLD
        last = np.minimum(first + HOLD, len(close) - 1)
        return _where(market, close[last] > close[first], self.weight)


def _where(market: Market, chosen: np.ndarray, weight: float) -> pd.DataFrame:
    return pd.DataFrame(np.where(chosen, weight, 0.0), index=market.index, columns=market.close.columns)


def _coins(number: int, blocks: np.ndarray) -> np.ndarray:
    """A fair coin for each block and number, by splitmix64: the same on every machine, in any window."""
    with np.errstate(over="ignore"):
        state = (blocks.astype(np.uint64) + np.uint64(number) * np.uint64(1_000_003)) * _MIX[0]
        state = (state ^ (state >> np.uint64(30))) * _MIX[1]
        state = (state ^ (state >> np.uint64(27))) * _MIX[2]
    return np.asarray((state >> np.uint64(63)) == 1)
