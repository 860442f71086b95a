"""The user's desk: sweeps, strategies to start from, and the command line.

from research import indicator, sweep, trials
from research.strategies import SmaCross
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.lazy import lazy_names

if TYPE_CHECKING:
    from research.indicators import indicator
    from research.parameter_sweep import sweep
    from research.trial_records import trials
    from research.walk_forward_plan import WalkForwardPlan
    from research.walk_forward_run import walk_forward

__all__ = ["WalkForwardPlan", "indicator", "sweep", "trials", "walk_forward"]

# Loaded when first asked for: the command line is a part of this package, and `ladder --help` waits for no pandas.
_HOMES = {
    "indicator": "research.indicators",
    "sweep": "research.parameter_sweep",
    "trials": "research.trial_records",
    "WalkForwardPlan": "research.walk_forward_plan",
    "walk_forward": "research.walk_forward_run",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
