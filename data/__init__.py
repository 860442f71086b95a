"""What comes in: the panel of bars, candle rules, readers, the store, the downloader and the bundled sample.

    from data import Market, load_sample, load_candles, read_candles, validate_candles

Names are imported when they are first used, so that `import data` costs nothing (the command line counts on it).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from data.errors import FetchError, LadderError, ValidationError

if TYPE_CHECKING:
    from data.candles import CandleReport, Finding, Gap, clean_candles, validate_candles
    from data.download import fetch_candles
    from data.market import Market
    from data.readers import read_candles
    from data.sample import load_sample
    from data.store import Store, load_candles

_HOMES = {
    "CandleReport": "data.candles",
    "Finding": "data.candles",
    "Gap": "data.candles",
    "Market": "data.market",
    "Store": "data.store",
    "clean_candles": "data.candles",
    "fetch_candles": "data.download",
    "load_candles": "data.store",
    "load_sample": "data.sample",
    "read_candles": "data.readers",
    "validate_candles": "data.candles",
}

__all__ = [
    "CandleReport",
    "FetchError",
    "Finding",
    "Gap",
    "LadderError",
    "Market",
    "Store",
    "ValidationError",
    "clean_candles",
    "fetch_candles",
    "load_candles",
    "load_sample",
    "read_candles",
    "validate_candles",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'data' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
