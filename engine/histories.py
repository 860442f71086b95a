"""Which shorter or altered histories show whether a strategy looks ahead (`engine.causality` runs it on them).

Three kinds, and what each is good at:

- a **cut**: the bars after a row are removed. What only the end of the data shows (tomorrow's close, a statistic over
  the whole sample, `market.index[-1]`) changes rows before the cut.
- an **altered future**: as many bars as before, but those after a row are others. It shows what a cut hides: a
  strategy that behaves on short input, or fills what the cut made missing.
- a **later start**: it begins just so late that a row has `warmup` bars of each symbol. What needs more shows.

Where to cut matters more than how often: a leak of one bar changes the last row before the cut alone, and only where
that row has a decision. So rows on which a target changes are taken first, spread over weekdays and symbols, then
edges: first decision, last bar, the first bar of a day and of a week, a symbol's gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS
from data.market import Market

# A later start that goes on does so for as many rows as its warm-up has, and at least this many.
_COMPARED_ROWS: Final = 100
# One later start in so many goes on.
_LIVE_WINDOWS: Final = 4
# One altered future goes with so many cuts. Each is as long as the data, a cut half of it on average.
_CUTS_PER_ALTERED: Final = 5
# Altered futures open at twice or half the last close: far enough for a filled gap or a scaled price to show it.
_LIFTS: Final = (2.0, 0.5)
_MOST_SPECIAL_CUTS: Final = 7


@dataclass(frozen=True)
class History:
    """Rows `start` to `stop` (not included) of a market; those from `altered` on are not what they were.

    Attributes:
        start: first row.
        stop: row after the last.
        why: why this place was chosen, for the reader of a report.
        altered: row of the first altered bar, or None.
        lift: factor by which the altered bars' level is moved.
    """

    start: int
    stop: int
    why: str
    altered: int | None = None
    lift: float = 1.0

    @property
    def known(self) -> int:
        """Row after the last one that is as it was."""
        return self.stop if self.altered is None else self.altered

    def of(self, market: Market, rng: np.random.Generator) -> Market:
        """This history of `market`."""
        if self.altered is not None:
            market = with_altered_future(market, self.altered, self.lift, rng)
        return market.iloc(self.start, self.stop)

    def describe(self, index: pd.DatetimeIndex) -> str:
        """As a reader of a report would say it."""
        if self.altered is not None:
            return f"with other bars after {index[self.altered - 1]} ({self.why})"
        if self.start:
            end = "" if self.stop == len(index) else f" and end with {index[self.stop - 1]}"
            return f"with bars that begin at {index[self.start]}{end} ({self.why})"
        return f"without the bars after {index[self.stop - 1]} ({self.why})"


@dataclass(frozen=True, eq=False)
class Chooser:
    """Chooses histories by what the full run decided.

    Attributes:
        market: the whole panel, T bars of N symbols.
        changes: where the full run gives a symbol another target than it had, bool (T, N).
        warmup: of the strategy.
        rng: where choice is free.
    """

    market: Market
    changes: np.ndarray
    warmup: int
    rng: np.random.Generator
    _used: set[int] = field(default_factory=set)

    def cuts(self, count: int) -> list[History]:
        """`count` cuts, fewer where the market has fewer rows to cut after."""
        special = {row: why for why, row in reversed(list(self._special_rows()))}
        chosen = dict(list(reversed(special.items()))[: min(count // 2, _MOST_SPECIAL_CUTS)])
        self._used.update(chosen)
        free = count - len(chosen)
        drawn = self._change_rows(free - free // 4)
        drawn += self._random_rows(free - len(drawn))
        chosen |= {row: why for why, row in drawn}
        return [History(0, row + 1, why) for row, why in sorted(chosen.items())]

    def altered(self, cuts: int) -> list[History]:
        """The altered futures that go with so many cuts: the first after a symbol's gap, where there is one."""
        count = -(-cuts // _CUTS_PER_ALTERED)
        rows = [("a symbol's bar is missing there", row) for row in self._gap_rows()[:1]]
        rows += self._change_rows(count - len(rows))
        rows += self._random_rows(count - len(rows))
        return [
            History(0, len(self.market), why, altered=row + 1, lift=_LIFTS[number % len(_LIFTS)])
            for number, (why, row) in enumerate(rows[:count])
        ]

    def starts(self, count: int) -> list[History]:
        """`count` later starts, fewer where the market is hardly longer than the warm-up.

        The first ends with the data. Of the others one in four goes on for a while, so that a state shows which the
        bars before its start would have left; the rest end with the row they are for: a live session's window.
        """
        bars = len(self.market)
        if bars <= self.warmup + 1:
            return []
        first = int(self.rng.integers(1, max((bars - self.warmup) // 2, 2)))
        histories = [History(first, bars, "a random start")] if count else []
        for number in range(1, count):
            found = self._change_rows(1) or self._random_rows(1)
            if not found:
                break
            why, row = found[0]
            start = self.latest_start(row)
            further = max(self.warmup, _COMPARED_ROWS) if number % _LIVE_WINDOWS == 0 else 0
            if start > 0:
                histories.append(History(start, min(row + 1 + further, bars), why))
        return histories

    def latest_start(self, row: int) -> int:
        """The last row from which on `row` has `warmup` bars of each symbol that still trades, or all it ever had."""
        needed = max(self.warmup, 1)
        first = row - needed + 1
        for counts in self._bars_so_far.T:
            have = counts[row]
            if not have == counts[max(first - 1, 0)] == counts[-1]:
                first = min(first, int(np.searchsorted(counts, max(have - needed + 1, 1))))
        return max(first, 0)

    def comparable(self, history: History) -> np.ndarray:
        """Which of a history's rows must be as in the full run, bool (rows,).

        Those from the warm-up on; after a later start those by which each symbol has `warmup` bars, or all that it ever
        had; a symbol that has ceased to trade for good needs none.
        """
        rows = np.arange(history.start, history.stop)
        enough = (rows - history.start + 1 >= self.warmup) & (rows < history.known)
        if history.start:
            before, total = self._bars_so_far[history.start - 1], self._bars_so_far[-1]
            within = self._bars_so_far[history.start : history.stop] - before
            enough &= ((within >= self.warmup) | (before == 0) | (before == total)).all(axis=1)
        return enough

    @cached_property
    def _bars_so_far(self) -> np.ndarray:
        """Bars of each symbol up to and with each row, int (T, N)."""
        return np.cumsum(self.market.close.notna().to_numpy(), axis=0)

    @cached_property
    def _cuttable(self) -> np.ndarray:
        """Rows that may be the last one known, bool (T,): decisions are given by then, and a bar is left to hide."""
        rows = np.arange(len(self.market))
        return (rows >= max(self.warmup - 1, 0)) & (rows < len(rows) - 1)

    def _special_rows(self) -> Iterator[tuple[str, int]]:
        rows = np.flatnonzero(self._cuttable)
        if not rows.size:
            return
        yield "one bar less", int(rows[-1])
        yield from (("a symbol's bar is missing there", row) for row in self._gap_rows()[:2])
        changed = rows[self.changes[rows].any(axis=1)]
        index = self.market.index
        openings = rows[index[rows] == index[rows].normalize()]
        for why, edges in (
            ("the first bar of a day", openings),
            ("the first bar of a week", openings[index[openings].day_of_week == 0]),
        ):
            wanted = edges[self.changes[edges].any(axis=1)]
            if edges.size and edges.size < rows.size:
                yield why, int(self.rng.choice(wanted if wanted.size else edges))
        yield "the end of the warm-up", int(rows[0])
        if changed.size:
            yield "the first decision", int(changed[0])

    def _gap_rows(self) -> list[int]:
        """Up to two rows in a gap or before one; first one with a decision for a symbol that has no bar there."""
        counts, present = self._bars_so_far, self.market.close.notna().to_numpy()
        inside = ~present & (counts > 0) & (counts < counts[-1]) & self._cuttable[:, None]
        step = np.diff(self.market.index.asi8, append=self.market.index.asi8[-1:])
        before = (step > np.median(step[:-1])) & self._cuttable if len(step) > 1 else np.zeros(len(step), dtype=bool)
        rows: list[int] = []
        for places in ((inside & self.changes).any(axis=1), inside.any(axis=1), before):
            found = np.setdiff1d(np.flatnonzero(places), rows)
            if found.size:
                rows.append(int(self.rng.choice(found)))
        return rows[:2]

    def _change_rows(self, count: int) -> list[tuple[str, int]]:
        """Unused rows on which a target changes, each time of another weekday and another symbol, if there are such."""
        weekdays = self.market.index.day_of_week.to_numpy()
        chosen: list[tuple[str, int]] = []
        open_rows = self._cuttable & self.changes.any(axis=1)
        open_rows[sorted(self._used)] = False
        for _ in range(max(count, 0)):
            turn = len(self._used)
            of_symbol = self.changes[:, (turn + turn // 7) % self.changes.shape[1]]
            of_day = weekdays == turn % 7
            for wanted in (open_rows & of_symbol & of_day, open_rows & of_day, open_rows):
                rows = np.flatnonzero(wanted)
                if rows.size:
                    row = int(self.rng.choice(rows))
                    open_rows[row] = False
                    self._used.add(row)
                    chosen.append(("a target changes there", row))
                    break
        return chosen

    def _random_rows(self, count: int) -> list[tuple[str, int]]:
        free = np.setdiff1d(np.flatnonzero(self._cuttable), sorted(self._used))
        drawn = self.rng.choice(free, size=min(max(count, 0), free.size), replace=False)
        self._used.update(int(row) for row in drawn)
        return [("a random place", int(row)) for row in drawn]


def with_altered_future(market: Market, row: int, lift: float, rng: np.random.Generator) -> Market:
    """The market with other bars from `row` on: as plausible as its own, on the same times, missing where they were.

    Prices are mirrored about the last close known before `row` (what rose falls by the same log return) and moved by
    the factor `lift`; volume and further fields take the values of bars drawn from before `row`, the same bar for all.
    """
    close = market.close
    pivot = close.iloc[:row].ffill().iloc[-1].fillna(close.iloc[row:].bfill().iloc[0])
    drawn = rng.integers(0, row, size=len(market) - row)
    # Mirrored, a bar's high is its low.
    source = {"open": "open", "high": "low", "low": "high", "close": "close"}
    fields = {}
    for name in market:
        table = market[name]
        head, tail = table.iloc[:row], table.iloc[row:]
        if name in source:
            tail = lift * pivot**2 / market[source[name]].iloc[row:]
        else:
            past = head.iloc[drawn].set_axis(tail.index, axis=0)
            tail = past.where(past.notna(), tail).where(tail.notna())
        fields[name] = pd.concat([head, tail])
    return Market(fields, market.timeframe)


def with_price_noise(market: Market, size: float, rng: np.random.Generator) -> Market:
    """The market with each bar's prices and volume moved by one factor within 1 ± `size`: its shape stays as it was."""
    factor = 1.0 + size * rng.uniform(-1.0, 1.0, size=(len(market), len(market.symbols)))
    noisy = {name: market[name] * factor for name in CANDLE_COLUMNS if name in market}
    return market.with_fields(**noisy)
