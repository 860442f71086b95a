"""Strategies in files of their own, and verdicts that pass: what the tests of records and promotions begin with."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data import Market
from engine import Costs, RiskLimits, Strategy
from reports.promotion.catalogue import CATALOGUE
from reports.promotion.evidence import Evidence, Measured
from reports.promotion.judging import Override, Verdict, gate
from reports.promotion.policy import Policy
from reports.promotion.source_closure import engine_files
from reports.promotion.subject import subject_of

BREAKOUT = """
from dataclasses import dataclass

import numpy as np
import pandas as pd

from desk.levels import ceiling
from engine import Exits, Strategy


@dataclass(frozen=True)
class Breakout(Strategy):
    window: int = 24
    weight: float = 0.5
    exits: Exits | None = None

    @property
    def warmup(self):
        return self.window + 1

    def targets(self, market):
        blank = pd.DataFrame(np.nan, index=market.index, columns=list(market.symbols))
        return blank.mask(market.close > ceiling(market, self.window), self.weight)
"""
LEVELS = "def ceiling(market, window):\n    return market.high.rolling(window).max().shift(1)\n"
LOCK = """# pinned by hand
numpy==2.4.0 \\
    --hash=sha256:aa
    # via pandas
pandas==3.0.1 ; python_version >= '3.11' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
"""
TERMS: Mapping[str, Any] = {"cash": 10_000.0, "costs": Costs(0.001), "risk": RiskLimits(max_position=0.5)}


def hold_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ladder's own sources as they are now: a developer may save one of them while a test runs."""
    files = engine_files()
    monkeypatch.setattr("reports.promotion.subject.engine_files", lambda: files)


def write_desk(folder: Path) -> Path:
    """A strategy in a file, a module of the user's own that it imports, and a lock; the strategy's file."""
    (folder / "desk").mkdir(parents=True)
    (folder / "desk" / "__init__.py").write_text("")
    (folder / "desk" / "levels.py").write_text(LEVELS)
    (folder / "breakout.py").write_text(BREAKOUT)
    (folder / "requirements.lock").write_text(LOCK)
    return folder / "breakout.py"


def strategy_of(file: Path, name: str = "Breakout", **parameters: Any) -> Strategy:
    """A strategy of a file, which is loaded anew."""
    for module in [one for one in sys.modules if one.partition(".")[0] == "desk"]:
        del sys.modules[module]
    spec = importlib.util.spec_from_file_location(f"ladder_user_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, name)(**parameters)


def bars(count: int = 200, seed: int = 0, symbols: tuple[str, ...] = ("BTC/USDT", "ETH/USDT")) -> Market:
    """Hourly bars of a walk; the first ones are the same however many there are."""
    chance = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(chance.normal(0.0, 0.01, (5_000, len(symbols))), axis=0))[:count]
    index = pd.date_range("2024-01-01", periods=count, freq="1h", tz="UTC", name="time")
    frames = {
        symbol: pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close[:, at]), index=index).assign(
            volume=1.0
        )
        for at, symbol in enumerate(symbols)
    }
    return Market.from_frames(frames, timeframe="1h")


def verdict_on(
    subject: Mapping[str, str],
    rung: Any = "paper",
    policy: Policy | None = None,
    overrides: tuple[Override, ...] = (),
    **changed: Measured,
) -> Verdict:
    """A verdict on evidence that reaches every threshold, but for what is changed."""
    rules, measured = policy or Policy(), {}
    for check in CATALOGUE[rung]:
        threshold = rules.threshold(rung, check.name)
        measured[check.name] = Measured(1.0 if threshold is None else threshold)
    stats = {"sharpe": 1.25, "total_return": 0.5, "max_drawdown": -0.125, "trades": 40, "calmar": float("nan")}
    evidence = Evidence(rung, subject.get("label", "none"), subject, {**measured, **changed}, {"stats": stats})
    return gate(evidence, rules, overrides)


def plain_subject(**changed: str) -> dict[str, str]:
    """A subject that nothing was read for."""
    names = ("strategy", "source", "parameters", "data", "lock", "engine", "exchange", "symbols", "timeframe")
    times = {"first_bar": "2024-01-01T00:00:00+00:00", "last_bar": "2024-02-01T00:00:00+00:00"}
    return {**{name: f"{name} 1" for name in names}, **times, "label": "Breakout(window=24)", **changed}


def subject_on(strategy: Strategy, market: Market, folder: Path) -> dict[str, str]:
    """The subject of a strategy of `write_desk`."""
    return subject_of(strategy, market, exchange="binance", terms=TERMS, lock=folder / "requirements.lock")
