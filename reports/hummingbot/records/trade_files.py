"""Hummingbot's records of a bot's trades, of any kind, read into a `TradeHistory`."""

from __future__ import annotations

import datetime as dt
import math
import zoneinfo
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from data.errors import ValidationError
from reports.hummingbot.records.cells import DIGITS
from reports.hummingbot.records.csv_files import kind_of_csv, read_export_csv, read_trades_csv
from reports.hummingbot.records.database import read_database
from reports.hummingbot.records.duplicates import without_duplicates
from reports.hummingbot.records.executor_rows import executor_table
from reports.hummingbot.records.fill import Fill, fill_table
from reports.hummingbot.records.history import TradeHistory, funding_table, summed_note

_MAGIC: Final = b"SQLite format 3\x00"
_CUT: Final = Decimal(1).scaleb(-DIGITS)
_HIGHEST_RATE: Final = 0.1
_AGREES: Final = Decimal("0.001")  # of a fee: what is further off is worth a note


def read_trades(
    path: str | Path, *, timezone: str | dt.tzinfo | None = None, fee: float | None = None, wait: float = 10.0
) -> TradeHistory:
    """A bot's trades, from the file in which Hummingbot recorded them; its kind is told by what is in it.

    Args:
        path: `data/<configuration>.sqlite`, also while the bot writes it (it is opened read-only and read as of one
            moment); an older Hummingbot's `trades_<configuration>.csv`; or a file that `export trades` wrote.
        timezone: for an `export trades` file alone, and required there: the zone of the machine that the bot ran on,
            an IANA name such as "Europe/Berlin", or a tzinfo.
        fee: for an `export trades` file alone, and required there: what each fill paid, a fraction of its notional
            (0.0006 for 0.06%), in quote currency; negative for a rebate.
        wait: seconds to wait for a bot that holds the database locked.

    Returns:
        Fills, executors and funding payments by time, each fill once; see `TradeHistory`.

    Raises:
        ValidationError: naming the file, and where there is one the row and column: it is missing, of no known kind,
            damaged, or locked for longer than `wait`; a cell is not what it should be; two rows of one trade differ;
            `timezone` or `fee` is missing, or given where the file has its own.
    """
    file = Path(path)
    kind = _kind(file)
    _check_arguments(file, kind, timezone, fee, wait)
    executors, funding = executor_table([]), funding_table([])
    exact: set[int] = set()
    if kind == "sqlite":
        fills, exact, executors, funding, notes = read_database(file, wait)
    elif kind == "trades csv":
        fills, notes = read_trades_csv(file)
    else:
        fills, notes = read_export_csv(file, _zone(timezone), Decimal(repr(float(fee or 0.0))))
    kept, said = without_duplicates(fills)
    notes += said
    exact = {number for number in kept if number in exact}
    ranked = sorted(kept, key=lambda number: fills[number].time)
    notes += _cut_notes([fills[number] for number in ranked if number not in exact], kind)
    fills = [fills[number] for number in ranked]
    notes += _fee_notes(fills)
    unknown = sum(fill.price.is_nan() for fill in fills)
    if unknown:
        notes.append(f"{unknown:,} fills have the price 0 in the file, which stands for none: NaN")
    table = fill_table(fills)
    return TradeHistory(
        fills=table,
        executors=executors,
        funding=funding,
        source=str(file),
        kind=kind,
        notes=(*notes, *summed_note(table)),
    )


def _kind(file: Path) -> str:
    if not file.is_file():
        raise ValidationError(f"{file}: no such file; Hummingbot keeps a bot's trades in data/<configuration>.sqlite")
    with file.open("rb") as opened:
        head = opened.read(len(_MAGIC))
    if not head:
        raise ValidationError(f"{file}: an empty file: the bot has written nothing into it, or the copy failed")
    return "sqlite" if head == _MAGIC else kind_of_csv(file)


def _check_arguments(file: Path, kind: str, timezone: str | dt.tzinfo | None, fee: float | None, wait: float) -> None:
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait < math.inf:
        raise ValidationError(f"read_trades: wait={wait!r}: give seconds, 0 or more")
    given = {"timezone": timezone, "fee": fee}
    if kind != "export trades csv":
        surplus = [name for name, value in given.items() if value is not None]
        if surplus:
            raise ValidationError(
                f"{file}: {' and '.join(surplus)} given, but this file has its own times (UTC) and fees; leave them out"
            )
        return
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise ValidationError(
            f"{file}: a file of `export trades` has local times and no fees: give {' and '.join(missing)}, as in "
            "read_trades(path, timezone='Europe/Berlin', fee=0.0006); or read the bot's database, which has both"
        )
    if isinstance(fee, bool) or not isinstance(fee, int | float) or not -_HIGHEST_RATE <= fee <= _HIGHEST_RATE:
        raise ValidationError(f"read_trades: fee={fee!r}: give a fraction of notional, 0.0006 for 0.06%")


def _zone(timezone: str | dt.tzinfo | None) -> dt.tzinfo:
    # pytz's zones do not tell the offset of a time that they are attached to: by their name they do.
    name = timezone if isinstance(timezone, str) else getattr(timezone, "zone", None)
    if isinstance(name, str):
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValidationError(
                f"read_trades: timezone={name!r} is not known; give an IANA name such as 'Europe/Berlin' or 'UTC'"
            ) from error
    if isinstance(timezone, dt.tzinfo):
        return timezone
    raise ValidationError(f"read_trades: timezone={timezone!r}: give an IANA name such as 'Europe/Berlin', or a tzinfo")


def _cut_notes(fills: Sequence[Fill], kind: str) -> list[str]:
    """What cutting to a millionth can have cost, of the fills that are not known exactly."""
    whole = [fill for fill in fills if not fill.price.is_nan()]
    if not whole:
        return []
    if kind == "trades csv" and any(_digits(fill) > DIGITS for fill in whole):
        return []  # written before Hummingbot cut anything
    amount = max(_CUT / fill.amount for fill in whole)
    price = max(_CUT / fill.price for fill in whole)
    by_quote: dict[str, Decimal] = {}
    for fill in whole:
        quote = fill.symbol.split("/")[1]
        by_quote[quote] = by_quote.get(quote, Decimal(0)) + _CUT * (fill.price + fill.amount)
    notional = ", ".join(f"{value:.2g} {quote}" for quote, value in by_quote.items())
    note = (
        f"amounts and prices of {len(whole):,} fills are cut to a millionth in the file: less than {amount:.2g} of an "
        f"amount, {price:.2g} of a price, and {notional} of notional in all"
    )
    return [note]


def _digits(fill: Fill) -> int:
    exponents = (value.as_tuple().exponent for value in (fill.price, fill.amount))
    return max(-exponent if isinstance(exponent, int) else 0 for exponent in exponents)


def _fee_notes(fills: Sequence[Fill]) -> list[str]:
    notes = []
    payable = Counter(fill.payable_in for fill in fills if fill.payable_in)
    for token, count in payable.items():
        notes.append(f"{count:,} fees are a percentage payable in {token}: kept at their worth in quote currency")
    apart = 0
    for fill in fills:
        base, quote = fill.symbol.split("/")
        if fill.fee_in_quote is None or set(fill.fees) - {base, quote} or fill.price.is_nan():
            continue
        worth = fill.fees.get(quote, Decimal(0)) + fill.fees.get(base, Decimal(0)) * fill.price
        apart += abs(worth - fill.fee_in_quote) > 10 * _CUT + _AGREES * abs(worth)
    if apart:
        notes.append(f"{apart:,} fills have a trade_fee_in_quote that their trade_fee is not: the latter is used")
    return notes
