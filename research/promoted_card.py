"""A card held against its promotion: what may run on a rung, and what a session needs in hand to run there.

standing = standing_of(card, "paper")                  # raises: names what has changed since it was promoted
permission = require_promotion(terms, promotion_of(card))     # for `ladder live`
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ValidationError

if TYPE_CHECKING:
    from data.market import Market
    from engine.live.permission import Permission, Terms
    from reports.promotion.climbing import Standing
    from reports.promotion.evidence import Rung
    from research.strategy_card import Card


def subject_of_card(card: Card, market: Market | None = None) -> dict[str, str]:
    """What is judged where a card is, for its evidence.

    Args:
        card: of the strategy.
        market: its bars, where they are at hand.

    Raises:
        ValidationError: as `reports.promotion.subject.subject_of`, or the card's own.
    """
    from reports.promotion.subject import subject_of

    bars = card.bars() if market is None else market
    return subject_of(card.made(), bars, exchange=card.market.exchange, terms=card.terms())


def line_of_card(card: Card) -> str:
    """Which strategy of the registry a card is: by its class, parameters, exchange, symbols and timeframe."""
    from reports.promotion.subject import line_of_run

    given = card.market
    return line_of_run(card.made(), exchange=given.exchange, symbols=given.symbols, timeframe=given.timeframe)


def standing_of(
    card: Card,
    rung: Rung,
    registry: str | Path | None = None,
    market: Market | None = None,
    ground: str | None = "exchange",
) -> Standing:
    """The promotion that lets a card run on a rung.

    Args:
        card: that is to run.
        rung: "paper" or "live"; who stands on live may also run on paper.
        registry: the folder of records; None for the default one.
        market: the card's bars, where they are at hand.
        ground: as `reports.promotion.climbing.require` takes it.

    Raises:
        ValidationError: as `reports.promotion.climbing.require`: there is none, or something has changed since.
    """
    from reports.promotion.climbing import require

    bars = card.bars() if market is None else market
    return require(
        card.made(),
        bars,
        rung=rung,
        exchange=card.market.exchange,
        terms=card.terms(),
        registry=registry,
        ground=ground,
    )


def promotion_of(card: Card, registry: str | Path | None = None) -> Callable[[Terms], Permission | None]:
    """What `engine.live.permission.require_promotion` asks: the permission that a card's promotion to live gives.

    Its answer is None of a strategy that was never judged, and raises PermissionDeniedError with each difference where
    what was promoted is another.
    """
    from engine.live.permission import Permission, PermissionDeniedError
    from reports.promotion.registry import Registry

    def find(terms: Terms) -> Permission | None:
        kind = type(card.made())
        if all(event.strategy != f"{kind.__module__}.{kind.__qualname__}" for event in Registry(registry).events()):
            return None  # never judged: there is nothing to hold its bars against
        try:
            standing = standing_of(card, "live", registry)
        except ValidationError as error:
            raise PermissionDeniedError(f"run {terms.run!r}: {error}") from error
        event = standing.event
        detail: dict[str, Any] = {"record": event.record, "line": event.line, "rung": event.rung, "at": event.at}
        return Permission("promotion", terms.digest, event.by, detail)

    return find


def paper_standing(
    card: Card, *, accepted: bool, rehearsal: bool = False, registry: str | Path | None = None
) -> tuple[str, str]:
    """What a session of paper with live prices says of its card's rung, and the record that it runs by; "" for none.

    Args:
        card: that is to run.
        accepted: whether a person takes it as it is (`--i-accept-unpromoted`).
        rehearsal: whether the prices are a rehearsal exchange's: nobody needs to be asked.
        registry: the folder of records; None for the default one.

    Raises:
        ValidationError: it does not stand on paper, or something has changed since, and nobody has accepted that.
    """
    from reports.promotion.climbing import record_of_rung

    try:
        event = standing_of(card, "paper", registry).event
    except ValidationError as error:
        if rehearsal:
            return f"on a rehearsal exchange, without a promotion: {str(error).splitlines()[0]}", ""
        if not accepted:
            raise ValidationError(f"{error}\nor run it on paper as it is: --i-accept-unpromoted") from error
        return f"not promoted, and accepted as it is: {error}", ""
    below = record_of_rung(event.line, "paper", registry)
    record = "" if below is None else below.digest
    return f"stands on {event.rung} since {event.at}, by {event.by} (record {record[:12]})", record
