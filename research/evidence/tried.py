"""What was tried before a strategy was chosen: by the record of trials, not by what anybody says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from data.errors import ValidationError
from engine.metrics import DAYS_PER_YEAR
from engine.run import Ground
from engine.strategy import Strategy
from engine.vectorized import run_briefly
from research.trial_records import trials

_MOST_RERUN: Final = 1_000  # sets whose returns are made again for the probability of overfitting


@dataclass(frozen=True)
class Tried:
    """The trials of a strategy's class.

    Attributes:
        sets: distinct parameter sets, those among them that the class still takes.
        count: how many distinct ones were tried, on whatever bars; the chosen one counts too.
        variance: of their Sharpe ratios, of one day.
        grid: values by parameter.
        record: where they are recorded.
    """

    sets: tuple[Mapping[str, Any], ...] = ()
    count: int = 1
    variance: float = 0.0
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    record: str = ""


def tried_before(strategy: Strategy, record: str | Path | None) -> Tried:
    """Every trial on record of the strategy's class.

    Args:
        strategy: what was chosen.
        record: the file; None for the default one, which may not be there.

    Raises:
        ValidationError: the file is no record of trials.
    """
    kind = type(strategy)
    table = trials(record)
    name = f"{kind.__module__}.{kind.__qualname__}"
    mine = table[table["strategy"] == name]
    if not len(mine):
        return Tried()
    ran = mine[mine["skipped"].isna()]
    distinct = {json.dumps(one, sort_keys=True): one for one in ran["parameters"]}
    sharpes = ran["sharpe"].to_numpy(dtype=np.float64) / np.sqrt(DAYS_PER_YEAR)
    variance = float(np.nanvar(sharpes, ddof=1)) if np.isfinite(sharpes).sum() > 1 else 0.0
    sets, grid = [], dict[str, set[Any]]()
    for one in distinct.values():
        try:
            kind(**one)
        except (ValidationError, TypeError):  # a class that has changed since
            continue
        sets.append(one)
        for key, value in one.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                grid.setdefault(key, set()).add(value)
    values = {key: tuple(sorted(found)) for key, found in grid.items()}
    return Tried(tuple(sets), max(len(distinct), 1), variance, values, str(record or "the default record"))


def returns_of(kind: type[Strategy], tried: Tried, ground: Ground) -> np.ndarray | None:
    """Returns by day of the sets that were tried, made again on these bars, (days, sets); None below two sets.

    Of more than a thousand, every n-th is taken, in the order of the record.
    """
    step = max(-(-len(tried.sets) // _MOST_RERUN), 1)
    columns = [run_briefly(ground.run(kind(**one)))[1] for one in tried.sets[::step]]
    return np.column_stack(columns) if len(columns) > 1 else None
