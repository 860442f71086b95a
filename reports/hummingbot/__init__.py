"""The Hummingbot baseline: what the bot would have earned on the same bars, or did earn by its own records.

    from reports.hummingbot import ControllerBaseline, equal_terms, read_controller, signal_from_targets

    run = read_controller("conf/controllers/my_bot.yml").baseline().run(market)      # the bot's own file
    run = ControllerBaseline(signal_from_targets(targets)).run(market)               # or a signal of your own
    run.executors                      # one row per executor
    run.marked                         # an engine.Result, marked to market
    run.realised                       # an engine.Result by Hummingbot's own accounting
    equal_terms(run, costs=costs)      # from the one to a run on Ladder's rules, step by step

    check_baseline(baseline, market)   # the real Hummingbot beside the simulation, executor by executor
    read_trades("data/my_bot.sqlite")  # what a bot recorded; baseline_from_trades makes a Result of it

`docs/hummingbot.md` has the rules. Names are imported when they are first used, as in `reports`.
"""

from typing import TYPE_CHECKING

from data.lazy import lazy_names

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
    from reports.hummingbot.records import TradeHistory, baseline_from_trades, read_trades
    from reports.hummingbot.run import BaselineRun

_HOMES = {
    "TradeHistory": "reports.hummingbot.records",
    "baseline_from_trades": "reports.hummingbot.records",
    "read_trades": "reports.hummingbot.records",
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
    "TradeHistory",
    "baseline_from_trades",
    "check_baseline",
    "equal_terms",
    "read_controller",
    "read_trades",
    "run_real",
    "signal_from_targets",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
