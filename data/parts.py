"""One append on disk: a Parquet file whose name gives its place in the order of appends, its first bar and its last.

    000001_20200101T000000Z_20200211T150000Z.parquet

Where two parts of a series hold the same bar, the later one counts. `data.store` holds the folder against other
processes while it calls these.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from data.atomic import TEMP_SUFFIX, replacing
from data.coverage import COVERAGE_FILE
from data.errors import ValidationError

_PART: Final = re.compile(r"(\d{6,})_(\d{8}T\d{6}Z)_(\d{8}T\d{6}Z)\.parquet")
_STAMP: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """A part's place in the order of appends, the opening times of its first and last bar (UTC), and its file."""

    sequence: int
    first: pd.Timestamp
    last: pd.Timestamp
    path: Path


def list_parts(folder: Path) -> list[Part]:
    """A series' parts in the order of their appends; temporary files are not among them.

    Raises:
        ValidationError: a Parquet file in the folder that the store did not write.
    """
    parts = []
    for path in folder.glob("*.parquet"):
        match = _PART.fullmatch(path.name)
        if match is None:
            raise ValidationError(f"{path}: not written by the store; move it away, or append its candles")
        # Not by pandas: a series of many parts is listed for each page that is fetched.
        moments = (dt.datetime.strptime(text, _STAMP).replace(tzinfo=dt.UTC) for text in match.groups()[1:])
        first, last = (pd.Timestamp(moment).tz_convert("UTC").as_unit("ns") for moment in moments)
        parts.append(Part(int(match[1]), first, last, path))
    return sorted(parts)


@contextmanager
def _naming(part: Part) -> Iterator[None]:
    """What goes wrong with a part's file in this block is raised in its name."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValidationError(
            f"{part.path}: cannot be read ({error}); delete it and {COVERAGE_FILE} beside it, then fetch again"
        ) from error


def read_part(part: Part, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Its bars, indexed by opening time (UTC, ns, named "time"), with all columns or some.

    Raises:
        ValidationError: the file cannot be read.
    """
    with _naming(part):
        table = pd.read_parquet(part.path, columns=None if columns is None else [*columns]).set_index("time")
    table.index = pd.DatetimeIndex(table.index).as_unit("ns")
    return table


def count_bars(parts: list[Part]) -> int:
    """Bars in all of them, each once. Where no two overlap, as after a fetch, only the files' ends are read."""
    from pyarrow import parquet

    in_time = sorted(parts, key=lambda part: part.first)
    if any(later.first <= earlier.last for earlier, later in pairwise(in_time)):
        return len(np.unique(np.concatenate([read_part(part, ["time"]).index.to_numpy() for part in parts])))
    bars = 0
    for part in parts:
        with _naming(part):
            bars += int(parquet.read_metadata(part.path).num_rows)
    return bars


def write_part(folder: Path, sequence: int, candles: pd.DataFrame) -> None:
    """Add a part of these candles, which keep every rule; it is there whole or not at all.

    Raises:
        ValidationError: a further column holds values of no kind or of several.
    """
    import pyarrow as pa

    first, last = (moment.strftime(_STAMP) for moment in (candles.index[0], candles.index[-1]))
    path = folder / f"{sequence:06d}_{first}_{last}.parquet"
    try:
        with replacing(path) as temporary:
            candles.reset_index().to_parquet(temporary, index=False, compression="zstd")
    except pa.ArrowException as error:
        reason = "; ".join(map(str, error.args))
        raise ValidationError(f"{path}: cannot be written ({reason}); drop that column or make it numbers") from error


def merge(tables: list[pd.DataFrame]) -> pd.DataFrame | None:
    """The parts' bars in order of time; of a bar that two parts hold, the later part's."""
    if not tables:
        return None
    whole = pd.concat(tables) if len(tables) > 1 else tables[0]
    if whole.index.is_monotonic_increasing and whole.index.is_unique:
        return whole
    return whole.loc[~whole.index.duplicated(keep="last")].sort_index()


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed writer left: only one writes at a time, and this one has not begun."""
    for path in folder.glob(f".*{TEMP_SUFFIX}"):
        path.unlink(missing_ok=True)
