"""What an exchange's answer says of an order, a trade or a balance, to the last digit.

ccxt makes floats of the numbers in an answer, and keeps the answer itself under "info". A number is taken from there,
under the names that the exchanges give it, where that text means the same float; else the float's shortest decimal is
the number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from engine.live.order_state import Fill, OrderIntent, State, sum_of

# Names of the same number in raw answers: Binance by REST, Binance by stream, Bybit, Kraken.
_EXECUTED: Final = ("executedQty", "z", "cumExecQty", "vol_exec")
_PRICE: Final = ("price", "L", "execPrice")
_AMOUNT: Final = ("qty", "l", "execQty", "vol")
_FEE: Final = ("commission", "n", "execFee", "fee")
_PROFIT: Final = "execPnl"  # of Bybit; ccxt has no name for it
_BOUND: Final = ("locked", "totalPositionIM", "totalOrderIM")  # of Bybit's wallet
_ENDED: Final = frozenset({"closed", "canceled", "cancelled", "expired", "rejected"})


class Balance(NamedTuple):
    """What an account has of a currency: free, and bound in orders."""

    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """Both together."""
        return sum_of(self)


class Told(NamedTuple):
    """One order as the exchange has it: its id, whether it has ended (and by refusal), and how much is filled."""

    order_id: str
    ended: bool
    refused: bool
    executed: Decimal


def number(raw: object, names: Iterable[str], value: object) -> Decimal | None:
    """A number as the exchange wrote it: the first of these names in `raw` whose text means `value`; else `value`."""
    if value is None:
        return None
    shortest = Decimal(str(value))
    if isinstance(raw, Mapping):
        for name in names:
            try:
                text = Decimal(str(raw[name]))
            except (KeyError, InvalidOperation):
                continue
            if text.is_finite() and float(text) == float(shortest):
                return text
    return shortest


def client_id_in(order: Mapping[str, Any]) -> str | None:
    """The client id that an order was sent with: after a cancel an answer may show the cancel's own beside it."""
    raw = order.get("info")
    original = raw.get("origClientOrderId") if isinstance(raw, Mapping) else None
    found = original or order.get("clientOrderId")
    return None if found is None else str(found)


def read_order(order: object) -> Told | None:
    """One order of ccxt; None where the answer does not say enough to go by."""
    if not isinstance(order, Mapping):
        return None
    executed = number(order.get("info"), _EXECUTED, order.get("filled"))
    status = order.get("status")
    if executed is None or not order.get("id") or not isinstance(status, str):
        return None
    return Told(str(order["id"]), status in _ENDED, status == "rejected", executed)


def state_of(intent: OrderIntent, legs: Iterable[Told | None]) -> tuple[State, Decimal]:
    """Where an order is, and how much of it is filled, by what the exchange tells of its legs (None: not yet seen)."""
    told = list(legs)
    known = [leg for leg in told if leg is not None]
    executed = sum_of(leg.executed for leg in known)
    if len(known) < len(told) or not all(leg.ended for leg in known):
        return (State.PARTLY_FILLED if executed else State.ACKNOWLEDGED), executed
    if executed >= Decimal(intent.amount):
        return State.FILLED, executed
    refused = executed == 0 and all(leg.refused for leg in known)
    return (State.REJECTED if refused else State.CANCELLED), executed


def read_trade(exchange: str, symbol: str, trade: object, order: Mapping[str, Any] | None = None) -> Fill | None:
    """One trade of ccxt as a fill; None where it lacks what a fill must have, its fee included.

    Args:
        exchange: its name in ccxt.
        symbol: in ccxt's spelling.
        trade: of ccxt.
        order: whose answer it came in, for what such a trade leaves out: order id, side and time.
    """
    if not isinstance(trade, Mapping):
        return None
    whole = {key: value for key, value in (order or {}).items() if value is not None}
    raw, fee = trade.get("info"), trade.get("fee") or {}
    price = number(raw, _PRICE, trade.get("price"))
    amount = number(raw, _AMOUNT, trade.get("amount"))
    paid = number(raw, _FEE, fee.get("cost"))
    side, order_id = trade.get("side") or whole.get("side"), trade.get("order") or whole.get("id")
    if not (trade.get("id") and order_id and price and amount and side) or paid is None:
        return None
    currency = str(fee.get("currency") or "") if paid else ""  # of a fee of nothing some answers name it, some do not
    if paid and not currency:
        return None
    maker = {"maker": True, "taker": False}.get(str(trade.get("takerOrMaker")))
    at = int(trade.get("timestamp") or whole.get("timestamp") or 0)
    profit = _profit(raw) if ":" in symbol else None
    return Fill(
        exchange, symbol, str(trade["id"]), str(order_id), str(side), price, amount, paid, currency, at, maker, profit
    )


def read_balances(answer: Mapping[str, Any], name_of: Any) -> dict[str, Balance]:
    """The account by currency, those with nothing left out; `name_of` gives ccxt's name of a raw asset."""
    found: dict[str, Balance] = {}
    raw = answer.get("info")
    listed = raw.get("balances") if isinstance(raw, Mapping) else None
    wallets = _wallets(raw)
    if wallets:
        for coin in wallets:
            total, bound = Decimal(coin["walletBalance"]), sum_of(Decimal(coin.get(name) or 0) for name in _BOUND)
            found[str(name_of(coin["coin"]))] = Balance(sum_of((total, bound.copy_negate())), bound)
    elif isinstance(listed, list):
        for one in listed:
            found[str(name_of(one["asset"]))] = Balance(Decimal(one["free"]), Decimal(one["locked"]))
    else:
        totals, free = answer.get("total") or {}, answer.get("free") or {}
        for currency, total in totals.items():
            unbound = Decimal(str(free.get(currency) or 0))
            found[currency] = Balance(unbound, sum_of((Decimal(str(total or 0)), unbound.copy_negate())))
    return {currency: balance for currency, balance in sorted(found.items()) if balance.total != 0}


def read_position(position: Mapping[str, Any]) -> Decimal:
    """A position of ccxt in base currency, negative when short; of a contract that is one unit of it."""
    size = number(position.get("info"), ("size",), position.get("contracts")) or Decimal(0)
    return -size if position.get("side") == "short" else size


def acknowledges(answer: object, client_id: str) -> bool:
    """Whether an answer names the order and says no more: the exchange has taken it, and may have done more."""
    return isinstance(answer, Mapping) and bool(answer.get("id")) and client_id_in(answer) == client_id


def _profit(raw: object) -> Decimal | None:
    """What a trade has realised; None where the exchange does not tell."""
    try:
        return Decimal(str(raw[_PROFIT])) if isinstance(raw, Mapping) else None
    except (KeyError, InvalidOperation):
        return None


def _wallets(raw: object) -> list[Mapping[str, Any]]:
    """Bybit's currencies of an account, each with its wallet balance; none of another exchange."""
    result = raw.get("result") if isinstance(raw, Mapping) else None
    accounts = result.get("list") if isinstance(result, Mapping) else None
    return [coin for account in accounts or () for coin in account.get("coin") or () if coin.get("walletBalance")]
