"""What an account tells: fills, balances and open orders, each number as the exchange wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from data.errors import ValidationError
from engine.live.answers import Balance, client_id_in, number, read_balances, read_order, read_position, read_trade
from engine.live.calls import Calls, Failure, HaltError, UnreachableError
from engine.live.journal import Journal
from engine.live.order_lookup import open_ones, paging, trades_of
from engine.live.order_state import Fill, OrderIntent
from engine.live.treatments import Treatment

PAGE: Final = 1000  # trades: the most that Binance gives at once
_DAY: Final = 86_400_000  # ms


@dataclass(frozen=True)
class OpenOrder:
    """An order that rests on the exchange, whoever sent it.

    Attributes:
        client_id: of the order, or of its leg of an OCO; "" where it has none.
        order_id: the exchange's.
        symbol: in ccxt's spelling.
        side: "buy" or "sell".
        amount: base currency.
        filled: base currency.
        price: quote currency; None of an order at the market.
        intent: as it was meant; None where no run of this journal has sent it.
    """

    client_id: str
    order_id: str
    symbol: str
    side: str
    amount: Decimal
    filled: Decimal
    price: Decimal | None
    intent: OrderIntent | None


class AccountReader:
    """The side of a gateway that only asks; `Gateway` says what its parts are."""

    def __init__(
        self, exchange: Any, journal: Journal, run: str, calls: Calls, patience: float, margin_in: str | None = None
    ) -> None:
        self._exchange, self._journal, self._run = exchange, journal, run
        self._calls, self._patience, self._margin_in = calls, patience, margin_in

    async def fills_since(self, symbol: str, since: int | None = None, trade_id: str | None = None) -> list[Fill]:
        """Every fill of the account in a symbol from a moment on, page by page, each written into the journal once.

        Args:
            symbol: in ccxt's spelling.
            since: ms, exchange time.
            trade_id: instead, the trade to begin at. With neither, it begins where the last call ended.

        Returns:
            All of them, those known before too, as they traded.

        Raises:
            ValidationError: neither is given, and it is the first call for this symbol.
            UnreachableError: no answer for `patience` seconds; what had come is in the journal.
            HaltError: the exchange refuses us as such.
        """
        known = self._journal.cursor(self._name, symbol)
        moves = known is None or (since is None and trade_id is None)  # else a gap might lie before what is found
        if since is None and trade_id is None:
            if known is None:
                raise ValidationError(f"fills_since: no fills of {symbol} were read before; give since= or trade_id=")
            trade_id, since = known
        found: dict[str, Fill] = {}
        page = await self._page_at(symbol, since, trade_id)
        while True:
            new = [fill for fill in page if fill.trade_id not in found]
            found |= {fill.trade_id: fill for fill in new}
            last = max(page, key=sequence, default=None)
            self._journal.record_fills(new, cursor=last if moves else None)
            if last is None or not new or len(page) < PAGE:
                return sorted(found.values(), key=sequence)
            page = await self._page_at(symbol, last.at, last.trade_id)

    async def latest_fill(self, symbol: str) -> Fill | None:
        """The newest fill of the account in a symbol; None for none. Nothing is written down.

        Raises:
            UnreachableError: no answer for `patience` seconds.
            HaltError: the exchange refuses us as such.
        """
        return max(await self._fills_of(symbol, None, {}, self._deadline()), key=sequence, default=None)

    async def _page_at(self, symbol: str, since: int | None, trade_id: str | None) -> list[Fill]:
        """The trades from one on, or from a moment on, at most PAGE of them, the earliest first."""
        if "binance" not in self._name:
            return await self._fills_of(symbol, since, paging(self._exchange), self._deadline())
        if trade_id is not None:
            return await self._fills_of(symbol, None, {"fromId": trade_id}, self._deadline())
        # From a startTime on Binance shows a day at most, so an empty page would not be the end.
        latest = await self._fills_of(symbol, None, {}, self._deadline())
        earliest = min((fill.at for fill in latest), default=0)
        start = since or 0
        if len(latest) < PAGE or earliest < start:
            return [fill for fill in latest if fill.at >= start]
        while start < earliest:
            if page := await self._fills_of(symbol, start, {}, self._deadline()):
                return await self._page_at(symbol, None, min(page, key=sequence).trade_id)
            start += _DAY
        return latest

    def hear_trade(self, trade: Mapping[str, Any]) -> Fill | None:
        """Take in a trade of ours that a stream tells of (watch_my_trades); None where it lacks what a fill has."""
        fill = read_trade(self._name, str(trade.get("symbol")), trade)
        if fill is not None:
            self._journal.record_fills([fill])
        return fill

    async def balances(self) -> dict[str, Decimal]:
        """What the account has of each currency, free and in orders together; those with nothing left out."""
        return {currency: balance.total for currency, balance in (await self.balance_parts()).items()}

    async def holdings(self) -> dict[str, Decimal]:
        """The balances, and beside them the account's positions in perpetuals by symbol, negative when short."""
        found = await self.balances()
        if self._margin_in is not None:
            positions = await self._ask("fetch_positions", self._deadline(), None, {"settleCoin": self._margin_in})
            found |= {str(one["symbol"]): size for one in positions if (size := read_position(one))}
        return found

    async def balance_parts(self) -> dict[str, Balance]:
        """The same, free and in orders apart."""
        answer = await self._ask("fetch_balance", self._deadline())
        return read_balances(answer, self._exchange.safe_currency_code)

    async def open_orders(self, symbol: str | None = None) -> list[OpenOrder]:
        """Every order that rests on the account, ours and others', of one symbol or of all."""
        self._exchange.options["warnOnFetchOpenOrdersWithoutSymbol"] = False  # else ccxt refuses to ask for all
        found = []
        method, *args = open_ones(self._exchange, symbol, self._margin_in)
        for order in await self._ask(method, self._deadline(), *args):
            told, raw, client_id = read_order(order), order.get("info"), client_id_in(order) or ""
            if told is None:
                failure = Failure("NullResponse", "an open order without id, status or amount", Treatment.LOOK_UP)
                raise UnreachableError("fetch_open_orders", failure)
            intent = self._journal.intent(client_id) or self._journal.intent(client_id[:-2])
            price = number(raw, ("price",), order.get("price"))
            amount = number(raw, ("origQty", "qty", "vol"), order.get("amount")) or Decimal(0)
            place = str(order["symbol"]), str(order["side"])
            found.append(OpenOrder(client_id, told.order_id, *place, amount, told.executed, price or None, intent))
        return found

    @property
    def _name(self) -> str:
        return str(self._exchange.id)

    def _deadline(self) -> float:
        return self._calls.clock.monotonic() + self._patience

    async def _ask(self, method: str, until: float, *args: Any) -> Any:
        """As `Calls.ask`; a halt is written down first."""
        try:
            return await self._calls.ask(method, *args, until=until)
        except HaltError as error:
            failure = error.failure
        raise self._halt(method, failure)

    def _halt(self, what: str, failure: Failure, intent: OrderIntent | None = None) -> HaltError:
        order = {} if intent is None else {"order": intent.client_id}
        self._journal.record_incident(self._run, "halt", {"during": what, "why": str(failure), **order})
        return HaltError(what, failure)

    def _fills_in(self, intent: OrderIntent, order: Mapping[str, Any]) -> list[Fill]:
        """The fills that an order's answer brings along; none where one of them lacks something."""
        fills = [read_trade(self._name, intent.symbol, trade, order) for trade in order.get("trades") or ()]
        whole = [fill for fill in fills if fill is not None]
        return whole if len(whole) == len(fills) else []

    async def _trades_of(self, symbol: str, order_id: str, until: float) -> list[Fill]:
        """The fills of one order, by the exchange's id."""
        if "binance" in self._name:
            return await self._fills_of(symbol, None, {"orderId": order_id}, until)
        method, *args = trades_of(self._exchange, symbol, order_id)
        trades = await self._ask(method, until, *args)
        return self._read(symbol, trades, order_id)

    async def _fills_of(self, symbol: str, since: int | None, params: Mapping[str, Any], until: float) -> list[Fill]:
        trades = await self._ask("fetch_my_trades", until, symbol, since, PAGE, dict(params))
        return self._read(symbol, trades)

    def _read(self, symbol: str, trades: Any, order_id: str = "") -> list[Fill]:
        fills = [read_trade(self._name, symbol, trade, {"id": order_id or None}) for trade in trades or ()]
        whole = [fill for fill in fills if fill is not None]
        if len(whole) < len(fills):
            failure = Failure("NullResponse", f"a trade of {symbol} without id, order, fee or price", Treatment.LOOK_UP)
            raise UnreachableError("fetch_my_trades", failure)
        return whole


def sequence(fill: Fill) -> tuple[int, int, str]:
    """By what fills of a symbol follow each other: time, then trade id, numbers by their value."""
    return fill.at, len(fill.trade_id), fill.trade_id
