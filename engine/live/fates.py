"""What became of each fault of a rehearsal, told by the journal.

A fault that befell an order is followed to the order's end; one that befell a question, a message or a bar, to the
decision that was due: whether it was taken.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from engine.live.journal import Journal
from engine.live.order_state import State
from engine.rehearsal.faults import Fault

_NS_PER_MS = 1_000_000
_NAMES = ("client_id", "newClientOrderId", "origClientOrderId", "listClientOrderId", "orderLinkId", "clientOrderId")


class Fate(NamedTuple):
    """So many faults of a kind on the same thing that ended alike."""

    kind: str
    on: str
    outcome: str
    times: int


def fates(
    faults: Iterable[Fault], journal: Journal, run: str, closes: Sequence[int], restarts: int = 0
) -> tuple[Fate, ...]:
    """The faults by kind, what they befell, and what became of it.

    Args:
        faults: the exchange's record.
        journal: of the session.
        run: its name.
        closes: when each bar closed, ns, ascending.
        restarts: of the session: a bar that closed meanwhile is not decided on.
    """
    decided = {bar for bar, *_ in journal.decisions(run)}
    orders = {leg: intent.client_id for intent in journal.orders(run) for leg in intent.legs}
    told = Counter((fault.kind, fault.on, _outcome(fault, journal, orders, closes, decided)) for fault in faults)
    if restarts:
        told["killed", "the session", "it went on from its journal"] = restarts
    return tuple(Fate(*key, count) for key, count in sorted(told.items()))


def _outcome(
    fault: Fault, journal: Journal, orders: Mapping[str, str], closes: Sequence[int], decided: set[int]
) -> str:
    name = next((orders[value] for key in _NAMES if (value := str(fault.detail.get(key))) in orders), None)
    if name is not None:
        return _order(journal, name)
    closed = bisect_right(closes, (fault.at + 1) * _NS_PER_MS)  # a bar's last millisecond is told with its close
    if closed == 0 or not decided or closes[closed - 1] <= min(decided):
        return "before the first decision"
    length = closes[closed - 1] - closes[closed - 2] if closed > 1 else closes[1] - closes[0]
    bar = closes[closed - 1] - length
    if bar in decided:
        return "the bar was decided on"
    return "after the last decision" if bar > max(decided) else "the bar was slept through"


def _order(journal: Journal, name: str) -> str:
    steps = journal.steps(name)
    requests = sum(step.state is State.SENT for step in steps)
    end = steps[-1].state.value.replace("_", " ")
    again = f", sent {requests} times under one id" if requests > 1 else ""
    looked = ", looked up" if any(step.state is State.UNKNOWN for step in steps) else ""
    return f"order {end}{looked}{again}"
