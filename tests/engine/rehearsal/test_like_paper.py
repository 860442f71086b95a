"""The rehearsal exchange fills what the paper broker fills: at the opens, at stops, at take profits, at limits."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from data import load_sample
from engine import Costs, Exits, LimitOrders, Venue, paper
from engine.rehearsal.exchange import Exchange
from engine.rehearsal.orders import Ticket
from engine.rules import round_price
from tests.engine.given import Given

FEE, SLIPPAGE, TICK, CASH = (0.001, 0.002), 0.0005, 0.01, 100_000.0
STOP, PROFIT = 0.02, 0.025


def exchange_for(market) -> Exchange:
    return Exchange(
        market,
        venues=Venue(amount_step=0.001, price_tick=TICK),
        cash=Decimal(int(CASH)),
        fees=tuple(Decimal(repr(fee)) for fee in FEE),
        slippage=Decimal(repr(SLIPPAGE)),
    )


def settings() -> dict:
    venue = Venue(amount_step=0.001, price_tick=TICK)
    return {"cash": CASH, "costs": Costs(fee=FEE, slippage=SLIPPAGE), "venue": venue}


def in_and_out(market, seed: int) -> pd.DataFrame:
    """Targets that open a position and close it in turn, at random bars."""
    draw = np.random.default_rng(seed)
    table = pd.DataFrame(np.nan, index=market.index, columns=list(market.symbols))
    for column in table.columns:
        rows = np.flatnonzero(draw.random(len(market)) < 0.1)
        table.loc[table.index[rows], column] = np.where(np.arange(len(rows)) % 2 == 0, 0.45, 0.0)
    return table


def pair_of(symbol: str, amount: Decimal, entry: float) -> tuple[Ticket, Ticket]:
    stop, profit = round_price(entry * (1 - STOP), TICK, -1), round_price(entry * (1 + PROFIT), TICK, 1)
    return (
        Ticket(symbol, "sell", "limit_maker", amount, Decimal(repr(profit)), client_id="profit"),
        Ticket(symbol, "sell", "stop_loss", amount, stop_price=Decimal(repr(stop)), client_id="stop"),
    )


@pytest.mark.parametrize("seed", range(4))
def test_market_orders_and_pairs_fill_as_targets_stops_and_take_profits_do_on_paper(seed):
    market = load_sample(["ETH/USD", "LTC/USD"]).iloc(2000, 3000)
    exits = Exits(stop_loss=STOP, take_profit=PROFIT)
    result = paper(Given(in_and_out(market, seed), exits=exits), market, **settings())
    wanted = result.orders[result.orders.reason == "target"]
    assert {"target", "stop loss", "take profit"} <= set(result.orders.reason)
    exchange = exchange_for(market)
    book = exchange.book
    by_time = dict(iter(wanted.groupby("filled_at")))
    while not exchange.replay.done:
        exchange.close_bar()
        due = by_time.get(market.index[exchange.replay.row + 1])
        for order in book.open_orders() if due is not None else ():
            if order.is_open and order.symbol in set(due.symbol):
                book.cancel(order.symbol, order.id)
        exchange.open_bar()
        for asked in due.itertuples() if due is not None else ():
            order = book.place(Ticket(asked.symbol, asked.side, "market", Decimal(repr(asked.amount))))
            if asked.side == "buy":
                book.place_pair(pair_of(asked.symbol, order.amount, float(order.trades[0].price)), "pair")
    exchange.close_bar()
    ours = pd.DataFrame(
        {
            "filled_at": [pd.Timestamp(t.time, unit="ms", tz="UTC").floor("30min") for t in book.trades],
            "symbol": [t.symbol for t in book.trades],
            "side": [t.side for t in book.trades],
            "amount": [float(t.amount) for t in book.trades],
            "price": [float(t.price) for t in book.trades],
            "fee": [float(t.fee) for t in book.trades],
        }
    )
    keys = ["filled_at", "symbol", "side"]
    theirs = result.orders.sort_values(keys, kind="stable")[ours.columns].reset_index(drop=True)
    ours = ours.sort_values(keys, kind="stable").reset_index(drop=True)
    assert ours[keys].astype(str).equals(theirs[keys].astype(str))
    for name in ("amount", "price", "fee"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12)
    money = book.account
    equity = sum(
        (float(free + money.locked[a]) * (1.0 if a == "USD" else market.close[f"{a}/USD"].iloc[-1]))
        for a, free in money.free.items()
    )
    assert equity == pytest.approx(result.equity.iloc[-1], rel=1e-12)


def test_resting_limits_fill_in_the_bars_and_at_the_prices_of_paper():
    market = load_sample(["ETH/USD"]).iloc(2000, 2600)
    table = in_and_out(market, 5)
    orders = LimitOrders(offset=0.003, alive=1)
    result = paper(Given(table), market, orders=orders, **settings())
    assert len(result.orders) > 10
    exchange = exchange_for(market)
    book = exchange.book
    opens = result.orders.set_index("decided_at")
    while not exchange.replay.done:
        decided = market.index[exchange.replay.row]
        exchange.close_bar()
        for order in book.open_orders():
            book.cancel(order.symbol, order.id)
        if decided in opens.index:  # sent at the close, before the next bar opens
            asked = opens.loc[decided]
            amount, price = (Decimal(str(round(float(asked[name]), 3))) for name in ("amount", "price"))
            book.place(Ticket("ETH/USD", asked.side, "limit_maker", amount, price))
        exchange.open_bar()
    exchange.close_bar()
    assert [float(t.price) for t in book.trades] == [round(price, 2) for price in result.orders.price]
    times = [pd.Timestamp(t.time, unit="ms", tz="UTC").floor("30min") for t in book.trades]
    assert times == list(result.orders.filled_at)
    assert all(t.maker for t in book.trades)
