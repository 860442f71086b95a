"""A run made ready: every input checked before any work starts, then laid out as the arrays that brokers execute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.checks import is_number
from engine.code_version import code_version, package_versions
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.result import Result, order_table
from engine.strategy import Strategy, label, parameters
from engine.venue import Venue, venues_by_symbol


@dataclass(frozen=True, eq=False)
class Run:
    """What a broker needs, and all that it needs: T bars of N symbols as float64 arrays of shape (T, N)."""

    strategy: Strategy
    market: Market
    cash: float
    costs: Costs
    venues: tuple[Venue, ...]
    targets: np.ndarray
    open: np.ndarray
    close: np.ndarray

    @cached_property
    def steps(self) -> np.ndarray:
        """Amount step of each symbol, shape (N,)."""
        return np.array([venue.amount_step for venue in self.venues], dtype=np.float64)

    @cached_property
    def minima(self) -> np.ndarray:
        """Minimum notional of each symbol, shape (N,)."""
        return np.array([venue.min_notional for venue in self.venues], dtype=np.float64)

    @cached_property
    def leverages(self) -> np.ndarray:
        """Leverage of each symbol, shape (N,)."""
        return np.array([venue.leverage for venue in self.venues], dtype=np.float64)

    def result(self, broker: str, equity: np.ndarray, positions: np.ndarray, fills: Mapping[str, np.ndarray]) -> Result:
        """The Result of this run, from a broker's arrays: equity (T,), positions (T, N), one array per fill field."""
        index = self.market.index
        columns = pd.Index(self.market.symbols, name="symbol")
        return Result(
            name=label(self.strategy),
            broker=broker,
            timeframe=self.market.timeframe,
            cash=self.cash,
            equity=pd.Series(equity, index=index, name="equity"),
            orders=order_table(index, self.market.symbols, **fills),
            positions=pd.DataFrame(positions, index=index, columns=columns),
            prices=self.market.close,
            meta=self._meta(broker),
        )

    def _meta(self, broker: str) -> dict[str, Any]:
        kind = type(self.strategy)
        engine = {"backtest": "vectorbt", "paper": "backtrader"}[broker]
        return {
            "strategy": f"{kind.__module__}.{kind.__qualname__}",
            "parameters": {name: _plain(value) for name, value in parameters(self.strategy).items()},
            "symbols": list(self.market.symbols),
            "bars": len(self.market),
            "data": self.market.fingerprint(),
            "costs": _plain(self.costs),
            "venue": {symbol: _plain(venue) for symbol, venue in zip(self.market.symbols, self.venues, strict=True)},
            "versions": package_versions("ladder", engine, "numpy", "pandas"),
            "commit": code_version(),
        }


def prepare(
    strategy: Strategy,
    market: Market,
    cash: float,
    costs: Costs,
    venue: Venue | Mapping[str, Venue],
    risk: RiskLimits | None,
) -> Run:
    """Check every input of a run and compute the strategy's targets, once, for whichever broker executes them.

    Raises:
        ValidationError: an input is wrong; names the parameter, or the symbol and bar.
    """
    if not isinstance(strategy, Strategy):
        raise ValidationError(f"strategy: expected an instance of a Strategy, got {strategy!r}")
    parameters(strategy)
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
    _refuse_unexecuted(strategy, costs, risk)
    _check_bars(market)
    return Run(
        strategy=strategy,
        market=market,
        cash=float(cash),
        costs=costs,
        venues=venues,
        targets=_checked_targets(strategy, market, venues),
        # Copies: pandas hands out arrays that may be read-only, and numba compiles anew for those.
        open=np.array(market.open, dtype=np.float64, order="C"),
        close=np.array(market.close, dtype=np.float64, order="C"),
    )


def _check_bars(market: Market) -> None:
    """A bar has all its prices or none: `Market.from_frames` holds that, `with_fields` and the constructor do not."""
    close = market.close.to_numpy(dtype=np.float64)
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


def _refuse_unexecuted(strategy: Strategy, costs: Costs, risk: RiskLimits | None) -> None:
    """A rule that no broker executes yet is refused: a run that ignored it would not be what was asked for."""
    if strategy.exits is not None:
        raise ValidationError(f"{label(strategy)}: exits (rule 5) are not executed by this version; leave exits out")
    if risk is not None:
        raise ValidationError("risk: risk limits (rule 7) are not executed by this version; pass risk=None")
    if costs.funding is not None:
        raise ValidationError("costs: funding (rule 8) is not executed by this version; pass funding=None")


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
        weights = table[list(market.symbols)].to_numpy(dtype=np.float64, copy=True)
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


def _plain(value: Any) -> Any:
    """A parameter as JSON can hold it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(item) for name, item in asdict(value).items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
