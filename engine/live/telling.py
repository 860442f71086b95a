"""What a session tells a person: every incident, risk event and statement of its journal that is not routine.

    async with telling(alerts, journal, "btc-1"):
        ...                                    # and how the session has ended

The journal is where all of it is written down first, so it is what is listened to. What is not in `QUIET` is told, a
kind that nobody has thought of here as well; and what has no line in `CALM` needs a person.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.live.alerts import Alerts, Post
from engine.live.journal import Journal
from engine.live.journal_file import Entry
from engine.live.keys import redacted

NOT_DELIVERED: Final = "alert not delivered"
_LOG = logging.getLogger(__name__)
_INCIDENT, _RISK, _SAID = "incidents", "risk_events", "statements"
_LONGEST: Final = 500  # characters of one detail
_FIRST_NS: Final = 10**17  # a whole number above it is a time, ns: the year 1973

# Routine, each followed by what it comes to: limits at work, balances at the start, a purchase sent again smaller.
QUIET: Final = frozenset(
    {
        (_INCIDENT, NOT_DELIVERED),
        (_RISK, "cut"),
        (_RISK, "blocked"),
        (_RISK, "cut to funds"),
        (_SAID, "opening"),
    }
)
# Told, but nobody has to come.
CALM: Final = frozenset({(_INCIDENT, "stopping"), (_INCIDENT, "stopped"), (_INCIDENT, "flattened"), (_RISK, "resume")})
MEANING: Final[Mapping[tuple[str, str], str]] = {
    (_INCIDENT, "halt"): "The exchange refuses us: keys, permission or the account itself. Nothing more is sent.",
    (_INCIDENT, "unexplained difference"): (
        "The account is not what the journal explains, so the session does not start. `ladder live reconcile` shows "
        "what there is to choose."
    ),
    (_INCIDENT, "unreachable"): "Nobody knows what became of an order: the exchange did not answer for too long.",
    (_INCIDENT, "contradiction"): "The exchange says of an order what cannot follow from what it said before.",
    (_INCIDENT, "rejected"): "The exchange refused an order for good.",
    (_INCIDENT, "refused for funds"): "The exchange refused an order: the account cannot pay it.",
    (_INCIDENT, "barriers refused"): (
        "The exchange took no stop or profit for a position; the position is closed at the market."
    ),
    (_INCIDENT, "not left at a watched barrier"): (
        "A barrier that this process watches was crossed, and the position could not be closed; the next bar tries "
        "again."
    ),
    (_INCIDENT, "stale bar"): "The turn came too late for its open: nothing was opened or enlarged.",
    (_INCIDENT, "bar not decided on"): "A bar closed, and the session was not there to decide on it.",
    (_INCIDENT, "dead man's switch ran down"): (
        "The exchange did not hear of us in time and has cancelled all orders of the account, stops among them."
    ),
    (_INCIDENT, "left its band"): (
        "The session does not follow its backtest any more, and ends; its stops and profits stay on the exchange."
    ),
    (_INCIDENT, "order of someone else"): "An order that is not this run's came or went on the account.",
    (_RISK, "halt"): "A loss limit was reached: everything is closed, and nothing is opened until it lets go.",
    (_RISK, "resume"): "A loss limit has let go: the session trades again.",
}


class Told(NamedTuple):
    """A message: its title, its text, and whether a person is needed."""

    title: str
    text: str
    urgent: bool


def worded(entry: Entry, journal: Path) -> Told | None:
    """An entry of a journal as a message; None for what is routine."""
    kind = entry.table, entry.kind
    if kind in QUIET:
        return None
    calm = entry.table == _SAID or kind in CALM
    left = entry.detail.get("left")
    symbol = entry.about if entry.table == _RISK else entry.detail.get("symbol")
    title = f"{entry.run}: {entry.kind}" + (f" {symbol}" if symbol else "") + (", not all is ended" if left else "")
    lines = [MEANING[kind]] if kind in MEANING else []
    lines += [f"by {entry.about}"] if entry.table == _SAID and entry.about else []
    lines += [f"{name}: {_plain(value)}" for name, value in entry.detail.items() if value not in ("", None, [], {})]
    return Told(title, "\n".join([*lines, _place(entry.at, journal)]), not calm or bool(left))


@contextlib.asynccontextmanager
async def telling(alerts: Alerts | None, journal: Journal, run: str) -> AsyncIterator[None]:
    """Tell what a journal gets to know of a run, and how the session within has ended.

    At the end it waits for what is on its way, as long as `alerts` give it: that is after the last order. What is not
    delivered is an incident.

    Args:
        alerts: who is told; None for nobody.
        journal: that the session writes.
        run: its name.
    """
    if alerts is None:
        yield
        return
    teller = _Teller(alerts, journal, run)
    journal.listen(teller.heard)
    try:
        yield
    except BaseException as error:
        text = f"{redacted(str(error))}\nThe session does not run any more; what rests on the exchange rests there."
        teller.say(Told(f"{run}: ended by {type(error).__name__}", text, urgent=True))
        raise
    else:
        teller.say(Told(f"{run}: ended", "The session has ended as it was asked to.", urgent=False))
    finally:
        await teller.finished()


class _Teller:
    """One session's."""

    def __init__(self, alerts: Alerts, journal: Journal, run: str) -> None:
        self._alerts, self._journal, self._run = alerts, journal, run
        self._on_their_way: set[asyncio.Task[None]] = set()

    def heard(self, entry: Entry) -> None:
        """The journal has an entry more."""
        told = worded(entry, self._journal.path) if entry.run == self._run else None
        if told is not None:
            self._send(told)

    def say(self, told: Told) -> None:
        """What is in no journal: the end."""
        again = [f"{title}: {more:,} times more" for title, more in self._alerts.counted().items()]
        text = "\n".join([told.text, *again, _place(time.time_ns(), self._journal.path)])
        self._send(told._replace(text=text))

    async def finished(self) -> None:
        """Nothing is on its way any more."""
        while self._on_their_way:
            await asyncio.wait(self._on_their_way)

    def _send(self, told: Told) -> None:
        post = self._alerts.post(told.title, told.text, urgent=told.urgent)
        if post is not None:
            task = asyncio.create_task(self._see_through(post), name="alert")
            self._on_their_way.add(task)
            task.add_done_callback(self._on_their_way.discard)

    async def _see_through(self, post: Post) -> None:
        delivery = await post.delivered()
        if delivery.failures:
            detail = {"title": post.title, "taken": delivery.taken, "of": delivery.of, "why": delivery.failures}
            try:
                self._journal.record_incident(self._run, NOT_DELIVERED, detail)
            except sqlite3.Error as error:
                _LOG.warning("%s: that an alert was not delivered is not in the journal (%s)", self._run, error)


def _place(at: int, journal: Path) -> str:
    """When and where: the journal is what to look at."""
    return f"{_moment(at)} on {socket.gethostname()}; `ladder live status {journal}` shows the run."


def _plain(value: Any) -> str:
    if isinstance(value, int) and value > _FIRST_NS:
        return _moment(value)
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return str(value)[:_LONGEST]


def _moment(ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ns / 1e9))
