"""The rehearsal exchange as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request

import pandas as pd
import pytest

from data.errors import ValidationError
from engine.rehearsal.serve import main, market_of
from tests.engine.rehearsal.conftest import flat


def test_a_process_replays_a_file_and_moves_on_when_told(tmp_path):
    table = flat(100.0).assign(symbol="BTC/USDT").rename_axis("time").reset_index()
    path = tmp_path / "bars.parquet"
    table.to_parquet(path)
    command = [sys.executable, "-m", "engine.rehearsal.serve", "--market", str(path), "--cash", "500"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = json.loads(process.stdout.readline())["rest_url"]
        request = urllib.request.Request(url + "/rehearsal/advance", method="POST")
        first = int(pd.Timestamp("2024-01-01", tz="UTC").timestamp() * 1000)
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert json.load(answer) == {"done": False, "time": first + 3_600_000}
        with urllib.request.urlopen(url + "/api/v3/ticker/price?symbol=BTCUSDT", timeout=5) as answer:
            assert json.load(answer) == {"symbol": "BTCUSDT", "price": "100"}
    finally:
        process.terminate()
        process.wait(5)
        process.stdout.close()


def test_bad_files_and_options_are_told(tmp_path, capsys):
    with pytest.raises(ValidationError, match="cannot be read as Parquet"):
        market_of(tmp_path / "none.parquet", "1h")
    path = tmp_path / "odd.parquet"
    flat(100.0).to_parquet(path)
    with pytest.raises(ValidationError, match="lacks the columns"):
        market_of(path, "1h")
    assert main(["--cash", "-1"]) == 2
    assert "must be a Decimal of at least 0" in capsys.readouterr().err
