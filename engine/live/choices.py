"""What a person may choose about an account that is not what the journal says; each is an entry in the journal.

    adopt(journal, run, findings, who="ada", why="sold by hand", symbols=symbols, prices=prices)
    ignore(journal, run, findings, who="ada", why="a deposit")
    ended = await flatten(gateway, journal, run, who="ada", why="done", venues=venues, prices=prices)

- *adopt*: the differences are the run's. They become adjustments of its books, and the session's cash and holdings
  follow when it starts again; barriers are set anew for what it then holds.
- *ignore*: they are not the run's (a deposit, another program's trade). The balances that the run began with move by
  them; its books, cash and holdings do not.
- *flatten*: all orders of the run are cancelled, and what its books hold is sold. Differences stay what they are.

After the first two the account is explained, to the last digit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from data.errors import ValidationError
from engine.live.books import holding, is_perpetual
from engine.live.gateway import Gateway
from engine.live.halting import Ended, cancel_all, close_all
from engine.live.journal import Journal
from engine.live.order_state import Fill, State, average_price
from engine.live.reconcile import KNOWN_TRADES, OPENING, Difference, Findings
from engine.venue import Venue

ADOPTED: Final = "adopted"  # statements in the journal
IGNORED: Final = "ignored"
FLATTENED: Final = "flattened"


def adopt(
    book: Journal,
    run: str,
    findings: Findings,
    *,
    who: str,
    why: str,
    symbols: Sequence[str],
    prices: Mapping[str, float],
    only: Collection[str] = (),
) -> None:
    """Make differences part of the run's books.

    Args:
        book: the run's journal.
        run: its name.
        findings: of `examine`, just now.
        who: chooses.
        why: in that person's words.
        symbols: that the run trades.
        prices: by symbol, quote currency: what a position counts as bought or sold at, where no fill tells.
        only: currencies; empty for all.

    Raises:
        ValidationError: an order's end is not known yet, a currency has no difference, or the run has not begun.
    """
    chosen = _chosen(findings, only)
    if chosen and book.turn_state(run) is None:
        raise ValidationError(f"run {run!r} has not begun: it owns nothing yet; ignore the difference")
    by_name = {holding(symbol): symbol for symbol in symbols}
    adjustments = []
    for one in chosen:
        symbol = by_name.get(one.currency, "")
        price = _price(findings.strangers, symbol, one, prices) if symbol else None
        adjustments.append((one.currency, one.amount, symbol, price))
    _declare_ended(book, findings, who, why)
    book.state_that(run, ADOPTED, who, _detail(findings, chosen, why), adjustments=adjustments)


def ignore(book: Journal, run: str, findings: Findings, *, who: str, why: str, only: Collection[str] = ()) -> None:
    """State that differences are not the run's. Args and errors as of `adopt`; a perpetual's position is refused."""
    chosen = _chosen(findings, only)
    positions = [one.currency for one in chosen if is_perpetual(one.currency)]
    if positions:
        raise ValidationError(
            f"the position of {', '.join(positions)} is one for the whole account: what somebody else trades there "
            "changes what the run holds; adopt the difference, or undo it on the exchange"
        )
    opening = book.balances(run, OPENING)
    for one in chosen:
        opening[one.currency] = opening.get(one.currency, Decimal(0)) + one.amount
    _declare_ended(book, findings, who, why)
    detail = _detail(findings, chosen, why)
    book.state_that(run, IGNORED, who, detail, balances=opening if chosen else None, balances_kind=OPENING)


async def flatten(
    gateway: Gateway,
    book: Journal,
    run: str,
    *,
    who: str,
    why: str,
    venues: Mapping[str, Venue],
    prices: Mapping[str, float],
) -> Ended:
    """Cancel the run's orders and sell what it holds.

    Args:
        gateway: of the run's account.
        book: its journal.
        run: its name.
        who: chooses.
        why: in that person's words.
        venues: rules, by symbol, of all that it holds.
        prices: likewise, what is expected of the market.
    """
    ended = Ended()
    book.state_that(run, FLATTENED, who, {"why": why})
    await cancel_all(gateway, book, run, ended)
    await close_all(gateway, book, run, ended, venues=venues, prices=prices, bar=book.last_bar_done(run) or 0)
    book.record_incident(run, "flattened", {"why": why, "done": str(ended), "left": ended.left})
    return ended


def _chosen(findings: Findings, only: Collection[str]) -> list[Difference]:
    if findings.unknown:
        intent, told = findings.unknown[0]
        raise ValidationError(
            f"order {intent.client_id} of {intent.symbol}: nobody knows yet what became of it ({told}); ask again once "
            "the exchange answers"
        )
    known = [one.currency for one in findings.differences]
    missing = sorted(set(only) - set(known))
    if missing:
        raise ValidationError(f"no difference of {', '.join(missing)}; there is one of {', '.join(known) or 'nothing'}")
    return [one for one in findings.differences if not only or one.currency in only]


def _price(strangers: Sequence[Fill], symbol: str, one: Difference, prices: Mapping[str, float]) -> Decimal:
    """What strangers' fills of that direction traded at, where there are some; else the market's price."""
    side = "buy" if one.amount > 0 else "sell"
    average = average_price(tuple(fill for fill in strangers if fill.symbol == symbol and fill.side == side))
    return average if average is not None else Decimal(repr(float(prices[symbol])))


def _declare_ended(book: Journal, findings: Findings, who: str, why: str) -> None:
    """Orders that the exchange does not know any more are over, by a person's word."""
    for intent in findings.lost:
        book.step(intent.client_id, State.CANCELLED, {"why": f"declared ended by {who}: {why}"})


def _detail(findings: Findings, chosen: Sequence[Difference], why: str) -> dict[str, Any]:
    others = [f"{fill.symbol} {fill.side} {fill.amount:f} at {fill.price:f}" for fill in findings.strangers]
    return {
        "why": why,
        "differences": {one.currency: [f"{one.expected:f}", f"{one.found:f}"] for one in chosen},
        "ended": [intent.client_id for intent in findings.lost],
        "fills of others": others,
        KNOWN_TRADES: findings.newest,
    }
