"""A session of paper with live prices, turn by turn: a bar has closed, it is executed, decided on and written down.

At each turn: bars that nobody was awake for are executed without a decision; the bar that has closed goes into the
window and the strategy decides on it, once; the paper broker executes the bar and takes the decision; both go into the
journal in one transaction. A process that dies before that has done nothing: the next one does the turn again. A turn
that comes late, by the exchange's clock, is one that nobody was awake for: its orders could not have had that open.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from data.market import Market
from engine.live.bars import Bar, BarWindow
from engine.live.deciding import Decision, decide
from engine.live.feed import Turn
from engine.live.final_feed import FinalFeed
from engine.live.paper_journal import DECIDED, KNOWN, SLEPT, PaperBar, PaperJournal
from engine.live.paper_record import execute_again, executed_before
from engine.live.safety import Stop
from engine.paper_stream import Close, PaperStream, Verdict
from engine.strategy import Strategy
from engine.venue import Venue

_LOG = logging.getLogger(__name__)
_NS_PER_SECOND: Final = 1_000_000_000


class PaperSession:
    """One process of a run; `engine.live.paper_live.run_paper_live` makes it.

    Attributes:
        turns: bars that this process has decided on.
        slept: bars of the run that nobody decided on.
        first: how many bars lie before the run: they were known when it began.
        held: by column, what is held, base currency.
    """

    def __init__(
        self,
        strategy: Strategy,
        stream: PaperStream,
        window: BarWindow,
        feed: FinalFeed,
        journal: PaperJournal,
        name: str,
        venues: Mapping[str, Venue],
        stop: Stop,
        enrich: Callable[[Market], Market] | None,
        after_turn: Callable[[int], Awaitable[bool | None]] | None,
        clock: Callable[[], int],
        late_after: float,
    ) -> None:
        self.strategy, self.stream, self.window, self.feed = strategy, stream, window, feed
        self.journal, self.name, self.venues, self.stop = journal, name, venues, stop
        self.enrich, self.after_turn, self.clock, self.late_after = enrich, after_turn, clock, late_after
        self.turns = self.slept = self.first = 0
        self.held: tuple[float, ...] = (0.0,) * len(window.symbols)

    def begin(self, bars: Market) -> None:
        """A new run: the bars before it are marked, and nothing is decided on them."""
        rows = executed_before(self.stream, bars, self.feed.open_time)
        self.journal.record_bars(self.name, self.window.symbols, rows)
        self.journal.record_bar_done(self.name, self.feed.open_time)
        self.first = len(rows)

    def replay(self, known: Sequence[PaperBar]) -> None:
        """Execute what earlier processes of the run have executed.

        Raises:
            ValidationError: it does not come to the same equity.
        """
        for _, close in execute_again(self.stream, known, self.window.symbols, self.name):
            self.held = close.held
        self.first = sum(row.kind == KNOWN for row in known)
        self.slept = sum(row.kind == SLEPT for row in known)

    async def run(self) -> None:
        """Turn by turn, until stopped."""
        while not self.stop.asked():
            turn = await self.stop.or_result(self.feed.turn())
            if turn is None:
                break
            self.take(turn)
            if self.after_turn is not None and await self.after_turn(turn.opened) is False:
                return
        if self.stop.asked():
            told = {"why": self.stop.why, "done": "nothing is on an exchange", "barriers": "on paper", "left": []}
            self.journal.record_incident(self.name, "stopped", {**told, "held": list(self.held)})
            _LOG.info("%s: stopped by %s; what it holds it keeps, on paper", self.name, self.stop.why)

    def take(self, turn: Turn) -> None:
        """A bar has closed: execute it, decide, and write both down."""
        done: list[tuple[PaperBar, Close]] = [self._sleep(time, bars, turn.opened) for time, bars in turn.missed]
        late = (self.clock() - turn.opened) / _NS_PER_SECOND
        if late > self.late_after:
            # Its orders would be booked at an open that is gone.
            done.append(self._sleep(turn.closed, turn.bars, turn.opened))
        else:
            self.window.add(turn.closed, turn.bars)
            decision = decide(self.strategy, self.window.market(), self.enrich, self.venues)
            close = self._step(turn.closed, turn.bars, decision, awake=True)
            done.append((PaperBar(turn.closed, DECIDED, turn.bars, close.equity, turn.opened, decision), close))
            self.turns += 1
        rows, closes = zip(*done, strict=True)
        verdicts = [self._told(one) for close in closes for one in close.verdicts]
        self.journal.record_bars(self.name, self.window.symbols, rows, verdicts)
        beat = {"bar": turn.closed, "late": max(late, 0.0), "equity": closes[-1].equity, "held": list(closes[-1].held)}
        self.journal.record_bar_done(self.name, turn.opened, beat=beat)
        self.journal.tidy()
        for row, close in done:
            if row.kind == SLEPT:
                self.slept += 1
                _LOG.warning("%s; nobody decided on it", self._line(row.time, close))
            else:
                _LOG.info("%s", self._line(row.time, close))

    def _sleep(self, time: int, bars: Mapping[str, Bar], opened: int) -> tuple[PaperBar, Close]:
        """A bar that closed while nobody was awake."""
        self.window.add(time, bars)
        close = self._step(time, bars, None, awake=False)
        return PaperBar(time, SLEPT, bars, close.equity, opened), close

    def _step(self, time: int, bars: Mapping[str, Bar], decision: Decision | None, *, awake: bool) -> Close:
        targets, scale = (None, None) if decision is None else (decision.targets, decision.scale)
        close = self.stream.step(time, self._columns(bars), targets, scale, awake=awake)
        self.held = close.held
        return close

    def _columns(self, bars: Mapping[str, Bar]) -> dict[int, Bar]:
        return {self.window.symbols.index(symbol): bar for symbol, bar in bars.items()}

    def _told(self, verdict: Verdict) -> tuple[str, str, dict[str, Any]]:
        """A verdict as the journal has it: kind, symbol, detail."""
        symbol = "" if verdict.column is None else self.window.symbols[verdict.column]
        amounts = {"wanted": verdict.wanted, "allowed": verdict.allowed}
        told = {name: None if value != value else value for name, value in amounts.items()}
        return verdict.kind, symbol, {"decided": verdict.decided, "rule": verdict.rule, **told}

    def _line(self, time: int, close: Close) -> str:
        """A turn in one line: what is held and worth, what has filled, what goes at the next open."""
        symbols = self.window.symbols
        held = [
            f"{amount:.8g} {symbol} at {mark:.8g}"
            for symbol, amount, mark in zip(symbols, close.held, close.marks, strict=True)
            if amount
        ]
        filled = [f"{one.amount:+.8g} {symbols[one.column]} at {one.price:.8g} ({one.reason})" for one in close.fills]
        waits = [f"{amount:+.8g} {symbols[column]}" for column, amount in close.waiting.items()]
        told = [f"{_utc(time)} {self.name}: equity {close.equity:,.2f}", f"held {', '.join(held) or 'nothing'}"]
        told += [f"filled {', '.join(filled)}"] if filled else []
        told += [f"{one.kind} by {one.rule}" for one in close.verdicts]
        told += [f"goes at the open {', '.join(waits)}"] if waits else []
        return "; ".join(told)


def _utc(time: int) -> str:
    return f"{pd.Timestamp(time, tz='UTC'):%Y-%m-%d %H:%MZ}"
