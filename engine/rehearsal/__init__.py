"""A local exchange that replays stored bars and tries to break what trades on it.

    from engine.rehearsal import FaultPlan, RehearsalServer

    async with RehearsalServer(market, cash=Decimal(10000), faults=FaultPlan.heavy(7)) as server:
        server.point(client)            # an unmodified ccxt.pro client
        await server.advance()

Names are imported when they are first used: the server needs aiohttp.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from engine.rehearsal.accounts import SpotAccount
    from engine.rehearsal.book import VenueBook
    from engine.rehearsal.faults import Fault, FaultPlan, Planned
    from engine.rehearsal.server import RehearsalServer

__all__ = ["Fault", "FaultPlan", "Planned", "RehearsalServer", "SpotAccount", "VenueBook"]

_WHERE: Final = {
    "Fault": "faults",
    "FaultPlan": "faults",
    "Planned": "faults",
    "RehearsalServer": "server",
    "SpotAccount": "accounts",
    "VenueBook": "book",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
