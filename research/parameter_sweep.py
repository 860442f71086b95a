"""A sweep: many parameter sets of one strategy over the same bars, each executed as a single backtest is.

    result = sweep(SmaCross, {"fast": range(5, 50, 5), "slow": [50, 100, 200]}, market, costs=Costs(fee=0.001))
    result.table                   # one row a set, ranked
    result.heatmap().show()

What all sets share is checked and laid out once (`engine.run.lay_ground`). Each set then goes through the same targets,
the same compiled pass, the same books and the same formulas as `backtest`, so that its figures are those of its single
backtest to the last bit; indicators are computed once per distinct value (`research.indicators`). Of a set its figures
and its daily returns are kept, nothing else. docs/sweep.md has more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.checks import is_number
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.order_style import LimitOrders
from engine.progress import bar_progress
from engine.run import Ground, lay_ground
from engine.strategy import Strategy
from engine.venue import Venue
from research.indicators import remembering
from research.parameter_grid import Grid, ParameterSets, parameter_sets
from research.sweep_result import Sweep, check_metric
from research.trial_records import Trial, open_record, write_sweep

# Bytes that a set's figures and parameters take as Python objects; measured, rounded up.
_FIGURES: Final = 6_000
# Arrays of the bars' shape (T, N) that are alive at once while one set runs (targets, positions, the books); measured.
_TABLES: Final = 24


def sweep(
    strategy: type[Strategy],
    grid: Grid,
    market: Market,
    *,
    fixed: Mapping[str, Any] | None = None,
    cash: float = 10_000.0,
    costs: Costs = Costs(),  # noqa: B008  (frozen: one shared default is safe)
    venue: Venue | Mapping[str, Venue] = Venue(),  # noqa: B008
    risk: RiskLimits | None = None,
    orders: LimitOrders | None = None,
    metric: str = "sharpe",
    memory: float = 1e9,
    record: str | Path | None = None,
    progress: bool = True,
) -> Sweep:
    """Backtest every parameter set of a grid, rank them, and record every trial.

    Args:
        strategy: the class of a Strategy.
        grid: by parameter, the values it takes (each with each), or a list of parameter sets. A set that the strategy
            refuses is skipped, and listed with its reason in `Sweep.skipped`.
        market: the bars.
        fixed: parameters that all sets share.
        cash: what each run begins with, quote currency.
        costs: fees, slippage, funding, borrowing.
        venue: trading rules, one for all symbols or a mapping by symbol.
        risk: risk limits; None for none.
        orders: `LimitOrders`, or None for orders at the market.
        metric: the figure of `Result.stats` that ranks the sets.
        memory: bytes that the results and the work may take, beyond the market; what is left keeps indicators.
        record: the file that the trials are recorded in; None for $LADDER_TRIALS, else trials.sqlite in the candle
            store's folder. They are recorded where the sweep is interrupted, too, as far as it came.
        progress: show a bar on a terminal.

    Raises:
        ValidationError: an input is wrong, raised before any set is run; the results do not fit the memory; or the
            strategy refuses every set.
    """
    sets = parameter_sets(strategy, grid, fixed)
    check_metric(metric)
    ground = lay_ground(market, cash, costs, venue, risk, orders)
    room = _room(memory, len(sets.sets), ground)
    path = open_record(record)
    began = pd.Timestamp.now("UTC")
    done: list[Trial] = []
    days = _days(market)
    daily = np.empty((len(sets.sets), len(days)))
    with _recorded(path, strategy, sets, ground, metric, began, done) as recorded, remembering(room):
        for trial in _tried(strategy, sets, ground, daily, show=progress):
            done.append(trial)  # noqa: PERF402  (one by one: an interrupt finds those that were tried)
    tried = [trial for trial in done if trial.figures is not None]
    if not tried:
        raise ValidationError(
            f"{strategy.__name__}: refuses each of the {len(done):,} sets; the first, {done[0].parameters}: "
            f"{done[0].skipped}"
        )
    return Sweep(
        strategy_class=strategy,
        sets=sets,
        metric=metric,
        trials=tuple(done),
        daily_returns=pd.DataFrame(
            daily[: len(tried)].T, index=days, columns=pd.Index([trial.number for trial in tried], name="trial")
        ),
        ground=ground,
        record=path,
        number=recorded[0],
    )


def _tried(
    kind: type[Strategy], sets: ParameterSets, ground: Ground, daily: np.ndarray, *, show: bool
) -> Iterator[Trial]:
    """Each set's trial, in the grid's order; the daily returns of those that run are written to `daily`, row by row."""
    from engine.vectorized import run_briefly

    ran = 0
    with bar_progress(f"sweep {kind.__name__}", len(sets.sets), show=show, unit="sets") as advance:
        for number in range(len(sets.sets)):
            parameters = sets.whole(number)
            figures = reason = None
            try:
                figures, daily[ran] = run_briefly(ground.run(kind(**parameters)))
                ran += 1
            except ValidationError as error:
                reason = str(error)
            except Exception as error:
                error.add_note(f"raised by the sweep's set {number}: {kind.__name__} with {parameters}")
                raise
            yield Trial(number, parameters, figures, reason)
            if advance is not None:
                advance(number + 1)


@contextmanager
def _recorded(
    path: Path,
    kind: type[Strategy],
    sets: ParameterSets,
    ground: Ground,
    metric: str,
    began: pd.Timestamp,
    done: list[Trial],
) -> Iterator[list[int]]:
    """Record what was done when the block ends, in whichever way; gives a list that then holds the sweep's number."""
    number: list[int] = []
    stopped_by = None
    try:
        yield number
    except BaseException as error:  # Ctrl-C among them: what was tried was seen
        stopped_by = f"{type(error).__name__}: {error}".rstrip(": ")
        raise
    finally:
        number.append(write_sweep(path, kind, sets, ground, metric, began, done, stopped_by))


def _days(market: Market) -> pd.DatetimeIndex:
    """The calendar days that `engine.metrics.daily_returns` has rows for."""
    first, last = (moment.floor("D").tz_localize(None) for moment in (market.index[0], market.index[-1]))
    days = np.arange(first.to_datetime64(), last.to_datetime64() + np.timedelta64(1, "D"), np.timedelta64(1, "D"))
    return pd.DatetimeIndex(days.astype("M8[ns]"), name="day").tz_localize("UTC")


def _room(memory: float, count: int, ground: Ground) -> int:
    """Bytes left for indicators once results and work have theirs."""
    if not is_number(memory) or memory <= 0:
        raise ValidationError(f"memory {memory!r} must be a positive number of bytes, such as 1e9")
    kept = count * (8 * len(_days(ground.market)) + _FIGURES)
    work = _TABLES * 8 * ground.marks.size
    if kept + work > memory:
        least = float(f"{(kept + work) * 1.05:.1e}")
        raise ValidationError(
            f"memory {memory:.3g}: {count:,} sets keep {kept / 1e6:,.0f} MB of daily returns and figures, and running "
            f"one takes {work / 1e6:,.0f} MB; pass memory={least:.2g}, or sweep fewer sets"
        )
    return int(memory - kept - work)
