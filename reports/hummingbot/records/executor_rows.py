"""The executors that a bot recorded, as a table, and which fills were theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from reports.hummingbot.records.cells import Row, decimal_of
from reports.hummingbot.records.exact_amounts import orders_in
from reports.hummingbot.records.fees import parse_json

EXECUTOR_COLUMNS: Final = (
    "id",
    "bot",
    "exchange",
    "symbol",
    "controller",
    "type",
    "opened_at",
    "closed_at",
    "side",
    "amount",
    "entry_price",
    "close_price",
    "close_type",
    "pnl_pct",
    "pnl",
    "fees",
    "volume",
    "active",
    "order_ids",
)
_TIMES: Final = ("opened_at", "closed_at")
_NUMBERS: Final = ("amount", "entry_price", "close_price", "pnl_pct", "pnl", "fees", "volume")
_CLOSE_TYPES: Final = {
    1: "TIME_LIMIT",
    2: "STOP_LOSS",
    3: "TAKE_PROFIT",
    4: "EXPIRED",
    5: "EARLY_STOP",
    6: "TRAILING_STOP",
    7: "INSUFFICIENT_BALANCE",
    8: "FAILED",
    9: "COMPLETED",
    10: "POSITION_HOLD",
}
_SIDES: Final = {1: "BUY", 2: "SELL"}


def read_executor(row: Row) -> tuple[dict[str, Any], Any]:
    """One executor by column (its bot is told by its fills), and its `custom_info`."""
    config = parse_json(row.values.get("config"), row, "config")
    info = parse_json(row.values.get("custom_info"), row, "custom_info")
    for name, document in (("config", config), ("custom_info", info)):
        if not isinstance(document, dict):
            raise row.fault(name, f"is {row.shown(name)}, not a JSON object")
    closed = row.values.get("close_timestamp")
    side = decimal_of(config.get("side", info.get("side")))
    return {
        "id": row.text("id"),
        "bot": "",
        "exchange": _text(config.get("connector_name")),
        "symbol": _text(config.get("trading_pair")).replace("-", "/"),
        "controller": row.text_or("controller_id", ""),
        "type": row.text("type"),
        "opened_at": row.moment("timestamp"),
        "closed_at": None if closed is None else row.moment("close_timestamp"),
        "side": "" if side is None else _SIDES.get(int(side), ""),
        "amount": _float(config.get("amount")),
        "entry_price": _float(info.get("current_position_average_price")),
        "close_price": _float(info.get("close_price")),
        "close_type": _close_type(row),
        "pnl_pct": float(row.number("net_pnl_pct")),
        "pnl": float(row.number("net_pnl_quote")),
        "fees": float(row.number("cum_fees_quote")),
        "volume": float(row.number("filled_amount_quote")),
        "active": bool(row.values.get("is_active")),
        "order_ids": _order_ids(info),
    }, info


def executor_table(executors: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The executors as a table, by time of creation."""
    ranked = sorted(executors, key=lambda executor: executor["opened_at"])
    columns: dict[str, Any] = {}
    for name in EXECUTOR_COLUMNS:
        values = [executor[name] for executor in ranked]
        if name in _TIMES:
            columns[name] = pd.to_datetime(pd.Series(values, dtype="Int64"), unit="ns", utc=True)
        elif name in _NUMBERS:
            columns[name] = pd.Series(values, dtype="float64")
        elif name == "active":
            columns[name] = pd.Series(values, dtype="bool")
        else:
            columns[name] = pd.Series(values, dtype="object" if name == "order_ids" else "str")
    return pd.DataFrame(columns, columns=list(EXECUTOR_COLUMNS))


def _close_type(row: Row) -> str:
    code = row.values.get("close_type")
    if code is None:
        return ""
    # A later release may have further ones: its number says more than an error would.
    return _CLOSE_TYPES.get(int(row.number("close_type")), str(code))


def _order_ids(info: dict[str, Any]) -> tuple[str, ...]:
    """The ids of its orders, each once: most kinds list them, some keep the orders themselves."""
    listed = info.get("order_ids")
    found = [str(name) for name in listed if name] if isinstance(listed, list) else []
    if info.get("order_id"):
        found.append(str(info["order_id"]))
    found += [str(order["client_order_id"]) for order in orders_in(info)]
    return tuple(dict.fromkeys(found))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _float(value: Any) -> float:
    number = decimal_of(value)
    return np.nan if number is None else float(number)
