"""The paper broker given one closed bar after the other, for as long as they come: paper with live prices.

    with PaperStream(run) as stream:
        close = stream.step(time, bars, targets, scale)     # a bar has closed, and this was decided on it
        result = stream.result()

It is `engine.paper` with the same books and rules; only the bars come one by one. backtrader runs in a thread of its
own and waits there; `step` gives it a bar and returns when it is done with it (`engine.paper_feed` has its side).

What is known when: a bar is given once it has closed, with all its prices. Its step fills what was decided at the close
before, at the bar's open, then walks through the bar's barriers, marks the account, and only then takes what was
decided at this close. So an order that a close decides goes at the next open and is booked when the bar that began
there has closed; until then it waits.

Bars that nobody was awake for (`awake=False`) are walked through with what an exchange does by itself: orders that went
before fill, stops and profits that rest in the book go off where they stood, positions are liquidated. What a session
does at its turns waits until it is awake: no decision, no time limit, no trailing stop that moves; a loss limit is
asked, and what it closes goes at the first open after that. An order whose symbol had no bar yet is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS
from data.errors import ValidationError
from data.market import Market
from engine import guard
from engine.live.bars import Bar
from engine.paper_books import positions_held
from engine.result import Result
from engine.run import Run


class Turn(NamedTuple):
    """A bar that has closed: opening time (ns), prices by column, what was decided on it, whether anybody was awake."""

    time: int
    bars: Mapping[int, Bar]
    targets: Sequence[float] | None
    scale: Sequence[float] | None
    awake: bool


class Fill(NamedTuple):
    """A fill: the symbol's column, amount (signed, base), price, fee (quote), and why."""

    column: int
    amount: float
    price: float
    fee: float
    reason: str


class Verdict(NamedTuple):
    """A risk limit's verdict: when it was decided (ns, None for a halt), column (None for all), what, rule, amounts."""

    decided: int | None
    column: int | None
    kind: str
    rule: str
    wanted: float
    allowed: float


@dataclass(frozen=True)
class Close:
    """The account at a bar's close, before what was decided there has filled.

    Attributes:
        equity: quote currency, at marks.
        held: by column, base currency.
        marks: by column, the last close; NaN before the first.
        fills: of this bar.
        verdicts: of this bar, but for "allowed".
        waiting: by column, the signed amounts that go at the next open.
    """

    equity: float
    held: tuple[float, ...]
    marks: tuple[float, ...]
    fills: tuple[Fill, ...]
    verdicts: tuple[Verdict, ...]
    waiting: Mapping[int, float]


class PaperStream:
    """The paper broker on bars that come one by one; close it, or use it in `with`.

    Args:
        run: strategy, costs, venues and limits, on bars before; those are not executed: give them by `step`, if at all.

    Raises:
        ValidationError: funding, which is not known ahead of its time, or orders that rest, which live has not yet.
    """

    def __init__(self, run: Run) -> None:
        if run.costs.funding is not None:
            raise ValidationError(
                "paper with live prices: costs have funding, whose rates are not known ahead; leave it out (a "
                "perpetual's result is then without funding)"
            )
        if run.orders is not None:
            raise ValidationError("paper with live prices: its orders go at the market; leave LimitOrders out")
        from engine.paper_feed import StreamBroker

        self._run, self._times = run, list[int]()
        self._values: list[np.ndarray] = []  # by bar: (5, N)
        self._told = {"fills": 0, "events": 0}
        self._handover = Handover()
        self._broker = StreamBroker(run=run, cash=run.cash, handover=self._handover)
        self._equity: list[float] = []
        self._thread = threading.Thread(target=self._work, name="paper broker", daemon=True)
        self._thread.start()
        self._handover.wait_idle()

    def step(
        self,
        time: int,
        bars: Mapping[int, Bar],
        targets: Sequence[float] | None,
        scale: Sequence[float] | None = None,
        *,
        awake: bool = True,
    ) -> Close:
        """Execute a bar that has closed, then take what was decided on it.

        Args:
            time: when it opened, ns; later than the one before.
            bars: by column, of the symbols that have one.
            targets: by column, NaN to leave; None for no decision.
            scale: of barriers, by column; None for 1.
            awake: whether anybody was there to act on it.

        Raises:
            ValidationError: the bar is not after the one before, or the stream is closed.
        """
        if not self._thread.is_alive():
            raise ValidationError("paper with live prices: the stream is closed")
        if self._times and time <= self._times[-1]:
            raise ValidationError(
                f"paper with live prices: a bar of {_utc(time)} after that of {_utc(self._times[-1])}"
            )
        self._handover.give(Turn(time, bars, targets, scale, awake))
        self._times.append(time)
        row = np.full((len(CANDLE_COLUMNS), len(self._run.market.symbols)), np.nan)
        for column, bar in bars.items():
            row[:, column] = bar
        self._values.append(row)
        return self._close()

    def close(self) -> None:
        """End backtrader and its thread."""
        self._handover.end()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def rows(self) -> int:
        """Bars that were given."""
        return len(self._times)

    def market(self) -> Market:
        """The bars that were given."""
        market = self._run.market
        return market_of(self._times, self._values, market.symbols, market.timeframe)

    def result(self) -> Result:
        """What `engine.paper` leaves on the same bars, where the same is decided on them."""
        market = self.market()
        shape = (len(market), len(market.symbols))
        records = self._broker.account.records
        fills, events = records.arrays()
        positions = positions_held(shape, fills)
        del fills["held"]
        borrow = np.zeros(shape)
        for place, paid in records.borrow.items():
            borrow[place] = paid
        return replace(self._run, market=market).result(
            "paper",
            equity=np.array(self._equity),
            positions=positions,
            fills={"filled": fills.pop("row"), **fills},
            events=events,
            funding=np.empty((0, 0)),
            borrow=borrow,
        )

    def _work(self) -> None:
        """backtrader's thread, to its end; what ends it early is raised by `step`."""
        from engine.paper_feed import run_cerebro

        try:
            run_cerebro(self._broker, len(self._run.market.symbols), self._handover, self._equity)
        except BaseException as error:  # noqa: BLE001  (raised where somebody waits for it)
            self._handover.fail(error)

    def _close(self) -> Close:
        account = self._broker.account
        records = account.records
        fills = _rows(records.fills, self._told["fills"])
        events = _rows(records.events, self._told["events"])
        self._told = {"fills": self._told["fills"] + len(fills), "events": self._told["events"] + len(events)}
        return Close(
            equity=self._equity[-1],
            held=tuple(position.held for position in account.holdings),
            marks=tuple(position.mark for position in account.holdings),
            fills=tuple(Fill(one["column"], one["amount"], one["price"], one["fee"], one["reason"]) for one in fills),
            verdicts=tuple(self._verdict(one) for one in events if one["verdict"] != guard.ALLOWED),
            waiting=self._broker.waiting_amounts(),
        )

    def _verdict(self, event: dict[str, Any]) -> Verdict:
        decided, column = event["decided"], event["column"]
        return Verdict(
            None if decided < 0 else self._times[decided],
            None if column < 0 else column,
            guard.VERDICTS[event["verdict"]],
            guard.RULES[event["rule"]],
            event["wanted"],
            event["allowed"],
        )


class Handover:
    """Where a closed bar goes from the session's thread to cerebro's, and word comes back that it is done with.

    Attributes:
        turn: the bar that cerebro works on.
    """

    def __init__(self) -> None:
        self.turn: Turn | None = None
        self._turns: SimpleQueue[Turn | None] = SimpleQueue()
        self._idle: SimpleQueue[BaseException | None] = SimpleQueue()

    # cerebro's side.

    def wait(self) -> Turn | None:
        """The next bar, None for the end; that the last one is done with is told first."""
        self._idle.put(None)
        self.turn = self._turns.get()
        return self.turn

    def fail(self, error: BaseException) -> None:
        """cerebro has ended by an error."""
        self._idle.put(error)

    # The session's side.

    def give(self, turn: Turn) -> None:
        """Give cerebro a bar, and wait until it is done with it."""
        self._turns.put(turn)
        self.wait_idle()

    def wait_idle(self) -> None:
        """Wait until cerebro waits; raises what has ended it."""
        error = self._idle.get()
        if error is not None:
            raise error

    def end(self) -> None:
        """Tell cerebro that there are no more bars."""
        self._turns.put(None)


def market_of(times: Sequence[int], rows: Sequence[np.ndarray], symbols: Sequence[str], timeframe: str) -> Market:
    """Bars as a panel: opening times (ns), and by bar an array of (5, N) of candles, NaN where there is none."""
    values = np.array(rows).reshape(len(times), len(CANDLE_COLUMNS), len(symbols))
    index = pd.DatetimeIndex(np.array(times, dtype=np.int64), name="time").tz_localize("UTC")
    columns = pd.Index(symbols, name="symbol")
    fields = {
        name: pd.DataFrame(values[:, place].copy(), index=index, columns=columns)
        for place, name in enumerate(CANDLE_COLUMNS)
    }
    return Market(fields, timeframe)


def _rows(table: Mapping[str, list[Any]], first: int) -> list[dict[str, Any]]:
    """The rows of a table of lists from one on."""
    count = len(next(iter(table.values())))
    return [{name: values[row] for name, values in table.items()} for row in range(first, count)]


def _utc(time: int) -> str:
    return f"{pd.Timestamp(time, tz='UTC'):%Y-%m-%d %H:%MZ}"
