"""What each error of ccxt means for an order, and what is done about it: one stated treatment each.

    treatment_of(error)     # Treatment.LOOK_UP

An error is told by its class, and where the class has no line of its own by the nearest class above it. What is no
error of ccxt (a timeout of ours, a broken answer that ccxt could not read) says nothing of the order: it is looked up.
`docs/exceptions.md` is made from `TABLE` by `table_text()`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Treatment(StrEnum):
    """What is done when a request for an order ends in an error."""

    LOOK_UP = "look up"
    RETRY_LATER = "retry later"
    WAIT_OUT = "wait out"
    RESYNC_CLOCK = "resync clock"
    CUT_TO_FUNDS = "cut to funds"
    REPRICE = "reprice"
    REJECTED = "rejected"
    HALT = "halt"


MEANING: Final[dict[Treatment, str]] = {
    Treatment.LOOK_UP: (
        "Nobody knows whether the exchange executed it. The order is `unknown`; it is looked up by its client id until "
        "the exchange answers, and sent again under the same id only when a lookup that began after the request's "
        "timestamp + recvWindow (exchange clock), a second one and the list of recent orders do not find it."
    ),
    Treatment.RETRY_LATER: (
        "The exchange refused the request at the door. Every request waits for `Retry-After` (else a growing pause); "
        "then one lookup by client id, and the same order goes out again under the same id."
    ),
    Treatment.WAIT_OUT: (
        "The exchange is closed for maintenance. As *look up*, with pauses of up to a minute: whether the request came "
        "through before it closed is for the lookup to say."
    ),
    Treatment.RESYNC_CLOCK: (
        "The exchange refused the request for its timestamp. The clock difference is measured anew; then one lookup by "
        "client id, and the same order goes out again under the same id. After three in a row: halt."
    ),
    Treatment.CUT_TO_FUNDS: (
        "Refused, final for this id: the account cannot pay it. The session reads the balances and may place what they "
        "pay as the next attempt (another id). The refusal is an incident in the journal."
    ),
    Treatment.REPRICE: (
        "Refused, final for this id: a post-only order would have filled at once. The session may place it at another "
        "price as the next attempt (another id)."
    ),
    Treatment.REJECTED: (
        "Refused, final: the order itself is wrong (amount, price, minimum notional, symbol, market closed). It is not "
        "sent again; the refusal is an incident in the journal."
    ),
    Treatment.HALT: (
        "Refused, and so will be every other: keys, permission or account. The order is `rejected` (`unknown` where it "
        "was sent before), an incident is written and `HaltError` ends the session until a person has seen to it."
    ),
}

# Those by which the exchange has said of this very request that it will not execute it.
REFUSALS: Final = frozenset(Treatment) - {Treatment.LOOK_UP, Treatment.WAIT_OUT}
# Those after which the order is at its end.
FINAL: Final = frozenset({Treatment.CUT_TO_FUNDS, Treatment.REPRICE, Treatment.REJECTED})


class Line(NamedTuple):
    """One line of the table: a treatment, and when the error is met."""

    treatment: Treatment
    when: str


_T = Treatment
TABLE: Final[dict[str, Line]] = {
    "BaseError": Line(_T.LOOK_UP, "no error that ccxt could name"),
    "ExchangeError": Line(
        _T.LOOK_UP, "an answer with a code that ccxt does not know; also an answer whose connection broke half-way"
    ),
    "AuthenticationError": Line(_T.HALT, "wrong key or signature (-1022, -2014, -2015)"),
    "PermissionDenied": Line(_T.HALT, "the key may not trade, or not from this address"),
    "AccountNotEnabled": Line(_T.HALT, "the account is not opened for this market"),
    "AccountSuspended": Line(_T.HALT, "the account's trading is banned"),
    "ArgumentsRequired": Line(_T.REJECTED, "ccxt misses an argument; nothing was sent"),
    "BadRequest": Line(_T.REJECTED, "a malformed parameter (-1100 to -1131), a filter such as NOTIONAL (-1013)"),
    "BadSymbol": Line(_T.REJECTED, "no such market (-1121)"),
    "OperationRejected": Line(_T.REJECTED, "refused by a rule of the exchange"),
    "NoChange": Line(_T.REJECTED, "nothing to change; no order is answered so"),
    "MarginModeAlreadySet": Line(_T.REJECTED, "as above, of the margin mode"),
    "MarketClosed": Line(_T.REJECTED, "the market is closed or halted; the decision is old when it opens"),
    "ManualInteractionNeeded": Line(_T.HALT, "the exchange wants a person to sign or confirm something"),
    "RestrictedLocation": Line(_T.HALT, "not served from here"),
    "InsufficientFunds": Line(_T.CUT_TO_FUNDS, "insufficient balance (-2010)"),
    "InvalidAddress": Line(_T.REJECTED, "of withdrawals, which are never asked for"),
    "AddressPending": Line(_T.REJECTED, "of deposits, which are never asked for"),
    "InvalidOrder": Line(_T.REJECTED, "LOT_SIZE, PRICE_FILTER, another -2010; but 'Duplicate order sent' is looked up"),
    "OrderNotFound": Line(
        _T.LOOK_UP, "unknown to a lookup or a cancel (-2013, -2011): the lookup that follows tells why"
    ),
    "OrderNotCached": Line(_T.LOOK_UP, "ccxt's own cache has it not; the exchange may"),
    "OrderImmediatelyFillable": Line(_T.REPRICE, "a post-only order would take (-2010)"),
    "OrderNotFillable": Line(_T.REJECTED, "a fill-or-kill order found no match"),
    "DuplicateOrderId": Line(_T.LOOK_UP, "the client id is at the exchange already: it was executed"),
    "ContractUnavailable": Line(_T.REJECTED, "the contract is delisted or not yet open"),
    "NotSupported": Line(_T.REJECTED, "the exchange, or ccxt for it, has no such order"),
    "InvalidProxySettings": Line(_T.HALT, "ccxt is set up wrongly; nothing was sent"),
    "ExchangeClosedByUser": Line(_T.LOOK_UP, "the connection was closed by this side, perhaps after sending"),
    "OperationFailed": Line(_T.LOOK_UP, "internal error, status unknown (-1000, -1001, -1006)"),
    "NetworkError": Line(_T.LOOK_UP, "the connection failed, before or after the request arrived"),
    "DDoSProtection": Line(_T.RETRY_LATER, "HTTP 429 and 418 (banned for a while) of Binance"),
    "RateLimitExceeded": Line(_T.RETRY_LATER, "too many requests or orders (-1003, -1015)"),
    "ExchangeNotAvailable": Line(_T.LOOK_UP, "HTTP 5xx, connection refused or dropped before the answer"),
    "OnMaintenance": Line(_T.WAIT_OUT, "the system is under maintenance"),
    "InvalidNonce": Line(_T.RESYNC_CLOCK, "timestamp outside of recvWindow, or ahead of the exchange (-1021)"),
    "ChecksumError": Line(_T.LOOK_UP, "of an order book's stream; no order is answered so"),
    "RequestTimeout": Line(_T.LOOK_UP, "no answer in time, HTTP 504, backend timeout (-1007)"),
    "BadResponse": Line(_T.LOOK_UP, "an answer that ccxt cannot read"),
    "NullResponse": Line(_T.LOOK_UP, "an empty answer"),
    "CancelPending": Line(_T.LOOK_UP, "a cancel is on its way already"),
    "UnsubscribeError": Line(_T.LOOK_UP, "of streams; no order is answered so"),
}
# Words of a refusal that is none: the id is taken, because an earlier request under it was executed.
_DUPLICATE: Final = "duplicate"


def treatment_of(error: BaseException) -> Treatment:
    """The treatment of an error that ended a request for an order."""
    names = [kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] == "ccxt"]
    name = next((name for name in names if name in TABLE), None)
    if name is None:
        return Treatment.LOOK_UP
    found = TABLE[name].treatment
    if found in FINAL and _DUPLICATE in str(error).lower():
        return Treatment.LOOK_UP
    return found


def is_not_found(error: BaseException) -> bool:
    """Whether a lookup ended because the exchange knows no such order."""
    return any(kind.__name__ == "OrderNotFound" for kind in type(error).__mro__)


def table_text() -> str:
    """The tables of docs/exceptions.md, in Markdown."""
    lines = ["| treatment | what is done |", "|---|---|"]
    lines += [f"| **{treatment.value}** | {meaning} |" for treatment, meaning in MEANING.items()]
    lines += ["", "| ccxt's class | treatment | met when |", "|---|---|---|"]
    lines += [f"| `{name}` | {line.treatment.value} | {line.when} |" for name, line in TABLE.items()]
    return "\n".join(lines) + "\n"
