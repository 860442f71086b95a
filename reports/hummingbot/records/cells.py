"""Cells of a record read one by one: what is not as it should be is refused with its row, its column and a mend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from data.errors import ValidationError

# Hummingbot keeps money as whole numbers of a millionth.
DIGITS: Final = 6
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LARGEST: Final = 30  # powers of ten; what is beyond is no amount of anything
_SHOWN: Final = 60
_SECONDS: Final = (10**8, 10**11)
_MILLISECONDS: Final = (10**11, 9 * 10**12)  # 1973 to 2255, which is inside what pandas can tell


def decimal_of(value: object) -> Decimal | None:
    """The number that a cell holds, exactly as written; None where it is none, infinite or NaN."""
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    else:
        text = repr(value) if isinstance(value, float) else str(value).strip()
        if not _NUMBER.fullmatch(text):
            return None
        number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST:
        return Decimal(0) if number == 0 else None
    return number


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file.

    Attributes:
        place: file and row, as messages begin.
        values: by column; None where a cell is empty.
        mend: what to do about a bad cell.
    """

    place: str
    values: Mapping[str, Any]
    mend: str

    def fault(self, column: str, problem: str) -> ValidationError:
        """The error to raise for one cell."""
        return ValidationError(f"{self.place}, column {column}: {problem}; {self.mend}")

    def _present(self, column: str) -> Any:
        value = self.values.get(column)
        if value is None:
            raise self.fault(column, "is empty")
        return value

    def shown(self, column: str) -> str:
        """A cell as messages quote it."""
        text = repr(self.values.get(column))
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."

    def text(self, column: str) -> str:
        """Text that is not empty."""
        value = self._present(column)
        if not isinstance(value, str) or not value.strip():
            raise self.fault(column, f"is {self.shown(column)}, not a text")
        return value.strip()

    def text_or(self, column: str, default: str) -> str:
        """Text, or `default` where the cell is empty or the file has no such column."""
        value = self.values.get(column)
        return default if value is None or value == "" else str(value).strip()

    def number(self, column: str) -> Decimal:
        """A number as it is written."""
        self._present(column)
        number = decimal_of(self.values[column])
        if number is None:
            raise self.fault(column, f"is {self.shown(column)}, not a number")
        return number

    def millionths(self, column: str) -> Decimal:
        """A number that is stored as whole millionths of itself."""
        number = self.number(column)
        if isinstance(self.values[column], str) or number != number.to_integral_value():
            raise self.fault(column, f"is {self.shown(column)}, not a whole number (the value times 1,000,000)")
        return number.scaleb(-DIGITS)

    def milliseconds(self, column: str) -> int:
        """A time in milliseconds since 1970, UTC."""
        number = self.number(column)
        if number != number.to_integral_value() or not _MILLISECONDS[0] <= number < _MILLISECONDS[1]:
            raise self.fault(column, f"is {self.shown(column)}, not a time in milliseconds since 1970 (UTC)")
        return int(number)

    def moment(self, column: str) -> int:
        """A time in seconds or milliseconds since 1970, UTC, told by its size, as nanoseconds."""
        number = self.number(column)
        if _SECONDS[0] <= number < _SECONDS[1]:
            return int(number * 10**9)
        if _MILLISECONDS[0] <= number < _MILLISECONDS[1]:
            return int(number * 10**6)
        raise self.fault(column, f"is {self.shown(column)}, not a time in seconds or milliseconds since 1970 (UTC)")


def symbol_of(pair: str, row: Row, column: str) -> str:
    """Hummingbot's "BTC-USDT" as "BTC/USDT"."""
    base, _, quote = pair.partition("-")
    if not base or not quote or "-" in quote or "/" in pair:
        raise row.fault(column, f"is {pair!r}, not a pair such as 'BTC-USDT'")
    return f"{base}/{quote}"


def bot_of(config_file_path: str) -> str:
    """The bot's name: the stem of its configuration's file."""
    name = config_file_path.replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"\.(yml|yaml|json)$", "", name)
