"""What a live session cannot do is refused before anything is asked of the exchange."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ccxt.pro
import pytest

from data.errors import ValidationError
from engine import Exits
from engine.live import run_live
from engine.live.order_request import refuse_what_cannot_rest
from research.strategies import SmaCross

BOTH = Exits(stop_loss=0.02, take_profit=0.04)


def test_barriers_that_no_exchange_would_hold_are_refused() -> None:
    for exchange, exits in ((ccxt.pro.kraken(), BOTH), (SimpleNamespace(id="x", has={}), Exits(trailing=(0.01, 0.01)))):
        with pytest.raises(ValidationError, match=r"OCO|stop orders"):
            refuse_what_cannot_rest(exchange, exits)
    for fine in (None, Exits(take_profit=0.01), Exits(stop_loss=0.01), BOTH):
        refuse_what_cannot_rest(ccxt.pro.binance(), fine)
    refuse_what_cannot_rest(ccxt.pro.kraken(), Exits(stop_loss=0.02))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"symbols": ["BTC/USDT:USDT"]}, "perpetuals are not traded live yet"),
        ({"symbols": "BTC/USDT"}, "give a list"),
        ({"symbols": ["BTC/USDT", "ETH/BTC"]}, "one quote currency"),
        ({"cash": 0.0}, "an amount above 0"),
        ({"run": ""}, "needs a name"),
    ],
)
def test_inputs_that_are_wrong_are_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    given = {"symbols": ["BTC/USDT"], "cash": 100.0, "run": "r", **changed}
    symbols = given.pop("symbols")
    journal = tmp_path / "j.sqlite"
    with pytest.raises(ValidationError, match=words):
        asyncio.run(run_live(SmaCross(3, 9), ccxt.pro.binance(), symbols, "1h", journal=journal, **given))
    assert not journal.exists()
