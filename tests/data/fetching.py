"""What the tests of the downloader share: a series, a fetch that waits for little, and how to look at the result."""

from __future__ import annotations

from typing import Any

import pandas as pd

from data import Store, fetch_candles
from data.source import Retry
from tests.data.exchange import SYMBOLS, Exchange, make_bars

SOON = Retry(attempts=4, first_wait=0.005, longest_wait=0.02)
START = "2024-01-01"
HOUR = pd.Timedelta("1h")
KEY = ("binance", "BTC/USDT", "1h")
BARS = make_bars(500, missing=(130, 131, 132, 260))


def fetch(exchange: Exchange, store: Store, name: str = "binance", since: str | None = START, **further: Any) -> Any:
    client = further.pop("client", None) or exchange.client(name)
    return fetch_candles(client, SYMBOLS[name], "1h", since, store=store, **{"retry": SOON, **further})


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, check_exact=True, check_freq=False)


def read(store: Store, name: str = "binance") -> pd.DataFrame:
    return store.read(name, SYMBOLS[name], "1h")
