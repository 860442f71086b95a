"""A live session's account: the paper broker's, its calendar growing bar by bar, and kept from one start to the next.

Sizes, verdicts and barriers come from the same functions as a backtest's; money and holdings are what the exchange's
own fills make of them.
"""

from __future__ import annotations

import contextlib
import copy
from array import array
from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

from engine import guard
from engine.guard import NS_PER_DAY
from engine.paper_account import PaperAccount
from engine.paper_books import Position, Records
from engine.run import Run

# Of a position, what only its own process knows: backtrader's orders.
_NOT_KEPT: Final = ("stop", "profit")


class _Notes(Records):
    """Keeps verdicts until the session takes them for its journal, which has the fills already."""

    def __init__(self, account: LiveAccount) -> None:
        super().__init__((0, 0))
        self._account = account

    def fill(self, *values: Any) -> None:
        """Nothing: the journal has it."""

    def event(self, *values: Any) -> None:
        """A verdict that is more than "allowed"."""
        _, decided, column, verdict, rule, wanted, allowed = values
        if verdict != guard.ALLOWED:
            when = None if decided < 0 else self._account.times[decided]
            where = None if column < 0 else column
            told = guard.VERDICTS[verdict], guard.RULES[rule], float(wanted), float(allowed)
            self._account.events.append((when, where, *told))


class LiveAccount(PaperAccount):
    """`PaperAccount` without an end: `begin` gives it each bar's time as it comes.

    Attributes:
        events: verdicts since they were last taken, as (decided ns or None, column or None, verdict, rule, wanted,
            allowed).
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        # Eight bytes a bar: half a million of them are a year of minutes.
        self.times, self.days = array("q"), array("q")
        self.events: list[tuple[int | None, int | None, str, str, float, float]] = []
        self.records = _Notes(self)

    @property
    def now(self) -> int:
        """Opening time of the bar that is open, ns."""
        return int(self.times[self.row])

    def begin(self, time: int) -> None:
        """A bar opens: with a new UTC day a daily halt ends."""
        self.times.append(time)
        self.days.append(time // NS_PER_DAY)
        self.begin_bar()

    @contextlib.contextmanager
    def supposing(self) -> Iterator[None]:
        """What is booked within is undone at the end; verdicts are kept."""
        money, holdings, traded = self.money, [copy.copy(position) for position in self.holdings], dict(self.traded)
        sent = None if self.guard is None else self.guard._sent.copy()  # noqa: SLF001
        try:
            yield
        finally:
            self.money, self.holdings, self.traded = money, holdings, traded
            if self.guard is not None and sent is not None:
                self.guard._sent = sent  # noqa: SLF001

    def set_books(self, column: int, held: Decimal, money: Decimal) -> None:
        """What the exact books say after a fill: decisions rest on the same figures as the exchange's."""
        self.holdings[column].held = float(held)
        self.money = float(money)

    def transferred(self, amount: float) -> None:
        """The account has become larger or smaller by a person's doing: that is no profit and no loss."""
        judge = self.guard
        if judge is not None:
            for name in ("_day_start", "_peak", "_equity"):
                setattr(judge, name, getattr(judge, name) + amount)

    def taken_events(self) -> list[tuple[int | None, int | None, str, str, float, float]]:
        """The verdicts since this was last asked."""
        events, self.events = self.events, []
        return events

    # From one start to the next.

    def snapshot(self) -> dict[str, Any]:
        """All that the next decision rests on, in plain values: floats come back from JSON to the last bit."""
        holdings = [
            {name: value for name, value in asdict(position).items() if name not in _NOT_KEPT}
            for position in self.holdings
        ]
        judge = self.guard
        state = None
        if judge is not None:
            state = {name: getattr(judge, name) for name in ("halted", "_day", "_day_start", "_peak", "_equity")}
            state["_sent"] = list(judge._sent)  # noqa: SLF001 - its own class keeps what a restart must know
        return {
            "time": self.times[self.row] if self.row >= 0 else None,
            "money": self.money,
            "holdings": holdings,
            "rates": [list(rates) for rates in self.rates],
            "traded": {str(day): notional for day, notional in self.traded.items()},
            "guard": state,
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on from a snapshot of a session on the same symbols."""
        self.money = kept["money"]
        self.holdings = [Position(**values) for values in kept["holdings"]]
        self.rates = [(maker, taker) for maker, taker in kept["rates"]]
        self.traded = {int(day): notional for day, notional in kept["traded"].items()}
        self.times, self.days, self.row = array("q"), array("q"), -1
        if kept["time"] is not None:
            self.times, self.days, self.row = array("q", [kept["time"]]), array("q", [kept["time"] // NS_PER_DAY]), 0
        if self.guard is not None and kept["guard"] is not None:
            for name, value in kept["guard"].items():
                if name == "_sent":
                    self.guard._sent.extend(value)  # noqa: SLF001
                else:
                    setattr(self.guard, name, value)
