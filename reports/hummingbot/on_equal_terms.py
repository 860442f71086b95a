"""One baseline, seen twice: as Hummingbot's backtester computes it, and on Ladder's execution rules, step by step.

    terms = equal_terms(run, costs=Costs(fee=0.001, slippage=0.0005), venue=Venue())
    print(terms)                                   # what each difference between the two is worth
    compare([mine], benchmark=terms)               # both beside a strategy, and the steps

The decisions are Hummingbot's throughout: which executor is created at which close, and at which close it ends. Each
step changes one rule of how they are executed or counted, and keeps those before it; the last step is a run of Ladder's
own backtester on the net position that the executors stand for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine import metrics
from engine.checks import is_number
from engine.costs import Costs
from engine.result import Result
from engine.strategy import Strategy
from engine.venue import Venue
from reports.hummingbot.executors import Fills, fills_of
from reports.hummingbot.run import BaselineRun

_FIELD: Final = "hummingbot_weight"
# An open position's weight that differs from the last one by less is the same: what netting leaves of rounding.
_SAME: Final = 1e-12

_MEANING: Final = {
    "as Hummingbot computes it": "profit counts when an executor ends, at the close of the bar that ends it",
    "marking": "open positions are worth their price at each close",
    "forgotten fills": "what an executor that averages in had bought before its last level filled counts too",
    "costs": "fee and slippage of each fill's own notional, in place of trade_cost of the entry's, twice",
    "undone entries": "what ends at the close it began at (a stop that the bar reached before the entry) never trades",
    "fill timing": "what a close decides fills at the next bar's open",
    "netting": "an exit and an entry of the same bar are one order: their difference, or none",
    "compounding": "a share of equity in place of a fixed amount, within cash, margin and the venue's rules",
}


@dataclass(frozen=True)
class HeldByExecutors(Strategy):
    """What executors held, as a strategy: the weights that a baseline's decisions come to, from the market's own field.

    It decides nothing: the field was filled by a baseline, which sees each bar's close.
    """

    controller: str = "signal"

    @property
    def warmup(self) -> int:
        """A row speaks for itself."""
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        """The field."""
        return market[_FIELD]


@dataclass(frozen=True, eq=False)
class EqualTerms:
    """A baseline as Hummingbot computes it, the same on Ladder's rules, and the way from one to the other.

    Attributes:
        own: Hummingbot's own accounting, `BaselineRun.realised`.
        ours: the same decisions on Ladder's rules: next open, the given costs, marked to market, the same capital.
        steps: one row a step, in order, the first Hummingbot's own: total_return, sharpe (of daily returns; NaN where
            the account was ruined), max_drawdown, fees (quote currency, slippage left out), change (of the total
            return, by this step), meaning.
    """

    own: Result
    ours: Result
    steps: pd.DataFrame

    def shown(self) -> pd.DataFrame:
        """The steps in words, every figure as text."""
        from reports.figures import minus, shown

        steps = self.steps
        return pd.DataFrame(
            {
                "total return": [shown("total_return", value) for value in steps["total_return"]],
                "change": ["" if np.isnan(value) else minus(f"{100.0 * value:+.2f} pp") for value in steps["change"]],
                "Sharpe": [shown("sharpe", value) for value in steps["sharpe"]],
                "deepest drawdown": [shown("max_drawdown", value) for value in steps["max_drawdown"]],
                "fees": [shown("fees", value) for value in steps["fees"]],
                "what changes": list(steps["meaning"]),
            },
            index=pd.Index(steps.index, name="step"),
        )

    def __str__(self) -> str:
        return self.shown().to_string()


def equal_terms(
    run: BaselineRun, *, costs: Costs | None = None, venue: Venue | Mapping[str, Venue] | None = None
) -> EqualTerms:
    """Put a baseline on the terms of a strategy's run.

    Args:
        run: the baseline; its cash is the capital.
        costs: what the strategy pays; `Costs()` where None. Its fee and slippage must be plain fractions.
        venue: where the strategy trades; where None, one that allows shorts, as the baseline takes them.

    Raises:
        ValidationError: costs that are no plain fractions, or a venue that cannot hold what the baseline holds.
    """
    from engine import backtest

    costs = Costs() if costs is None else costs
    fee, slippage = _plain(costs)
    market, cash, legs = run.market, run.cash, run.legs
    booked = legs[legs["booked"]]
    rows: list[dict[str, Any]] = []

    def add(step: str, equity: pd.Series, fees: float) -> None:
        daily = metrics.daily_changes(equity, cash)
        total = float(equity.iloc[-1]) / cash - 1.0
        rows.append(
            {
                "step": step,
                "total_return": total,
                # Beyond ruin a return is no return: Hummingbot trades on, whatever it owes.
                "sharpe": metrics.sharpe(daily) if equity.min() > 0.0 else np.nan,
                "max_drawdown": metrics.max_drawdown(equity, cash),
                "fees": fees,
                "change": total - rows[-1]["total_return"] if rows else np.nan,
                "meaning": _MEANING[step],
            }
        )

    def count(step: str, fills: Fills) -> None:
        add(step, _account(fills, market, cash), float(fills.fee.sum()))

    own = run.realised
    add("as Hummingbot computes it", own.equity, float(run.executors["fees"].sum()))
    count("marking", fills_of(booked, market))
    if len(booked) < len(legs):
        count("forgotten fills", fills_of(legs, market))
    count("costs", _charged(fills_of(legs, market), fee, slippage))
    lasting = fills_of(_lasting(legs), market)
    count("undone entries", _charged(lasting, fee, slippage))
    late = _next_open(lasting, market)
    count("fill timing", _charged(late, fee, slippage))
    count("netting", _charged(_netted(late), fee, slippage))
    weights = held_weights(run)
    ours = backtest(
        HeldByExecutors(str(run.controller["controller_name"])),
        market.with_fields(**{_FIELD: weights}),
        cash=cash,
        costs=costs,
        venue=Venue(shorts=True) if venue is None else venue,
    )
    ours = replace(
        ours,
        name=f"{run.name}, on Ladder's rules",
        broker="hummingbot",
        meta={
            **ours.meta,
            "strategy": f"{run.name}: Hummingbot's decisions, executed as a strategy's are",
            "parameters": {**run.controller, **run.config.to_json()},
        },
    )
    add("compounding", ours.equity, float(ours.orders["fee"].sum()))
    return EqualTerms(own, ours, pd.DataFrame(rows).set_index("step"))


def held_weights(run: BaselineRun) -> pd.DataFrame:
    """The net position that the executors stand for, as weights to hold from the next bar on.

    Each fill weighs its notional over the run's capital. A row has weights on bars whose close changes what is held,
    NaN elsewhere: the position is left alone.
    """
    market, legs = run.market, run.legs
    shape = (len(market), len(market.symbols))
    column = pd.Index(market.symbols).get_indexer(pd.Index(legs["symbol"]))
    share = legs["amount"] * legs["entry_price"] / run.cash * np.where(legs["side"] == "BUY", 1.0, -1.0)
    net = np.zeros(shape)
    np.add.at(net, (market.index.get_indexer(pd.DatetimeIndex(legs["opened_at"])), column), share.to_numpy())
    np.subtract.at(net, (market.index.get_indexer(pd.DatetimeIndex(legs["closed_at"])), column), share.to_numpy())
    held = net.cumsum(axis=0)
    held = np.where(np.abs(held) < _SAME, 0.0, np.clip(held, -1.0, 1.0))
    before = np.vstack([np.zeros((1, shape[1])), held[:-1]])
    changed = np.abs(held - before) > _SAME
    return pd.DataFrame(np.where(changed, held, np.nan), index=market.index, columns=pd.Index(market.symbols))


def _plain(costs: Costs) -> tuple[float, float]:
    """Taker fee and slippage, fractions of notional."""
    fee = costs.fee[1] if isinstance(costs.fee, tuple) else costs.fee
    if not is_number(fee) or not is_number(costs.slippage):
        raise ValidationError(
            f"equal_terms: costs {costs!r}: to say what costs are worth, fee and slippage must be plain fractions: "
            "Costs(fee=0.001, slippage=0.0005)"
        )
    return float(fee), float(costs.slippage)


def _account(fills: Fills, market: Market, cash: float) -> pd.Series:
    """Equity at each close: cash, and what is held at its price."""
    place = (fills.bar, fills.column)
    held, flow = np.zeros((len(market), len(market.symbols))), np.zeros(len(market))
    np.add.at(held, place, fills.amount)
    np.add.at(flow, fills.bar, -(fills.amount * fills.price) - fills.fee)
    marks = market.close.ffill().fillna(0.0).to_numpy(dtype=np.float64)
    equity = cash + flow.cumsum() + (held.cumsum(axis=0) * marks).sum(axis=1)
    return pd.Series(equity, index=market.index, name="equity")


def _charged(fills: Fills, fee: float, slippage: float) -> Fills:
    """The fills at worse prices, each with the fee of its own notional."""
    price = fills.price * (1.0 + slippage * np.sign(fills.amount))
    return replace(fills, price=price, fee=fee * np.abs(fills.amount) * price)


def _lasting(legs: pd.DataFrame) -> pd.DataFrame:
    """Legs that end on a later bar than they began: the others are decided and undone at one close."""
    return legs[legs["closed_at"] > legs["opened_at"]]


def _netted(fills: Fills) -> Fills:
    """One fill for each bar and symbol: what its buys and sells come to at their common price."""
    width = int(fills.column.max(initial=0)) + 1
    places, first, which = np.unique(fills.bar * width + fills.column, return_index=True, return_inverse=True)
    amount, gross = np.zeros(len(places)), np.zeros(len(places))
    np.add.at(amount, which, fills.amount)
    np.add.at(gross, which, np.abs(fills.amount))
    kept = np.abs(amount) > _SAME * gross
    first = first[kept]
    return replace(_taken(fills, first), amount=amount[kept])


def _taken(fills: Fills, rows: np.ndarray) -> Fills:
    return Fills(*(getattr(fills, name)[rows] for name in ("bar", "column", "amount", "price", "fee", "reason")))


def _next_open(fills: Fills, market: Market) -> Fills:
    """The fills at the open of the symbol's next bar; what is decided on its last bar never fills."""
    opens = market.open.to_numpy(dtype=np.float64)
    following = np.full(opens.shape, -1, dtype=np.int64)
    for column in range(opens.shape[1]):
        bars = np.flatnonzero(~np.isnan(opens[:, column]))
        following[bars[:-1], column] = bars[1:]
    bar = following[fills.bar, fills.column]
    kept = np.flatnonzero(bar >= 0)
    moved, bar = _taken(fills, kept), bar[kept]
    return replace(moved, bar=bar, price=opens[bar, moved.column])
