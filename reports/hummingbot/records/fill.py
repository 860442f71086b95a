"""One fill as a file has it, checked, with its decimals as they are written; and the table of many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from reports.hummingbot.records.cells import Row, symbol_of

FILL_COLUMNS: Final = (
    "time",
    "bot",
    "exchange",
    "symbol",
    "side",
    "order_type",
    "price",
    "amount",
    "fee",
    "fee_token",
    "other_fees",
    "fee_in_quote",
    "position",
    "leverage",
    "order_id",
    "trade_id",
    "executor",
)
_NUMBERS: Final = ("price", "amount", "fee", "fee_in_quote", "leverage")
_SIDES: Final = ("BUY", "SELL")
_POSITIONS: Final = ("OPEN", "CLOSE", "NIL")


@dataclass(slots=True)
class Fill:
    """One fill; `TradeHistory` tells the fields. `place` is where it stands in the file."""

    place: str
    time: int  # nanoseconds
    bot: str
    exchange: str
    symbol: str
    side: str
    order_type: str
    price: Decimal  # NaN where the file has 0
    amount: Decimal
    position: str
    leverage: int
    order_id: str
    trade_id: str
    fees: dict[str, Decimal] = field(default_factory=dict)
    fee_in_quote: Decimal | None = None
    payable_in: str = ""  # the token of a percentage that is kept in quote currency
    executor: str = ""

    @property
    def spot(self) -> bool:
        """Whether a buy returns coins, rather than opening or closing a contract."""
        return is_spot(self.position, self.exchange)

    @property
    def notional(self) -> Decimal:
        """Quote currency; NaN where the price is not known."""
        return self.price * self.amount


def is_spot(position: str, exchange: str) -> bool:
    """Whether a buy there returns coins: spot has no position, and connectors for contracts are named so."""
    return position == "NIL" and "perpetual" not in exchange


def side_of(row: Row, column: str) -> str:
    """The side, "buy" or "sell"."""
    word = row.text(column).upper()
    if word not in _SIDES:
        raise row.fault(column, f"is {row.shown(column)}; a fill is BUY or SELL (positions of liquidity are not read)")
    return word.lower()


def position_of(row: Row, column: str) -> str:
    """What it did to a position, "OPEN" or "CLOSE"; "NIL" for spot, and where the file does not say."""
    word = row.text_or(column, "NIL").upper()
    if word not in _POSITIONS:
        raise row.fault(column, f"is {row.shown(column)}; known are {', '.join(_POSITIONS)}")
    return word


def leverage_of(row: Row, column: str) -> int:
    """A whole number, 1 where the file has none."""
    if row.values.get(column) in {None, ""}:
        return 1
    number = row.number(column)
    if number != number.to_integral_value() or number < 1:
        raise row.fault(column, f"is {row.shown(column)}, not a whole number of at least 1")
    return int(number)


def price_and_amount(row: Row, price: Decimal, amount: Decimal, names: tuple[str, str]) -> tuple[Decimal, Decimal]:
    """Both, checked: a price of 0 is one that the file does not know (NaN), an amount is positive."""
    if price < 0:
        raise row.fault(names[0], f"is {row.shown(names[0])}: a price is not negative")
    if amount <= 0:
        small = " (less than the millionth that the file keeps?)" if amount == 0 else ""
        raise row.fault(names[1], f"is {row.shown(names[1])}: an amount is positive{small}")
    return price if price > 0 else Decimal("NaN"), amount


def pair_of(row: Row, column: str) -> str:
    """The symbol, "BTC/USDT"."""
    return symbol_of(row.text(column), row, column)


def fill_table(fills: Sequence[Fill]) -> pd.DataFrame:
    """The fills as a table, in their order; decimals become the nearest float64 here and not before."""
    columns: dict[str, Any] = {name: [] for name in FILL_COLUMNS}
    for fill in fills:
        for name in FILL_COLUMNS:
            if name not in _OWN:
                columns[name].append(getattr(fill, name))
        token, others = _main_fee(fill)
        columns["fee"].append(float(fill.fees.get(token, Decimal(0))))
        columns["fee_token"].append(token)
        columns["other_fees"].append(json.dumps({name: str(value) for name, value in others.items()}) if others else "")
        columns["fee_in_quote"].append(np.nan if fill.fee_in_quote is None else float(fill.fee_in_quote))
    table = pd.DataFrame({name: _column(name, values) for name, values in columns.items()})
    table["time"] = pd.to_datetime(np.asarray(columns["time"], dtype=np.int64), unit="ns", utc=True)
    return table


_OWN: Final = ("fee", "fee_token", "other_fees", "fee_in_quote")


def _column(name: str, values: list[Any]) -> pd.Series:
    if name == "leverage":
        return pd.Series(values, dtype="int64")
    if name == "time":
        return pd.Series(values, dtype="int64")
    if name in _NUMBERS:
        return pd.Series([float(value) for value in values], dtype="float64")
    return pd.Series(values, dtype="str")


def _main_fee(fill: Fill) -> tuple[str, dict[str, Decimal]]:
    """The token of the `fee` column, quote currency where the fill paid any, and the fees in other tokens."""
    quote = fill.symbol.split("/")[1]
    token = quote if quote in fill.fees or not fill.fees else next(iter(fill.fees))
    return token, {name: value for name, value in fill.fees.items() if name != token}
