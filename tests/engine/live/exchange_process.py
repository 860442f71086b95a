"""A rehearsal exchange in a process of its own, and bars for it: what a command's test trades on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[3]
SYMBOL = "BTC/USDT"


@dataclass(eq=False)
class ExchangeProcess:
    """Where it listens."""

    url: str
    process: subprocess.Popen[str]

    def post(self, what: str) -> dict:
        """POST /rehearsal/advance, close or open."""
        return self._ask("POST", f"/rehearsal/{what}")

    def told(self) -> dict:
        """GET /rehearsal."""
        return self._ask("GET", "/rehearsal")

    def _ask(self, method: str, path: str) -> dict:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path)
            return json.loads(connection.getresponse().read())


def write_bars(path: Path, closes: list[float], symbol: str = SYMBOL, timeframe: str = "1h") -> Path:
    """Bars that close so and open where the one before closed, as `engine.rehearsal.serve --market` reads them."""
    index = pd.date_range("2024-01-01", periods=len(closes), freq=timeframe, tz="UTC")
    last = np.array(closes)
    first = np.concatenate([last[:1], last[:-1]])
    table = pd.DataFrame({"time": index, "symbol": symbol, "open": first, "close": last, "volume": 10.0})
    table["high"], table["low"] = np.maximum(first, last) * 1.001, np.minimum(first, last) * 0.999
    table.to_parquet(path)
    return path


@contextlib.contextmanager
def running_exchange(market: Path, *options: str, **environment: str) -> Iterator[ExchangeProcess]:
    """Start it; it is gone at the end."""
    command = [sys.executable, "-m", "engine.rehearsal.serve", "--market", str(market), *options]
    settings = ["--amount-step", "0.0001", "--price-tick", "0.01"]
    with subprocess.Popen(
        command + settings, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            yield ExchangeProcess(json.loads(process.stdout.readline())["rest_url"], process)
        finally:
            process.terminate()
