"""The journal: on disk before it is acted on, added to alone, one writer, and the books from its fills."""

import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ValidationError
from engine.live.books import books_of
from engine.live.journal import Journal, JournalError
from engine.live.order_state import State, StateError
from tests.engine.live.scripted import BAR, RUN, a_fill, an_order

ORDER = an_order()


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "deep" / "journal.sqlite") as opened:
        opened.start_run(RUN, "binance")
        yield opened


def test_order_takes_its_steps_and_ends_with_its_fills(journal):
    assert journal.intend(RUN, [ORDER], sent={"from": 1}) == {ORDER.client_id}
    assert journal.intend(RUN, [ORDER], sent={"from": 1}) == set(), "it was sent before: a second time is not free"
    assert journal.unsettled(RUN) == [ORDER]
    fill = a_fill("7", "0.015", "60000.10", "0.000015", "BTC", at=5)
    assert journal.step(ORDER.client_id, State.FILLED, fills=[fill], order_ids=["1"], exchange="binance")
    assert not journal.step(ORDER.client_id, State.FILLED, fills=[fill])
    assert [step.state for step in journal.steps(ORDER.client_id)] == [State.INTENDED, State.SENT, State.FILLED]
    assert journal.fills_of(ORDER.client_id) == (fill,)
    assert journal.unsettled(RUN) == [] and journal.orders(RUN) == [ORDER]
    assert journal.owner("binance", "BTC/USDT", "1") == ORDER.client_id


def test_a_step_that_is_not_allowed_writes_nothing_of_its_transaction(journal):
    journal.intend(RUN, [ORDER])
    with pytest.raises(StateError, match="from intended to filled"):
        journal.step(ORDER.client_id, State.FILLED, fills=[a_fill("7", "1")], order_ids=["1"], exchange="binance")
    assert journal.fills_by_order("binance", "BTC/USDT", "1") == [] and journal.order_ids(ORDER.client_id) == ()


def test_same_id_for_another_order_is_refused(journal):
    journal.intend(RUN, [ORDER])
    with pytest.raises(ValidationError, match="the journal has another order of this id"):
        journal.intend(RUN, [replace(ORDER, amount="0.016")])


def test_a_step_of_an_order_that_is_not_there_is_refused(journal):
    with pytest.raises(ValidationError, match="not in the journal"):
        journal.step("ldr-none", State.SENT)


def test_a_fill_counts_once_however_often_it_is_told(journal):
    fill = a_fill("7", "0.1", fee="0.01", currency="BNB")
    assert journal.record_fills([fill, fill]) == 1
    assert journal.record_fills([fill, replace(fill, at=9)]) == 0
    assert journal.foreign_fills() == [fill]
    with pytest.raises(JournalError, match="the exchange now tells"):
        journal.record_fills([replace(fill, amount=Decimal("0.2"))])


def test_a_fill_told_before_its_order_is_known_belongs_to_it_later(journal):
    journal.record_fills([a_fill("7", "0.015")])
    assert journal.fills(RUN) == []
    journal.intend(RUN, [ORDER], sent={})
    journal.step(ORDER.client_id, State.FILLED, order_ids=["1"], exchange="binance")
    assert [fill.trade_id for fill in journal.fills(RUN)] == ["7"] and journal.foreign_fills() == []


def test_what_happened_is_neither_altered_nor_deleted(journal):
    journal.intend(RUN, [ORDER], sent={})
    journal.record_fills([a_fill("7", "0.1")])
    for table in ("orders", "order_steps", "fills"):
        for verb in (f"DELETE FROM {table}", f"UPDATE {table} SET rowid = rowid + 1"):
            with pytest.raises(sqlite3.IntegrityError, match="is only added to"):
                journal._db.execute(verb)


def test_a_second_writer_is_refused_and_readers_are_not(journal):
    with pytest.raises(ValidationError, match="another process writes it"):
        Journal(journal.path)
    journal.intend(RUN, [ORDER], sent={})
    with Journal.reading(journal.path) as reader:
        assert reader.state(ORDER.client_id) is State.SENT
        journal.step(ORDER.client_id, State.ACKNOWLEDGED)
        assert reader.state(ORDER.client_id) is State.ACKNOWLEDGED
        with pytest.raises(sqlite3.OperationalError):
            reader.heartbeat(RUN)


def test_the_lock_ends_with_its_holder(tmp_path):
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    Journal(path).close()


def test_a_writer_that_is_killed_leaves_what_it_committed(tmp_path):
    path = tmp_path / "journal.sqlite"
    program = (
        "import os, signal, sys\n"
        "from engine.live.journal import Journal\n"
        "from tests.engine.live.scripted import RUN, an_order\n"
        "journal = Journal(sys.argv[1])\n"
        "journal.start_run(RUN, 'binance')\n"
        "journal.intend(RUN, [an_order()], sent={})\n"
        "journal._db.execute('BEGIN IMMEDIATE')\n"
        "journal._add('heartbeats', RUN, 1, '{}')\n"  # not committed
    )
    program += "os.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=".", check=False)
    assert done.returncode == -9
    with Journal(path) as journal:
        assert journal.state(ORDER.client_id) is State.SENT
        assert journal.last_heartbeat(RUN) is None


def test_another_file_is_refused(tmp_path):
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(ValidationError, match="no journal of Ladder"):
        Journal(other)
    text = tmp_path / "text"
    text.write_text("not a database, but long enough to be taken for one by its size" * 30)
    with pytest.raises(ValidationError, match="cannot be opened"):
        Journal(text)
    with pytest.raises(ValidationError, match="no such file"):
        Journal.reading(tmp_path / "none")


def test_a_journal_of_another_version_is_refused(journal):
    journal._db.execute("PRAGMA user_version = 99")
    path = journal.path
    journal.close()
    with pytest.raises(ValidationError, match="its version is 99"):
        Journal(path)


def test_a_run_is_taken_up_again_on_the_same_exchange_alone(journal):
    journal.start_run(RUN, "binance")
    with pytest.raises(ValidationError, match="begun on binance, not on kraken"):
        journal.start_run(RUN, "kraken")


def test_a_bar_decides_once(journal):
    assert journal.record_decision(RUN, BAR, "BTC/USDT", 0.1, "abc")
    assert not journal.record_decision(RUN, BAR, "BTC/USDT", 0.1, "abc")
    with pytest.raises(JournalError, match=r"target 0\.1 on inputs abc"):
        journal.record_decision(RUN, BAR, "BTC/USDT", 0.1, "other")
    assert journal.record_decision(RUN, BAR, "ETH/USDT", float("nan"), "abc")
    assert not journal.record_decision(RUN, BAR, "ETH/USDT", float("nan"), "abc")
    assert journal.decisions(RUN)[0] == (BAR, "BTC/USDT", 0.1, "abc")


def test_notes_come_back_as_they_were_written(journal):
    journal.record_balances(RUN, "opening", {"BTC": Decimal("0.10"), "USDT": Decimal("1E-8")})
    journal.record_risk_event(RUN, "max_gross", "BTC/USDT", {"cut": "0.5"})
    journal.record_incident(RUN, "halt", {"why": "keys"})
    assert journal.last_heartbeat(RUN) is None
    journal.heartbeat(RUN)
    journal.record_bar_done(RUN, BAR)
    journal.record_bar_done(RUN, BAR)
    assert journal.balances(RUN, "opening") == {"BTC": Decimal("0.10"), "USDT": Decimal("0.00000001")}
    assert journal.balances(RUN, "seen") == {}
    assert journal.risk_events(RUN) == [("max_gross", "BTC/USDT", {"cut": "0.5"})]
    assert journal.incidents(RUN) == [("halt", {"why": "keys"})]
    assert journal.last_heartbeat(RUN) > 0 and journal.last_bar_done(RUN) == BAR


def test_it_is_read_while_it_is_written(journal):
    seen, stop = [], threading.Event()

    def read():
        with Journal.reading(journal.path) as reader:
            while not stop.is_set():
                seen.append(len(reader.fills_by_order("binance", "BTC/USDT", "1")))

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(100):
        journal.record_fills([a_fill(str(2 * number), "1"), a_fill(str(2 * number + 1), "1")])
    stop.set()
    thread.join()
    assert seen == sorted(seen) and all(count % 2 == 0 for count in seen), "whole transactions, in order"


def test_books_by_hand_with_fees_in_base_quote_and_a_third_currency():
    fills = [
        a_fill("1", "1", "100", "0.001", "BTC", at=1),  # 0.999 held, cost 100
        a_fill("2", "1", "110", "0.11", "USDT", at=2),  # 1.999 held, cost 210
        a_fill("3", "1.999", "120", "0.01", "BNB", side="sell", at=3),  # 239.88 received
    ]
    books = books_of(reversed(fills))
    assert books.positions == {"BTC/USDT": 0} and books.cost == {"BTC/USDT": 0}
    assert books.realised == {"BTC/USDT": Decimal("29.77")}
    assert books.fees == {"BNB": Decimal("0.01"), "BTC": Decimal("0.001"), "USDT": Decimal("0.11")}
    assert books.changes == {"BNB": Decimal("-0.01"), "BTC": 0, "USDT": Decimal("29.77")}
    assert books.cash == {"USDT": Decimal("29.77")}


def test_books_of_a_short_and_of_a_trade_that_turns_a_position():
    fills = [
        a_fill("1", "2", "100", side="sell", at=1, symbol="BTC/USDT:USDT"),
        a_fill("2", "3", "90", at=2, symbol="BTC/USDT:USDT"),  # closes 2 at a gain of 20, opens 1 at 90
    ]
    books = books_of(fills)
    assert books.positions == {"BTC/USDT:USDT": 1} and books.cost == {"BTC/USDT:USDT": 90}
    assert books.realised == {"BTC/USDT:USDT": 20}


def test_trades_of_one_moment_count_in_the_order_of_their_numbers():
    fills = [a_fill("10", "1", "120", side="sell"), a_fill("9", "1", "100"), a_fill("11", "1", "130")]
    books = books_of(fills)
    assert books.realised == {"BTC/USDT": 20} and books.cost == {"BTC/USDT": 130}


money = st.decimals("0.00000001", "100000", places=8)
trades = st.lists(
    st.tuples(money, money, st.decimals(0, 1, places=9), st.sampled_from(["BTC", "USDT", "BNB"]), st.booleans()),
    max_size=12,
)


@settings(deadline=None, max_examples=100)
@given(trades)
def test_profit_and_cost_account_for_every_bit_of_cash(rows):
    fills = [
        a_fill(str(number), amount, price, fee, currency, "buy" if buys else "sell", at=number)
        for number, (amount, price, fee, currency, buys) in enumerate(rows)
    ]
    books = books_of(fills)
    bought = sum((f.amount if f.side == "buy" else -f.amount for f in fills), Decimal(0))
    assert books.changes.get("BTC", 0) == bought - books.fees.get("BTC", 0)
    assert books.positions.get("BTC/USDT", 0) == books.changes.get("BTC", 0)
    # What is realised, less what the open position cost, is the cash that came in. Exact but for endless decimals.
    left = books.realised.get("BTC/USDT", Decimal(0)) - books.cost.get("BTC/USDT", Decimal(0))
    assert abs(left - books.cash.get("USDT", Decimal(0))) < Decimal("1e-15")
