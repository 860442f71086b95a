"""The journal's tables. Money is decimal text; times are ns since 1970 UTC by this machine's clock, or as they say.

What happened is only ever added: triggers refuse to alter or delete an order, a step, a fill, a decision, an incident.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from data.errors import ValidationError

VERSION: Final = 3
_APPLICATION: Final = 0x4C414A31  # "LAJ1": tells a journal from any other SQLite file

_TABLES: Final = """
CREATE TABLE runs (run TEXT PRIMARY KEY, exchange TEXT NOT NULL, started_at INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE TABLE decisions (
    run TEXT NOT NULL REFERENCES runs, bar INTEGER NOT NULL, symbol TEXT NOT NULL, target TEXT NOT NULL,
    inputs_hash TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (run, bar, symbol)
);
CREATE TABLE orders (
    client_id TEXT PRIMARY KEY, run TEXT NOT NULL REFERENCES runs, symbol TEXT NOT NULL, side TEXT NOT NULL,
    kind TEXT NOT NULL, amount TEXT NOT NULL, price TEXT, stop_price TEXT, post_only INTEGER NOT NULL,
    reason TEXT NOT NULL, bar INTEGER NOT NULL, leg TEXT NOT NULL, expected_price REAL NOT NULL,
    reduce_only INTEGER NOT NULL, at INTEGER NOT NULL
);
CREATE INDEX orders_of_run ON orders (run, bar);
CREATE TABLE order_steps (
    id INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL REFERENCES orders, state TEXT NOT NULL,
    at INTEGER NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX steps_of_order ON order_steps (client_id, id);
CREATE TABLE order_ids (
    exchange TEXT NOT NULL, symbol TEXT NOT NULL, order_id TEXT NOT NULL, client_id TEXT NOT NULL REFERENCES orders,
    PRIMARY KEY (exchange, symbol, order_id)
);
CREATE INDEX ids_of_order ON order_ids (client_id);
CREATE TABLE fills (
    exchange TEXT NOT NULL, symbol TEXT NOT NULL, trade_id TEXT NOT NULL, order_id TEXT NOT NULL, side TEXT NOT NULL,
    price TEXT NOT NULL, amount TEXT NOT NULL, fee TEXT NOT NULL, fee_currency TEXT NOT NULL,
    traded_at INTEGER NOT NULL,  -- ms, exchange time
    maker INTEGER, profit TEXT, seen_at INTEGER NOT NULL, PRIMARY KEY (exchange, symbol, trade_id)
);
CREATE INDEX fills_of_order ON fills (exchange, symbol, order_id);
CREATE TABLE cursors (
    exchange TEXT NOT NULL, symbol TEXT NOT NULL, trade_id TEXT NOT NULL, traded_at INTEGER NOT NULL,
    PRIMARY KEY (exchange, symbol)
);
CREATE TABLE balances (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs, at INTEGER NOT NULL, kind TEXT NOT NULL,
    currency TEXT NOT NULL, total TEXT NOT NULL
);
CREATE TABLE risk_events (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs, at INTEGER NOT NULL, kind TEXT NOT NULL,
    symbol TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE incidents (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs, at INTEGER NOT NULL, kind TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TABLE statements (  -- what a person, or the start of a session, has said
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs, at INTEGER NOT NULL, kind TEXT NOT NULL,
    who TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE adjustments (  -- what a run owns, or owes, without a fill of its own
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs, at INTEGER NOT NULL, currency TEXT NOT NULL,
    amount TEXT NOT NULL, symbol TEXT NOT NULL, price TEXT
);
CREATE TABLE heartbeats (run TEXT NOT NULL REFERENCES runs, at INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE TABLE bars_done (
    run TEXT NOT NULL REFERENCES runs, bar INTEGER NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (run, bar)
);
"""
_KEPT: Final = (
    *("runs", "decisions", "orders", "order_steps", "order_ids", "fills", "balances", "risk_events", "incidents"),
    *("statements", "adjustments"),
)


def prepare(connection: sqlite3.Connection, path: str, *, may_create: bool) -> None:
    """Make the tables in an empty file, or check that the file is a journal of this version.

    Raises:
        ValidationError: it is another file, or a journal of another version.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == 0 and may_create:
        with connection:
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} {_triggers()} {_marks()} COMMIT;")
        return
    if application != _APPLICATION:
        raise ValidationError(f"journal {path}: it is no journal of Ladder; name another file")
    if version != VERSION:
        raise ValidationError(
            f"journal {path}: its version is {version}, this Ladder writes {VERSION}; finish the run with the Ladder "
            "that began it, or begin a new journal"
        )


def _triggers() -> str:
    return " ".join(
        f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is only added to'); END;"
        for table in _KEPT
        for verb in ("UPDATE", "DELETE")
    )


def _marks() -> str:
    return f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {VERSION};"
