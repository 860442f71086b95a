"""What a session trades, and on which terms: its markets, their rules, and the account that they need.

    kind = check_symbols("run_live", symbols)                 # before anything is asked of the exchange
    venues = venues_of(exchange, symbols, None, leverage=3)   # its markets loaded
    await check_margin(exchange, venues)                      # what the account is set to, of perpetuals

A session trades spot, or linear perpetuals; all of one currency, in which cash, fees and profits are counted.
Perpetuals need an account in one-way mode, where buying and selling meet in one position, with cross margin, and with a
leverage that covers what the session reckons with. An account's settings are a person's: they are changed when told to.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from data.errors import ValidationError
from engine.live.books import currencies, is_perpetual
from engine.live.calls import answered
from engine.venue import Venue


class Kind(NamedTuple):
    """Of what kind the symbols of a session are: the currency that they are all of, and whether they are perpetuals."""

    quote: str
    perpetual: bool

    @property
    def margin_in(self) -> str | None:
        """The currency of the margin; None on spot."""
        return self.quote if self.perpetual else None

    @property
    def dialect(self) -> Literal["binance", "bybit"]:
        """Which of the rehearsal exchange's dialects trades it."""
        return "bybit" if self.perpetual else "binance"


def check_symbols(where: str, symbols: Sequence[str]) -> Kind:
    """Refuse symbols that no one session can trade.

    Args:
        where: what was given them, for the message.
        symbols: as ccxt names them.

    Raises:
        ValidationError: none or no list, one twice, several quote currencies, spot beside perpetuals, or a contract
            that is no linear perpetual.
    """
    if isinstance(symbols, str) or not symbols or len(set(symbols)) < len(symbols):
        raise ValidationError(f"{where}: symbols {symbols!r}: give a list, such as ['BTC/USDT'], each once")
    quotes = {currencies(symbol)[1] for symbol in symbols}
    if len(quotes) > 1:
        raise ValidationError(f"{where}: symbols of {', '.join(sorted(quotes))}; a session has one quote currency")
    perpetual = {is_perpetual(symbol) for symbol in symbols}
    if len(perpetual) > 1:
        raise ValidationError(
            f"{where}: {', '.join(symbols)}: spot beside perpetuals; they have accounts of their own, so give each a "
            "session of its own"
        )
    for symbol in symbols if perpetual == {True} else ():
        quote, settle = symbol.partition("/")[2].split(":", 1)
        if settle != quote:
            raise ValidationError(
                f"{where}: {symbol} is no linear perpetual, BASE/QUOTE:QUOTE: it settles in {settle}; choose the one "
                f"that settles in {quote}"
            )
    return Kind(quotes.pop(), perpetual.pop())


def listed(exchange: Any, symbol: str) -> dict[str, Any]:
    """A market of the exchange, as ccxt has it.

    Raises:
        ValidationError: it has no such market.
    """
    found = exchange.markets.get(symbol)
    if found is None:
        near = ", ".join(difflib.get_close_matches(symbol, exchange.markets, n=3))
        raise ValidationError(f"{exchange.id}: has no market {symbol!r}" + (f"; it has {near}" if near else ""))
    return dict(found)


def venues_of(
    exchange: Any,
    symbols: Sequence[str],
    venues: Mapping[str, Venue] | None,
    *,
    leverage: float = 1.0,
    maintenance_margin: float = 0.0,
) -> dict[str, Venue]:
    """The rules of each symbol: those that are given, else the exchange's own.

    Args:
        exchange: of ccxt, its markets loaded.
        symbols: that are traded.
        venues: rules by symbol; None for the exchange's own.
        leverage: of perpetuals, where the rules are the exchange's own.
        maintenance_margin: likewise, fraction of notional: ccxt's markets do not state it.

    Raises:
        ValidationError: a market is not there, or is one that the rules do not know; a venue is missing.
    """
    markets = {symbol: listed(exchange, symbol) for symbol in symbols}
    if venues is not None:
        missing = [symbol for symbol in symbols if symbol not in venues]
        if missing:
            raise ValidationError(f"venues lack {', '.join(missing)}; give one for each symbol, or None")
        return {symbol: venues[symbol] for symbol in symbols}
    chosen = {"leverage": leverage, "maintenance_margin": maintenance_margin}
    mode = exchange.precisionMode
    return {symbol: Venue.from_ccxt(market, precision_mode=mode, **chosen) for symbol, market in markets.items()}


async def check_margin(exchange: Any, venues: Mapping[str, Venue], *, may_set: bool = False) -> None:
    """Refuse an account whose perpetuals are not set as a session needs them; of spot nothing is asked.

    Args:
        exchange: of ccxt, its markets loaded and its keys set.
        venues: rules by symbol of what is to be traded.
        may_set: the leverage of a symbol may be set to what its venue says, where it is below.

    Raises:
        ValidationError: contracts of another size than one coin, hedge mode, isolated margin, or a leverage below the
            venue's; says how to mend it.
    """
    for symbol, venue in venues.items():
        if not is_perpetual(symbol):
            continue
        _check_contract(exchange, symbol, venue)
        mode = await answered(partial(exchange.fetch_margin_mode, symbol))
        if mode["marginMode"] != "cross":
            raise ValidationError(
                f"{exchange.id}: the margin of {symbol} is {mode['marginMode']}, a session reckons with one margin for "
                "all positions; set the account to cross margin"
            )
        positions = await answered(partial(exchange.fetch_positions, [symbol]))
        if any(position["hedged"] for position in positions):
            raise ValidationError(
                f"{exchange.id}: {symbol} is in hedge mode, where a purchase does not close a short position; set it "
                "to one-way mode"
            )
        told = min((float(position["leverage"]) for position in positions if position["leverage"]), default=math.nan)
        if told >= venue.leverage:
            continue
        if not may_set:
            raise ValidationError(
                f"{exchange.id}: the leverage of {symbol} is {'not told' if told != told else format(told, 'g')}, the "
                f"venue says {venue.leverage:g}: orders would be refused; set it on the exchange, "
                "have run_live set it (set_leverage=True), or trade with less"
            )
        await answered(partial(exchange.set_leverage, venue.leverage, symbol))


def _check_contract(exchange: Any, symbol: str, venue: Venue) -> None:
    """Amounts are coins: of a contract of another size the exchange would take another amount."""
    market = listed(exchange, symbol)
    if market.get("linear") is not True or market.get("swap") is not True:
        raise ValidationError(f"{exchange.id}: {symbol} is no linear perpetual; choose one that is")
    if market.get("contractSize") != 1:
        raise ValidationError(
            f"{exchange.id}: a contract of {symbol} is {market.get('contractSize')!r} coins; a session trades "
            "contracts of one coin"
        )
    if not venue.shorts:
        raise ValidationError(f"{symbol}: its venue is spot's (shorts=False); a perpetual's says shorts=True")
