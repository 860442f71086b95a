"""A run of paper with live prices, read from its journal: executed again, and held against a backtest.

    run = read_paper_run(Path("paper.sqlite"), strategy, cash=10_000, costs=costs, risk=risk)
    run.result.stats()
    run.reference                # the backtest on the very same bars, begun at the same one
    run.decided_otherwise        # decisions that it takes otherwise; empty where there are none

Nothing that the journal says of its own equity is believed: every bar is given to the paper broker again, and has to
come to the same figure, to the last bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS
from data.errors import ValidationError
from data.market import Market
from engine.brokers import backtest
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.live.bars import Bar
from engine.live.beside_paper import Begun
from engine.live.journal_statements import Statement
from engine.live.paper_journal import DECIDED, KNOWN, SLEPT, PaperBar, PaperJournal
from engine.live.paper_terms import same_terms, terms_of, venue_of
from engine.paper_stream import Close, PaperStream, market_of
from engine.result import Result
from engine.run import lay_ground
from engine.strategy import Strategy
from engine.venue import Venue

_STARTED: Final = "started"  # the statement in the journal
_NAT: Final = np.iinfo(np.int64).min
# A window gives sums that a whole history gives in another order: what differs by no more buys the same lot.
_ALIKE: Final = {"rtol": 1e-9, "atol": 1e-12}


@dataclass(frozen=True, eq=False)
class PaperRun:
    """See the module.

    Attributes:
        name: of the run.
        exchange: whose prices they were, in ccxt.
        rehearsal: whether a rehearsal exchange replayed them.
        result: of the run, from the bar that was open when it began.
        bars: all that the journal has, those before the run among them.
        first: how many lie before it.
        targets: what was decided, by bar and symbol; NaN for nothing, also where nobody decided.
        decided: whether somebody did, by bar.
        written: when each decision was written down, by this machine's clock, UTC; NaT where nobody decided.
        slept: bars of the run that nobody decided on.
        venues: rules by symbol, as they were when the run began.
        starts: what each of its processes stated when it began.
        incidents: how often which went wrong.
        reference: the backtest of the same strategy on the same bars and terms, which slept through none.
        wanted: its targets, on the rows of `targets`.
    """

    name: str
    exchange: str
    rehearsal: bool
    result: Result
    bars: Market
    first: int
    targets: pd.DataFrame
    decided: pd.Series
    written: pd.Series
    slept: int
    venues: Mapping[str, Venue]
    starts: Sequence[Statement]
    incidents: Mapping[str, int]
    reference: Result
    wanted: pd.DataFrame

    @property
    def days(self) -> float:
        """How long it went."""
        length = pd.Timedelta(self.result.timeframe)
        return len(self.result.equity) * length / pd.Timedelta(days=1)

    @cached_property
    def decided_otherwise(self) -> pd.DataFrame:
        """Decisions that the backtest takes otherwise: by bar and symbol, ours and its."""
        ours, other = self.targets[self.decided], self.wanted[self.decided]
        alike = np.isclose(ours.to_numpy(), other.to_numpy(), equal_nan=True, **_ALIKE)
        rows, columns = np.nonzero(~alike)
        return pd.DataFrame(
            {
                "bar": ours.index[rows],
                "symbol": ours.columns[columns],
                "paper": ours.to_numpy()[rows, columns],
                "backtest": other.to_numpy()[rows, columns],
            }
        )


def read_paper_run(
    journal: Path,
    strategy: Strategy,
    *,
    cash: float,
    costs: Costs,
    risk: RiskLimits | None = None,
    run: str | None = None,
    enrich: Callable[[Market], Market] | None = None,
) -> PaperRun:
    """Read a run and execute it again, also while its session writes it.

    Args:
        journal: its file.
        strategy: that decided.
        cash: quote currency.
        costs: of the run.
        risk: limits of the run.
        run: its name; None where the journal has but one.
        enrich: adds forecasts and daily values to bars.

    Raises:
        ValidationError: no such run, one of other terms, one without a bar, or one that does not come to its equity.
    """
    with closing(PaperJournal.reading(journal)) as book:
        name, exchange, begun = _run_of(book, run)
        symbols, timeframe = list(begun["symbols"]), str(begun["timeframe"])
        rules = {symbol: venue_of(told) for symbol, told in begun["venues"].items()}
        same_terms(name, begun, terms_of(strategy, symbols, timeframe, cash, costs, risk, rules), rules, None)
        known = list(book.executed(name, symbols))
        starts, incidents = book.statements(name, _STARTED), Counter(kind for kind, _ in book.incidents(name))
        written = book.decided_when(name)
    first = sum(row.kind == KNOWN for row in known)
    if first == len(known):
        raise ValidationError(f"journal {journal}: run {name!r} has no bar of its own yet")
    bars = bars_of(known, symbols, timeframe)
    seen = bars if enrich is None else enrich(bars)
    ground = lay_ground(seen, cash, costs, rules, risk, None)
    with PaperStream(ground.run(strategy)) as stream:
        for _ in execute_again(stream, known, symbols, name):
            pass
        result = replace(stream.result(), broker="paper live")
    begins = bars.index[first]
    later = Begun(strategy, begins)
    reference = backtest(later, seen, cash=cash, costs=costs, venue=rules, risk=risk)
    times = np.array([written.get(row.time, _NAT) for row in known[first:]]).astype("datetime64[ns]")
    targets = np.array([_targets(row, len(symbols)) for row in known[first:]])
    index, columns = bars.index[first:], pd.Index(symbols, name="symbol")
    return PaperRun(
        name=name,
        exchange=exchange.removeprefix("paper on "),
        rehearsal=bool(begun.get("rehearsal")),
        result=result.since(begins),
        bars=bars,
        first=first,
        targets=pd.DataFrame(targets, index, columns),
        decided=pd.Series([row.kind == DECIDED for row in known[first:]], index),
        written=pd.Series(pd.DatetimeIndex(times, tz="UTC"), index),
        slept=sum(row.kind == SLEPT for row in known),
        venues=rules,
        starts=starts,
        incidents=incidents,
        reference=reference.since(begins),
        wanted=later.targets(seen).iloc[first:][symbols],
    )


def execute_again(
    stream: PaperStream, known: Iterable[PaperBar], symbols: Sequence[str], run: str
) -> Iterable[tuple[PaperBar, Close]]:
    """Give a broker the bars of a journal, as they were executed.

    Raises:
        ValidationError: one does not come to the same equity.
    """
    places = {symbol: column for column, symbol in enumerate(symbols)}
    for row in known:
        decision = row.decision
        told = (None, None) if decision is None else (decision.targets, decision.scale)
        columns = {places[symbol]: bar for symbol, bar in row.bars.items()}
        close = stream.step(row.time, columns, *told, awake=row.kind != SLEPT)
        if close.equity != row.equity:
            raise ValidationError(
                f"run {run!r}: at {pd.Timestamp(row.time, tz='UTC'):%Y-%m-%d %H:%MZ} its equity was {row.equity!r}, "
                f"executed again it is {close.equity!r}: the rules of this Ladder are not those that it was begun "
                "with, or its journal was altered; begin a new run"
            )
        yield row, close


def executed_before(stream: PaperStream, bars: Market, opened: int) -> list[PaperBar]:
    """The bars before a run, given to a broker without a decision, as a journal has them.

    Args:
        stream: that has had no bar yet.
        bars: that are closed.
        opened: when the bar began that is open, ns.
    """
    values = np.stack([bars[name].to_numpy(dtype=np.float64) for name in CANDLE_COLUMNS], axis=-1)
    rows = []
    for row, time in enumerate(bars.index.as_unit("ns").asi8.tolist()):
        there = [column for column in range(len(bars.symbols)) if not np.isnan(values[row, column, 0])]
        columns: dict[int, Bar] = {column: tuple(values[row, column].tolist()) for column in there}
        close = stream.step(time, columns, None)
        prices = {bars.symbols[column]: bar for column, bar in columns.items()}
        rows.append(PaperBar(time, KNOWN, prices, close.equity, opened))
    return rows


def bars_of(rows: Sequence[PaperBar], symbols: Sequence[str], timeframe: str) -> Market:
    """Bars of a journal as a panel."""
    missing = (float("nan"),) * len(CANDLE_COLUMNS)
    values = [np.array([row.bars.get(symbol, missing) for symbol in symbols]).T for row in rows]
    return market_of([row.time for row in rows], values, symbols, timeframe)


def _run_of(book: PaperJournal, run: str | None) -> tuple[str, str, dict[str, Any]]:
    found = [one for one in book.runs() if one[1].startswith("paper on ")]
    named = found if run is None else [one for one in found if one[0] == run]
    if len(named) != 1:
        there = ", ".join(one[0] for one in found) or "none"
        what = "several runs on paper; name one" if named else "no such run on paper"
        raise ValidationError(f"journal {book.path}: {what} (there are: {there})")
    return named[0]


def _targets(row: PaperBar, symbols: int) -> list[float]:
    return [float("nan")] * symbols if row.decision is None else row.decision.targets
