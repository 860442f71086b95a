"""Whether a strategy decides by what was known: it is run again on other histories, and its rows must stay the same.

    report = check_causality(SmaCross(), market)                      # 16 cuts, chosen and random
    report = check_causality(SmaCross(), market, cuts=50, starts=50)  # thorough
    print(report)
    report.raise_if_broken()

Row t of `targets` (and of any other table of decisions) must depend on rows up to t alone. So on a market without the
bars after t, or with others in their place, rows up to t must be what they were: *all* of them are compared, as the
brokers take them (what lies in the warm-up counts for nothing). `engine.histories` says where the cuts are made.

A second question is whether `warmup` bars are enough. An expanding mean or a state carried since the first bar is
causal, and its backtest is sound; but a live session that begins with `warmup` bars decides otherwise than that
backtest. That is a finding of its own (`Kind.WARM_UP`), which leaves `report.ok` as it is and `report.fits_live` not.

What is the same: two values that differ by no more than `tolerance` x max(1, their size). By default that is the
weight below which no broker sends an order (`engine.rules.DUST`). A cut should change no bit, and pandas' rolling
and expanding sums keep that; a matrix product does not (BLAS sums the last rows of a matrix in another order), nor
does a rolling sum that begins later. The report says whether all bits were equal, and else the largest difference.
After a later start such last digits may flip a decision that hangs on an exact tie: a row that flips as well when
prices move by `tolerance` is counted as a tie, not as a finding. After a cut nothing is excused.

What it cannot see: a leak in the market's own fields (a prediction by a model that was trained on these bars), a list
of symbols chosen with hindsight, a cache outside the strategy object, and a leak at places that no cut came upon.
"""

from __future__ import annotations

import copy
import pickle
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.causality_report import CausalityError, CausalityReport, Kind, Violation
from engine.histories import Chooser, History, with_price_noise
from engine.rules import DUST
from engine.strategy import Strategy, label, parameters

__all__ = ["CausalityError", "CausalityReport", "Kind", "Violation", "check_causality"]

# The methods of a strategy that give a table of decisions, time by symbol; the second may be absent or give None.
_DECISIONS: Final = ("targets", "scale")
# A tie falls the other way in half of the noisy runs: of 20 (rows x runs) none does once in a million.
_SURE: Final = 20
_LEAST_NOISY_RUNS: Final = 4
# Each finding of a later start costs further runs, to tell what it is; after so many, one more says nothing new.
_ENOUGH_FINDINGS: Final = 3


def check_causality(
    strategy: Strategy,
    market: Market,
    *,
    cuts: int = 16,
    starts: int = 24,
    seed: int = 0,
    tolerance: float = DUST,
) -> CausalityReport:
    """Run a strategy's decisions again on shortened and altered histories, and compare them with the full run's.

    By default that costs about 15 runs of `targets` over the whole market: 2 to see that it is deterministic, 16
    cuts of half the length on average, 4 altered futures, and later starts of about one run together, most of them
    no longer than the warm-up. A finding costs a few more.

    Args:
        strategy: a frozen dataclass; each run gets a fresh copy of it.
        market: the bars, ideally those of the backtest.
        cuts: histories without the bars after a row; for every fifth one more with altered bars there.
        starts: histories that begin later; after three findings no more of them are run.
        seed: of all that is random: the same call gives the same report.
        tolerance: difference, in weight or relative where a value is above 1, up to which two values are the same.

    Raises:
        ValidationError: a parameter is wrong, the market is too short to cut, or the full run's table is malformed.
    """
    _check_inputs(strategy, market, {"cuts": cuts, "starts": starts, "seed": seed}, tolerance)
    return _Check(strategy, market, seed, tolerance).report(cuts, starts)


def _check_inputs(strategy: Strategy, market: Market, counts: Mapping[str, int], tolerance: float) -> None:
    if not isinstance(strategy, Strategy) or not isinstance(market, Market):
        raise ValidationError(f"check_causality(strategy, market): got {strategy!r} and {type(market).__name__}")
    parameters(strategy)
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValidationError(f"check_causality: {name} {count!r} must be a whole number, at least 0")
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < 1:
        raise ValidationError(f"check_causality: tolerance {tolerance!r} must be a fraction of equity, such as 1e-9")
    if len(market) < max(strategy.warmup, 1) + 1:
        raise ValidationError(
            f"check_causality: {label(strategy)} needs {strategy.warmup} bars before it decides and the market has "
            f"{len(market)}: nothing can be cut off; give it a longer market"
        )


class _Check:
    """One check: the full run, and what the others are compared with."""

    def __init__(self, strategy: Strategy, market: Market, seed: int, tolerance: float) -> None:
        self.strategy, self.market, self.tolerance = strategy, market, tolerance
        self.rng = np.random.default_rng(seed)
        self.began = time.perf_counter()
        self.rows, self.ties, self.runs, self.bars, self.largest_rounding = 0, 0, 0, 0, 0.0
        self.violations: list[Violation] = []
        self.pristine = _pristine(strategy)
        once = copy.deepcopy(self.pristine)
        self.full = self._decide(once, market)
        self.chooser = Chooser(market, self._changes(), strategy.warmup, self.rng)
        whole = History(0, len(market), "")
        self._compare(Kind.NOT_DETERMINISTIC, whole, self._decide(once, market), "when it is run a second time")

    def report(self, cuts: int, starts: int) -> CausalityReport:
        """Run all histories; none where two runs on the same bars differed already, for then nothing can be told."""
        chosen: dict[str, list[History]] = {"cuts": [], "altered": [], "starts": []}
        if not self.violations:
            chosen["cuts"] = self.chooser.cuts(cuts)
            chosen["altered"] = self.chooser.altered(cuts)
            chosen["starts"] = self.chooser.starts(starts)
        # A shorter history may well divide by nothing: what the full run warned of was shown then.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for history in [*chosen["cuts"], *chosen["altered"]]:
                tables = self._try(history)
                if tables is not None:
                    self._compare(Kind.LOOKS_AHEAD, history, tables)
            chosen["starts"] = self._start_later_each(chosen["starts"])
        return CausalityReport(
            strategy=label(self.strategy),
            warmup=self.strategy.warmup,
            **{name: len(histories) for name, histories in chosen.items()},
            violations=tuple(self.violations),
            rows=self.rows,
            largest_rounding=self.largest_rounding,
            ties=self.ties,
            runs=self.runs,
            cost=self.bars / len(self.market),
            seconds=time.perf_counter() - self.began,
        )

    def _start_later_each(self, histories: list[History]) -> list[History]:
        """Run later starts until a few have shown something; those that were run."""
        before = len(self.violations)
        for number, history in enumerate(histories):
            if len(self.violations) - before >= _ENOUGH_FINDINGS:
                return histories[:number]
            self._start_later(history)
        return histories

    def _start_later(self, history: History) -> None:
        """Compare a later start; what changes is a leak if the same end without the later start changes it too."""
        market = history.of(self.market, self.rng)
        tables = self._try(history, market)
        if tables is None:
            return
        if not any(changed.any() for changed in self._changed(history, tables).values()):
            self._compare(Kind.WARM_UP, history, tables)
            return
        if history.stop < len(self.market):
            cut = History(0, history.stop, history.why)
            whole = self._try(cut)
            if whole is None or self._compare(Kind.LOOKS_AHEAD, cut, whole):
                return
        hangs = self._hangs_on_ties(history, market, tables)
        if self._compare(Kind.WARM_UP, history, tables, leave_out=hangs) and len(self._warm_ups()) == 1:
            self.violations[-1] = replace(self.violations[-1], detail=self._bars_enough(self.violations[-1]))

    def _hangs_on_ties(
        self, history: History, market: Market, tables: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Where the decisions on a later start change with its prices' last digits, bool (rows, N) for each table."""
        hangs = {name: np.zeros(table.shape, dtype=bool) for name, table in tables.items()}
        changed = self._changed(history, tables)
        left, idle = _rows_of(changed, hangs), 0
        while self.tolerance and left and (idle < _LEAST_NOISY_RUNS or idle * left < _SURE):
            noisy = self._try(history, with_price_noise(market, self.tolerance, self.rng))
            if noisy is None:
                break
            for name, table in tables.items():
                hangs[name] |= _differs(table, noisy[name], self.tolerance)
            now = _rows_of(changed, hangs)
            left, idle = now, idle + 1 if now == left else 0
        return hangs

    def _bars_enough(self, violation: Violation) -> str:
        """With how many bars the row that changed is what the full run has, tried in doublings of the warm-up."""
        assert violation.row is not None  # noqa: S101 - for mypy: only what raised has none
        stop = int(self.market.index.searchsorted(violation.row, side="right"))
        bars = max(self.strategy.warmup, 1)
        while bars < stop:
            bars = min(2 * bars, stop)
            tables = self._try(History(stop - bars, stop, violation.history))
            if tables is None:
                break
            rows = [(tables[name][-1], self.full[name][stop - 1]) for name in tables]
            if not any(_differs(mine, theirs, self.tolerance).any() for mine, theirs in rows):
                return f"that row is the same again with {bars} bars" + (", the whole history" if bars == stop else "")
        return "no number of bars before that row gave the same"

    def _warm_ups(self) -> list[Violation]:
        return [violation for violation in self.violations if violation.kind is Kind.WARM_UP]

    def _try(self, history: History, market: Market | None = None) -> dict[str, np.ndarray] | None:
        """The decisions on a history (its bars are `market`), or None where the strategy raised: that is reported."""
        bars = history.of(self.market, self.rng) if market is None else market
        try:
            return self._decide(copy.deepcopy(self.pristine), bars)
        except Exception as error:  # noqa: BLE001 - whatever a strategy raises is the finding
            text = f"{type(error).__name__}: {error}"
            self.violations.append(Violation(Kind.FAILS, history.describe(self.market.index), detail=text))
            return None

    def _decide(self, strategy: Strategy, market: Market) -> dict[str, np.ndarray]:
        self.runs += 1
        self.bars += len(market)
        tables = {}
        for name in _DECISIONS:
            method = getattr(strategy, name, None)
            if not callable(method):
                continue
            table = method(market)
            if table is None and name != "targets":
                table = pd.DataFrame(np.nan, index=market.index, columns=list(market.symbols))
            tables[name] = _values(table, market, f"{label(strategy)}: {name}")
        return tables

    def _changes(self) -> np.ndarray:
        """Where the full run gives a symbol another value than the last it had, bool (T, N), over all tables."""
        changed = np.zeros((len(self.market), len(self.market.symbols)), dtype=bool)
        for values in self.full.values():
            table = pd.DataFrame(values)
            changed |= (table.notna() & (table != table.ffill().shift(1))).to_numpy()
        return changed

    def _changed(self, history: History, tables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Values that must be as in the full run and are not, bool (rows of the history, N) for each table."""
        rows = self.chooser.comparable(history)[:, None]
        full = {name: table[history.start : history.stop] for name, table in self.full.items()}
        return {name: _differs(full[name], table, self.tolerance) & rows for name, table in tables.items()}

    def _compare(
        self,
        kind: Kind,
        history: History,
        tables: Mapping[str, np.ndarray],
        words: str = "",
        leave_out: Mapping[str, np.ndarray] | None = None,
    ) -> bool:
        """Record what changes in a history; whether anything did."""
        comparable = self.chooser.comparable(history)
        self.rows += int(comparable.sum())
        found = False
        for name, differing in self._changed(history, tables).items():
            full, other = self.full[name][history.start : history.stop], tables[name]
            with np.errstate(invalid="ignore"):
                rounding = np.abs(full - other)[~differing & comparable[:, None]]
            self.largest_rounding = max(self.largest_rounding, float(np.nanmax(rounding, initial=0.0)))
            hanging = np.zeros_like(differing) if leave_out is None else differing & leave_out[name]
            self.ties += int(hanging.any(axis=1).sum())
            changed = differing & ~hanging
            if not changed.any():
                continue
            found = True
            row, column = (int(place) for place in np.argwhere(changed)[0])
            self.violations.append(
                Violation(
                    kind=kind,
                    history=words or history.describe(self.market.index),
                    table=name,
                    row=self.market.index[history.start + row],
                    symbol=self.market.symbols[column],
                    full=float(full[row, column]),
                    other=float(other[row, column]),
                    values=int(changed.sum()),
                    rows=int(changed.any(axis=1).sum()),
                    bars_before=history.known - 1 - history.start - row,
                )
            )
        return found


def _pristine(strategy: Strategy) -> Strategy:
    """A copy as it was when it was made: without what earlier calls may have left in it, a fitted model say."""
    try:
        fresh: Strategy = replace(copy.deepcopy(strategy))  # type: ignore[type-var]  # checked to be a dataclass
    except (TypeError, ValueError, AttributeError, NotImplementedError, pickle.PicklingError):
        return strategy
    return fresh


def _rows_of(changed: Mapping[str, np.ndarray], hangs: Mapping[str, np.ndarray]) -> int:
    """Rows that change, in any table, and do not hang on a tie."""
    rows = [(table & ~hangs[name]).any(axis=1) for name, table in changed.items()]
    return int(np.logical_or.reduce(rows).sum())


def _differs(one: np.ndarray, two: np.ndarray, tolerance: float) -> np.ndarray:
    """Where two tables differ by more than `tolerance`; NaN against a number does, NaN against NaN does not."""
    with np.errstate(invalid="ignore"):
        near = np.abs(one - two) <= tolerance * np.maximum(1.0, np.maximum(np.abs(one), np.abs(two)))
    differs: np.ndarray = ~((one == two) | near | (np.isnan(one) & np.isnan(two)))
    return differs


def _values(table: object, market: Market, name: str) -> np.ndarray:
    """A table of decisions as float64, (bars, symbols in the market's order).

    Raises:
        ValidationError: it is not a table of the market's times by the market's symbols.
    """
    symbols = list(market.symbols)
    if not isinstance(table, pd.DataFrame):
        raise ValidationError(f"{name} returned {type(table).__name__}, not a DataFrame, time by symbol")
    if sorted(map(str, table.columns)) != sorted(symbols) or not table.index.equals(market.index):
        raise ValidationError(
            f"{name} returned {len(table)} rows of {list(table.columns)} for {len(market)} bars of {symbols}; "
            "give each symbol one column, indexed by market.index"
        )
    try:
        values: np.ndarray = table[symbols].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"{name} returned something that is not a number: {error}") from error
    return values
