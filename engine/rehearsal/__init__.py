"""A local exchange that replays stored bars and tries to break what trades on it.

    from engine.rehearsal import FaultPlan, RehearsalServer

    async with RehearsalServer(market, cash=Decimal(10000), faults=FaultPlan.heavy(7)) as server:
        server.point(client)            # an unmodified ccxt.pro client
        await server.advance()

Names are imported when they are first used: the server needs aiohttp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.lazy import lazy_names

if TYPE_CHECKING:
    from engine.rehearsal.accounts import SpotAccount
    from engine.rehearsal.book import VenueBook
    from engine.rehearsal.faults import Fault, FaultPlan, Planned
    from engine.rehearsal.server import RehearsalServer

__all__ = ["Fault", "FaultPlan", "Planned", "RehearsalServer", "SpotAccount", "VenueBook"]

_HOMES = {
    "Fault": "engine.rehearsal.faults",
    "FaultPlan": "engine.rehearsal.faults",
    "Planned": "engine.rehearsal.faults",
    "RehearsalServer": "engine.rehearsal.server",
    "SpotAccount": "engine.rehearsal.accounts",
    "VenueBook": "engine.rehearsal.book",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
