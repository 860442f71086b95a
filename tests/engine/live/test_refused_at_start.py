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
from engine.live.what_rests import refuse_unless_allowed, what_rests
from research.strategies import SmaCross

BOTH, STOP = Exits(stop_loss=0.02, take_profit=0.04), Exits(stop_loss=0.02)
NO_STOPS = SimpleNamespace(id="x", has={"fetchTrades": True})


@pytest.mark.parametrize(
    ("exchange", "exits", "rests"),
    [
        (ccxt.pro.binance(), BOTH, (True, True)),
        (ccxt.pro.binance(), Exits(trailing=(0.01, 0.01), take_profit=0.1), (True, True)),
        (ccxt.pro.binanceusdm(), BOTH, (True, False)),  # its futures have no OCO
        (ccxt.pro.kraken(), BOTH, (True, False)),
        (ccxt.pro.kraken(), STOP, (True, True)),
        (ccxt.pro.kraken(), None, (True, True)),
        (NO_STOPS, BOTH, (False, False)),
        (NO_STOPS, STOP, (False, True)),
        (NO_STOPS, Exits(trailing=(0.01, 0.01)), (False, True)),
        (NO_STOPS, Exits(take_profit=0.01), (True, True)),
    ],
)
def test_what_can_rest_rests_and_the_stop_before_the_profit(exchange: Any, exits: Exits | None, rests: Any) -> None:
    assert what_rests(exchange, exits) == rests
    refuse_unless_allowed(exchange, exits, watch_exits=True)
    if rests[0]:
        refuse_unless_allowed(exchange, exits, watch_exits=False)
    else:
        with pytest.raises(ValidationError, match=r"x: has no stop orders.*--watch-exits"):
            refuse_unless_allowed(exchange, exits, watch_exits=False)


def test_barriers_that_could_not_even_be_watched_are_refused() -> None:
    blind = SimpleNamespace(id="x", has={"createStopOrder": True})
    refuse_unless_allowed(blind, STOP, watch_exits=False)
    with pytest.raises(ValidationError, match="x: cannot hold all barriers of the strategy, and tells no trades"):
        refuse_unless_allowed(blind, BOTH, watch_exits=True)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"symbols": ["BTC/USDT:USDT"]}, "perpetuals are not traded on a real exchange"),
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
