"""Which strategy stands on which rung: events in a SQLite file, each holding the hash of the one before it.

    book = Registry()                      # $LADDER_RECORDS, else records/ in the candle store's folder
    book.events()                          # raises where a row was altered or taken away
    book.standings()                       # the latest of each strategy

Events are only ever added, each in one transaction: several processes may promote at once. The chain shows what was
edited by hand; it is no signature, and who writes the whole file anew, with all hashes, is not found out by it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from data.errors import ValidationError
from data.store import Store
from reports.promotion.evidence import Rung
from reports.promotion.subject import canonical, digest_of

_FILE: Final = "registry.sqlite"
_APPLICATION: Final = 0x4C415031  # "LAP1": tells a registry from any other SQLite file
_VERSION: Final = 1
_WAIT: Final = 60.0  # seconds for another process to finish its event
_FIRST: Final = "0" * 64
_TABLES: Final = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, event TEXT NOT NULL, line TEXT NOT NULL,
    strategy TEXT NOT NULL, label TEXT NOT NULL, rung TEXT NOT NULL, record TEXT NOT NULL, by TEXT NOT NULL,
    reason TEXT NOT NULL, previous TEXT NOT NULL, digest TEXT NOT NULL
);
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are only added to'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are only added to'); END;
"""

Kind = Literal["promoted", "refused", "demoted", "halted"]


@dataclass(frozen=True)
class Event:
    """One step of a strategy.

    Attributes:
        at: when, UTC.
        event: "promoted"; "refused": judged, and not let up; "demoted" by a person; "halted" by a session's watch.
        line: which strategy (`reports.promotion.subject.line_of`).
        strategy: its class's import path.
        label: it, with parameters, market and exchange, to read.
        rung: that it climbed to, was refused, or was taken from.
        record: of the verdict that it rests on.
        by: who.
        reason: why, where somebody gave one.
    """

    at: str
    event: Kind
    line: str
    strategy: str
    label: str
    rung: Rung
    record: str
    by: str
    reason: str = ""

    @property
    def standing(self) -> Rung | None:
        """The rung that it stands on after it; None for none."""
        return self.rung if self.event == "promoted" else None

    def digest(self, number: int, previous: str) -> str:
        """SHA-256 of it, its number and the hash before it."""
        return digest_of(canonical([number, *astuple(self), previous]))


_COLUMNS: Final = ", ".join(item.name for item in fields(Event))


class Registry:
    """A folder of records, and what became of them.

    Args:
        folder: where; None for $LADDER_RECORDS, else records/ in the candle store's folder.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder)
        self.path = self.folder / _FILE

    def events(self) -> list[Event]:
        """All of them, the oldest first; none where nothing was recorded yet.

        Raises:
            ValidationError: the file is no registry, or its chain is broken; names the row.
        """
        if not self.path.is_file():
            return []
        with self._connection(f"{self.path.resolve().as_uri()}?mode=ro") as connection:
            if _is_empty(connection):  # its first event was never finished
                return []
            self._check_kind(connection)
            return self._read(connection)

    def standings(self) -> dict[str, Event]:
        """The event that a strategy's standing rests on, by line: what was refused leaves it as it is."""
        return latest(self.events())

    @contextmanager
    def adding(self) -> Iterator[Adding]:
        """A transaction of its own: no other process adds meanwhile, and all of it is kept or nothing.

        Raises:
            ValidationError: the file cannot be written, is no registry, or its chain is broken.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValidationError(
                f"records {self.folder}: cannot be made ({error}); name another folder with registry="
            ) from error
        with self._connection(f"{self.path.resolve().as_uri()}?mode=rwc") as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                if _is_empty(connection):
                    self._make(connection)
                self._check_kind(connection)
                yield Adding(connection, self._read(connection))
                connection.execute("COMMIT")
            finally:  # whatever ended it before: nothing was added
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _make(self, connection: sqlite3.Connection) -> None:
        table, *triggers = _TABLES.strip().split("CREATE TRIGGER ")
        for statement in (table, *(f"CREATE TRIGGER {one}" for one in triggers)):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")

    def _check_kind(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION:
            raise ValidationError(f"registry {self.path}: it is no registry of promotions; name another folder")
        if version != _VERSION:
            raise ValidationError(f"registry {self.path}: its version is {version}, this Ladder reads {_VERSION}")

    def _read(self, connection: sqlite3.Connection) -> list[Event]:
        rows = connection.execute(f"SELECT id, {_COLUMNS}, previous, digest FROM events ORDER BY id").fetchall()  # noqa: S608
        counted = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        previous, found = _FIRST, []
        for at, (number, *values, before, digest) in enumerate(rows, start=1):
            event = Event(*values)
            if number != at:
                raise self._broken(f"row {at} is gone")
            if before != previous or event.digest(number, previous) != digest:
                raise self._broken(f"row {number} ({event.event} {event.label}, {event.at}) has been altered")
            previous = digest
            found.append(event)
        if (counted[0] if counted else 0) != len(rows):
            raise self._broken(f"rows after {len(rows)} are gone")
        return found

    def _broken(self, what: str) -> ValidationError:
        return ValidationError(
            f"registry {self.path}: {what}, and not by Ladder: nothing in it can be relied on; bring the file back "
            "from a copy, or begin another folder (LADDER_RECORDS) and promote again"
        )

    @contextmanager
    def _connection(self, address: str) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(address, uri=True, timeout=_WAIT, isolation_level=None)
            try:
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise ValidationError(
                f"registry {self.path}: {error}; see to the file, or name another folder with registry="
            ) from error


class Adding:
    """An open transaction of a registry.

    Args:
        connection: in the transaction.
        events: those that are there.
    """

    def __init__(self, connection: sqlite3.Connection, events: list[Event]) -> None:
        self._connection, self.events = connection, events

    def add(self, event: Event) -> None:
        """One more."""
        number = len(self.events) + 1
        previous = _FIRST
        if self.events:
            (previous,) = self._connection.execute("SELECT digest FROM events ORDER BY id DESC LIMIT 1").fetchone()
        values = (number, *astuple(event), previous, event.digest(number, previous))
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO events VALUES ({marks})", values)  # noqa: S608
        self.events.append(event)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def latest(events: list[Event]) -> dict[str, Event]:
    """The last event of each line that changed where it stands."""
    return {one.line: one for one in events if one.event != "refused"}


def default_folder() -> Path:
    """$LADDER_RECORDS, else records/ in the candle store's folder."""
    given = os.environ.get("LADDER_RECORDS")
    return Path(given) if given else Store().root / "records"


def now() -> str:
    """This moment, UTC, as an event has it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
