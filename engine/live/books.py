"""What the fills alone say: positions, cash, fees and realised profit. Exact: Decimals in, fractions within.

Cost is by average: buying adds to a position and its cost, selling takes both away in proportion, and what was received
above the cost taken away is realised. A fee in the quote currency lowers the realised profit; one in the base currency
is coins that were paid for and did not come (a buy) or left unpaid (a sell), so those that remain cost more each; one
in a third currency stands under `fees` alone. Selling what the fills never bought opens a short position.

A perpetual's fill moves no coins: it changes the position, and the wallet by what it realises and by its fee. What it
realises is the exchange's own figure where a fill tells it, for exchanges round it in ways of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final

from engine.live.order_state import Fill

_DIGITS: Final = Context(prec=60)  # where a fraction has no end as a decimal


@dataclass(frozen=True)
class Books:
    """What a run's fills come to.

    Attributes:
        positions: base currency by symbol, negative when short; a position that is closed stays, as 0.
        cost: what the position cost, quote currency by symbol.
        changes: what the fills added to each currency of the account, fees included: balance now - balance before. A
            perpetual's position stands beside the currencies, under its symbol.
        cash: `changes` of the quote currencies.
        fees: paid, by currency.
        realised: profit, quote currency by symbol, after fees in base or quote currency.
    """

    positions: dict[str, Decimal]
    cost: dict[str, Decimal]
    changes: dict[str, Decimal]
    cash: dict[str, Decimal]
    fees: dict[str, Decimal]
    realised: dict[str, Decimal]


def currencies(symbol: str) -> tuple[str, str]:
    """Base and quote currency of a symbol in ccxt's spelling."""
    base, _, quote = symbol.partition("/")
    return base, quote.partition(":")[0]


def is_perpetual(symbol: str) -> bool:
    """Whether a symbol is a perpetual's, BASE/QUOTE:SETTLE."""
    return ":" in symbol


def holding(symbol: str) -> str:
    """What a position stands under in `Books.changes`: the base currency, of a perpetual the symbol itself."""
    return symbol if is_perpetual(symbol) else currencies(symbol)[0]


def in_order(fills: Iterable[Fill]) -> list[Fill]:
    """Fills as they traded: by time, then by trade id (numbers by their value)."""
    return sorted(fills, key=lambda fill: (fill.at, fill.symbol, len(fill.trade_id), fill.trade_id))


@dataclass(frozen=True)
class Adjustment:
    """What a run owns, or owes, without a fill of its own: a person has made it part of its books.

    Attributes:
        number: of the entry in the journal.
        at: when it was written down, ns.
        currency: of which.
        amount: of it, signed.
        symbol: whose position it is part of; "" where it is money, or a currency that the run does not trade.
        price: quote currency, that the position's share is reckoned at; None with `symbol` "".
    """

    number: int
    at: int
    currency: str
    amount: Decimal
    symbol: str
    price: Decimal | None


def books_of(fills: Iterable[Fill], adjustments: Iterable[Adjustment] = ()) -> Books:
    """The books after these fills, in the order they traded, and then after what was adjusted without one.

    An adjustment of a position counts as a trade at its price, but for the money: that is an adjustment of its own.
    """
    positions: dict[str, Fraction] = {}
    cost: dict[str, Fraction] = defaultdict(Fraction)
    realised: dict[str, Fraction] = defaultdict(Fraction)
    changes: dict[str, Fraction] = defaultdict(Fraction)
    fees: dict[str, Fraction] = defaultdict(Fraction)
    for fill in in_order(fills):
        base, quote = currencies(fill.symbol)
        signed = Fraction(fill.amount) if fill.side == "buy" else -Fraction(fill.amount)
        paid = signed * Fraction(fill.price)
        fee = Fraction(fill.fee)
        changes[holding(fill.symbol)] += signed
        if fill.fee_currency:
            changes[fill.fee_currency] -= fee
            fees[fill.fee_currency] += fee
        held, worth = positions.get(fill.symbol, Fraction()), cost[fill.symbol]
        held, worth, gain = _trade(held, worth, signed, paid)
        if not is_perpetual(fill.symbol):
            changes[quote] -= paid
        else:
            changes[quote] += gain if fill.profit is None else Fraction(fill.profit)
        if fill.fee_currency == quote:
            gain -= fee
        elif fill.fee_currency == base:
            held -= fee
            if held == 0:  # nothing remains that could carry the cost
                gain, worth = gain - worth, Fraction()
        positions[fill.symbol], cost[fill.symbol] = held, worth
        realised[fill.symbol] += gain
    for item in adjustments:
        changes[item.currency] += Fraction(item.amount)
        if item.symbol and item.price is not None:
            symbol, signed = item.symbol, Fraction(item.amount)
            held, worth = positions.get(symbol, Fraction()), cost[symbol]
            positions[symbol], cost[symbol], gain = _trade(held, worth, signed, signed * Fraction(item.price))
            realised[symbol] += gain
    quotes = {currencies(symbol)[1] for symbol in positions}
    exact = _decimals(changes)
    return Books(
        _decimals(positions),
        _decimals(cost),
        exact,
        {currency: exact.get(currency, Decimal(0)) for currency in sorted(quotes)},
        _decimals(fees),
        _decimals(realised),
    )


def _trade(held: Fraction, worth: Fraction, signed: Fraction, paid: Fraction) -> tuple[Fraction, Fraction, Fraction]:
    """Position, its cost and what is realised, after a trade of `signed` coins for `paid` (negative: received)."""
    if held * signed >= 0:
        return held + signed, worth + paid, Fraction()
    closing = min(abs(held), abs(signed)) / abs(signed)  # the share of the trade that closes what is held
    closed = -signed * closing
    freed = worth * closed / held
    gain = -paid * closing - freed
    return held + signed, worth - freed + paid * (1 - closing), gain


def _decimals(amounts: dict[str, Fraction]) -> dict[str, Decimal]:
    return {name: _decimal(amount) for name, amount in sorted(amounts.items())}


def _decimal(value: Fraction) -> Decimal:
    """Exact where the fraction ends as a decimal; to 60 digits where it has no end."""
    rest, places = value.denominator, 0
    for factor in (2, 5):
        count = 0
        while rest % factor == 0:
            rest, count = rest // factor, count + 1
        places = max(places, count)
    if rest == 1:
        return Decimal(value.numerator * 10**places // value.denominator).scaleb(-places, Context(prec=10_000))
    return _DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))
