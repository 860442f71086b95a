"""How much of a chosen set's record is the choosing: measured over halves of the time, and over halves that are purged.

    measured, figures = overfitting(strategy, tried, ground, run)

The gate judges the symmetric figure, which has no setting but its blocks. Beside it stands the same over the same
halves without what lies next to the test: the days that a trade needs to end before it (purged on both sides), and a
hundredth of the time after it (embargoed). Where the two differ, what was chosen knew its test by the days between.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from data.errors import ValidationError
from engine.result import Result
from engine.run import Ground
from engine.strategy import Strategy
from reports.promotion.evidence import Measured, missing
from reports.promotion.overfitting import Overfitting, combinatorial_overfitting, probability_of_overfitting
from research.evidence.tried import Tried, returns_of

_BLOCKS: Final = 10  # of time: 252 halves
_BARS_DRAWN: Final = 30
_AT_THE_MEDIAN: Final = 1e-12  # a logit of 0 is at the median, and counts as below it
_DAY: Final = 86_400.0  # seconds
_LASTS: Final = 0.95  # quantile of the round trips that end within the purge
_EMBARGO: Final = 0.01  # of all days, as Lopez de Prado has it

Figures = dict[str, float]


def overfitting(strategy: Strategy, tried: Tried, ground: Ground, run: Result) -> tuple[Measured, Figures]:
    """What the gate judges, and the figures of both ways for the record.

    Args:
        strategy: what was chosen.
        tried: among what.
        ground: bars and terms.
        run: of the strategy on them.
    """
    returns = returns_of(type(strategy), tried, ground)
    if returns is None:
        return Measured(0.0, "nothing was chosen: the record has no other set"), {}
    try:
        found = probability_of_overfitting(returns, _BLOCKS)
        purge, embargo, lasts = _beside(run, len(returns))
        purged = combinatorial_overfitting(returns, purged_splits(len(returns), purge=purge, embargo=embargo))
    except ValidationError as error:
        return missing(str(error)), {}
    cut = f" (a trade lasts {lasts}, more than the blocks can spare)" if lasts > purge else ""
    told = (
        f"{len(found.logits)} splits, {returns.shape[1]} sets; the chosen one loses in {found.loss:.0%} of them. "
        f"With {purge} days beside the test purged{cut} and {embargo} embargoed: {purged.probability:.1%}"
    )
    figures = {
        "symmetric": found.probability,
        "purged": purged.probability,
        "splits": len(purged.logits),
        "purge_days": purge,
        "embargo_days": embargo,
    }
    return Measured(found.probability, told, _chart(found, purged)), figures


def purged_splits(
    periods: int, folds: int = _BLOCKS, tested: int = _BLOCKS // 2, purge: int = 0, embargo: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of the training and the test of every choice of test folds, by skfolio's `CombinatorialPurgedCV`.

    Args:
        periods: how many there are. Those that do not fill the last fold are left out, the oldest.
        folds: of time, 3 or more.
        tested: folds of a test, 2 or more.
        purge: periods left out of training before and after each stretch of the test.
        embargo: periods left out after it, besides.

    Raises:
        ValidationError: folds that cannot be, or too short for what is left out.
    """
    from skfolio.model_selection import CombinatorialPurgedCV

    length = periods // max(folds, 1)
    try:
        splitter = CombinatorialPurgedCV(n_folds=folds, n_test_folds=tested, purged_size=purge, embargo_size=embargo)
        pairs = list(splitter.split(np.empty((length * folds, 1))))
    except ValueError as error:
        raise ValidationError(
            f"purged splits: {tested} of {folds} folds of {length} periods tested, {purge} purged and {embargo} "
            f"embargoed: {error}"
        ) from error
    oldest = periods - length * folds
    return [(train + oldest, np.sort(np.concatenate(test)) + oldest) for train, test in pairs]


def _beside(run: Result, days: int) -> tuple[int, int, int]:
    """Days to purge and to embargo, and how long a trade lasts; half of a block between two tests stays, or more."""
    room = (days // _BLOCKS - 1) // 2
    embargo = min(math.ceil(days * _EMBARGO), room)
    trades = run.trades
    ends = trades["exit_at"].fillna(run.equity.index[-1])  # what is open now lasts until now
    spans = (ends - trades["entry_at"]).dt.total_seconds() / _DAY
    lasts = max(math.ceil(spans.quantile(_LASTS)), 1) if len(spans) else 1
    return min(lasts, (room - embargo) // 2), embargo, lasts


def _chart(found: Overfitting, purged: Overfitting) -> dict[str, Any]:
    """Both histograms over the same edges, one of which is at the median: what is at or below it lies to the left."""
    both = np.concatenate([found.logits, purged.logits])
    width = max(np.ptp(both), 1.0) / _BARS_DRAWN
    places = np.arange(math.floor(both.min() / width) - 1, math.ceil(both.max() / width) + 1)
    edges = places * width + _AT_THE_MEDIAN
    counts, others = (np.histogram(one.logits, bins=edges)[0] for one in (found, purged))
    return {"edges": edges.tolist(), "counts": counts.tolist(), "purged": others.tolist()}
