"""Live trading through ccxt, and paper with live prices: sessions, orders, journal, keys.

    from engine.live import run_live, run_paper_live

Either is loaded when it is first asked for: the parts of a session are used alone as well.
"""

from __future__ import annotations

from typing import Any

__all__ = ["run_live", "run_paper_live"]


def __getattr__(name: str) -> Any:
    if name == "run_live":
        from engine.live.start import run_live

        return run_live
    if name == "run_paper_live":
        from engine.live.paper_live import run_paper_live

        return run_paper_live
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
