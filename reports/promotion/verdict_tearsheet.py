"""The tearsheet on a verdict's page: the strategy beside baseline and holding, by the growth that the evidence kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from reports import page
from reports.comparison import compare, figures_against, shared_figures
from reports.figures import AGAINST, RARE, RUN, SHARED, shown, words
from reports.promotion.chart_drawing import Curve
from reports.promotion.verdict_charts import growth_of
from reports.quantstats_bridge import quantstats_section

if TYPE_CHECKING:
    from engine.result import Result

_OTHERS: Final = {"better_than_baseline": "Baseline", "better_than_holding": "Holding"}
_NAMES: Final = {"Baseline": "the baseline", "Holding": "holding"}
_PLOTS: Final = ("returns", "monthly_heatmap", "monthly_dist", "returns_dist", "rolling_sharpe", "rolling_vol")
_SPANS: Final = ("longest_drawdown",)


def tearsheet_section(document: Mapping[str, Any], results: Sequence[Result] = ()) -> str:
    """Figures side by side, and the report of quantstats.

    Args:
        document: of `verdict_json`.
        results: the strategy's run, the baseline's, and others; without any the growth by day is what there is.

    Raises:
        ValidationError: something that is no result, or results without a day in common.
    """
    checks = {check["name"]: check for check in document["checks"]}
    days = _days(checks)
    parts = []
    if results:
        first, *others = results
        comparison = compare([first, *others[1:]], others[0] if others else None)
        parts.append(page.section("Figures side by side", page.comparison_table(comparison), "figures"))
    elif days:
        parts.append(page.section("Figures side by side", _side_by_side(days), "figures"))
    if days:
        parts.append(page.section("quantstats", _quantstats(days), "quantstats"))
    return "".join(parts)


def _days(checks: Mapping[str, Mapping[str, Any]]) -> dict[str, pd.Series]:
    """Returns by day of the strategy and of what it was measured against; nothing without the strategy's."""
    own = growth_of(checks.get("drawdown"), "Strategy")
    if own is None:
        return {}
    others = [growth_of(checks.get(check), name) for check, name in _OTHERS.items()]
    found = {curve.name: _returns(curve) for curve in (own, *others) if curve is not None}
    first = max(days.index[0] for days in found.values())
    last = min(days.index[-1] for days in found.values())
    if first >= last:
        return {"Strategy": found["Strategy"]}
    return {name: days.loc[first:last] for name, days in found.items()}


def _returns(curve: Curve) -> pd.Series:
    """Returns by day of a growth of 1; 0 once nothing is left."""
    before = np.concatenate(([1.0], curve.values[:-1]))
    with np.errstate(invalid="ignore", divide="ignore"):
        returns = np.where(before > 0.0, curve.values / before - 1.0, 0.0)
    return pd.Series(returns, index=curve.days.as_unit("ns"), name=curve.name)


def _side_by_side(days: Mapping[str, pd.Series]) -> str:
    columns = {name: shared_figures(returns) for name, returns in days.items()}
    rows = [["Daily returns (UTC days), over the days that all have"]]
    rows += [[words(key), *(shown(key, figures[key]) for figures in columns.values())] for key in SHARED]
    for name, returns in list(days.items())[1:]:
        against = figures_against(days["Strategy"], returns)
        rows.append([f"The strategy against {_NAMES[name]}"])
        rows += [[_against(key), shown(key, against[key]), *("" for _ in range(len(days) - 1))] for key in AGAINST]
    return page.rows_table(["", *days], rows, "figures")


def _against(key: str) -> str:
    """The figure's name without "the benchmark": the heading says which."""
    return (
        words(key)
        .replace(" above the benchmark", " above it")
        .replace(" with the benchmark", "")
        .replace(" to the benchmark", "")
    )


def run_facts(document: Mapping[str, Any]) -> dict[str, str]:
    """Figures of the run, from its bars, orders and round trips; nothing where the evidence has none."""
    stats = document["figures"].get("stats")
    if not isinstance(stats, Mapping):
        return {}
    told = {**stats, "max_drawdown_bars": stats.get("max_drawdown")}
    found = {}
    for key in RUN:
        value = told.get(key)
        if value is None or (key in RARE and not value):
            continue
        try:
            found[words(key)] = shown(key, pd.Timedelta(value) if key in _SPANS else value)
        except (TypeError, ValueError):  # somebody's own figures
            found[words(key)] = str(value)
    return found


def _quantstats(days: Mapping[str, pd.Series]) -> str:
    own, *others = days
    parts = []
    for at, name in enumerate(others or [None]):
        heading = "" if name is None else f"<h3>Beside {_NAMES[name]}</h3>"
        try:
            drawn = quantstats_section(
                days[own],
                None if name is None else days[name],
                names=(own, name or "Benchmark"),
                plots=() if at else _PLOTS,
            )
        except ValidationError as error:
            drawn = f'<p class="note">quantstats is left out: {escape(str(error))}</p>'
        parts.append(heading + drawn)
    return "".join(parts)
