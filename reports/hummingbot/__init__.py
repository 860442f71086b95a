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
    from reports.hummingbot.controller_file import ControllerFile, read_controller
    from reports.hummingbot.controllers import AiLivestream, BollingerV1, MacdBbV1, SupertrendV1
    from reports.hummingbot.dca import DManV3
    from reports.hummingbot.inputs import signal_from_targets
    from reports.hummingbot.market_making import PmmSimple
    from reports.hummingbot.on_equal_terms import EqualTerms, equal_terms
    from reports.hummingbot.real_baseline import check_baseline, run_real
    from reports.hummingbot.run import BaselineRun

_HOMES = {
    "check_baseline": "reports.hummingbot.real_baseline",
    "run_real": "reports.hummingbot.real_baseline",
    "ControllerFile": "reports.hummingbot.controller_file",
    "EqualTerms": "reports.hummingbot.on_equal_terms",
    "equal_terms": "reports.hummingbot.on_equal_terms",
    "read_controller": "reports.hummingbot.controller_file",
    "AiLivestream": "reports.hummingbot.controllers",
    "BollingerV1": "reports.hummingbot.controllers",
    "DManV3": "reports.hummingbot.dca",
    "MacdBbV1": "reports.hummingbot.controllers",
    "PmmSimple": "reports.hummingbot.market_making",
    "SupertrendV1": "reports.hummingbot.controllers",
    "BaselineRun": "reports.hummingbot.run",
    "ControllerBaseline": "reports.hummingbot.baseline",
    "ControllerConfig": "reports.hummingbot.config",
    "signal_from_targets": "reports.hummingbot.inputs",
}

__all__ = [
    "AiLivestream",
    "BaselineRun",
    "BollingerV1",
    "ControllerBaseline",
    "ControllerConfig",
    "ControllerFile",
    "DManV3",
    "EqualTerms",
    "MacdBbV1",
    "PmmSimple",
    "SupertrendV1",
    "check_baseline",
    "equal_terms",
    "read_controller",
    "run_real",
    "signal_from_targets",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reports.hummingbot' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
