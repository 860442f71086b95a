"""Which stretches of a series the exchange has been asked for in full, kept beside the series' parts.

A gap inside such a stretch is the exchange's own and is not asked for again; one outside it, which a kill or an earlier
start left, is. A stretch is `(start, end)`, UTC: every bar with `start <= opening time < end`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pandas as pd

from data.atomic import replacing
from data.errors import ValidationError

COVERAGE_FILE: Final = "fetched.json"
Span = tuple[pd.Timestamp, pd.Timestamp]


def read_spans(folder: Path) -> list[Span] | None:
    """The stretches noted in a series' folder, in order; None where nothing was noted.

    Raises:
        ValidationError: the note is broken.
    """
    file = folder / COVERAGE_FILE
    if not file.exists():
        return None
    try:
        return [(_moment(start), _moment(end)) for start, end in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise ValidationError(f"{file}: cannot be read ({error}); delete it, and the next fetch asks again") from error


def write_spans(folder: Path, spans: Iterable[Span]) -> None:
    """Note these stretches, in place of those noted before."""
    text = json.dumps([[start.isoformat(), end.isoformat()] for start, end in join_spans(spans)])
    with replacing(folder / COVERAGE_FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")


def join_spans(spans: Iterable[Span]) -> list[Span]:
    """The same time as the fewest stretches, in order."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        elif start < end:
            joined.append((start, end))
    return joined


def uncovered(spans: Iterable[Span], start: pd.Timestamp, end: pd.Timestamp) -> list[Span]:
    """What of `start` to `end` lies in no stretch, in order."""
    holes: list[Span] = []
    cursor = start
    for begun, ended in join_spans(spans):
        if cursor < min(begun, end):
            holes.append((cursor, min(begun, end)))
        cursor = max(cursor, ended)
    if cursor < end:
        holes.append((cursor, end))
    return holes


def _moment(text: str) -> pd.Timestamp:
    return pd.Timestamp(text).tz_convert("UTC").as_unit("ns")
