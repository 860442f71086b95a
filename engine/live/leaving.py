"""What a session does about the barriers that it watches itself: which stand, and how a position is left at one.

A crossing is acted on between two turns. What rests for the position is cancelled, for it locks what is to be sold;
then the position is closed at the market, by orders with ids of the open bar, the symbol and the leg "watched"; then
the state is written. A process that dies in between has left in the journal what it sent: `take_up` finds out what
became of it, and sends nothing. What is still held then is protected again, and left at once where the market has been
beyond a level since the bar opened.
"""

# A session's own parts, told in a file of their own.
# ruff: noqa: SLF001

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from engine import reasons
from engine.live.watching import WATCHED, Crossing, Levels

if TYPE_CHECKING:
    from engine.live.desk import Ask
    from engine.live.session import Session

_ROUNDS: Final = 3  # an order may be filled in part, or refused once
_NS_PER_MS: Final = 1_000_000


def watch(session: Session) -> None:
    """Watch what stands now of the barriers that no exchange holds; what was refused waits for the next turn."""
    desk, rests, found = session.desk, session.rests, {}
    bar = desk.account.now // _NS_PER_MS
    for column in range(len(session.window.symbols)) if not all(rests) else ():
        stop, profit = desk.levels(column)
        position, entered = desk.account.holdings[column], session.entered.get(column, 0)
        levels = Levels(
            side=1.0 if position.held > 0.0 else -1.0,
            stop=float("nan") if rests.stop else stop,
            profit=float("nan") if rests.profit else profit,
            trailing=position.trailing,
            entered=entered,
            since=max(bar, entered + 1),
        )
        if levels.any and column not in session.unsold:
            found[column] = levels
    session.watch.keep(found)


async def leave(session: Session) -> None:
    """Close the positions whose watched barriers were crossed.

    Raises:
        SessionHaltedError: nobody can say what became of an order.
    """
    crossed = session.watch.taken()
    if not crossed or session.stop.asked():
        return
    desk, journal, name = session.desk, session.journal, session.name
    session._bar = desk.account.now
    await session._free_all(crossed)
    for _ in range(_ROUNDS):
        still = [column for column in sorted(crossed) if desk.account.is_open(column)]
        asks = [_ask(session, column, *crossed[column]) for column in still]
        pairs = [
            (ask, session._next_attempt(intent))
            for ask in asks
            if (intent := session._market(ask, WATCHED)) is not None
        ]
        if not pairs:
            break
        reports = await session.gateway.place_many([intent for _, intent in pairs])
        for (ask, _), report in zip(pairs, reports, strict=True):
            session._book(report, ask)
        session._halt_on_unknown(reports)
    left = [column for column in sorted(crossed) if desk.account.is_open(column)]
    for column in left:
        detail = {"symbol": session._symbol(column), "held": desk.account.holdings[column].held}
        journal.record_incident(name, "not left at a watched barrier", detail)
    session.unsold.update(left)
    session.uncovered.update(left)
    await session._protect_all(left)
    session._write_events()
    watch(session)
    journal.record_bar_done(name, desk.account.now, session._state())


def _ask(session: Session, column: int, levels: Levels, crossing: Crossing) -> Ask:
    ask = session.desk.closing(column, levels.reason(crossing))
    return replace(ask, price=session.desk.account.slipped(column, crossing.price, ask.amount))


async def take_up(session: Session) -> None:
    """Book what an earlier process did at a crossing and had not written into its state.

    Raises:
        SessionHaltedError: nobody can say what became of an order.
    """
    journal, gateway, tally = session.journal, session.gateway, session.tally
    late = [journal.intent(one) for one in journal.late_order_ids(session.name, session.known_orders)]
    orders = [intent for intent in late if intent is not None and intent.leg == WATCHED]
    for intent in orders:
        report = await gateway.settle(intent)
        column, filled = session._column(intent.symbol), tally.count(report.fills)
        if filled is not None:
            session.desk.left(column, filled, reasons.TARGET, tally.held(intent.symbol), tally.cash)
        session.uncovered.add(column)
        session._halt_on_unknown([report])
    if not all(session.rests):
        # What rested may have been cancelled for an order that never went.
        await session._settle_resting()
    if orders:
        journal.record_bar_done(session.name, session.desk.account.now, session._state())
