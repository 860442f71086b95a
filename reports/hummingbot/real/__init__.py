"""The real Hummingbot: its own package, in its own Python, on our candles and signals, and our simulation beside it.

    from reports.hummingbot.real import RealJob, compare_executors, run_jobs

    job = RealJob(candles, "1h", {"total_amount_quote": 1000}, signal=signal, target_pct=target)
    (real,) = run_jobs([job], say=print)       # builds its environment the first time, some minutes
    print(compare_executors(simulated.executors, real.executors, simulated_pnl=simulated.pnl, real_pnl=real.pnl))

`docs/hummingbot-real.md` is the guide. Names are imported when they are first used, as in `reports`.
"""

from typing import TYPE_CHECKING

from data.lazy import lazy_names

if TYPE_CHECKING:
    from reports.hummingbot.real.environment import installed_python, ready_environment
    from reports.hummingbot.real.executor_check import BaselineCheck, compare_executors
    from reports.hummingbot.real.jobs import RealJob, RealRun
    from reports.hummingbot.real.runner import run_jobs

_HOMES = {
    "BaselineCheck": "reports.hummingbot.real.executor_check",
    "RealJob": "reports.hummingbot.real.jobs",
    "RealRun": "reports.hummingbot.real.jobs",
    "compare_executors": "reports.hummingbot.real.executor_check",
    "installed_python": "reports.hummingbot.real.environment",
    "ready_environment": "reports.hummingbot.real.environment",
    "run_jobs": "reports.hummingbot.real.runner",
}

__all__ = [
    "BaselineCheck",
    "RealJob",
    "RealRun",
    "compare_executors",
    "installed_python",
    "ready_environment",
    "run_jobs",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
