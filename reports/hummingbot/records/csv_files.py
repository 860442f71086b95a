"""Hummingbot's two kinds of CSV file: what it once wrote by itself, and what its `export trades` command writes."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

from data.errors import ValidationError
from reports.hummingbot.records.cells import Row, bot_of
from reports.hummingbot.records.fees import fees_of, parse_fee_text
from reports.hummingbot.records.fill import (
    Fill,
    leverage_of,
    pair_of,
    position_of,
    price_and_amount,
    side_of,
)

# The columns that must be there, and those that need not.
_TRADES: Final = (
    "exchange_trade_id config_file_path market symbol timestamp order_id trade_type order_type price amount trade_fee",
    "strategy base_asset quote_asset leverage trade_fee_in_quote position age",
)
_EXPORT: Final = ("Id Timestamp Exchange Market Order_type Side Price Amount", "Leverage Position Age")
_MEND: Final = "correct that line in a copy of the file, or read the bot's database data/<configuration>.sqlite"


def kind_of_csv(path: Path) -> str:
    """Which of the two a file is by its first line, "trades csv" or "export trades csv".

    Raises:
        ValidationError: neither.
    """
    try:
        with path.open("r", encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValidationError(f"{path}: neither a SQLite database nor a CSV file of text ({error})") from error
    names = {name.strip() for name in header}
    if names & {"exchange_trade_id", "config_file_path", "trade_type"}:
        return "trades csv"
    if names & {"Order_type", "Side"} and names & {"Id", "Timestamp", "Exchange"}:
        return "export trades csv"
    begins = ",".join(header)[:80]
    raise ValidationError(
        f"{path}: no record of Hummingbot's: its first line is {begins!r}; give data/<configuration>.sqlite, a "
        "trades_<configuration>.csv with its header, or a file that `export trades` wrote"
    )


def read_trades_csv(path: Path) -> tuple[list[Fill], list[str]]:
    """Fills of a `trades_<configuration>.csv` in the order of the file, and notes.

    Raises:
        ValidationError: naming line and column.
    """
    fills: list[Fill] = []
    notes: list[str] = []
    for row in _rows(path, _TRADES, notes):
        price, amount = price_and_amount(row, row.number("price"), row.number("amount"), ("price", "amount"))
        in_quote = row.values.get("trade_fee_in_quote")
        fill = Fill(
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
            fee_in_quote=None if in_quote is None else row.number("trade_fee_in_quote"),
        )
        fill.fees, fill.payable_in = fees_of(
            parse_fee_text(row),
            row,
            side=fill.side,
            symbol=fill.symbol,
            spot=fill.spot,
            notional=fill.notional,
            amount=fill.amount,
        )
        fills.append(fill)
    return fills, notes


def read_export_csv(path: Path, zone: dt.tzinfo, rate: Decimal) -> tuple[list[Fill], list[str]]:
    """Fills of an `export trades` file in the order of the file, and notes.

    Args:
        path: the file.
        zone: of the machine that the bot ran on.
        rate: fee as a fraction of notional, quote currency.

    Raises:
        ValidationError: naming line and column; also for a local time that is there twice or never.
    """
    fills: list[Fill] = []
    notes: list[str] = []
    for row in _rows(path, _EXPORT, notes):
        price, amount = price_and_amount(row, row.number("Price"), row.number("Amount"), ("Price", "Amount"))
        symbol = pair_of(row, "Market")
        paid = price * amount * rate
        fills.append(
            Fill(
                place=row.place,
                time=_local_time(row, "Timestamp", zone),
                bot="",
                exchange=row.text("Exchange"),
                symbol=symbol,
                side=side_of(row, "Side"),
                order_type=row.text("Order_type").upper(),
                price=price,
                amount=amount,
                position=position_of(row, "Position"),
                leverage=leverage_of(row, "Leverage"),
                order_id="",
                trade_id=row.text_or("Id", ""),
                fees={} if paid == 0 else {symbol.split("/")[1]: paid},
            )
        )
    notes.append(f"the file has no fees: {rate} of each fill's notional, in quote currency, was given")
    notes.append(f"times are of a whole second, read as local time of {zone}")
    return fills, notes


def _rows(path: Path, columns: tuple[str, str], notes: list[str]) -> Iterator[Row]:
    needed, optional = (names.split() for names in columns)
    with path.open("r", encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(lines)]
            missing = [name for name in needed if name not in header]
            if missing or len(set(header)) < len(header):
                wrong = f"has no column {', '.join(missing)}" if missing else "names a column twice"
                raise ValidationError(f"{path}: line 1 {wrong} (it has {', '.join(header)}); {_MEND}")
            absent = [name for name in optional if name not in header]
            if absent:
                notes.append(f"the file has no column {', '.join(absent)}")
            strange = [name for name in header if name not in {*needed, *optional}]
            if strange:
                notes.append(f"the file has columns that are not known and not read: {', '.join(strange)}")
            for cells in lines:
                if not cells:
                    continue  # a blank line
                place = f"{path}: line {lines.line_num}"
                if len(cells) != len(header):
                    raise ValidationError(
                        f"{place}: {len(cells)} cells where the header has {len(header)} columns; if it is the last, "
                        f"the bot may be writing it: read the file again; else {_MEND}"
                    )
                yield Row(place, {name: cell or None for name, cell in zip(header, cells, strict=True)}, _MEND)
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValidationError(f"{path}: line {lines.line_num}: not a line of CSV ({error}); {_MEND}") from error


def _local_time(row: Row, column: str, zone: dt.tzinfo) -> int:
    """Nanoseconds since 1970, UTC, of a time that is written without a zone."""
    text = row.text(column)
    try:
        local = dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
    except ValueError as error:
        raise row.fault(column, f"is {text!r}, not a time such as '2024-03-31 12:00:00'") from error
    early, late = local.utcoffset(), local.replace(fold=1).utcoffset()
    if early is None or late is None:
        raise row.fault(column, f"is {text!r}, which timezone {zone} cannot place")
    if early != late:
        what = "happened twice" if early > late else "never happened"
        raise row.fault(
            column, f"is {text!r}, which {what} in {zone}, as the clocks changed: this file does not tell the moment"
        )
    moment = (local.replace(tzinfo=dt.UTC) - early).timestamp()
    return round(moment) * 10**9
