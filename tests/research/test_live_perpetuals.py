"""`ladder live` on a perpetual, long and short: real processes on a rehearsal exchange that speaks Bybit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from engine.live.journal import Journal
from tests.engine.live.exchange_process import running_exchange, write_bars
from tests.research.test_live_command import CARD, Session, ladder, turns

pytestmark = pytest.mark.slow  # several processes
PRICES = [100 + 10 * math.sin(at / 2) for at in range(60)]
PERPETUAL = (
    CARD.replace('"binance"', '"bybit"')
    .replace("BTC/USDT", "BTC/USDT:USDT")
    .replace("weight = 0.5", "weight = 0.9\nbelow = -0.9")
)


def test_session_trades_a_perpetual_is_explained_and_is_flattened(tmp_path: Path) -> None:
    card, journal = tmp_path / "strategy.toml", tmp_path / "journal.sqlite"
    card.write_text(f"{PERPETUAL}[venue]\nshorts = true\nleverage = 2.0\n")
    bars = write_bars(tmp_path / "bars.parquet", PRICES, "BTC/USDT:USDT")
    with running_exchange(bars, "--dialect", "bybit", "--start", "10", "--taker", "0.001") as exchange:
        where = ("--rehearsal", exchange.url)
        session = Session(card, "--journal", journal, *where, "--run", "one", "--turns", "11")
        try:
            session.until("waiting for the bar to close")
            turns(session, exchange, 11)
            code, text = session.ended()
        finally:
            session.close()
        assert code == 0 and "ended by --turns 11 after 11 bars" in text
        assert "BTC/USDT:USDT sell" in text and "buy 48.4159 market filled" in text and "limit at" in text
        shown = ladder("live", "status", journal)
        assert "BTC/USDT:USDT" in shown and "acknowledged" in shown
        assert "all is explained" in ladder("live", "reconcile", journal, *where)
        with Journal.reading(journal) as book:
            books = book.rebuild("one")
        assert books.positions["BTC/USDT:USDT"] != 0
        wallet = f"{5_000 + books.changes['USDT']:.6f}"
        assert wallet in shown, "cash is the run's part of the wallet"
        told = ladder("live", "reconcile", journal, "--flatten", "--why", "enough", *where)
        assert "2 orders cancelled, 1 positions closed" in told and "all is explained" in told
    with Journal.reading(journal) as book:
        assert book.rebuild("one").positions["BTC/USDT:USDT"] == 0
