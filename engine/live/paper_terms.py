"""The terms of a run of paper with live prices: all that its result hangs on beside its bars, as the journal has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from data.errors import ValidationError
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.run import plain
from engine.strategy import Strategy, parameters
from engine.venue import Venue


def terms_of(
    strategy: Strategy,
    symbols: Sequence[str],
    timeframe: str,
    cash: float,
    costs: Costs,
    risk: RiskLimits | None,
    venues: Mapping[str, Venue],
) -> dict[str, Any]:
    """All that a run's result hangs on beside its bars, as the journal keeps it."""
    kind = type(strategy)
    return {
        "strategy": f"{kind.__module__}.{kind.__qualname__}",
        "parameters": plain(parameters(strategy)),
        "exits": plain(strategy.exits),
        "order_notional": plain(strategy.order_notional),
        "symbols": list(symbols),
        "timeframe": timeframe,
        "cash": float(cash),
        "costs": plain(costs),
        "risk": plain(risk),
        "venues": plain(dict(venues)),
    }


def same_terms(
    run: str,
    begun: Mapping[str, Any] | None,
    terms: Mapping[str, Any],
    rules: dict[str, Venue],
    venues: Mapping[str, Venue] | None,
) -> dict[str, Venue]:
    """The venues of a run that goes on: the exchange may have changed its rules since, the run goes on by its own.

    Raises:
        ValidationError: it was begun on other terms.
    """
    if begun is None:
        return rules
    compared = [name for name in terms if name != "venues" or venues is not None]
    changed = [
        f"{name} were {begun.get(name)!r}, are {terms[name]!r}" for name in compared if begun.get(name) != terms[name]
    ]
    if changed:
        raise ValidationError(
            f"run {run!r} was begun on other terms: {'; '.join(changed)}; give the new one another name"
        )
    return {symbol: venue_of(told) for symbol, told in begun["venues"].items()} if venues is None else rules


def venue_of(told: Mapping[str, Any]) -> Venue:
    """A venue from what the journal has of it; infinities stand there as text."""
    values: dict[str, Any] = {item.name: told[item.name] for item in fields(Venue)}
    values = {name: float(value) if isinstance(value, str) else value for name, value in values.items()}
    return Venue(**{**values, "fees": None if values["fees"] is None else tuple(values["fees"])})
