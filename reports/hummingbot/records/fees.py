"""What a fill paid, by token, from Hummingbot's `trade_fee`.

It is a percentage, flat amounts, or both. A percentage without a token of its own is paid in quote currency, but for
one that is deducted from what a spot buy returns: coins. A percentage that is payable in another token is kept at
what it is worth in quote currency, which needs no rate.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn

from reports.hummingbot.records.cells import Row, decimal_of

_DEDUCTED: Final = "DeductedFromReturns"
_KINDS: Final = ("AddedToCost", _DEDUCTED)
_LONGEST: Final = 10_000  # characters; ast.literal_eval is not for texts without bound
_COLUMN: Final = "trade_fee"


def parse_json(text: Any, row: Row, column: str) -> Any:
    """A column of JSON; numbers with a point come as `Decimal`, as exact as they are written."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number")

    if not isinstance(text, str):
        raise row.fault(column, f"is {row.shown(column)}, not JSON")
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise row.fault(column, f"is {row.shown(column)}, not JSON ({error})") from error


def parse_fee_text(row: Row) -> Any:
    """The fee of a CSV file: a Python dict's repr, as Hummingbot writes it, or JSON."""
    text = row.text(_COLUMN)
    if len(text) > _LONGEST:
        raise row.fault(_COLUMN, f"has {len(text):,} characters, which is no fee")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return parse_json(text, row, _COLUMN)


def fees_of(
    fee: Any, row: Row, *, side: str, symbol: str, spot: bool, notional: Decimal, amount: Decimal
) -> tuple[dict[str, Decimal], str]:
    """Fees by token; and the token that a percentage, kept in quote currency, was payable in, or "".

    Args:
        fee: `trade_fee`, parsed.
        row: where it stands.
        side: "buy" or "sell".
        symbol: such as "BTC/USDT".
        spot: whether a buy returns coins.
        notional: quote currency; NaN where the price is not known, and so is a percentage of it.
        amount: base currency.

    Raises:
        ValidationError: it is no fee of Hummingbot's.
    """
    if not isinstance(fee, Mapping):
        raise row.fault(_COLUMN, f"is {row.shown(_COLUMN)}, not a fee")
    kind = fee.get("fee_type", _KINDS[0])
    if kind not in _KINDS:
        raise row.fault(_COLUMN, f"has fee_type {kind!r}; known are {', '.join(_KINDS)}")
    percent = _number(fee.get("percent", 0), row, "percent")
    token = fee.get("percent_token")
    if token is not None and not isinstance(token, str):
        raise row.fault(_COLUMN, f"has percent_token {token!r}, not a token's name")
    base, quote = symbol.split("/")
    paid: dict[str, Decimal] = {}
    payable_in = ""
    if percent != 0:
        if kind == _DEDUCTED and side == "buy" and spot and token in {None, base}:
            paid[base] = percent * amount
        else:
            paid[quote] = percent * notional
            payable_in = token if token not in {None, quote} else ""
    flat = fee.get("flat_fees") or []
    if not isinstance(flat, list | tuple):
        raise row.fault(_COLUMN, f"has flat_fees {flat!r}, not a list")
    for entry in flat:
        name, value = _flat_fee(entry, row)
        paid[name] = paid.get(name, Decimal(0)) + value
    return {name: value for name, value in paid.items() if value != 0}, payable_in


def _number(value: Any, row: Row, name: str) -> Decimal:
    number = decimal_of(value)
    if number is None:
        raise row.fault(_COLUMN, f"has {name} {value!r}, not a number")
    return number


def _flat_fee(entry: Any, row: Row) -> tuple[str, Decimal]:
    """Token and amount; old files write [token, amount], or "asset" for "token"."""
    if isinstance(entry, Mapping):
        token, amount = entry.get("token", entry.get("asset")), entry.get("amount")
    elif isinstance(entry, list | tuple) and len(entry) == 2:
        token, amount = entry
    else:
        token, amount = None, None
    if not isinstance(token, str) or not token:
        raise row.fault(_COLUMN, f"has the flat fee {entry!r} without a token")
    return token, _number(amount, row, f"the flat fee in {token}")
