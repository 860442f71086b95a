"""Figures of a paper run that the gate's live rung asks for: how long, how close to its backtest, how clean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from data.market import Market
from engine.live.paper_record import PaperRun
from engine.metrics import daily_returns
from engine.result import Result
from reports.promotion.evidence import Measured, missing
from reports.promotion.records import Record
from reports.promotion.tracking import tracking_error
from research.evidence.measures import days_of

_PRICES = ("open", "high", "low", "close")
_TARGET = "target"  # how the reason of an order begins that a decision's close has a price for


def paper_measures(run: PaperRun, record: Record | None) -> dict[str, Measured]:
    """All that a paper run shows by itself, and beside the backtest that was judged, by the name of the check."""
    bars, halts = len(run.result.equity), int((run.result.risk_events["verdict"] == "halt").sum())
    incidents = ", ".join(f"{count} {kind}" for kind, count in sorted(run.incidents.items())) or "no incident"
    return {
        "paper_days": _days(run),
        "paper_trades": Measured(float(len(run.result.orders))),
        "paper_decisions": _decisions(run),
        "tracking": _tracking(run),
        "shortfall": _shortfall(run),
        "paper_result": _result(run, record),
        "no_halt": Measured(float(not halts), f"{halts} halts" if halts else ""),
        "stale": Measured(run.slept / bars, f"{run.slept} of {bars:,} bars; {incidents}"),
    }


def prices_told(run: PaperRun, prices: Market | None, record: Record | None) -> Measured:
    """Whether the exchange tells the run's bars, and each decision was taken in its own time.

    Args:
        run: on paper.
        prices: what the exchange tells now; None where it was not asked.
        record: of the promotion to paper; None for none.
    """
    if prices is None:
        return missing("the exchange was not asked for its bars again")
    length = pd.Timedelta(run.result.timeframe)
    ours = run.bars.iloc(run.first, None)
    rows, symbols = ours.index, list(ours.symbols)
    apart = np.zeros((len(rows), len(symbols)), dtype=bool)
    for name in _PRICES:
        theirs = prices[name].reindex(index=rows, columns=symbols).to_numpy()
        mine = ours[name].to_numpy()
        apart |= ~((mine == theirs) | (np.isnan(mine) & np.isnan(theirs)))
    if apart.any():
        row, column = np.argwhere(apart)[0]
        where = f"the first {rows[row]:%Y-%m-%d %H:%M} {symbols[column]}"
        return Measured(0.0, f"{int(apart.sum())} of {apart.size:,} bars are not what {run.exchange} tells, {where}")
    told = f"{apart.size:,} bars as {run.exchange} tells them"
    if run.rehearsal:
        return Measured(1.0, f"{told}, replayed: in no time of their own")
    closes = rows + length
    written = run.written.to_numpy()
    late = run.decided.to_numpy() & ~((written >= closes) & (written <= closes + length))
    if late.any():
        when = rows[int(late.argmax())]
        return Measured(0.0, f"{told}; {int(late.sum())} decisions were not written in their time, the first {when}")
    if record is None or closes[0] < pd.Timestamp(record.at):
        return Measured(0.0, f"{told}; it began before it was promoted to paper")
    return Measured(1.0, f"{told}, each decided on in its own time")


def _days(run: PaperRun) -> Measured:
    first, last = run.result.equity.index[0], run.result.equity.index[-1]
    told = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, {len(run.starts)} processes"
    where = f"replayed by a rehearsal exchange as {run.exchange}" if run.rehearsal else f"live on {run.exchange}"
    return Measured(run.days, f"{told}, {where}")


def _decisions(run: PaperRun) -> Measured:
    taken, other = int(run.decided.sum()), run.decided_otherwise
    if not taken:
        return missing("it has decided on no bar")
    if not len(other):
        return Measured(1.0, f"{taken:,} bars, every target alike")
    first = other.iloc[0]
    where = f"{first['bar']:%Y-%m-%d %H:%M} {first['symbol']}: {first['paper']:g}, the backtest {first['backtest']:g}"
    return Measured(0.0, f"{other['bar'].nunique()} of {taken:,} bars otherwise, the first {where}")


def _tracking(run: PaperRun) -> Measured:
    error = tracking_error(run.result.returns, run.reference.returns, run.result.timeframe)
    if error != error:
        return missing("it has fewer than two bars")
    grown = [float(result.equity.iloc[-1]) / result.cash - 1.0 for result in (run.result, run.reference)]
    told = f"paper {grown[0]:+.2%}, backtest {grown[1]:+.2%}"
    return Measured(error, told, _beside(run))


def _beside(run: PaperRun) -> Mapping[str, Any]:
    """Growth of both by day, for the page."""
    growth = np.cumprod(1.0 + daily_returns(run.reference).to_numpy())
    return {**days_of(run.result), "backtest": growth.tolist()}


def _shortfall(run: PaperRun) -> Measured:
    """What fills cost against the closes that they were decided at, beyond the same of the backtest; of notional."""
    ours, other = (_cost(result, run) for result in (run.result, run.reference))
    if ours is None or other is None:
        return missing("no decision has led to an order")
    return Measured(ours - other, f"paper {ours:+.3%}, backtest {other:+.3%} of notional against the deciding close")


def _cost(result: Result, run: PaperRun) -> float | None:
    orders = result.orders[result.orders["reason"].str.startswith(_TARGET)]
    if not len(orders):
        return None
    close = run.bars.close.ffill()
    rows = close.index.get_indexer(pd.DatetimeIndex(orders["decided_at"]))
    decided = close.to_numpy()[rows, close.columns.get_indexer(pd.Index(orders["symbol"]))]
    amount = orders["amount"].to_numpy()
    sign = np.where(orders["side"] == "buy", 1.0, -1.0)
    return float(np.sum(sign * (orders["price"].to_numpy() - decided) * amount) / np.sum(decided * amount))


def _result(run: PaperRun, record: Record | None) -> Measured:
    """How many stretches of the judged backtest, as long as the run, earned less than it."""
    data = {} if record is None else record.check("drawdown")["chart"]
    growth = np.array([1.0, *data.get("growth", [])], dtype=np.float64)
    days = max(round(run.days), 1)
    if len(growth) - 1 < days:
        return missing("the record for paper has no growth by day, or of fewer days than the run")
    logs = np.log(growth[1:] / growth[:-1])
    sums = np.convolve(np.concatenate([logs, logs[: days - 1]]), np.ones(days), "valid")
    earned = float(run.result.equity.iloc[-1]) / run.result.cash - 1.0
    low, middle, high = np.expm1(np.quantile(sums, [0.05, 0.5, 0.95]))
    told = f"{earned:+.2%} in {days} days; of the backtest's {len(sums)} stretches nine in ten gave {low:+.2%} to "
    return Measured(float(np.mean(sums < np.log1p(earned))), f"{told}{high:+.2%}, the middle one {middle:+.2%}")
