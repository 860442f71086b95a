"""The record of every trial: what was tried, on which data, when. The promotion gate counts them.

    trials()                       # every parameter set of every sweep, one row each

A sweep writes into $LADDER_TRIALS, else into trials.sqlite in the candle store's folder ($LADDER_STORE, else ./store);
there is no way to run one without. Each sweep is one transaction: all of it is there or none, whatever happens.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pandas as pd

from data.errors import ValidationError
from data.store import Store
from engine.code_version import code_version, package_versions
from engine.run import Ground, plain
from engine.strategy import Strategy
from research.parameter_grid import ParameterSets

_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS sweeps (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    strategy TEXT NOT NULL,
    source TEXT,
    grid TEXT NOT NULL,
    fixed TEXT NOT NULL,
    metric TEXT NOT NULL,
    planned INTEGER NOT NULL,
    stopped_by TEXT,
    data TEXT NOT NULL,
    symbols TEXT NOT NULL,
    timeframe TEXT NOT NULL,
    first_bar TEXT NOT NULL,
    last_bar TEXT NOT NULL,
    bars INTEGER NOT NULL,
    cash REAL NOT NULL,
    costs TEXT NOT NULL,
    venue TEXT NOT NULL,
    risk TEXT NOT NULL,
    order_style TEXT NOT NULL,
    code_commit TEXT,
    versions TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS trials (
    sweep INTEGER NOT NULL REFERENCES sweeps (id),
    trial INTEGER NOT NULL,
    parameters TEXT NOT NULL,
    figures TEXT,
    skipped TEXT,
    PRIMARY KEY (sweep, trial)
) WITHOUT ROWID;
"""
_SWEEP_COLUMNS: Final = (
    "at",
    "strategy",
    "source",
    "grid",
    "fixed",
    "metric",
    "planned",
    "stopped_by",
    "data",
    "symbols",
    "timeframe",
    "first_bar",
    "last_bar",
    "bars",
    "cash",
    "costs",
    "venue",
    "risk",
    "order_style",
    "code_commit",
    "versions",
)
_TIMES: Final = ("start", "end")
_SPANS: Final = ("max_drawdown_length", "longest_drawdown")


@dataclass(frozen=True)
class Trial:
    """One parameter set as it is recorded: its figures, or why the strategy refused it."""

    number: int
    parameters: Mapping[str, Any]
    figures: Mapping[str, Any] | None
    skipped: str | None


def default_record() -> Path:
    """$LADDER_TRIALS, else trials.sqlite in the candle store's folder."""
    given = os.environ.get("LADDER_TRIALS")
    return Path(given) if given else Store().root / "trials.sqlite"


def open_record(path: str | Path | None) -> Path:
    """The file to record in, made where it is not there: what cannot be recorded is not begun.

    Raises:
        ValidationError: the file cannot be written, or is no record of trials.
    """
    target = default_record() if path is None else Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValidationError(f"record {target}: cannot be written ({error}); name another with record=") from error
    with _connection(target) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version not in (0, _VERSION) or (version == 0 and known):
            raise ValidationError(f"record {target}: is no record of trials of this version; name another file")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_TABLES)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    return target


def write_sweep(
    path: Path,
    kind: type[Strategy],
    sets: ParameterSets,
    ground: Ground,
    metric: str,
    began: pd.Timestamp,
    done: Iterable[Trial],
    stopped_by: str | None,
) -> int:
    """Record a sweep, whole or as far as it came, in one transaction; returns its number.

    Args:
        path: from `open_record`.
        kind: the strategy's class.
        sets: what was to be tried.
        ground: the bars and terms.
        metric: what the sets are ranked by.
        began: when, UTC.
        done: what was tried.
        stopped_by: the error that ended it early; None where it came to its end.

    Raises:
        ValidationError: the file cannot be written.
    """
    market = ground.market
    venues = dict(zip(market.symbols, ground.venues, strict=True))
    values = (
        began.isoformat(),
        f"{kind.__module__}.{kind.__qualname__}",
        source_digest(kind),
        _json(dict(sets.values)),
        _json(dict(sets.fixed)),
        metric,
        len(sets.sets),
        stopped_by,
        market.fingerprint(),
        _json(market.symbols),
        market.timeframe,
        market.index[0].isoformat(),
        market.index[-1].isoformat(),
        len(market),
        ground.cash,
        _json(ground.costs),
        _json(venues),
        _json(ground.risk),
        _json(ground.orders),
        code_version(),
        _json(package_versions("ladder", "vectorbt", "numpy", "pandas")),
    )
    open_record(path)  # a file that was moved away meanwhile is made anew
    columns, marks = ", ".join(_SWEEP_COLUMNS), ", ".join("?" * len(_SWEEP_COLUMNS))
    with _connection(path) as connection:
        cursor = connection.execute(f"INSERT INTO sweeps ({columns}) VALUES ({marks})", values)  # noqa: S608
        number = int(cursor.lastrowid or 0)
        rows = (
            (
                number,
                trial.number,
                _json(dict(trial.parameters)),
                None if trial.figures is None else _figures_json(trial.figures),
                trial.skipped,
            )
            for trial in done
        )
        connection.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?)", rows)
    return number


def trials(path: str | Path | None = None) -> pd.DataFrame:
    """Every trial that was recorded, in the order of recording.

    Args:
        path: the record; None for the default one, which may not be there yet.

    Returns:
        One row per parameter set: sweep (its number), at (UTC), strategy, source (digest of its source), data
        (fingerprint of the bars), symbols, timeframe, first_bar, last_bar, trial (the set's number in its sweep),
        parameters (a dict), skipped (the strategy's reason; missing where it ran), then the figures of `Result.stats`.

    Raises:
        ValidationError: `path` is not there, or is no record of trials.
    """
    target = default_record() if path is None else Path(path)
    head = ("sweep", "at", "strategy", "source", "data", "symbols", "timeframe", "first_bar", "last_bar", "trial")
    columns = [*head, "parameters", "skipped"]
    rows = _rows(
        target,
        path is None,
        "SELECT sweeps.id, at, strategy, source, data, symbols, timeframe, first_bar, last_bar, trial, parameters, "
        "skipped, figures FROM trials JOIN sweeps ON sweeps.id = trials.sweep ORDER BY sweeps.id, trial",
    )
    table = pd.DataFrame([row[:-1] for row in rows], columns=columns)
    for name in ("at", "first_bar", "last_bar"):
        table[name] = pd.to_datetime(table[name], utc=True, format="ISO8601")
    table["symbols"] = [tuple(json.loads(text)) for text in table["symbols"]]
    table["parameters"] = [json.loads(text) for text in table["parameters"]]
    figures = pd.DataFrame([{} if row[-1] is None else json.loads(row[-1]) for row in rows], index=table.index)
    return table.join(_typed(figures))


def sweeps(path: str | Path | None = None) -> pd.DataFrame:
    """Every sweep that was recorded, one row each, with how many sets were planned, tried and skipped.

    What JSON holds in the file (grid, symbols, terms, versions) comes back as dicts and lists.

    Args:
        path: the record; None for the default one, which may not be there yet.

    Raises:
        ValidationError: `path` is not there, or is no record of trials.
    """
    target = default_record() if path is None else Path(path)
    columns = ["id", *_SWEEP_COLUMNS, "tried", "skipped"]
    rows = _rows(
        target,
        path is None,
        f"SELECT id, {', '.join(_SWEEP_COLUMNS)}, "  # noqa: S608  (names of ours)
        "(SELECT count(*) FROM trials WHERE sweep = id AND skipped IS NULL), "
        "(SELECT count(*) FROM trials WHERE sweep = id AND skipped IS NOT NULL) FROM sweeps ORDER BY id",
    )
    table = pd.DataFrame(rows, columns=columns)
    for name in ("at", "first_bar", "last_bar"):
        table[name] = pd.to_datetime(table[name], utc=True, format="ISO8601")
    for name in ("grid", "fixed", "symbols", "costs", "venue", "risk", "order_style", "versions"):
        table[name] = pd.Series([json.loads(text) for text in table[name]], index=table.index, dtype=object)
    return table


def source_digest(kind: type[Strategy]) -> str | None:
    """SHA-256 over the source of the class and of its bases below `Strategy`; None where there is no source to read.

    What a class calls from elsewhere is not in it: the commit and the versions stand for that.
    """
    digest = sha256()
    for base in kind.__mro__:
        if base is Strategy:
            break
        try:
            digest.update(inspect.getsource(base).encode())
        except (OSError, TypeError):
            return None
    return digest.hexdigest()


def _rows(path: Path, may_lack: bool, query: str) -> list[tuple[Any, ...]]:
    """What a record answers; nothing where there is none and it may be lacking."""
    if not path.is_file():
        if may_lack:
            return []
        raise ValidationError(f"record {path}: no such file; a sweep makes it")
    with _connection(path) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            raise ValidationError(f"record {path}: is no record of trials of this version")
        return connection.execute(query).fetchall()


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction, committed where the block ends without an error."""
    try:
        connection = sqlite3.connect(path, timeout=60.0)
        try:
            with connection:
                yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ValidationError(f"record {path}: {error}; name another file with record=") from error


def _json(value: Any) -> str:
    return json.dumps(plain(value), separators=(",", ":"), allow_nan=False)


def _figures_json(figures: Mapping[str, Any]) -> str:
    """NaN as null: a figure that is not defined."""
    return _json({name: None if value != value else value for name, value in figures.items()})


def _typed(figures: pd.DataFrame) -> pd.DataFrame:
    """Figures as `Result.stats` has them: numbers, times, spans."""
    for name in figures.columns:
        column = figures[name]
        if name in _TIMES:
            figures[name] = pd.to_datetime(column, utc=True, format="ISO8601")
        elif name in _SPANS:
            figures[name] = pd.to_timedelta(column)
        else:
            figures[name] = column.map(lambda value: math.nan if value is None else float(value))
    return figures
