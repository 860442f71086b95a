"""What the rehearsal exchange keeps of an order and of a trade, what it tells about them, and why it refuses.

Plain records without a socket and without a dialect's names: a dialect turns them into its own messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from engine.rehearsal.money import EXACT, ZERO

Side = Literal["buy", "sell"]

# Orders that wait for a price before they act, in the two directions.
STOPS: Final = frozenset({"stop_loss", "stop_loss_limit"})
PROFITS: Final = frozenset({"take_profit", "take_profit_limit"})
# Orders that carry a price of their own.
LIMITS: Final = frozenset({"limit", "limit_maker", "stop_loss_limit", "take_profit_limit"})
# What these cannot fill at once expires.
AT_ONCE: Final = frozenset({"market", "stop_loss", "take_profit"})
KINDS: Final = frozenset({"market", "stop_loss", "take_profit"}) | LIMITS


class Status(StrEnum):
    """Where an order stands."""

    NEW = "new"
    PARTLY_FILLED = "partly_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


OPEN: Final = frozenset({Status.NEW, Status.PARTLY_FILLED})


class Reason(StrEnum):
    """Why the exchange refuses."""

    FUNDS = "insufficient funds"
    DUPLICATE = "client id of an open order"
    UNKNOWN = "no such order"
    NOT_OPEN = "the order is not open"
    WOULD_TAKE = "a post-only order would take"
    WOULD_TRIGGER = "a stop would trigger at once"
    PRICE_ORDER = "the prices of a pair of orders stand in the wrong order"
    STEP = "amount off the step"
    LARGEST = "amount above the largest"
    SMALLEST = "amount below the smallest"
    TICK = "price off the tick"
    NOTIONAL = "notional below the smallest or above the largest"
    SYMBOL = "no such symbol"
    REDUCE_ONLY = "nothing to reduce"


class Refusal(Exception):  # noqa: N818  (a refusal is what an exchange calls it)
    """The exchange refuses a request, and nothing has changed."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a client asks for.

    Attributes:
        symbol: "BTC/USDT".
        side: "buy" or "sell".
        kind: one of KINDS.
        amount: base currency; None for a market order of a `quote_amount`.
        price: of the kinds in LIMITS.
        stop_price: that stops and take profits wait for.
        client_id: the client's own name of the order.
        time_in_force: "GTC", "IOC" or "FOK".
        quote_amount: quote currency to spend or to raise, market orders alone.
        reduce_only: on margin, never to open or to turn a position.
    """

    symbol: str
    side: Side
    kind: str
    amount: Decimal | None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    client_id: str = ""
    time_in_force: str = "GTC"
    quote_amount: Decimal | None = None
    reduce_only: bool = False


@dataclass(slots=True)
class Order:
    """An order as the exchange holds it; amounts in base currency, `cost` in quote, times in ms of the venue clock."""

    id: int
    client_id: str
    symbol: str
    side: Side
    kind: str
    amount: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    time_in_force: str
    created: int
    updated: int
    list_id: int = -1
    list_client_id: str = ""
    quote_amount: Decimal | None = None
    reduce_only: bool = False
    status: Status = Status.NEW
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    triggered: bool = False
    trades: list[Trade] = field(default_factory=list)

    @property
    def remaining(self) -> Decimal:
        """What is left to fill."""
        return EXACT.subtract(self.amount, self.filled)

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status in OPEN

    @property
    def takes_profit(self) -> bool:
        """Whether it fills when its price is reached: a take profit, the limit leg of a pair, or one that only reduces.

        Any other limit order fills only when the bar trades through its price (docs/execution.md).
        """
        closes = self.list_id != -1 or self.reduce_only
        return self.kind in PROFITS or (closes and self.kind in {"limit", "limit_maker"})

    @property
    def level(self) -> Decimal | None:
        """The price that brings it to fill: of a waiting order the stop price, else its limit."""
        return self.stop_price if self.stop_price is not None and not self.triggered else self.price


@dataclass(frozen=True, slots=True)
class Trade:
    """A fill: `amount` in base currency, `cost` in quote, the fee in `fee_asset`; time in ms of the venue clock."""

    id: int
    order_id: int
    symbol: str
    side: Side
    amount: Decimal
    price: Decimal
    cost: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    time: int
    profit: Decimal = ZERO


class Bar(NamedTuple):
    """A candle of one symbol; `time` is its opening, ms."""

    time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Tick(NamedTuple):
    """A trade of others, at `time` (ms); `number` is its id."""

    number: int
    time: int
    price: Decimal


class Part(NamedTuple):
    """A piece in which an order fills, its price worse by the fraction `worse`."""

    amount: Decimal
    worse: Decimal = ZERO


# In which pieces an order fills: of the order, what is left of it, and whether it rests.
Depth = Callable[[Order, Decimal, bool], Iterable[Part]]


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """A step of an order, with the order as it was after it."""

    order: Order
    execution: Literal["new", "trade", "cancelled", "expired"]
    trade: Trade | None
    time: int
    cancel_id: str = ""


@dataclass(frozen=True, slots=True)
class BalanceEvent:
    """Balances that have changed: by asset (free, locked)."""

    balances: dict[str, tuple[Decimal, Decimal]]
    time: int


@dataclass(frozen=True, slots=True)
class ListEvent:
    """A step of a pair of orders of which one cancels the other."""

    list_id: int
    client_id: str
    symbol: str
    done: bool
    legs: tuple[tuple[int, str], ...]
    time: int


Event = OrderEvent | BalanceEvent | ListEvent
