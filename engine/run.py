"""A run made ready: every input checked before any work starts, then laid out as the arrays that brokers execute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.checks import is_number
from engine.code_version import code_version, package_versions
from engine.costs import Costs
from engine.exits import Exits
from engine.kernel_state import Setup
from engine.limits import RiskLimits
from engine.order_style import LimitOrders
from engine.result import Result, charge_table, event_table, order_table
from engine.setup import make_barriers, make_setup
from engine.strategy import Strategy, label, parameters
from engine.venue import Venue, venues_by_symbol


@dataclass(frozen=True, eq=False)
class Run:
    """What a broker needs, and all that it needs: T bars of N symbols as float64 arrays of shape (T, N).

    `setup` has costs, trading rules, barriers, order style and limits as numbers; `marks` are the closes, where a
    symbol has no bar the last one known; `scale` is (0, 0) where the strategy gives none.
    """

    strategy: Strategy
    market: Market
    cash: float
    costs: Costs
    venues: tuple[Venue, ...]
    risk: RiskLimits | None
    orders: LimitOrders | None
    setup: Setup
    marks: np.ndarray
    targets: np.ndarray
    scale: np.ndarray

    def result(
        self,
        broker: str,
        equity: np.ndarray,
        positions: np.ndarray,
        fills: Mapping[str, np.ndarray],
        events: Mapping[str, np.ndarray],
        funding: np.ndarray,
        borrow: np.ndarray,
    ) -> Result:
        """The Result of this run, from a broker's arrays.

        Args:
            broker: "backtest" or "paper".
            equity: (T,).
            positions: (T, N).
            fills: one array per field of `engine.result.order_table`.
            events: one array per field of `engine.result.event_table`.
            funding: paid by bar and symbol (T, N), or (0, 0).
            borrow: the same for borrowing.
        """
        index, symbols = self.market.index, self.market.symbols
        return Result(
            name=label(self.strategy),
            broker=broker,
            timeframe=self.market.timeframe,
            cash=self.cash,
            equity=pd.Series(equity, index=index, name="equity"),
            orders=order_table(index, symbols, **fills),
            positions=pd.DataFrame(positions, index=index, columns=pd.Index(symbols, name="symbol")),
            prices=self.market.close,
            high=self.market.high,
            low=self.market.low,
            meta=self._meta(broker),
            risk_events=event_table(index, symbols, **events),
            charges=charge_table(index, symbols, {"funding": funding, "borrow": borrow}),
        )

    def _meta(self, broker: str) -> dict[str, Any]:
        kind = type(self.strategy)
        engine = {"backtest": "vectorbt", "paper": "backtrader"}[broker]
        return {
            "strategy": f"{kind.__module__}.{kind.__qualname__}",
            "parameters": {name: plain(value) for name, value in parameters(self.strategy).items()},
            "symbols": list(self.market.symbols),
            "bars": len(self.market),
            "data": self.market.fingerprint(),
            "costs": plain(self.costs),
            "exits": plain(self.strategy.exits),
            "order_notional": plain(self.strategy.order_notional),
            "order_style": plain(self.orders),
            "risk": plain(self.risk),
            "venue": {symbol: plain(venue) for symbol, venue in zip(self.market.symbols, self.venues, strict=True)},
            "versions": package_versions("ladder", engine, "numpy", "pandas"),
            "commit": code_version(),
        }


@dataclass(frozen=True, eq=False)
class Ground:
    """What every run over the same bars on the same terms shares, checked and laid out: a run but for its strategy.

    Its fields are those of `Run`; `setup` has no barriers.
    """

    market: Market
    cash: float
    costs: Costs
    venues: tuple[Venue, ...]
    risk: RiskLimits | None
    orders: LimitOrders | None
    setup: Setup
    marks: np.ndarray

    def run(self, strategy: Strategy) -> Run:
        """The run of one strategy, its targets computed and checked.

        Raises:
            ValidationError: the strategy, its barriers or its targets; names the parameter, or the symbol and bar.
        """
        check_strategy(strategy)
        targets = _checked_targets(strategy, self.market, self.venues)
        return Run(
            strategy=strategy,
            market=self.market,
            cash=self.cash,
            costs=self.costs,
            venues=self.venues,
            risk=self.risk,
            orders=self.orders,
            setup=self.setup._replace(
                barriers=make_barriers(strategy.exits), order_notional=float(strategy.order_notional or 0.0)
            ),
            marks=self.marks,
            targets=targets,
            scale=_checked_scale(strategy, self.market, targets),
        )


def prepare(
    strategy: Strategy,
    market: Market,
    cash: float,
    costs: Costs,
    venue: Venue | Mapping[str, Venue],
    risk: RiskLimits | None,
    orders: LimitOrders | None,
) -> Run:
    """Check every input of a run and compute the strategy's targets, once, for whichever broker executes them.

    Raises:
        ValidationError: an input is wrong; names the parameter, or the symbol and bar.
    """
    check_strategy(strategy)
    return lay_ground(market, cash, costs, venue, risk, orders).run(strategy)


def lay_ground(
    market: Market,
    cash: float,
    costs: Costs,
    venue: Venue | Mapping[str, Venue],
    risk: RiskLimits | None,
    orders: LimitOrders | None,
) -> Ground:
    """Check everything about a run but its strategy; a sweep does so once for all its parameter sets.

    Raises:
        ValidationError: an input is wrong; names the parameter, or the symbol and bar.
    """
    if not isinstance(market, Market):
        raise ValidationError(
            f"market: expected a Market, got {type(market).__name__}; "
            "make one by Market.from_frames({symbol: candles}, timeframe)"
        )
    if not len(market):
        raise ValidationError("market: it holds no bars")
    if not is_number(cash) or cash <= 0:
        raise ValidationError(f"cash {cash!r} must be a positive amount of quote currency")
    if not isinstance(costs, Costs):
        raise ValidationError(f"costs: expected Costs(fee=..., slippage=...), got {costs!r}")
    venues = venues_by_symbol(venue, market.symbols)
    _check_terms(costs, venues, risk, orders)
    _check_bars(market)
    return Ground(
        market=market,
        cash=float(cash),
        costs=costs,
        venues=venues,
        risk=risk,
        orders=orders,
        setup=make_setup(None, market, costs, venues, risk, orders),
        marks=market.close.ffill().to_numpy(dtype=np.float64),
    )


def check_strategy(strategy: Strategy) -> None:
    """Refuse what is no strategy, or has no barriers of ours where it has some.

    Raises:
        ValidationError: it is not.
    """
    if not isinstance(strategy, Strategy):
        raise ValidationError(f"strategy: expected an instance of a Strategy, got {strategy!r}")
    parameters(strategy)
    if strategy.exits is not None and not isinstance(strategy.exits, Exits):
        raise ValidationError(f"{label(strategy)}: exits must be an Exits or None, got {strategy.exits!r}")
    notional = strategy.order_notional
    if notional is not None and not (is_number(notional) and 0.0 < notional < math.inf):
        raise ValidationError(
            f"{label(strategy)}: order_notional {notional!r} must be an amount of quote currency above 0, such as 100, "
            "or None for targets that are fractions of equity"
        )


def _check_bars(market: Market) -> None:
    """A bar has all its prices or none: `Market.from_frames` holds that, `with_fields` and the constructor do not."""
    close = market.close.to_numpy(dtype=np.float64)
    high, low, volume = (market[name].to_numpy(dtype=np.float64) for name in ("high", "low", "volume"))
    for what, wrong in (
        ("high below low", (low > 0.0) & (high > 0.0) & (high < low) & np.isfinite(low)),
        ("a negative volume", volume < 0.0),
    ):
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise ValidationError(
                f"market: {market.symbols[column]} bar {market.index[row]}: {what} ({wrong.sum()} such)"
            )
    for name in ("open", "high", "low", "close"):
        prices = market[name].to_numpy(dtype=np.float64)
        wrong = (np.isnan(prices) != np.isnan(close)) | (prices <= 0.0) | np.isinf(prices)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise ValidationError(
                f"market: {market.symbols[column]} bar {market.index[row]}: {name} {prices[row, column]:g} beside "
                f"close {close[row, column]:g}; a bar has four positive prices or, where it is missing, none "
                f"({wrong.sum()} such)"
            )


def _check_terms(costs: Costs, venues: tuple[Venue, ...], risk: RiskLimits | None, orders: LimitOrders | None) -> None:
    """What each of them allows by itself and no run can have together."""
    if risk is not None and not isinstance(risk, RiskLimits):
        raise ValidationError(f"risk: expected RiskLimits(...) or None, got {risk!r}")
    if orders is not None and not isinstance(orders, LimitOrders):
        raise ValidationError(f"orders: expected LimitOrders(...), or None for orders at the market, got {orders!r}")
    if costs.funding is not None and not any(venue.shorts for venue in venues):
        raise ValidationError(
            "costs: funding on a spot venue, which has none; leave it out or pass a perpetual's venue"
        )
    if costs.borrow > 0.0 and not any(venue.shorts for venue in venues):
        raise ValidationError("costs: borrow on a spot venue, which never goes short; leave it out")
    makers = [venue.fees[0] if costs.fee == "venue" and venue.fees else costs.maker_fee for venue in venues]
    makers += [maker for _, maker, _ in costs.tiers]
    if costs.fee_in == "bought" and min(makers) < 0.0:
        raise ValidationError("costs: fee_in='bought' beside a maker fee below 0: no venue pays a rebate in coins")
    if 1.0 / max(venue.leverage for venue in venues) + min(makers) <= 0.0:
        raise ValidationError("costs: a maker fee that pays more than the margin of an order; lower the leverage")
    if costs.fee_in == "bought" and any(venue.shorts for venue in venues):
        raise ValidationError(
            "costs: fee_in='bought' on a venue with shorts; only spot takes a fee from the coins bought"
        )
    if costs.fee == "venue" and any(venue.fees is None for venue in venues):
        raise ValidationError(
            "costs: fee='venue', and a venue has no fees; use Venue.from_ccxt or Venue(fees=(maker, taker))"
        )
    if costs.fee == "venue" and costs.tiers:
        raise ValidationError("costs: tiers beside fee='venue'; give the fee below the first tier as (maker, taker)")


def _checked_scale(strategy: Strategy, market: Market, targets: np.ndarray) -> np.ndarray:
    """The strategy's scale of its barriers' distances, 1 where it gives none; (0, 0) where it has no such table."""
    table = strategy.scale(market)
    if table is None or strategy.exits is None:
        return np.empty((0, 0))
    name = label(strategy)
    columns = list(table.columns) if isinstance(table, pd.DataFrame) else []
    if len(columns) != len(market.symbols) or set(columns) != set(market.symbols):
        raise ValidationError(
            f"{name}: scale must be a DataFrame, time by symbol, with {list(market.symbols)}, or None"
        )
    if len(table) != len(market) or not table.index.equals(market.index):
        raise ValidationError(
            f"{name}: scale has {len(table)} rows, the market {len(market)}; index it by market.index"
        )
    try:
        values = table[list(market.symbols)].to_numpy(dtype=np.float64, copy=True)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"{name}: scale holds something that is not a number: {error}") from error
    wrong = ~np.isnan(targets) & ~np.isnan(values) & ~((values > 0.0) & (values < np.inf))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValidationError(
            f"{name}: {market.symbols[column]} bar {market.index[row]}: scale {values[row, column]:g} must be a "
            "positive multiple of the barriers' distances, or NaN for 1"
        )
    return np.ascontiguousarray(np.where(np.isnan(values), 1.0, values))


def _checked_targets(strategy: Strategy, market: Market, venues: tuple[Venue, ...]) -> np.ndarray:
    name = label(strategy)
    warmup = strategy.warmup
    if isinstance(warmup, bool) or not isinstance(warmup, int | np.integer) or warmup < 0:
        raise ValidationError(f"{name}: warmup {warmup!r} must be a whole number of bars, at least 0")
    table = strategy.targets(market)
    if not isinstance(table, pd.DataFrame):
        raise ValidationError(f"{name}: targets returned {type(table).__name__}, not a DataFrame, time by symbol")
    unknown = [column for column in table.columns if column not in market.symbols]
    missing = [symbol for symbol in market.symbols if symbol not in table.columns]
    if unknown or missing or table.columns.has_duplicates:
        raise ValidationError(
            f"{name}: targets have the columns {list(table.columns)}, the market holds {list(market.symbols)} "
            f"(unknown symbol: {unknown}, missing: {missing}); give each symbol one column, NaN to leave it alone"
        )
    if len(table) != len(market) or not table.index.equals(market.index):
        raise ValidationError(
            f"{name}: targets have {len(table)} rows, the market {len(market)} bars, or their times differ; "
            "index the targets by market.index (a naive index differs from a UTC one)"
        )
    try:
        # As it stands where it is in the market's order: a sweep asks a thousand times, and pandas takes its time.
        ordered = table if tuple(table.columns) == market.symbols else table[list(market.symbols)]
        weights = ordered.to_numpy(dtype=np.float64, copy=True)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"{name}: targets hold something that is not a number: {error}") from error

    def first(where: np.ndarray) -> str:
        row, column = np.argwhere(where)[0]
        return f"{market.symbols[column]} bar {market.index[row]}: target {weights[row, column]:g}"

    outside = np.abs(weights) > 1.0
    if outside.any():
        raise ValidationError(
            f"{name}: {first(outside)} is outside [-1, 1]; a target is a fraction of equity ({outside.sum()} such)"
        )
    spot = np.array([not venue.shorts for venue in venues])
    short_on_spot = (weights < 0.0) & spot
    if short_on_spot.any():
        raise ValidationError(
            f"{name}: {first(short_on_spot)} is negative and the venue is spot, which never goes short; "
            f"clip the targets at 0 or pass venue=Venue(shorts=True) ({short_on_spot.sum()} such)"
        )
    weights[: max(warmup - 1, 0)] = np.nan
    return np.ascontiguousarray(weights)


def plain(value: Any) -> Any:
    """A parameter as JSON can hold it; a table stands there by its digest."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, pd.Series | pd.DataFrame):
        return f"sha256:{sha256(pd.util.hash_pandas_object(value).to_numpy().tobytes()).hexdigest()}"
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)
