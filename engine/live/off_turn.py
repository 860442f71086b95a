"""What changes a session between its turns: its end, and what a person has done to its run while it did not live.

A position that was closed by `reconcile`, or a difference that was adopted, is in the journal and not in the state that
the last turn has left: `catch_up` books it, and `cover` has barriers rest that fit what is held now.
"""

# A session's own parts, told in a file of their own.
# ruff: noqa: SLF001

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine import reasons
from engine.live.books import is_perpetual
from engine.live.desk import Filled
from engine.live.halting import FLATTEN, Ended, cancel_all, close_all
from engine.live.order_state import sum_of
from engine.live.placing import SessionHaltedError
from engine.live.safety import write_kill

if TYPE_CHECKING:
    from engine.live.session import Session


def begin(session: Session, time: int, closes: Mapping[int, tuple[int, float, float]]) -> None:
    """A run begins while the bar that opened at `time` is open; from now on a restart has a state to go on from.

    Args:
        session: of the run.
        time: ns.
        closes: by column, opening time, close and volume of the last closed bar.
    """
    session.desk.begin(time, closes)
    session.journal.record_bar_done(session.name, time, session._state())


async def halt(session: Session) -> None:
    """Stop for good: no order of the run rests but barriers that are to stay; with `stop.flatten` nothing is held.

    Raises:
        SessionHaltedError: something could not be ended; the journal's last incident says what.
    """
    stop, desk, journal, name = session.stop, session.desk, session.journal, session.name
    dropped = [session._symbol(column) for column in sorted(desk.waiting)]
    journal.record_incident(name, "stopping", {"why": stop.why, "flatten": stop.flatten, "not sent": dropped})
    desk.waiting.clear()
    ended = await _cancelled(session)
    spared = stop.spares_barriers
    stop.look_again()
    if spared and not stop.spares_barriers:  # asked for more meanwhile
        ended = await _cancelled(session)
    if stop.flatten:
        marks = {symbol: desk.account.holdings[at].mark for at, symbol in enumerate(session.window.symbols)}
        bar = desk.account.now
        await close_all(session.gateway, journal, name, ended, venues=session.venues, prices=marks, bar=bar)
        _book_late(session)
    journal.record_bar_done(name, desk.account.now, session._state())
    told = {"why": stop.why, "flatten": stop.flatten, "barriers": "kept" if stop.spares_barriers else "cancelled"}
    journal.record_incident(name, "stopped", {**told, "done": str(ended), "left": ended.left})
    if ended.left:
        raise SessionHaltedError(
            f"run {name!r} has stopped ({stop.why}), and this could not be ended: {'; '.join(ended.left)}. Look at the "
            "exchange; `ladder live reconcile --flatten` ends it"
        )


async def _cancelled(session: Session) -> Ended:
    ended = Ended()
    kept = session.resting.values() if session.stop.spares_barriers else ()
    spared = [intent.client_id for item in kept for intent in item.intents]
    await cancel_all(session.gateway, session.journal, session.name, ended, spare=spared)
    _book_late(session)
    return ended


def leave(session: Session, why: str) -> None:
    """Ask the session to end because it no longer follows its backtest; its stops and profits stay, and it stays ended.

    Args:
        session: that is to end.
        why: in words.
    """
    stop = session.stop
    session.journal.record_incident(session.name, "left its band", {"why": why})
    if stop.kill_file is not None and not stop.kill_file.exists():
        write_kill(stop.kill_file, why=why, flatten=False, cancel=False)
    stop.ask(why)


def catch_up(session: Session) -> None:
    """Take in what a person has done since the state was written: positions closed, differences adopted.

    Orders of a turn that was interrupted, without any of that, are left to the turn, which is done again.
    """
    journal, account, totals = session.journal, session.desk.account, session.tally.totals
    late = [journal.intent(name) for name in journal.late_order_ids(session.name, session.known_orders)]
    adjustments = journal.adjustments(session.name, session.adjusted)
    if not adjustments and not any(intent is not None and intent.leg == FLATTEN for intent in late):
        return
    _book_late(session)
    before = account.equity()
    perpetual = any(is_perpetual(symbol) for symbol in session.window.symbols)
    if perpetual:
        session.tally.follow(journal.rebuild(session.name))
    for item in adjustments:
        if not perpetual:
            totals[item.currency] = sum_of((totals[item.currency], item.amount))
        session.adjusted = item.number
        if item.symbol and item.price is not None:
            column, filled = session._column(item.symbol), Filled(item.amount, float(item.price), 0.0)
            session.desk.left(column, filled, reasons.TARGET, session.tally.held(item.symbol), session.tally.cash)
            session.uncovered.add(column)
        account.money = float(session.tally.cash)
    moved = account.equity() - before
    account.transferred(moved)
    session.transferred += moved


async def cover(session: Session) -> None:
    """Have barriers rest that fit what is held, where it changed without a turn."""
    if session.uncovered:
        session._bar = session.desk.account.now
        await session._settle_resting()
    for column in sorted(session.uncovered):
        await session._protect(column)
        session.uncovered.discard(column)


def _book_late(session: Session) -> None:
    """Book what orders have filled that no turn has booked: those the state does not know, and barriers."""
    journal, gateway, tally = session.journal, session.gateway, session.tally
    for column in list(session.resting):
        for order in session.resting[column].intents:
            session._took_back(column, gateway.report(order))
        if column not in session.resting:
            session.uncovered.add(column)
    for name in journal.late_order_ids(session.name, session.known_orders):
        intent = journal.intent(name)
        if intent is None:  # the journal only ever adds: it is there
            continue
        column, report = session._column(intent.symbol), gateway.report(intent)
        filled = tally.count(report.fills)
        if filled is not None:
            session.desk.left(column, filled, reasons.TARGET, tally.held(intent.symbol), tally.cash)
            session.uncovered.add(column)
        if intent.leg == "barriers" and not report.state.final:
            session._rests(column, intent)
