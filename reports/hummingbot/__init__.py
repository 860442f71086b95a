"""The Hummingbot baseline: what its directional controller would have earned on the same bars and the same signal.

    from reports.hummingbot import ControllerBaseline, ControllerConfig, signal_from_targets

    baseline = ControllerBaseline(signal_from_targets(targets), config=ControllerConfig(total_amount_quote=1_000.0))
    run = baseline.run(market)
    run.executors                      # one row per position executor
    run.marked                         # an engine.Result, marked to market: what a tearsheet compares
    run.realised                       # an engine.Result by Hummingbot's own accounting
    run.own_statistics()               # what Hummingbot itself would report

`docs/hummingbot.md` has the rules. Names are imported when they are first used, as in `reports`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.hummingbot.baseline import ControllerBaseline
    from reports.hummingbot.config import ControllerConfig
    from reports.hummingbot.inputs import signal_from_targets
    from reports.hummingbot.run import BaselineRun

_HOMES = {
    "BaselineRun": "reports.hummingbot.run",
    "ControllerBaseline": "reports.hummingbot.baseline",
    "ControllerConfig": "reports.hummingbot.config",
    "signal_from_targets": "reports.hummingbot.inputs",
}

__all__ = ["BaselineRun", "ControllerBaseline", "ControllerConfig", "signal_from_targets"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reports.hummingbot' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
