"""An order on its way: what was meant, which states it goes through, and what came of it.

The states, and what each one says:

| state | what is certain |
|---|---|
| intended | it is written down; nothing has left this machine |
| sent | a request may have left, once or again under the same client id; no answer is known yet |
| unknown | a request left and its answer was lost: the exchange may have executed it, may still, or never will |
| acknowledged | the exchange has it, nothing is filled |
| partly_filled | the exchange has it, some is filled, the rest may yet be |
| filled | all of it is filled, and every fill is in the journal. Final |
| cancelled | it ended before all was filled (cancelled, expired); every fill is in the journal. Final |
| rejected | the exchange refused it, or it certainly never arrived and will not be sent. Nothing is filled. Final |

An order may be sent again, under the same client id, from two states alone: from `sent` where the exchange's own answer
was a refusal at the door (rate limit, clock), and from `unknown` where the exchange says that it does not know the id
*after* the last request can no longer be executed. An exchange executes a request until its timestamp + recvWindow on
the exchange's clock; a lookup that begins later and finds nothing is certain, one that begins earlier is not.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from enum import StrEnum
from typing import Final

from data.errors import LadderError, ValidationError
from engine.live.treatments import Treatment

PREFIX: Final = "ldr-"
LONGEST_ID: Final = 36  # Binance's limit; two of them are kept for the legs of an OCO order
_LETTERS: Final = 26  # of an id, after the prefix
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"  # of base32, RFC 4648
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,34}")
_PLAIN: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_WIDE: Final = Context(prec=200)  # a sum of amounts and prices is exact in it
_SHOWN: Final = Context(prec=40)  # an average price is a quotient: it ends here

SIDES: Final = ("buy", "sell")
KINDS: Final = ("market", "limit", "stop", "oco")
# Which of its prices a kind has: (price, stop_price).
_PRICES: Final = {"market": (False, False), "limit": (True, False), "stop": (False, True), "oco": (True, True)}


class StateError(LadderError):
    """An order cannot go from the state it is in to this one."""


class State(StrEnum):
    """Where an order is; the module says what each state makes certain."""

    INTENDED = "intended"
    SENT = "sent"
    UNKNOWN = "unknown"
    ACKNOWLEDGED = "acknowledged"
    PARTLY_FILLED = "partly_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def final(self) -> bool:
        """Whether nothing more can happen to the order."""
        return not TRANSITIONS[self]


_ANSWERED: Final = frozenset({State.ACKNOWLEDGED, State.PARTLY_FILLED, State.FILLED, State.CANCELLED, State.REJECTED})
# From each state, those that may come next. To be told the same state again is no step.
TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.INTENDED: frozenset({State.SENT, State.CANCELLED, State.REJECTED}),
    State.SENT: _ANSWERED | {State.SENT, State.UNKNOWN},
    State.UNKNOWN: _ANSWERED | {State.SENT},
    State.ACKNOWLEDGED: frozenset({State.PARTLY_FILLED, State.FILLED, State.CANCELLED, State.REJECTED}),
    State.PARTLY_FILLED: frozenset({State.FILLED, State.CANCELLED}),
    State.FILLED: frozenset(),
    State.CANCELLED: frozenset(),
    State.REJECTED: frozenset(),
}


def check_transition(client_id: str, old: State | None, new: State) -> None:
    """Refuse a step that the table does not have; an order's first step is `intended`.

    Raises:
        StateError: the order cannot go from `old` to `new`.
    """
    allowed = {State.INTENDED} if old is None else TRANSITIONS[old]
    if new not in allowed:
        raise StateError(f"order {client_id}: no step leads from {old or 'nothing'} to {new}")


def client_id(run: str, bar: int, symbol: str, leg: str, attempt: int = 0) -> str:
    """The id an order is known by at the exchange: the same for the same run, bar, symbol, leg and attempt.

    A repeated attempt at one order has the same id. `attempt` is another order: one that takes the place of an order
    which the exchange has refused.

    Args:
        run: the run's name.
        bar: opening time of the bar that decided, ns.
        symbol: in ccxt's spelling.
        leg: what the order is for, "entry" or "stop".
        attempt: 0 for the first order of this leg.

    Returns:
        "ldr-" and 26 characters of [a-z2-7] (130 bits of SHA-256).
    """
    parts = "\x1f".join((run, str(bar), symbol, leg, str(attempt)))
    number = int.from_bytes(hashlib.sha256(parts.encode()).digest()) >> (256 - 5 * _LETTERS)
    return PREFIX + "".join([_ALPHABET[number >> shift & 31] for shift in range(5 * _LETTERS - 5, -1, -5)])


@dataclass(frozen=True)
class OrderIntent:
    """One order as it was meant, before anything leaves. Numbers are decimal text, as the exchange will get them.

    Attributes:
        client_id: by `client_id`.
        symbol: in ccxt's spelling, "BTC/USDT".
        side: "buy" or "sell".
        kind: "market", "limit", "stop" (a market order once the stop is touched) or "oco" (a limit order at `price`
            and a stop at `stop_price`, of which one fills).
        amount: base currency, above 0.
        price: quote currency, of a limit or oco order.
        stop_price: quote currency, of a stop or oco order.
        post_only: the exchange shall refuse a limit order that would fill at once.
        reason: why, for the journal.
        bar: opening time of the bar that decided, ns.
        leg: what it is for.
        expected_price: the price that the decision reckoned with.
        reduce_only: of a perpetual: it closes what is held, and never opens a position or turns one.

    Raises:
        ValidationError: a field that no exchange would take; the message names it.
    """

    client_id: str
    symbol: str
    side: str
    kind: str
    amount: str
    price: str | None
    stop_price: str | None
    post_only: bool
    reason: str
    bar: int
    leg: str
    expected_price: float
    reduce_only: bool = False

    def __post_init__(self) -> None:
        where = f"order {self.client_id!r}"
        if not isinstance(self.client_id, str) or _ID.fullmatch(self.client_id) is None:
            raise ValidationError(f"{where}: a client id is 1 to 34 of [A-Za-z0-9_-]; make it by client_id()")
        if not isinstance(self.symbol, str) or "/" not in self.symbol:
            raise ValidationError(f"{where}: symbol {self.symbol!r} must be spelled as in ccxt, such as 'BTC/USDT'")
        if self.side not in SIDES or self.kind not in KINDS:
            raise ValidationError(
                f"{where}: side {self.side!r} must be one of {SIDES} and kind {self.kind!r} one of {KINDS}"
            )
        check_decimal(f"{where}: amount", self.amount)
        if not math.isfinite(self.expected_price):
            raise ValidationError(f"{where}: expected_price {self.expected_price!r} must be a finite number")
        for name, value, has in zip(
            ("price", "stop_price"), (self.price, self.stop_price), _PRICES[self.kind], strict=True
        ):
            if (value is not None) != has:
                raise ValidationError(f"{where}: a {self.kind} order has {'a' if has else 'no'} {name}, not {value!r}")
            if value is not None:
                check_decimal(f"{where}: {name}", value)
        if self.post_only and self.kind != "limit":
            raise ValidationError(f"{where}: only a limit order can be post-only, not a {self.kind} order")
        if self.reduce_only and ":" not in self.symbol:
            raise ValidationError(f"{where}: {self.symbol} is spot; only an order of a perpetual can be reduce-only")

    @property
    def legs(self) -> tuple[str, ...]:
        """The client ids it has at the exchange: its own, or those of the two legs of an OCO (limit, stop)."""
        return (f"{self.client_id}-l", f"{self.client_id}-s") if self.kind == "oco" else (self.client_id,)


@dataclass(frozen=True)
class Fill:
    """One trade of an order, as the exchange told it, its numbers to the last digit.

    Attributes:
        exchange: its name in ccxt.
        symbol: in ccxt's spelling.
        trade_id: the exchange's, unique for a symbol.
        order_id: the exchange's id of the order.
        side: "buy" or "sell".
        price: quote currency.
        amount: base currency.
        fee: in `fee_currency`; below 0 for a rebate.
        fee_currency: "" where the exchange told no fee.
        at: when it traded, ms, exchange time; 0 where it was not told.
        maker: whether it was the resting side; None where it was not told.
        profit: realised by it before its fee, quote currency, of a perpetual; None where it was not told.
    """

    exchange: str
    symbol: str
    trade_id: str
    order_id: str
    side: str
    price: Decimal
    amount: Decimal
    fee: Decimal
    fee_currency: str
    at: int
    maker: bool | None
    profit: Decimal | None = None


@dataclass(frozen=True)
class OrderReport:
    """What is known of an order.

    Attributes:
        intent: the order as it was meant.
        state: where it is.
        filled: base currency, as the exchange told, at least the sum of `fills`.
        average: quote currency, over `fills`; None where there are none.
        fills: every one known, in the order they traded.
        order_ids: the exchange's own ids (two of an OCO); empty where it is not known there.
        treatment: how the error that it ended on is to be met; None where it ended on none.
        detail: why, in words without keys.
    """

    intent: OrderIntent
    state: State
    filled: Decimal
    fills: tuple[Fill, ...] = ()
    order_ids: tuple[str, ...] = ()
    treatment: Treatment | None = None
    detail: str = ""
    average: Decimal | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "average", average_price(self.fills))

    @property
    def complete(self) -> bool:
        """Whether every fill that the exchange reckons with is known."""
        return sum_of(fill.amount for fill in self.fills) == self.filled


def sum_of(values: Iterable[Decimal]) -> Decimal:
    """The exact sum of Decimals, whatever precision the thread's context has."""
    total = Decimal(0)
    for value in values:
        total = _WIDE.add(total, value)
    return total


def average_price(fills: tuple[Fill, ...]) -> Decimal | None:
    """The fills' mean price weighted by amount, to 40 digits; None for none."""
    amount = sum_of(fill.amount for fill in fills)
    if amount == 0:
        return None
    return _SHOWN.divide(sum_of(_WIDE.multiply(fill.price, fill.amount) for fill in fills), amount)


def check_decimal(what: str, text: str) -> None:
    """Refuse what is no positive decimal text without exponent and sign.

    Raises:
        ValidationError: the text, and what it should be.
    """
    try:
        good = isinstance(text, str) and _PLAIN.fullmatch(text) is not None and Decimal(text) > 0
    except InvalidOperation:
        good = False
    if not good:
        raise ValidationError(f"{what} {text!r} must be positive decimal text, such as '0.015'; see engine.precision")
