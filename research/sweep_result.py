"""What a sweep leaves behind: every set's figures, ranked, its daily returns, and what was skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
        columns = {self._column(name, figures): self._values(name, tried) for name in self.sets.names}
        table = pd.concat([pd.DataFrame(columns, index=index), figures], axis=1)
        return table.sort_values(
            self.metric, ascending=self.metric in LESS_IS_BETTER, kind="stable", na_position="last"
        )

    @property
    def skipped(self) -> pd.DataFrame:
        """One row per set that the strategy refused, by trial number: the parameters that vary, and the reason."""
        refused = [trial for trial in self.trials if trial.skipped is not None]
        index = pd.Index([trial.number for trial in refused], name="trial", dtype=np.int64)
        columns = {name: self._values(name, refused) for name in self.sets.names}
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
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number < len(self.trials):
            raise ValidationError(f"trial {trial!r}: there are trials 0 to {len(self.trials) - 1}, the index of `table`")
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

    def column(self, name: str) -> str:
        """The column of `table` that holds a parameter."""
        return self._column(name, self.table)

    def _column(self, name: str, figures: pd.DataFrame) -> str:
        return f"{name} (parameter)" if name in figures.columns or name in _FIGURE_NAMES else name

    def _values(self, name: str, trials: list[Trial]) -> pd.Series | list[Any]:
        """A parameter's values; one that a listed set leaves out has its default."""
        values = [self._value(name, trial) for trial in trials]
        # Not left to pandas: it would make whole numbers beside None into floats, and a Timedelta's unit its own.
        kinds = {type(value) for value in values}
        return values if len(kinds) == 1 and kinds <= {int, float, bool, str} else pd.array(values, dtype=object)

    def _value(self, name: str, trial: Trial) -> Any:
        if name in trial.parameters:
            return trial.parameters[name]
        item = self.strategy_class.__dataclass_fields__[name]  # type: ignore[attr-defined]
        return item.default_factory() if callable(item.default_factory) else item.default

    def __repr__(self) -> str:
        tried, refused = len(self.table), len(self.trials) - len(self.table)
        market = self.ground.market
        best = ", ".join(f"{name}={value!r}" for name, value in self.best.items())
        return (
            f"Sweep({self.strategy_class.__name__}; {tried:,} sets{f', {refused:,} skipped' if refused else ''}, over "
            f"{len(market):,} bars of {market.timeframe}; best {self.metric} {self.table[self.metric].iloc[0]:.4g} with "
            f"{best}; sweep {self.number} in {self.record})"
        )
