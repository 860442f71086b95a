"""The thresholds of the gate: a TOML file, with defaults that its measured operating curve stands behind.

    policy = Policy()                       # the defaults
    policy = read_policy("policy.toml")     # [paper] trades = 200 ...; what is left out is as by default

docs/gate.md has the operating curve: how often noise, and how often a real edge, passes at these figures.
"""

from __future__ import annotations

import json
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as SchemaError

from data.errors import ValidationError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PaperPolicy(_Section):
    """What a strategy must show to be traded on paper; `catalogue` says what each figure is."""

    trades: int = Field(default=50, ge=0)
    days: int = Field(default=180, ge=0)
    out_of_sample: float = Field(default=0.0, allow_inf_nan=False)
    probabilistic_sharpe: float = Field(default=0.75, ge=0.0, le=1.0)
    deflated_sharpe: float = Field(default=0.75, ge=0.0, le=1.0)
    overfitting: float = Field(default=0.5, ge=0.0, le=1.0)
    better_than_baseline: float = Field(default=0.7, ge=0.0, le=1.0)
    better_than_holding: float = Field(default=0.5, ge=0.0, le=1.0)
    drawdown: float = Field(default=0.35, ge=0.0, le=1.0)
    turnover: float = Field(default=2_000.0, ge=0.0)
    capacity: float = Field(default=0.02, ge=0.0)
    double_costs: float = Field(default=0.0, allow_inf_nan=False)
    break_even: float = Field(default=1.5, ge=0.0)
    late_fills: float = Field(default=0.3, allow_inf_nan=False)
    neighbourhood: float = Field(default=0.3, allow_inf_nan=False)
    regimes: int = Field(default=2, ge=0, le=3)
    years: float = Field(default=1.5, ge=0.0)
    trade_order: float = Field(default=0.5, ge=0.0, le=1.0)


class LivePolicy(_Section):
    """What it must show to be traded with money."""

    paper_days: int = Field(default=30, ge=0)
    paper_trades: int = Field(default=20, ge=0)
    tracking: float = Field(default=0.02, gt=0.0, le=0.1)
    shortfall: float = Field(default=0.001, allow_inf_nan=False)
    paper_result: float = Field(default=0.05, ge=0.0, le=1.0)
    stale: float = Field(default=0.01, ge=0.0, le=1.0)
    rehearsal_bars: int = Field(default=500, ge=100)
    checklist: float = Field(default=1.0, ge=0.0, le=1.0)


class Policy(_Section):
    """The thresholds of both rungs, by the names of their checks."""

    version: int = Field(default=1, ge=1)
    paper: PaperPolicy = PaperPolicy()
    live: LivePolicy = LivePolicy()

    def threshold(self, rung: str, name: str) -> float | None:
        """A check's threshold; None of one that is a plain yes or no."""
        value = getattr(getattr(self, rung), name, None)
        return None if value is None else float(value)

    @property
    def digest(self) -> str:
        """SHA-256 of all thresholds: two policies that differ in one of them have another."""
        return sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


def read_policy(path: str | Path) -> Policy:
    """The policy of a TOML file.

    Raises:
        ValidationError: naming the file: it is not there, no TOML, or a key is unknown or wrong.
    """
    file = Path(path)
    try:
        told: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValidationError(f"policy {file}: cannot be read ({error})") from error
    try:
        return Policy.model_validate(told)
    except SchemaError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValidationError(
            f"policy {file}: {where}: {first['msg']}; `ladder promote --help` names the keys"
        ) from error
