"""The figures that reports show: their names in words, their units, and the sentence that sums them up."""

from __future__ import annotations

import math
from typing import Any, Final

import pandas as pd

# Of daily returns, over the days that all compared series have.
SHARED: Final = {
    "from": ("From", "day"),
    "to": ("To", "day"),
    "days": ("Days", "count"),
    "total_return": ("Total return", "percent"),
    "cagr": ("CAGR", "percent"),
    "volatility": ("Volatility (annual)", "percent"),
    "sharpe": ("Sharpe ratio", "ratio"),
    "sortino": ("Sortino ratio", "ratio"),
    "calmar": ("Calmar ratio", "ratio"),
    "max_drawdown": ("Deepest drawdown (daily closes)", "percent"),
    "value_at_risk": ("Value at risk, one day, 95%", "percent"),
    "expected_shortfall": ("Expected shortfall, one day, 95%", "percent"),
}
# Against the benchmark, over the same days.
AGAINST: Final = {
    "excess_return": ("Return above the benchmark", "percent"),
    "correlation": ("Correlation with the benchmark", "ratio"),
    "beta": ("Beta to the benchmark", "ratio"),
    "information_ratio": ("Information ratio (annual)", "ratio"),
}
# Of the whole run, from its bars, orders and round trips.
RUN: Final = {
    "bars": ("Bars", "count"),
    "max_drawdown_bars": ("Deepest drawdown (every bar)", "percent"),
    "longest_drawdown": ("Longest drawdown", "span"),
    "exposure": ("Bars with a position", "percent"),
    "turnover": ("Turnover a year, × equity", "ratio"),
    "orders": ("Orders", "count"),
    "trades": ("Closed trades", "count"),
    "open_trades": ("Open trades", "count"),
    "win_rate": ("Trades with a profit", "percent"),
    "profit_factor": ("Profit factor", "ratio"),
    "average_trade_return": ("Average trade", "percent"),
    "fees": ("Fees paid", "money"),
    "funding": ("Funding paid", "money"),
    "borrow": ("Interest paid for shorts", "money"),
    "final_equity": ("Final equity", "money"),
}
# Left out where no compared run has any.
RARE: Final = ("funding", "borrow")
NONE: Final = "–"


def words(key: str) -> str:
    """The figure's name as a reader knows it."""
    return ({**SHARED, **AGAINST, **RUN}[key])[0]


def shown(key: str, value: Any) -> str:
    """A figure as a page or a terminal shows it; a dash where it is not defined."""
    kind = ({**SHARED, **AGAINST, **RUN}[key])[1]
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if kind == "day":
        return f"{value:%Y-%m-%d}"
    if kind == "span":
        return f"{value / pd.Timedelta(days=1):,.1f} days"
    if kind == "count":
        return f"{int(value):,}"
    if math.isinf(value):
        return "∞" if value > 0 else minus("-∞")
    if kind == "percent":
        return minus(f"{value:,.2%}")
    return minus(f"{value:,.2f}")


def minus(text: str) -> str:
    """The text with a typographic minus, and without one before a zero."""
    if text.startswith("-") and not any(digit in text for digit in "123456789∞"):
        return text[1:]
    return text.replace("-", "\N{MINUS SIGN}")


def verdict(own: pd.Series, other: pd.Series | None, names: tuple[str, str], error: float) -> str:
    """One paragraph in plain words: what the strategy and the benchmark returned, and by how much they differ.

    Args:
        own: the strategy's figures, a column of `Comparison.table`.
        other: the benchmark's; None where there is none.
        names: of the two, as the paragraph calls them.
        error: standard error of the strategy's Sharpe ratio.
    """
    span = f"over {shown('days', own['days'])} days ({shown('from', own['from'])} to {shown('to', own['to'])})"
    years = own["days"] / 365.0
    caution = ""
    if not math.isnan(error):
        caution = (
            " This is one path of the past, and no claim of significance is made: "
            f"over {years:.1f} years a Sharpe ratio alone carries a standard error of about {error:.2f}."
        )
    if other is None:
        return (
            f"{names[0]} returned {shown('total_return', own['total_return'])} {span}, with a Sharpe ratio of "
            f"{shown('sharpe', own['sharpe'])} and a deepest drawdown of {shown('max_drawdown', own['max_drawdown'])} "
            f"at daily closes.{caution}"
        )
    gap = own["total_return"] - other["total_return"]
    points = f"{abs(gap) * 100:,.2f}"
    apart_by = "the same" if float(points.replace(",", "")) == 0.0 else f"{points} percentage points {_direction(gap)}"
    sentence = (
        f"{names[0]} returned {shown('total_return', own['total_return'])} {span}, {names[1]} "
        f"{shown('total_return', other['total_return'])}: {apart_by}. "
        f"Sharpe ratio {shown('sharpe', own['sharpe'])} against {shown('sharpe', other['sharpe'])}"
    )
    apart = own["sharpe"] - other["sharpe"]
    if not math.isnan(apart):
        sentence += f", a difference of {minus(f'{apart:+.2f}')}"
    return (
        f"{sentence}; deepest drawdown at daily closes {shown('max_drawdown', own['max_drawdown'])} against "
        f"{shown('max_drawdown', other['max_drawdown'])}.{caution}"
    )


def beside_holding(own: pd.Series, held: pd.Series) -> str:
    """How the strategy did beside one who bought everything and held it; both columns of `Comparison.table`."""
    gap, apart = own["total_return"] - held["total_return"], own["sharpe"] - held["sharpe"]
    better = [word for word, value in (("return", gap), ("Sharpe ratio", apart)) if value > 0.0]
    outcome = f"ahead of it by {' and '.join(better)}" if better else "behind it by return and by Sharpe ratio"
    return (
        f"Buying equal parts and holding them returned {shown('total_return', held['total_return'])}, Sharpe ratio "
        f"{shown('sharpe', held['sharpe'])}, drawdown {shown('max_drawdown', held['max_drawdown'])}: the strategy is "
        f"{outcome}."
    )


def _direction(gap: float) -> str:
    return "more" if gap > 0.0 else "less"
