"""One moment of a database that a bot may be writing: all tables read in one read transaction, and let go at once.

The file is opened read-only. In the rollback-journal mode, which Hummingbot uses, a reader keeps the bot from
committing while it reads; so the rows are fetched as they are, and looked at after the file is closed.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from data.errors import ValidationError

_WAL: Final = b"\x02\x02"
_HEADER: Final = 100
_ATTEMPTS: Final = 3
_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they are stored.

    Attributes:
        declared: the type that each column was declared with, in the order of the columns.
        rows: one tuple a row, the row's number first, then the columns' values.
    """

    declared: Mapping[str, str]
    rows: list[tuple[Any, ...]]


def read_snapshot(path: Path, tables: Mapping[str, tuple[str, ...] | None], wait: float) -> dict[str, Table]:
    """The tables that are there, all of one moment.

    Args:
        path: a SQLite file.
        tables: by name, the columns to read where they are there, None for all.
        wait: seconds to wait for a writer that locks the file.

    Raises:
        ValidationError: it is locked for longer, is damaged, or is no SQLite database.
    """
    for attempt in range(_ATTEMPTS):
        # A database in WAL mode whose log is gone was closed in order. Opened plainly, even to read, SQLite would leave
        # two new files beside it; opened as one that nobody changes, none. That nobody did is looked at afterwards.
        asleep = _is_wal(path) and not _log(path).exists()
        before = path.stat()
        try:
            found = _read(path, tables, wait, immutable=asleep)
        except sqlite3.Error as error:
            if not (asleep and attempt + 1 < _ATTEMPTS and _changed(path, before)):
                raise _told(path, error, wait) from error
        else:
            if not (asleep and _changed(path, before)):
                return found
        time.sleep(0.05)
    raise ValidationError(f"{path}: a program opened it just now, at each of {_ATTEMPTS} attempts; read it again")


def _changed(path: Path, before: Any) -> bool:
    after = path.stat()
    return _log(path).exists() or (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size)


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _is_wal(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(_HEADER)[18:20] == _WAL


def _read(
    path: Path, tables: Mapping[str, tuple[str, ...] | None], wait: float, *, immutable: bool
) -> dict[str, Table]:
    uri = f"file:{quote(str(path.resolve()))}?mode=ro{'&immutable=1' if immutable else ''}"
    connection = sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None)
    try:
        connection.execute("BEGIN")  # deferred: the first SELECT takes the moment, and every later one has the same
        names = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return {name: _table(connection, name, wanted) for name, wanted in tables.items() if name in names}
    finally:
        connection.close()


def _table(connection: sqlite3.Connection, name: str, wanted: tuple[str, ...] | None) -> Table:
    declared = {str(row[1]): str(row[2]) for row in connection.execute(f'PRAGMA table_info("{name}")')}
    # Unknown columns are told of, not read: a table may hold an order book a row.
    columns = [column for column in declared if wanted is None or column in wanted]
    chosen = ", ".join(["rowid", *(f'"{column}"' for column in columns)])
    rows = connection.execute(f'SELECT {chosen} FROM "{name}" ORDER BY rowid').fetchall()  # noqa: S608  # names of ours
    return Table(declared, rows)


def _told(path: Path, error: sqlite3.Error, wait: float) -> ValidationError:
    """What SQLite's error means for whoever asked."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(_BUSY):
        return ValidationError(
            f"{path}: locked by another program for longer than {wait:g} s ({error}); try again when the bot is not "
            "writing, or give a longer wait="
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return ValidationError(
            f"{path}: cannot be read without writing ({error}): a bot was cut off in the middle of a write, or the "
            "folder may not be written to; copy the file with its -journal, -wal and -shm to a folder of your own, "
            "open the copy once with sqlite3, and read that"
        )
    return ValidationError(
        f"{path}: damaged, or no SQLite database ({error}); take a whole copy (with its -wal, if there is one), or "
        "recover it with sqlite3's .recover"
    )
