"""Candles into one file that other tools read, and `data.read_candles` reads back to the same values."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Final

import pandas as pd

from data.atomic import replacing
from data.errors import ValidationError

_SUFFIXES: Final = (".csv", ".csv.gz", ".parquet", ".feather")


def check_suffix(path: Path) -> None:
    """Refuse a file that `write_candles` would not write, before anything is read for it.

    Raises:
        ValidationError: it has another suffix.
    """
    if not path.name.endswith(_SUFFIXES):
        raise ValidationError(f"{path}: cannot write {path.suffix or 'no suffix'}; use .csv, .parquet or .feather")


def write_candles(candles: pd.DataFrame, path: Path) -> None:
    """Write candles, whole or not at all, with their opening times (UTC, in CSV by ISO 8601) first, as `timestamp`.

    Raises:
        ValidationError: another suffix, or a further column that holds values of several kinds.
    """
    import pyarrow as pa

    check_suffix(path)
    table = candles.rename_axis("timestamp").reset_index()
    try:
        with replacing(path) as temporary:
            if path.suffix == ".parquet":
                table.to_parquet(temporary, index=False, compression="zstd")
            elif path.suffix == ".feather":
                table.to_feather(temporary)
            else:
                _write_csv(table, temporary, zipped=path.suffix == ".gz")
    except pa.ArrowException as error:
        reason = "; ".join(map(str, error.args))
        raise ValidationError(f"{path}: cannot be written ({reason}); drop that column or make it numbers") from error


def _write_csv(table: pd.DataFrame, path: Path, *, zipped: bool) -> None:
    # By Arrow, whose shortest decimals read back to the same floats: several times as fast as pandas.
    import pyarrow as pa
    from pyarrow.csv import WriteOptions, write_csv

    rows = pa.Table.from_pandas(table, preserve_index=False)
    rows = rows.set_column(0, "timestamp", rows["timestamp"].cast(pa.timestamp("s", "UTC")))
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(table.columns)
    with gzip.open(path, "wb", compresslevel=6) if zipped else path.open("wb") as stream:
        stream.write(header.getvalue().encode())
        write_csv(rows, stream, WriteOptions(include_header=False))
