"""The file of a journal: opened by one writer, written in transactions that are on the disk when they end."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from data.errors import ValidationError
from engine.live.file_lock import lock_file
from engine.live.journal_schema import prepare
from engine.live.keys import redacted

_LOG = logging.getLogger(__name__)
_WAIT: Final = 10.0  # seconds a reader waits for a checkpoint, or a writer for a reader's
_RECENT: Final = 1_000  # orders and states that are kept at hand
_LONGEST_LOG: Final = 20_000  # pages of 4 KiB: SQLite itself moves them into the file only if nobody has by then
_HEARD: Final = frozenset({"incidents", "risk_events", "statements"})


class Entry(NamedTuple):
    """An entry that a person may want to hear of.

    `table`: "incidents", "risk_events" or "statements"; `at`: ns; `about`: symbol of a risk event, author of a
    statement, else "".
    """

    table: str
    run: str
    at: int
    kind: str
    about: str
    detail: dict[str, Any]


class Recent(dict[Any, Any]):
    """What was last read or written, so that it is not read again: at most so many, then it begins anew.

    Only who writes a file knows that nobody else changes it: whoever reads one keeps none.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: Any, value: Any) -> None:
        """Have it at hand."""
        if self._most:
            if len(self) >= self._most:
                self.clear()
            self[key] = value


class JournalFile:
    """The SQLite file; `Journal` says what is in it.

    Args:
        path: the file; made if it is not there.
        clock: ns since 1970 UTC, for the times of the entries.

    Raises:
        ValidationError: another process writes it, or it is no journal of this version.
    """

    def __init__(self, path: str | Path, clock: Callable[[], int] = time.time_ns) -> None:
        self.path, self._clock = Path(path), clock
        self._soon, self._recent = False, Recent(_RECENT)
        self._listeners: list[Callable[[Entry], None]] = []
        self._entries: list[Entry] = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock: Any = lock_file(
            self.path.with_name(f"{self.path.name}.lock"),
            f"journal {self.path}: another process writes it; end that session, or name another file",
        )
        try:
            self._db = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {_LONGEST_LOG}")
            prepare(self._db, str(self.path), may_create=True)
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise ValidationError(f"journal {self.path}: cannot be opened ({error}); name another file") from error
        except ValidationError:
            self._lock.close()
            raise

    @classmethod
    def reading(cls, path: str | Path) -> Self:
        """Open one to read it, also while another process writes it; what writes then raises sqlite3.OperationalError.

        Raises:
            ValidationError: there is no such journal.
        """
        self = cls.__new__(cls)
        self.path, self._clock, self._lock = Path(path), time.time_ns, contextlib.nullcontext()
        self._soon, self._recent = False, Recent(0)
        self._listeners, self._entries = [], []
        if not self.path.is_file():
            raise ValidationError(f"journal {path}: no such file")
        self._db = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT)
        try:
            prepare(self._db, str(path), may_create=False)
        except sqlite3.DatabaseError as error:
            raise ValidationError(f"journal {path}: cannot be read ({error})") from error
        return self

    def close(self) -> None:
        """Close the file and let another process write it."""
        self._db.close()
        if hasattr(self._lock, "close"):
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listen(self, listener: Callable[[Entry], None]) -> None:
        """Call `listener` with every incident, risk event and statement from now on, once it has been written.

        It is called by whoever writes, so it must return at once. What it raises is logged, and stops nobody.
        """
        self._listeners.append(listener)

    @contextlib.contextmanager
    def _writing(self, *, soon: bool = False) -> Iterator[None]:
        """One transaction: all of it is on the disk at the end, or nothing.

        With `soon` it is with the operating system at the end, and survives this process; it is on the disk, before
        all that comes after it, at the end of the next transaction without `soon`.
        """
        if soon is not self._soon:
            self._db.execute("PRAGMA synchronous = NORMAL" if soon else "PRAGMA synchronous = FULL")
            self._soon = soon
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._commit()
        finally:  # a crash of any kind before the commit leaves nothing behind
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
                self._recent.clear()
                self._entries.clear()
        self._tell_listeners()

    def _commit(self) -> None:
        self._db.execute("COMMIT")

    def tidy(self) -> None:
        """Move what was written from the log into the file: it takes milliseconds, so not while an order waits."""
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _insert(self, table: str, *values: Any) -> None:
        with self._writing():
            self._add(table, *values)

    def _add(self, table: str, *values: Any, unless_there: bool = False) -> bool:
        """Add a row; whether it was added, and not left out as one that is there already."""
        marks, rest = ", ".join("?" * len(values)), " ON CONFLICT DO NOTHING" if unless_there else ""
        added = self._db.execute(f"INSERT INTO {table} VALUES ({marks}){rest}", values)  # noqa: S608  (a table of ours)
        if self._listeners and table in _HEARD:
            _, run, at, kind, *about, detail = values  # the first is a number, the last one JSON
            self._entries.append(Entry(table, run, at, kind, "".join(about), json.loads(detail)))
        return added.rowcount == 1

    def _tell_listeners(self) -> None:
        entries, self._entries = self._entries, []
        for entry in entries:
            for listener in self._listeners:
                try:
                    listener(entry)
                except Exception as error:  # noqa: BLE001  (what was written stands, whoever was to hear of it)
                    _LOG.warning("journal %s: nobody was told of %r (%s)", self.path, entry.kind, redacted(repr(error)))


def as_text(detail: Mapping[str, Any]) -> str:
    """A detail as JSON without keys; what JSON does not know goes in as its text."""
    return redacted(json.dumps(_masked(detail), sort_keys=True))


def _masked(value: Any) -> Any:
    """Masked before it becomes JSON: what is JSON already would be escaped once more."""
    if isinstance(value, Mapping):
        return {redacted(str(key)): _masked(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else redacted(str(value))
