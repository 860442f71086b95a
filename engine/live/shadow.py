"""Paper beside a live session: the same decisions on the same bars, executed by the paper broker in the same process.

What a session makes of a bar can so be held against what its backtest makes of it, at every close. It differs from the
session in what the exchange does otherwise: fills, fees, refusals, and bars that were slept through, on which the paper
run decides as a backtest would. It is worked on when the turn's orders are out.

Its bars and decisions are in the session's journal, as a run of its own, so that it goes on after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Self

from data.errors import ValidationError
from data.market import Market
from engine.live.bars import Bar, BarWindow
from engine.live.deciding import Decision, decide
from engine.live.feed import Turn
from engine.live.paper_journal import DECIDED, PaperBar, PaperJournal
from engine.live.paper_record import execute_again, executed_before
from engine.paper_stream import PaperStream
from engine.run import Run
from engine.strategy import Strategy
from engine.venue import Venue

_LOG = logging.getLogger(__name__)
_NAME: Final = "{run} on paper"
# Told at each close: bar (opening time, ns), the session's equity (without what persons have paid in or taken out), the
# paper run's, and whether an earlier process of the run has told it before. What it returns halts the session.
Follow = Callable[[int, float, float, bool], str | None]


class Close(NamedTuple):
    """A bar of the paper run: opening time (ns), equity at its close."""

    bar: int
    equity: float


class Shadow:
    """See the module; close it, or use it in `with`.

    Args:
        run: strategy, costs, venues and limits, as `engine.paper_stream.PaperStream` takes them.
        journal: the session's.
        name: the session's run.
        window: the bars that the session sees, as it begins.
        venues: rules by symbol.
        enrich: adds forecasts and daily values to a window; None for none.

    Raises:
        ValidationError: as `PaperStream`.
    """

    def __init__(
        self,
        run: Run,
        journal: PaperJournal,
        name: str,
        window: BarWindow,
        venues: Mapping[str, Venue],
        enrich: Callable[[Market], Market] | None,
    ) -> None:
        self._strategy: Strategy = run.strategy
        self._journal, self._run, self._name = journal, name, _NAME.format(run=name)
        self._window, self._venues, self._enrich = window, venues, enrich
        self._stream = PaperStream(run)
        self._last = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def begin(self, bars: Market, opened: int, exchange: str) -> None:
        """A new run, while the bar that opened at `opened` (ns) is open.

        Args:
            bars: that are closed.
            opened: ns.
            exchange: in ccxt.

        Raises:
            ValidationError: the session's run has traded, and one that begins now has not.
        """
        if self._journal.fills(self._run) or self._journal.adjustments(self._run):
            raise ValidationError(
                f"run {self._run!r} has traded without paper beside it, which could not follow it now; begin a new run"
            )
        self._journal.take_up(self._name, exchange, {"beside": self._run})
        rows = executed_before(self._stream, bars, opened)
        self._journal.record_bars(self._name, self._window.symbols, rows)
        self._last = rows[-1].time

    def go_on(self) -> bool:
        """Execute again what earlier processes have executed; False where there is nothing.

        Raises:
            ValidationError: it does not come to the same equity.
        """
        symbols = self._window.symbols
        for row, _ in execute_again(self._stream, self._journal.executed(self._name, symbols), symbols, self._name):
            self._last = row.time
        return self._last > 0

    def beats(self) -> list[dict[str, Any]]:
        """The session's entries of its turns."""
        return self._journal.heartbeats(self._run)

    def take(self, turn: Turn, decision: Decision) -> list[Close]:
        """The bars of a turn, those that were missed among them; one that it has had already is left out.

        Args:
            turn: of the session.
            decision: the session's, on the bar that has closed.
        """
        done: list[tuple[PaperBar, Close]] = []
        for time, bars in turn.missed:
            self._window.add(time, bars)
            if time > self._last:
                late = decide(self._strategy, self._window.market(), self._enrich, self._venues)
                done.append(self._step(time, bars, late, turn.opened))
        self._window.add(turn.closed, turn.bars)
        if turn.closed > self._last:
            done.append(self._step(turn.closed, turn.bars, decision, turn.opened))
        if done:
            self._journal.record_bars(self._name, self._window.symbols, [row for row, _ in done])
            self._last = done[-1][0].time
        return [close for _, close in done]

    def _step(self, time: int, bars: Mapping[str, Bar], decision: Decision, opened: int) -> tuple[PaperBar, Close]:
        symbols = self._window.symbols
        columns = {symbols.index(symbol): bar for symbol, bar in bars.items()}
        equity = self._stream.step(time, columns, decision.targets, decision.scale).equity
        return PaperBar(time, DECIDED, bars, equity, opened, decision), Close(time, equity)


class Following:
    """A session's paper run, and who is told of both; it never breaks the session.

    Attributes:
        why: what the session is to be halted for; "" for nothing.
        rows: of the turn: bar, the session's equity, the paper run's.
    """

    def __init__(self, shadow: Shadow, follow: Follow) -> None:
        self._shadow: Shadow | None = shadow
        self._follow = follow
        self.why = ""
        self.rows: list[tuple[int, float, float]] = []

    def replay(self, beats: list[dict[str, Any]]) -> None:
        """Tell what the journal has of earlier processes."""
        for beat in beats:
            for bar, ours, paper in beat.get("follow", []):
                self._follow(int(bar), float(ours), float(paper), True)

    def take(self, turn: Turn, decision: Decision, equity: Mapping[int, float]) -> None:
        """A turn is done but for its entry.

        Args:
            turn: the session's.
            decision: on the bar that has closed.
            equity: of the session at the close of each of the turn's bars, quote currency.
        """
        self.rows = []
        if self._shadow is None:
            return
        try:
            for bar, paper in self._shadow.take(turn, decision):
                if bar in equity:
                    self.rows.append((bar, equity[bar], paper))
                    self.why = self._follow(bar, equity[bar], paper, False) or self.why
        except Exception as error:  # noqa: BLE001  (whatever it is: what rests and is held is the session's to see to)
            _LOG.exception("the paper run beside the session has broken")
            self._shadow = None
            self.why = (
                f"the paper run beside the session has broken ({type(error).__name__}: {error}): nothing follows it"
            )


def following(shadow: Shadow, follow: Follow, bars: Market, opened: int, exchange: str) -> Following:
    """A session's paper run: gone on with where there is one, else begun, which only a run without a fill can.

    Args:
        shadow: of the session.
        follow: who is told.
        bars: closed ones that the session begins with.
        opened: when the bar began that is open, ns.
        exchange: in ccxt.

    Raises:
        ValidationError: the session's run has traded without a paper run.
    """
    if not shadow.go_on():
        shadow.begin(bars, opened, exchange)
    found = Following(shadow, follow)
    found.replay(shadow.beats())
    return found
