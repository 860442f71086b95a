"""What a sweep leaves behind: every set's figures, ranked, its daily returns, and what was skipped."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from engine.run import Ground
from engine.strategy import Strategy
from research.parameter_grid import ParameterSets
from research.trial_records import Trial

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from engine.result import Result
    from research.sweep_plots import Over

# Figures that rank sets, from `Result.stats`: those of which more is better, then those of which less is.
MORE_IS_BETTER: Final = (
    "final_equity",
    "total_return",
    "cagr",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "exposure",
    "orders",
    "trades",
    "win_rate",
    "profit_factor",
    "average_trade",
    "average_trade_return",
    "best_trade",
    "worst_trade",
)
LESS_IS_BETTER: Final = (
    "volatility",
    "max_drawdown_length",
    "longest_drawdown",
    "value_at_risk",
    "expected_shortfall",
    "turnover",
    "fees",
    "funding",
    "borrow",
    "open_trades",
)
# The same for every set.
_SHARED: Final = ("start", "end", "bars", "days", "initial_cash")
FIGURES: Final = frozenset((*MORE_IS_BETTER, *LESS_IS_BETTER, *_SHARED))


def column_of(parameter: str) -> str:
    """The column of `Sweep.table` that holds a parameter: its name, unless a figure is named so."""
    return f"{parameter} (parameter)" if parameter in FIGURES else parameter


def check_metric(metric: str) -> None:
    """Refuse what cannot rank sets.

    Raises:
        ValidationError: it is no figure, or the same for every set.
    """
    if metric not in MORE_IS_BETTER and metric not in LESS_IS_BETTER:
        raise ValidationError(f"metric {metric!r} must be one of {', '.join((*MORE_IS_BETTER, *LESS_IS_BETTER))}")


@dataclass(frozen=True, eq=False)
class Sweep:
    """Every parameter set of one sweep; a set is named by its trial number, its place in the grid.

    Attributes:
        strategy_class: what was swept.
        sets: the parameter sets.
        metric: the figure that ranks them.
        trials: what was tried, in the grid's order.
        daily_returns: UTC days by trial, fractions, of the sets that ran; as `engine.metrics.daily_returns` has them.
        ground: bars and terms, the same for all.
        record: the file that the trials are recorded in.
        number: the sweep's number there.
    """

    strategy_class: type[Strategy]
    sets: ParameterSets
    metric: str
    trials: tuple[Trial, ...]
    daily_returns: pd.DataFrame
    ground: Ground
    record: Path
    number: int

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per set that ran: the parameters that vary, then every figure of `Result.stats`; the best first.

        Indexed by trial number. Ranked by the metric (drawdowns are negative, so the shallowest is the largest; of
        risk, costs and lengths less is better); sets alike keep the grid's order, those without the figure come last.
        """
        tried = [trial for trial in self.trials if trial.figures is not None]
        index = pd.Index([trial.number for trial in tried], name="trial")
        figures = pd.DataFrame([trial.figures for trial in tried], index=index)
        columns = {column_of(name): self._values(name, tried) for name in self.sets.names}
        table = pd.concat([pd.DataFrame(columns, index=index), figures], axis=1)
        return table.sort_values(
            self.metric, ascending=self.metric in LESS_IS_BETTER, kind="stable", na_position="last"
        )

    @property
    def skipped(self) -> pd.DataFrame:
        """One row per set that the strategy refused, by trial number: the parameters that vary, and the reason."""
        refused = [trial for trial in self.trials if trial.skipped is not None]
        index = pd.Index([trial.number for trial in refused], name="trial", dtype=np.int64)
        columns = {column_of(name): self._values(name, refused) for name in self.sets.names}
        return pd.DataFrame({**columns, "reason": [trial.skipped for trial in refused]}, index=index)

    @property
    def best(self) -> dict[str, Any]:
        """The parameters of the first row of `table`, the fixed ones among them."""
        return dict(self.trials[int(self.table.index[0])].parameters)

    def strategy(self, trial: int | None = None) -> Strategy:
        """The strategy of one set.

        Args:
            trial: its number; None for the best.

        Raises:
            ValidationError: no set has that number, or the strategy refuses it.
        """
        number = int(self.table.index[0]) if trial is None else trial
        last = len(self.trials) - 1
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number <= last:
            raise ValidationError(f"trial {trial!r}: there are trials 0 to {last}, by the index of `table`")
        return self.strategy_class(**self.trials[int(number)].parameters)

    def backtest(self, trial: int | None = None) -> Result:
        """One set's run in full, on the sweep's bars and terms; its figures are those in `table`.

        Args:
            trial: its number; None for the best.

        Raises:
            ValidationError: no set has that number, or the strategy refuses it.
        """
        from engine.vectorized import run_vectorized

        return run_vectorized(self.ground.run(self.strategy(trial)))

    def heatmap(
        self, x: str | None = None, y: str | None = None, metric: str | None = None, over: Over = "best"
    ) -> go.Figure:
        """The metric over two parameters (plotly); sets that were skipped leave their cell empty.

        Args:
            x: parameter along the horizontal axis; None for the first that varies.
            y: along the vertical one; None for the next.
            metric: the figure; None for the sweep's.
            over: what a cell shows where further parameters vary: their "best" value or the "mean".

        Raises:
            ValidationError: a parameter that does not vary, or no such figure.
        """
        from research.sweep_plots import heatmap

        return heatmap(self, x, y, metric, over)

    def value(self, name: str, trial: int) -> Any:
        """What a parameter was in one set; one that a listed set leaves out has its default."""
        given = self.trials[trial].parameters
        if name in given:
            return given[name]
        item = self.strategy_class.__dataclass_fields__[name]  # type: ignore[attr-defined]
        return item.default if item.default is not MISSING else item.default_factory()

    def _values(self, name: str, trials: list[Trial]) -> Any:
        """A column of values; objects unless all are plain and of one kind, for pandas would make 1 beside None 1.0."""
        values = [self.value(name, trial.number) for trial in trials]
        kinds = {type(value) for value in values}
        return values if len(kinds) == 1 and kinds <= {int, float, bool, str} else pd.Series(values, dtype=object).array

    def __repr__(self) -> str:
        tried, market, top = len(self.table), self.ground.market, self.table[self.metric].iloc[0]
        skipped = f", {len(self.trials) - tried:,} skipped" if tried < len(self.trials) else ""
        best = ", ".join(f"{name}={value!r}" for name, value in self.best.items())
        return (
            f"Sweep({self.strategy_class.__name__}; {tried:,} sets{skipped}, over {len(market):,} bars of "
            f"{market.timeframe}; best {self.metric} {top if isinstance(top, pd.Timedelta) else format(top, '.4g')} "
            f"with {best}; sweep {self.number} in {self.record})"
        )
