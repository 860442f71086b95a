"""The journal of paper with live prices: every bar that was executed, beside what was decided on it.

The decisions are in the journal's own table; a table more has the bars. Both are written in one transaction once a bar
has been executed, with the equity at its close. That is all that a restart needs: the same bars and decisions, given to
the paper broker again, leave the same account, and it is checked that they do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import time_ns
from typing import Any, Final, NamedTuple

from data.errors import ValidationError
from engine.live.bars import Bar
from engine.live.deciding import Decision
from engine.live.journal import Journal
from engine.live.journal_file import as_text

KNOWN, DECIDED, SLEPT = "known", "decided", "slept through"
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS paper_bars (
    run TEXT NOT NULL REFERENCES runs, bar INTEGER NOT NULL, kind TEXT NOT NULL, prices TEXT NOT NULL,
    scale TEXT NOT NULL, equity REAL NOT NULL, opened INTEGER NOT NULL, PRIMARY KEY (run, bar)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS paper_bars_no_update BEFORE UPDATE ON paper_bars
BEGIN SELECT RAISE(ABORT, 'paper_bars is only added to'); END;
CREATE TRIGGER IF NOT EXISTS paper_bars_no_delete BEFORE DELETE ON paper_bars
BEGIN SELECT RAISE(ABORT, 'paper_bars is only added to'); END;
"""


class PaperBar(NamedTuple):
    """A bar that was executed.

    `kind`: KNOWN before the run began, DECIDED, or SLEPT through; `equity` at its close; `opened` is when the bar began
    that was open then, ns.
    """

    time: int
    kind: str
    bars: Mapping[str, Bar]
    equity: float
    opened: int
    decision: Decision | None = None


class PaperJournal(Journal):
    """A journal that holds bars as well; args and errors as of `Journal`."""

    def __init__(self, path: str | Path, clock: Callable[[], int] = time_ns) -> None:
        super().__init__(path, clock)
        self._db.executescript(_TABLE)

    def take_up(self, run: str, exchange: str, terms: Mapping[str, Any]) -> dict[str, Any] | None:
        """Begin a run on its terms, or take it up again.

        Args:
            run: its name.
            exchange: where its prices come from.
            terms: strategy, symbols, cash and whatever else its result hangs on.

        Returns:
            The terms that it was begun on; None where it begins now.

        Raises:
            ValidationError: a run of this name was begun otherwise: live, on another exchange.
        """
        known = self._db.execute("SELECT detail FROM runs WHERE run = ?", (run,)).fetchone()
        self.start_run(run, f"paper on {exchange}", terms)
        if known is None:
            return None
        found: dict[str, Any] = json.loads(known[0])
        return found

    def record_bars(
        self,
        run: str,
        symbols: Sequence[str],
        rows: Sequence[PaperBar],
        verdicts: Sequence[tuple[str, str, Mapping[str, Any]]] = (),
    ) -> None:
        """Write bars down, with their decisions, and an incident for each that nobody decided on: all or nothing.

        Args:
            run: whose.
            symbols: in the order of the decisions.
            rows: the bars.
            verdicts: of the risk limits on them: kind, symbol, detail.
        """
        with self._writing():
            for row in rows:
                decision = row.decision
                if decision is not None:
                    for symbol, target in zip(symbols, decision.targets, strict=True):
                        told = repr(float(target)), decision.inputs, self._clock()
                        self._add("decisions", run, row.time, symbol, *told)
                if row.kind == SLEPT:
                    detail = as_text({"bar": row.time, "opened": row.opened})
                    self._add("incidents", None, run, self._clock(), "bar not decided on", detail)
                scale = None if decision is None else decision.scale
                told_bars, told_scale = as_text({**row.bars}), json.dumps(scale)
                self._add("paper_bars", run, row.time, row.kind, told_bars, told_scale, row.equity, row.opened)
            for kind, symbol, verdict in verdicts:
                self._add("risk_events", None, run, self._clock(), kind, symbol, as_text(verdict))

    def decided_when(self, run: str) -> dict[int, int]:
        """When the decision of each bar was written down, ns, by bar."""
        rows = self._db.execute("SELECT bar, max(at) FROM decisions WHERE run = ? GROUP BY bar", (run,))
        return {int(bar): int(at) for bar, at in rows}

    def executed(self, run: str, symbols: Sequence[str]) -> Iterator[PaperBar]:
        """Every bar of a run, as it was executed.

        Raises:
            ValidationError: a decision is missing: the journal was altered.
        """
        decided: dict[int, dict[str, tuple[float, str]]] = {}
        for bar, symbol, target, inputs in self.decisions(run):
            decided.setdefault(bar, {})[symbol] = target, inputs
        query = "SELECT bar, kind, prices, scale, equity, opened FROM paper_bars WHERE run = ? ORDER BY bar"
        for time, kind, prices, scale, equity, opened in self._db.execute(query, (run,)).fetchall():
            decision = None
            if kind == DECIDED:
                told = decided.get(time, {})
                if set(told) != set(symbols):
                    raise ValidationError(f"journal {self.path}: the decision of bar {time} of run {run!r} is missing")
                targets = [told[symbol][0] for symbol in symbols]
                decision = Decision(targets, json.loads(scale), told[symbols[0]][1])
            bars: dict[str, Bar] = {symbol: tuple(bar) for symbol, bar in json.loads(prices).items()}
            yield PaperBar(time, kind, bars, equity, opened, decision)
