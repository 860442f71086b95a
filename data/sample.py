"""The bundled sample: real Bitfinex 30-minute candles of five coins against USD, 2017-10-01 to 2019-10-01.

Where they come from and which bars are missing: `bundled/PROVENANCE.md`. `scripts/make_sample.py` wrote the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from data.errors import ValidationError
from data.market import Market

SAMPLE_PATH: Final = Path(__file__).with_name("bundled") / "bitfinex_30m.parquet"
SAMPLE_SYMBOLS: Final = ("BTC/USD", "ETH/USD", "LTC/USD", "XRP/USD", "EOS/USD")
SAMPLE_TIMEFRAME: Final = "30m"


def load_sample(symbols: Sequence[str] | None = None) -> Market:
    """The sample, or some of its symbols: about 35,000 bars of 30 minutes, 22 to 52 of each symbol missing.

    Raises:
        ValidationError: a symbol that the sample does not hold.
    """
    if isinstance(symbols, str):
        raise ValidationError(f"load_sample: symbols is the text {symbols!r}; pass a list, [{symbols!r}]")
    chosen = SAMPLE_SYMBOLS if symbols is None else tuple(symbols)
    unknown = [symbol for symbol in chosen if symbol not in SAMPLE_SYMBOLS]
    if unknown or not chosen:
        raise ValidationError(f"load_sample: unknown symbol {unknown}; the sample holds {list(SAMPLE_SYMBOLS)}")
    table = pd.read_parquet(SAMPLE_PATH).set_index("time")
    by_symbol = dict(iter(table.groupby("symbol", sort=False)))
    return Market.from_frames({s: by_symbol[s].drop(columns="symbol") for s in chosen}, SAMPLE_TIMEFRAME)
