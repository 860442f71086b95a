"""A bot's trades as an account that a strategy can be set beside: an `engine.Result`, marked at every close."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.code_version import code_version, package_versions
from engine.result import Result, charge_table, order_table
from reports.hummingbot.records.fee_worth import FeeWorth, decimal, fee_worth
from reports.hummingbot.records.fill import is_spot
from reports.hummingbot.records.history import TradeHistory
from reports.hummingbot.records.placing import bars_of_fills, bars_of_payments, check_prices, columns_of

_NOTE: Final = (
    "These are a real bot's own trades, at the prices and fees that it recorded: the account begins with the cash that "
    "was given, holds nothing before the first fill, and is marked at each bar's close (docs/hummingbot-records.md)."
)


def baseline_from_trades(
    trades: TradeHistory,
    candles: Market,
    cash: float,
    *,
    name: str | None = None,
    price_tolerance: float = 0.005,
    may_lie_outside: float = 0.05,
) -> Result:
    """The account of a bot that traded so: cash and positions at each bar's close.

    A fill falls on the bar that was open at its time; it is both decided and filled there, for what the bot knew is
    not recorded. Fees in quote currency are paid in cash; one in the traded coin comes out of the position, and is
    shown in `orders` as the amount that came in and a fee of its worth; one in another token is paid in cash at what
    TOKEN/QUOTE in `candles` closed at, else at the bot's own conversion, else it is not counted and `meta["notes"]` and
    `meta["unpriced_fees"]` say so, by token. Funding is in `charges`. What is open at the end stays open, marked at the
    last close.

    Args:
        trades: what `read_trades` gave, or a selection of it. All its symbols are to have one quote currency.
        candles: bars that cover every fill; further symbols serve to price fees.
        cash: what the account begins with, quote currency.
        name: what reports call it; else after its bots.
        price_tolerance: by which a fill's price may lie outside its bar's [low, high], a fraction.
        may_lie_outside: the share of fills that may lie further outside. Above it the candles are taken to be of
            another time zone or market.

    Returns:
        A Result of broker "hummingbot" over the bars at which a traded symbol has one; every symbol with fills or
        funding has its column.

    Raises:
        ValidationError: two quote currencies; a fill whose price is not known, whose symbol has no candles, that lies
            outside their span or in a gap; prices that are not of their bars.
    """
    _check_arguments(trades, candles, cash, price_tolerance, may_lie_outside)
    source = Path(trades.source).name
    fills, funding = trades.fills, trades.funding
    quote = _quote(fills, funding, source)
    for table, what in ((fills, "fills"), (funding, "funding payments")):
        columns_of(candles, table, what, source)
    traded = {*fills["symbol"], *funding["symbol"]}
    market = candles.select([symbol for symbol in candles.symbols if symbol in traded]) if traded else candles
    _check_known(fills, source)
    column = columns_of(market, fills, "fills", source)
    bar = bars_of_fills(market, fills, column, source)
    outside = check_prices(market, fills, (bar, column), price_tolerance, may_lie_outside, source)
    fees = fee_worth(fills, bar, candles, market.index)
    gained, held = _positions(fills, fees, bar, column, (len(market), len(market.symbols)), source)
    price = fills["price"].to_numpy()
    fee = fees.quote + np.array([float(coins) for coins in fees.base]) * price
    paid = _funding(market, funding, source)
    flow = np.bincount(bar, weights=-(gained * price) - fee, minlength=len(market)) - paid.sum(axis=1)
    marks = market.close.ffill().fillna(0.0).to_numpy(dtype=np.float64)
    notes = [_NOTE, *trades.notes, *fees.notes(quote)]
    if outside:
        notes.append(
            f"{outside:,} of {len(fills):,} fills lie more than {price_tolerance:.2%} outside their bar's range"
        )
    notes += _borrowed(fills, held, market)
    bots = ", ".join(sorted(set(fills["bot"]) - {""}))
    return Result(
        name=name or f"Hummingbot, {bots or source}",
        broker="hummingbot",
        timeframe=market.timeframe,
        cash=float(cash),
        equity=pd.Series(cash + np.cumsum(flow) + (held * marks).sum(axis=1), index=market.index, name="equity"),
        orders=order_table(
            market.index,
            market.symbols,
            decided=bar,
            filled=bar,
            column=column,
            amount=gained,
            price=price,
            fee=fee,
            reason=_reasons(trades),
        ),
        positions=pd.DataFrame(held, index=market.index, columns=pd.Index(market.symbols, name="symbol")),
        prices=market.close,
        meta=_meta(trades, candles, market, bots or source, fees, notes),
        charges=charge_table(market.index, market.symbols, {"funding": paid}),
    )


def _check_arguments(trades: object, candles: object, cash: object, tolerance: object, share: object) -> None:
    if not isinstance(trades, TradeHistory):
        raise ValidationError(
            f"baseline_from_trades: trades is {type(trades).__name__}; give what read_trades(path) returned"
        )
    if not isinstance(candles, Market) or not len(candles):
        raise ValidationError("baseline_from_trades: candles: give a Market with bars, such as load_candles(...)")
    numbers = {"cash": (cash, math.inf), "price_tolerance": (tolerance, 1.0), "may_lie_outside": (share, 1.0)}
    for name, (value, most) in numbers.items():
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not good or not 0 <= float(value) <= most or (name == "cash" and value == 0):  # type: ignore[arg-type]
            wanted = "a positive amount of quote currency" if name == "cash" else "a fraction of 0 to 1"
            raise ValidationError(f"baseline_from_trades: {name}={value!r}: give {wanted}")


def _quote(fills: pd.DataFrame, funding: pd.DataFrame, source: str) -> str:
    by_quote: dict[str, list[str]] = {}
    for symbol in dict.fromkeys([*fills["symbol"], *funding["symbol"]]):
        by_quote.setdefault(str(symbol).partition("/")[2], []).append(str(symbol))
    if len(by_quote) > 1:
        told = "; ".join(f"{quote}: {', '.join(symbols)}" for quote, symbols in by_quote.items())
        raise ValidationError(
            f"{source}: trades in {len(by_quote)} quote currencies ({told}), which do not add up to one account; take "
            "one of them with select(symbols=[...])"
        )
    return next(iter(by_quote), "")


def _check_known(fills: pd.DataFrame, source: str) -> None:
    unknown = fills[fills["price"].isna()]
    if len(unknown):
        first = unknown.iloc[0]
        raise ValidationError(
            f"{source}: {len(unknown):,} of {len(fills):,} fills have no price (the file keeps millionths: 0), "
            f"first {first['symbol']}, trade {first['trade_id']!r}, {first['time']}; leave the symbol out with "
            "select(symbols=[...])"
        )


def _positions(
    fills: pd.DataFrame, fees: FeeWorth, bar: np.ndarray, column: np.ndarray, shape: tuple[int, int], source: str
) -> tuple[np.ndarray, np.ndarray]:
    """By fill, what the position gained, signed; and what is held at each close, (T, N).

    Summed as decimals, so that a position that was closed is exactly 0.
    """
    gained, totals = np.empty(len(fills)), [Decimal(0)] * shape[1]
    held = np.full(shape, np.nan)
    sides, amounts = fills["side"].tolist(), fills["amount"].tolist()
    for number, (side, amount) in enumerate(zip(sides, amounts, strict=True)):
        size = decimal(amount)
        change = (size if side == "buy" else -size) - fees.base[number]
        if (change > 0) != (side == "buy") or change == 0:
            fill = fills.iloc[number]
            raise ValidationError(
                f"{source}: the fee of {fees.base[number]} in the coin is all that {fill['symbol']}, trade "
                f"{fill['trade_id']!r}, {fill['time']}, bought or more ({size}); correct that fee in a copy of the file"
            )
        at = int(column[number])
        totals[at] += change
        gained[number] = float(change)
        held[bar[number], at] = float(totals[at])
    return gained, pd.DataFrame(held).ffill().fillna(0.0).to_numpy()


def _funding(market: Market, funding: pd.DataFrame, source: str) -> np.ndarray:
    """What was paid by bar and symbol, negative where received, (T, N)."""
    paid = np.zeros((len(market), len(market.symbols)))
    column = columns_of(market, funding, "funding payments", source)
    np.add.at(paid, (bars_of_payments(market, funding, source), column), -funding["amount"].to_numpy())
    return paid


def _reasons(trades: TradeHistory) -> np.ndarray:
    """Why each order was sent: how its executor ended where it was closed by this, else the order's type."""
    executors = trades.executors.set_index("id")
    closes, sides = executors["close_type"].to_dict(), executors["side"].to_dict()
    columns = (trades.fills[name].tolist() for name in ("executor", "side", "order_type"))
    reasons = []
    for executor, side, kind in zip(*columns, strict=True):
        opposite = {"BUY": "sell", "SELL": "buy"}.get(sides.get(executor, ""))
        ended = closes.get(executor, "") if side == opposite else ""
        reasons.append(ended or kind.lower().replace("_", " "))
    return np.array(reasons, dtype=object)


def _borrowed(fills: pd.DataFrame, held: np.ndarray, market: Market) -> list[str]:
    """Spot sold before it was bought: coins that the bot had before, whose own gains are not in the file."""
    chosen = [is_spot(*facts) for facts in zip(fills["position"], fills["exchange"], strict=True)]
    spot = fills[np.array(chosen, dtype=np.bool_)]
    said = []
    for symbol in spot["symbol"].unique():
        lowest = held[:, market.symbols.index(symbol)].min()
        if lowest < 0:
            said.append(
                f"{symbol} is sold down to {lowest:g} on a spot market: coins that the bot held before its first fill "
                "are not in its records, and count as borrowed here"
            )
    return said


def _meta(
    trades: TradeHistory, candles: Market, market: Market, who: str, fees: FeeWorth, notes: list[str]
) -> dict[str, Any]:
    return {
        "strategy": f"Hummingbot, the recorded trades of {who}",
        "parameters": {},
        "symbols": list(market.symbols),
        "bars": len(market),
        "source": trades.source,
        "kind": trades.kind,
        "fills": len(trades.fills),
        "executors": len(trades.executors),
        "funding_payments": len(trades.funding),
        "records": trades.digest,
        "data": candles.fingerprint(),
        "costs": {"fee": "as recorded", "slippage": "as filled", "funding": "as recorded"},
        "unpriced_fees": {token: str(amount) for token, amount in fees.unpriced.items()},
        "accounting": "marked to market",
        "notes": notes,
        "versions": package_versions("ladder", "numpy", "pandas"),
        "commit": code_version(),
    }
