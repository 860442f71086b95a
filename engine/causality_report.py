"""The verdict on a strategy's causality: what changed, where, by how much, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
import pandas as pd

from data.errors import LadderError


class CausalityError(LadderError):
    """A strategy decides by more than was known, or not reproducibly."""


class Kind(StrEnum):
    """What was found."""

    NOT_DETERMINISTIC = "not deterministic"
    FAILS = "fails on another history"
    LOOKS_AHEAD = "looks ahead"
    WARM_UP = "depends on more than its warm-up"


_MENDS: Final = {
    Kind.NOT_DETERMINISTIC: "two runs on the same bars differ: seed what is random, and keep no state between calls",
    Kind.FAILS: "a live session has no more bars than these: give NaN where there is too little, or raise `warmup`",
    Kind.LOOKS_AHEAD: "row t may use rows up to t alone: look for shift(-n), center=True, bfill or interpolate, "
    "statistics or fits over the whole sample, features stamped by their bar's open, and what asks where the data end",
    Kind.WARM_UP: "nothing is wrong with the backtest; live, give it the whole history or as many bars as it needs, or "
    "raise `warmup` to that: a session that begins with `warmup` bars decides otherwise than the backtest did",
}


@dataclass(frozen=True)
class Violation:
    """One history on which the decisions were not those of the full run.

    Attributes:
        kind: what that shows.
        history: the history, in words.
        table: "targets", or another table of decisions; empty where the strategy raised.
        row: opening time of the first bar that changes, None where the strategy raised.
        symbol: the first symbol that changes in that row.
        full: its value in the full run (of two equal runs: in the first).
        other: its value on the history.
        values: how many values change, over all rows and symbols.
        rows: how many rows change.
        bars_before: bars from the first row that changes to the last that is known: 0 for the last known one itself.
        detail: the error's text, or how many bars are enough.
    """

    kind: Kind
    history: str
    table: str = ""
    row: pd.Timestamp | None = None
    symbol: str = ""
    full: float = np.nan
    other: float = np.nan
    values: int = 0
    rows: int = 0
    bars_before: int = 0
    detail: str = ""

    @property
    def difference(self) -> float:
        """`other` less `full`; NaN where one of them is (NaN against a number is a change all the same)."""
        return self.other - self.full

    def __str__(self) -> str:
        if self.row is None:
            return f"{self.history}: {self.detail}"
        by = "" if np.isnan(self.difference) else f", by {self.difference:+.6g}"
        return (
            f"{self.table} of {self.symbol} at {self.row}: {self.full:.9g} in the full run, {self.other:.9g} "
            f"{self.history}{by}; {self.values} values in {self.rows} rows change{self.detail and '; '}{self.detail}"
        )


@dataclass(frozen=True)
class CausalityReport:
    """What the other histories showed.

    Attributes:
        strategy: name and parameters.
        warmup: bars, as the strategy gives it.
        cuts: histories without the bars after a row.
        altered: histories with others in their place.
        starts: histories that begin later.
        violations: each history on which a decision changed, or the strategy raised.
        rows: rows compared, over all histories.
        largest_rounding: largest difference within the tolerance; 0 when every bit was equal.
        ties: rows after a later start that changed, but hang on less than the tolerance.
        runs: how many times the strategy was run.
        cost: the bars of all runs, in runs over the whole market.
        seconds: how long it took.
    """

    strategy: str
    warmup: int
    cuts: int
    altered: int
    starts: int
    violations: tuple[Violation, ...]
    rows: int
    largest_rounding: float
    ties: int
    runs: int
    cost: float
    seconds: float = field(compare=False)

    @property
    def ok(self) -> bool:
        """Whether the backtest may be believed: it is reproducible and no decision looked ahead, or failed."""
        return all(violation.kind is Kind.WARM_UP for violation in self.violations)

    @property
    def fits_live(self) -> bool:
        """Whether, besides, `warmup` bars decide as the whole history does."""
        return not self.violations

    def of(self, kind: Kind) -> tuple[Violation, ...]:
        """The violations of one kind, in order of the row that changes first."""
        found = (violation for violation in self.violations if violation.kind is kind)
        return tuple(sorted(found, key=lambda violation: (violation.row is not None, violation.row or pd.Timestamp(0))))

    def raise_if_broken(self) -> None:
        """Do nothing if it is `ok`.

        Raises:
            CausalityError: it is not; the message is the report.
        """
        if not self.ok:
            raise CausalityError(str(self))

    def __str__(self) -> str:
        kinds = [kind for kind in Kind if self.of(kind)]
        verdict = ", ".join(kind.value for kind in kinds) or f"no row changes, and {self.warmup} bars are enough"
        if kinds == [Kind.WARM_UP]:
            verdict = f"causal, but {verdict} of {self.warmup} bars"
        lines = [f"Causality of {self.strategy}: {verdict}"]
        for kind in kinds:
            found = self.of(kind)
            lines.append(f"  {kind.value}, in {len(found)} of {self._looked_at(kind)}. The first: {found[0]}")
            if kind is Kind.LOOKS_AHEAD:
                reach = [violation.bars_before for violation in found]
                lines.append(f"    changes reach {min(reach)} to {max(reach)} bars back from the last known bar")
            lines.append(f"    ({_MENDS[kind]})")
        rounding = self.largest_rounding
        exact = f"equal within {rounding:.1e}" if rounding else "equal to the last bit"
        lines.append(
            f"  {self.cuts} cuts, {self.altered} altered futures, {self.starts} later starts; {self.rows:,} rows "
            f"compared, what agrees is {exact}{f'; {self.ties} exact ties left out' if self.ties else ''}"
        )
        lines.append(f"  {self.runs} runs over {self.cost:.1f} times the bars of the market, {self.seconds:.2g} s")
        return "\n".join(lines)

    def _looked_at(self, kind: Kind) -> str:
        if kind is Kind.NOT_DETERMINISTIC:
            return "1 repetition"
        if kind is Kind.WARM_UP:
            return f"{self.starts} later starts"
        return f"{self.cuts + self.altered + self.starts} histories"
