"""Hummingbot's SQLite database, `data/<configuration>.sqlite`, into fills, executors and funding payments."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pandas as pd

from data.errors import ValidationError
from reports.hummingbot.records.cells import Row, bot_of, symbol_of
from reports.hummingbot.records.exact_amounts import exact_fills, restore
from reports.hummingbot.records.executor_rows import executor_table, read_executor
from reports.hummingbot.records.fees import fees_of, parse_json
from reports.hummingbot.records.fill import (
    Fill,
    leverage_of,
    pair_of,
    position_of,
    price_and_amount,
    side_of,
)
from reports.hummingbot.records.history import funding_table
from reports.hummingbot.records.snapshot import Table, read_snapshot

_TRADE_FILL: Final = (
    "config_file_path market symbol timestamp order_id trade_type order_type price amount trade_fee exchange_trade_id"
)
_EXECUTORS: Final = (
    "id timestamp type close_type close_timestamp config net_pnl_pct net_pnl_quote cum_fees_quote filled_amount_quote "
    "custom_info"
)
# By table: the columns that must be there, those that need not, and those that are known and not needed.
_COLUMNS: Final = {
    "TradeFill": (
        _TRADE_FILL,
        "leverage position trade_fee_in_quote",
        "id strategy base_asset quote_asset",
    ),
    "Executors": (
        _EXECUTORS,
        "is_active controller_id",
        "status is_trading",
    ),
    "FundingPayment": ("timestamp config_file_path market rate symbol amount", "", ""),
    "MarketState": ("saved_state", "", "id config_file_path market timestamp"),
    "RangePositionUpdate": ("id", "", ""),
}
_MEND: Final = "repair or delete that row in a copy of the database, and read the copy"
_FLOATS: Final = ("FLOA", "REAL", "DOUB")  # how SQLite tells a column of floats


def read_database(path: Path, wait: float) -> tuple[list[Fill], set[int], pd.DataFrame, pd.DataFrame, list[str]]:
    """Fills in the order of the file, which of them are exact, executors, funding, and notes.

    Raises:
        ValidationError: locked, damaged, not Hummingbot's, or a cell that is not as it should be.
    """
    wanted = {name: tuple(" ".join(columns[:2]).split()) for name, columns in _COLUMNS.items()}
    tables = read_snapshot(path, wanted, wait)
    notes = _check_columns(path, tables)
    documents, executors = _read_executors(path, tables.get("Executors"))
    documents += _read_states(path, tables.get("MarketState"), notes)
    fills, exact = _read_fills(path, tables["TradeFill"], documents, notes)
    _join(fills, executors)
    funding = _read_funding(path, tables.get("FundingPayment"))
    if "RangePositionUpdate" in tables and tables["RangePositionUpdate"].rows:
        count = len(tables["RangePositionUpdate"].rows)
        notes.append(f"{count:,} changes of liquidity positions (RangePositionUpdate) are not read")
    return fills, exact, executor_table(executors), funding, notes


def _check_columns(path: Path, tables: Mapping[str, Table]) -> list[str]:
    """What the tables lack and what they have that is not known, as notes.

    Raises:
        ValidationError: no table of fills, or a column that is needed is missing.
    """
    if "TradeFill" not in tables:
        raise ValidationError(
            f"{path}: has no table TradeFill: no trades database of Hummingbot's, or one in which no bot ever ran; "
            "it lies at data/<configuration>.sqlite"
        )
    notes = []
    for name, (needed, optional, known) in _COLUMNS.items():
        if name not in tables:
            if name in {"Executors", "FundingPayment"}:
                notes.append(f"the database has no table {name} (an older Hummingbot's): taken as empty")
            continue
        declared = tables[name].declared
        missing = [column for column in needed.split() if column not in declared]
        if missing:
            raise ValidationError(
                f"{path}: table {name} has no column {', '.join(missing)} (it has {', '.join(declared)}); open the "
                "database once with a newer Hummingbot, which brings it up to date, or fetch a whole copy"
            )
        absent = [column for column in optional.split() if column not in declared]
        if absent:
            notes.append(f"table {name} has no column {', '.join(absent)} (an older Hummingbot's)")
        strange = [column for column in declared if column not in f"{needed} {optional} {known}".split()]
        if strange and name in {"TradeFill", "Executors", "FundingPayment"}:
            notes.append(f"table {name} has columns that are not known and not read: {', '.join(strange)}")
    return notes


def _rows(path: Path, name: str, table: Table, needed: tuple[str, ...]) -> list[Row]:
    columns = [column for column in table.declared if column in needed]
    return [Row(f"{path}: {name} row {row[0]}", dict(zip(columns, row[1:], strict=True)), _MEND) for row in table.rows]


def _wanted(name: str) -> tuple[str, ...]:
    return tuple(" ".join(_COLUMNS[name][:2]).split())


def _read_fills(path: Path, table: Table, documents: list[Any], notes: list[str]) -> tuple[list[Fill], set[int]]:
    plain = table.declared["price"].upper().startswith(_FLOATS)
    if plain:
        notes.append("an older Hummingbot's database: prices and amounts are floats as the bot had them")
    rows = _rows(path, "TradeFill", table, _wanted("TradeFill"))
    fills = [_read_fill(row, plain=plain) for row in rows]
    exact = set(range(len(fills))) if plain else restore(fills, _merged(documents))

    for row, fill in zip(rows, fills, strict=True):
        fee = parse_json(row.values.get("trade_fee"), row, "trade_fee")
        fill.fees, fill.payable_in = fees_of(
            fee, row, side=fill.side, symbol=fill.symbol, spot=fill.spot, notional=fill.notional, amount=fill.amount
        )

    if exact and not plain:
        notes.append(f"{len(exact):,} fills have their exact amount and price, from the orders that the bot kept")
    return fills, exact


def _merged(documents: list[Any]) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    known: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for document in documents:
        known |= exact_fills(document)
    return known


def _read_fill(row: Row, *, plain: bool) -> Fill:
    number = row.number if plain else row.millionths
    price, amount = price_and_amount(row, number("price"), number("amount"), ("price", "amount"))
    in_quote = row.values.get("trade_fee_in_quote")
    return Fill(
        place=row.place,
        time=row.milliseconds("timestamp") * 10**6,
        bot=bot_of(row.text("config_file_path")),
        exchange=row.text("market"),
        symbol=pair_of(row, "symbol"),
        side=side_of(row, "trade_type"),
        order_type=row.text("order_type").upper(),
        price=price,
        amount=amount,
        position=position_of(row, "position"),
        leverage=leverage_of(row, "leverage"),
        order_id=row.text("order_id"),
        trade_id=row.text_or("exchange_trade_id", ""),
        fee_in_quote=None if in_quote is None else row.millionths("trade_fee_in_quote"),
    )


def _read_executors(path: Path, table: Table | None) -> tuple[list[Any], list[dict[str, Any]]]:
    documents, executors = [], []
    for row in [] if table is None else _rows(path, "Executors", table, _wanted("Executors")):
        executor, info = read_executor(row)
        executors.append(executor)
        documents.append(info)
    return documents, executors


def _read_states(path: Path, table: Table | None, notes: list[str]) -> list[Any]:
    documents = []
    for row in [] if table is None else _rows(path, "MarketState", table, _wanted("MarketState")):
        try:
            documents.append(parse_json(row.values.get("saved_state"), row, "saved_state"))
        except ValidationError:
            # It only serves to make amounts exact: without it the fills are what they were.
            notes.append(f"{row.place.removeprefix(f'{path}: ')} is not JSON: no exact amounts from it")
    return documents


def _join(fills: list[Fill], executors: list[dict[str, Any]]) -> None:
    """Tell each fill its executor, by the orders' ids, and each executor its bot: its fills', or the only one."""
    bots = {fill.bot for fill in fills}
    for executor in executors if len(bots) == 1 else []:
        executor["bot"] = next(iter(bots))
    by_order = {order_id: executor for executor in executors for order_id in executor["order_ids"]}
    for fill in fills:
        if fill.order_id in by_order:
            own = by_order[fill.order_id]
            fill.executor = own["id"]
            own["bot"] = own["bot"] or fill.bot


def _read_funding(path: Path, table: Table | None) -> pd.DataFrame:
    rows = []
    for row in [] if table is None else _rows(path, "FundingPayment", table, _wanted("FundingPayment")):
        bot, exchange, pair = (row.text(name) for name in ("config_file_path", "market", "symbol"))
        symbol = symbol_of(pair, row, "symbol")
        rate, amount = float(row.number("rate")), float(row.number("amount"))
        rows.append((row.moment("timestamp"), bot_of(bot), exchange, symbol, rate, amount))
    return funding_table(rows)
