"""What a session's own fills have made of its money, exactly: cash in quote currency, and what is held by symbol.

Of perpetuals, cash is what it would be if the positions had been paid for: the wallet less what they have cost (of a
short: and what it brought). So cash and positions at a price are the account's equity, whatever is traded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from typing import Final

from engine.live.books import Books, currencies
from engine.live.desk import Filled
from engine.live.order_state import Fill, average_price, sum_of

_EXACT: Final = Context(prec=200)


class Tally:
    """Balances as they change with each fill, and which fills are counted.

    Args:
        symbols: in ccxt's spelling, all of one quote currency.
        cash: what the session may spend, quote currency.
    """

    def __init__(self, symbols: Sequence[str], cash: Decimal) -> None:
        self.quote, self._begun = currencies(symbols[0])[1], cash
        self.totals: dict[str, Decimal] = defaultdict(Decimal, {self.quote: cash})
        self._counted: set[tuple[str, str, str]] = set()

    @property
    def cash(self) -> Decimal:
        """Quote currency."""
        return self.totals[self.quote]

    def held(self, symbol: str) -> Decimal:
        """Base currency of a symbol."""
        return self.totals[currencies(symbol)[0]]

    def follow(self, books: Books) -> None:
        """Take what the books have of perpetuals: also what a person has made part of them without a fill."""
        self.totals.update((currencies(symbol)[0], position) for symbol, position in books.positions.items())
        spent = (cost.copy_negate() for cost in books.cost.values())
        self.totals[self.quote] = sum_of((self._begun, books.changes.get(self.quote, Decimal(0)), *spent))

    def counted(self, fills: Iterable[Fill]) -> list[str]:
        """Trade ids of those that are counted."""
        waiting = set(self.fresh(fills))
        return [fill.trade_id for fill in fills if fill not in waiting]

    def skip(self, fills: Iterable[Fill]) -> None:
        """Take fills for counted: the totals that were restored have them in."""
        self._counted.update((fill.exchange, fill.symbol, fill.trade_id) for fill in fills)

    def forget_all_but(self, fills: Iterable[Fill]) -> None:
        """Of orders that have ended no fill is told again: only these need to be known as counted."""
        self._counted &= {(fill.exchange, fill.symbol, fill.trade_id) for fill in fills}

    def fresh(self, fills: Iterable[Fill]) -> tuple[Fill, ...]:
        """Those that are not counted yet."""
        return tuple(fill for fill in fills if (fill.exchange, fill.symbol, fill.trade_id) not in self._counted)

    def count(self, fills: Iterable[Fill]) -> Filled | None:
        """Count fills of one order, each once; what they come to, or None where all were counted before.

        A fee in a third currency is taken from that one, and counts as nothing in the quote currency.
        """
        fresh = self.fresh(fills)
        if not fresh:
            return None
        base, quote = currencies(fresh[0].symbol)
        fee = Decimal(0)
        for fill in fresh:
            self._counted.add((fill.exchange, fill.symbol, fill.trade_id))
            signed = fill.amount if fill.side == "buy" else -fill.amount
            self.totals[base] = sum_of((self.totals[base], signed))
            self.totals[quote] = sum_of((self.totals[quote], -_product(signed, fill.price)))
            if fill.fee_currency:
                self.totals[fill.fee_currency] = sum_of((self.totals[fill.fee_currency], -fill.fee))
            if fill.fee_currency == quote:
                fee = sum_of((fee, fill.fee))
            elif fill.fee_currency == base:
                fee = sum_of((fee, _product(fill.fee, fill.price)))
        average = average_price(fresh)
        assert average is not None  # noqa: S101 - for mypy: there are fills
        amount = sum_of(fill.amount if fill.side == "buy" else -fill.amount for fill in fresh)
        return Filled(amount, float(average), float(fee))


def _product(one: Decimal, other: Decimal) -> Decimal:
    return _EXACT.multiply(one, other)
