"""What a result says in figures: return, risk, cost and trades, as pure functions of returns and equity.

Returns are fractions per period (0.01 is 1%), equity is in quote currency. `periods_per_year` is 365 for days and
`data.timeframe.bars_per_year` for bars: crypto trades on every day. The risk-free rate is 0 unless it is given. What is
not defined (a ratio over zero variance, a win rate without trades) is NaN, never 0 and never a guess.

`summary` takes its ratios from returns by UTC day, not by bar: neighbouring bars of a trend follower are correlated, so
hourly ratios times the square root of 8,760 overstate, and days are what quantstats and other tearsheets compare.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError

if TYPE_CHECKING:
    from engine.result import Result
    from engine.trade_kernel import Trips

DAYS_PER_YEAR: Final = 365.0
_NS_PER_DAY: Final = 86_400_000_000_000
# A standard deviation below this fraction of the largest return is rounding noise of a constant series.
_NO_VARIANCE: Final = 1e-12

Returns = np.ndarray | pd.Series


def _values(returns: Returns) -> np.ndarray:
    return np.asarray(returns, dtype=np.float64)


def total_return(returns: Returns) -> float:
    """Compounded return over all periods, a fraction: prod(1 + r) - 1; NaN without a period."""
    values = _values(returns)
    return float(np.prod(1.0 + values) - 1.0) if len(values) else math.nan


def cagr(returns: Returns, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Compound annual growth rate: (1 + total return) ** (periods per year / periods) - 1.

    -1 where nothing is left, or less than nothing. NaN without a period; inf where the growth of a few periods exceeds
    a float's range once it is raised to a year's.
    """
    values = _values(returns)
    if not len(values):
        return math.nan
    left = 1.0 + total_return(values)
    if math.isnan(left):
        return math.nan
    if left <= 0.0:
        return -1.0
    exponent = math.log(left) * periods_per_year / len(values)
    return math.expm1(exponent) if exponent < 700.0 else math.inf


def volatility(returns: Returns, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Annualised standard deviation, n - 1 in the denominator: std(r) * sqrt(periods per year); NaN for one period."""
    values = _values(returns)
    return float(np.std(values, ddof=1)) * math.sqrt(periods_per_year) if len(values) > 1 else math.nan


def sharpe(returns: Returns, periods_per_year: float = DAYS_PER_YEAR, risk_free: float = 0.0) -> float:
    """Annualised Sharpe ratio: mean(r - f) / std(r - f) * sqrt(periods per year) (Sharpe 1994, "The Sharpe Ratio").

    Args:
        returns: per period, shape (n,).
        periods_per_year: of those periods.
        risk_free: a year's rate; f is its equivalent per period, (1 + rate) ** (1 / periods per year) - 1.

    NaN below 2 periods and where the returns do not vary.
    """
    excess = _excess(returns, periods_per_year, risk_free)
    if len(excess) < 2:
        return math.nan
    deviation = float(np.std(excess, ddof=1))
    if deviation <= _NO_VARIANCE * float(np.max(np.abs(excess))):
        return math.nan
    return float(np.mean(excess)) / deviation * math.sqrt(periods_per_year)


def sharpe_error(returns: Returns, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Standard error of the annualised Sharpe ratio, for independent and identically distributed returns.

    sqrt((1 + s**2 / 2) / n * periods per year), s the ratio of one period (Lo 2002, "The Statistics of Sharpe Ratios").
    """
    values = _values(returns)
    if len(values) < 2:
        return math.nan
    single = sharpe(values, 1.0)
    return math.sqrt((1.0 + single**2 / 2.0) / len(values) * periods_per_year)


def sortino(returns: Returns, periods_per_year: float = DAYS_PER_YEAR, risk_free: float = 0.0) -> float:
    """Annualised Sortino ratio: mean(r - f) / sqrt(mean(min(r - f, 0) ** 2)) * sqrt(periods per year).

    The downside deviation counts all periods, those without a loss as 0 (Sortino and Price 1994). NaN without a period
    and where no period loses.
    """
    excess = _excess(returns, periods_per_year, risk_free)
    if not len(excess):
        return math.nan
    downside = math.sqrt(float(np.mean(np.minimum(excess, 0.0) ** 2)))
    return float(np.mean(excess)) / downside * math.sqrt(periods_per_year) if downside > 0.0 else math.nan


def _excess(returns: Returns, periods_per_year: float, risk_free: float) -> np.ndarray:
    values = _values(returns)
    return values - ((1.0 + risk_free) ** (1.0 / periods_per_year) - 1.0) if risk_free else values


def drawdown(equity: pd.Series, start: float | None = None) -> pd.Series:
    """Loss since the highest equity so far, a fraction of it, by bar: equity / running maximum - 1, at most 0.

    Args:
        equity: by bar, quote currency, shape (n,).
        start: the equity before the first bar, which counts as a peak; None where the first bar is the beginning.
    """
    return pd.Series(_drawdown(_values(equity), start), index=equity.index, name="drawdown")


def _drawdown(equity: np.ndarray, start: float | None) -> np.ndarray:
    peaks = np.maximum.accumulate(equity)
    if start is not None:
        peaks = np.maximum(peaks, start)
    return equity / peaks - 1.0


def max_drawdown(equity: pd.Series | np.ndarray, start: float | None = None) -> float:
    """Deepest drawdown, a fraction at most 0 (below -1 where equity turned negative); NaN without a bar."""
    values = _values(equity)
    return float(np.min(_drawdown(values, start))) if len(values) else math.nan


def drawdown_lengths(equity: pd.Series, start: float | None = None) -> tuple[pd.Timedelta, pd.Timedelta]:
    """How long the deepest drawdown lasted, and the longest one.

    From the bar of the peak to the bar that reaches it again, or to the last bar where none does. A drawdown from
    `start` on begins at the first bar. Zero without a drawdown.
    """
    if not len(equity):
        return pd.Timedelta(0), pd.Timedelta(0)
    depth = _drawdown(_values(equity), start)
    times = pd.DatetimeIndex(equity.index).as_unit("ns").asi8
    under = depth < 0.0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], under, [False])).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    if not len(begins):
        return pd.Timedelta(0), pd.Timedelta(0)
    lengths = times[np.minimum(ends, len(times) - 1)] - times[np.maximum(begins - 1, 0)]
    deepest = int(np.searchsorted(begins, int(np.argmin(depth)), side="right")) - 1
    return pd.Timedelta(int(lengths[deepest])), pd.Timedelta(int(lengths.max()))


def calmar(annual_growth: float, deepest: float) -> float:
    """Calmar ratio: CAGR over the depth of the deepest drawdown (Young 1991); NaN without a drawdown."""
    return annual_growth / abs(deepest) if deepest < 0.0 else math.nan


def value_at_risk(returns: Returns, confidence: float = 0.95) -> float:
    """Historical value at risk: the loss, a positive fraction, that `confidence` of the periods do not exceed.

    The empirical quantile, linearly interpolated; no normal distribution is assumed. 0 where that quantile is a gain,
    NaN without a period.
    """
    values = _values(returns)
    return _loss(np.quantile(values, 1.0 - confidence)) if len(values) else math.nan


def expected_shortfall(returns: Returns, confidence: float = 0.95) -> float:
    """Mean loss of the periods at or beyond the historical value at risk, a positive fraction; NaN without a period."""
    values = _values(returns)
    if not len(values):
        return math.nan
    worst = values[values <= np.quantile(values, 1.0 - confidence)]
    return _loss(worst.mean() if len(worst) else math.nan)


def _loss(worst: float | np.floating[Any]) -> float:
    """A return as the loss it is, 0 where it is a gain; NaN stays NaN, which max() would make a 0."""
    return math.nan if math.isnan(worst) else max(0.0, -float(worst))


def exposure(positions: pd.DataFrame | np.ndarray) -> float:
    """Share of the bars at whose close any symbol is held; NaN without a bar.

    Args:
        positions: time by symbol, amounts.
    """
    return float((np.asarray(positions) != 0.0).any(axis=1).mean()) if len(positions) else math.nan


def turnover(amounts: np.ndarray, prices: np.ndarray, equity: pd.Series | np.ndarray, years: float) -> float:
    """Notional traded in a year over mean equity: buys and sells both count, so all in and all out once a year is 2.

    NaN where mean equity is not positive or no time has passed.
    """
    mean = float(np.mean(_values(equity))) if len(equity) else math.nan
    if not mean > 0.0 or not years > 0.0:
        return math.nan
    return float(amounts @ prices) / mean / years


def daily_returns(source: Result | pd.Series) -> pd.Series:
    """Returns by UTC day, from the last equity of each day.

    A bar belongs to the day of its label. Every calendar day from the first to the last has a row: a day without a bar
    has the return 0, as equity is marked at the last close that was known. The first day's return is against the
    initial cash. Where equity falls to 0 or below, that day returns -1 and every later one 0: nothing is left to earn
    on.

    Args:
        source: a Result, or equity by bar (UTC), whose first value then is the beginning.

    Raises:
        ValidationError: no bar, an index that is not UTC, or an equity that is not finite.
    """
    equity, start = (source, None) if isinstance(source, pd.Series) else (source.equity, source.cash)
    first, calendar = _daily_returns(equity, start)
    stamps = pd.DatetimeIndex((first + np.arange(len(calendar))) * _NS_PER_DAY, name="day").tz_localize("UTC")
    return pd.Series(calendar, index=stamps, name="returns")


def daily_changes(equity: pd.Series, cash: float) -> np.ndarray:
    """`daily_returns` of a run that began with `cash`, without their dates."""
    return _daily_returns(equity, cash)[1]


def _daily_returns(equity: pd.Series, start: float | None) -> tuple[int, np.ndarray]:
    """The first day since 1970, and the return of each calendar day from it on."""
    index = equity.index
    if not isinstance(index, pd.DatetimeIndex) or str(index.tz) != "UTC":
        raise ValidationError(
            "daily_returns: equity must be indexed by time in UTC; use tz_localize or tz_convert('UTC')"
        )
    if not len(index):
        raise ValidationError("daily_returns: equity has no bar")
    values = _values(equity)
    finite = np.isfinite(values)
    if not finite.all():
        raise ValidationError(f"daily_returns: equity at {index[int(np.argmin(finite))]} is not a finite number")
    days, last = _day_ends(index)
    closes = np.concatenate(([values[0] if start is None else start], values[last]))
    ruined = closes <= 0.0
    if ruined.any():
        closes[int(np.argmax(ruined)) :] = 0.0
    before = closes[:-1]
    changes = np.divide(closes[1:], before, out=np.ones(len(last)), where=before > 0.0) - 1.0
    calendar = np.zeros(int(days[-1] - days[0]) + 1)
    calendar[days - days[0]] = changes
    return int(days[0]), calendar


def _day_ends(index: pd.DatetimeIndex) -> tuple[np.ndarray, np.ndarray]:
    """The days since 1970 that have a bar, and the position of the last bar of each."""
    days = index.as_unit("ns").asi8 // _NS_PER_DAY
    last = np.append(np.flatnonzero(np.diff(days)), len(days) - 1)
    return days[last], last


def summary(result: Result) -> pd.Series:
    """The figures of one run, by name; fractions, quote currency, Timedelta and Timestamp as each name says.

    volatility, sharpe, sortino, value_at_risk, expected_shortfall are of returns by UTC day (the first two and cagr
    annualised over 365 days); max_drawdown, its length, longest_drawdown and calmar see every bar. Trade figures are of
    closed round trips; those still open are counted in open_trades and in final_equity alone.

    Raises:
        ValidationError: the result has no bar.
    """
    orders, charges = result.orders, result.charges
    paid = charges["paid"].to_numpy(dtype=np.float64)
    kinds = charges["kind"].to_numpy()
    figures = run_figures(
        result.equity,
        result.cash,
        result.positions.to_numpy(),
        orders["amount"].to_numpy(dtype=np.float64),
        orders["price"].to_numpy(dtype=np.float64),
        orders["fee"].to_numpy(dtype=np.float64),
        float(paid[kinds == "funding"].sum()),
        float(paid[kinds == "borrow"].sum()),
        result.trips,
    )
    return pd.Series(figures, name=result.name, dtype=object)


def run_figures(
    equity: pd.Series,
    cash: float,
    positions: np.ndarray,
    amounts: np.ndarray,
    prices: np.ndarray,
    fees: np.ndarray,
    funding: float,
    borrow: float,
    trips: Trips,
    daily: np.ndarray | None = None,
) -> dict[str, Any]:
    """The figures of `summary` from what a broker leaves, without the tables of a Result: a sweep has no time for them.

    Args:
        equity: by bar, UTC.
        cash: initial.
        positions: amounts held at each close (T, N).
        amounts: of each order (K,), without a sign.
        prices: of each order.
        fees: of each order, quote currency.
        funding: paid in all.
        borrow: paid in all.
        trips: round trips, from `engine.trade_kernel.pair`.
        daily: `daily_changes` of the equity, where the caller has them.
    """
    daily = daily_changes(equity, cash) if daily is None else daily
    years = len(daily) / DAYS_PER_YEAR
    growth = cagr(daily)
    deepest = max_drawdown(equity, cash)
    deepest_length, longest = drawdown_lengths(equity, cash)
    final = float(equity.iloc[-1])
    return {
        "start": equity.index[0],
        "end": equity.index[-1],
        "bars": len(equity),
        "days": len(daily),
        "initial_cash": cash,
        "final_equity": final,
        "total_return": final / cash - 1.0,
        "cagr": growth,
        "volatility": volatility(daily),
        "sharpe": sharpe(daily),
        "sortino": sortino(daily),
        "calmar": calmar(growth, deepest),
        "max_drawdown": deepest,
        "max_drawdown_length": deepest_length,
        "longest_drawdown": longest,
        "value_at_risk": value_at_risk(daily),
        "expected_shortfall": expected_shortfall(daily),
        "exposure": exposure(positions),
        "turnover": turnover(amounts, prices, equity, years),
        "orders": len(amounts),
        "fees": float(fees.sum()),
        "funding": funding,
        "borrow": borrow,
        **trade_figures(trips),
    }


def trade_figures(trips: Trips) -> dict[str, float | int]:
    """Counts and averages of round trips, as `engine.trade_kernel.pair` gives them; only closed ones are judged.

    win_rate: share with a profit after fees. profit_factor: profits over losses, inf without a loss. average_trade:
    mean profit, quote currency; average_trade_return: its mean fraction of the entry's notional. NaN without a trade.
    """
    open_now = trips.exit < 0
    profits, returns = trips.pnl[~open_now], trips.returns[~open_now]
    count = len(profits)
    won, lost = float(profits[profits > 0.0].sum()), -float(profits[profits < 0.0].sum())
    without_loss = math.inf if won > 0.0 else math.nan
    return {
        "trades": count,
        "open_trades": int(open_now.sum()),
        "win_rate": float((profits > 0.0).mean()) if count else math.nan,
        "profit_factor": won / lost if lost > 0.0 else without_loss,
        "average_trade": float(profits.mean()) if count else math.nan,
        "average_trade_return": float(returns.mean()) if count else math.nan,
        "best_trade": float(returns.max()) if count else math.nan,
        "worst_trade": float(returns.min()) if count else math.nan,
    }
