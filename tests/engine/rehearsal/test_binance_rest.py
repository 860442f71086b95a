"""Binance's REST interface of the rehearsal exchange, as an unmodified ccxt client sees it."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import ccxt.pro
import pytest

from engine import rehearsal

BTC, ETH = "BTC/USDT", "ETH/USDT"


def test_markets_carry_the_venue_s_rules(trade):
    async def play(client, server):
        markets = await client.load_markets()
        assert sorted(markets) == [BTC, ETH]
        found = markets[BTC]
        assert found["spot"] and found["active"] and (found["base"], found["quote"]) == ("BTC", "USDT")
        assert found["precision"]["amount"] == 0.001 and found["precision"]["price"] == 0.01
        assert found["limits"]["cost"]["min"] == 5.0 and found["limits"]["amount"]["min"] == 0.001
        assert client.amount_to_precision(BTC, 1.23456) == "1.234"
        assert set(client.currencies) >= {"BTC", "ETH", "USDT"}
        assert abs(await client.fetch_time() - client.milliseconds()) < 2000

    trade(play)


def test_candles_are_closed_ones_and_the_open_of_the_last(trade):
    async def play(client, server):
        start = server.exchange.replay.time
        first = await client.fetch_ohlcv(BTC, "1h")
        assert first == [[start, 100.0, 100.0, 100.0, 100.0, 0.0]]
        await server.advance()
        await server.advance()
        bars = await client.fetch_ohlcv(BTC, "1h")
        assert [bar[0] for bar in bars] == [start, start + 3_600_000, start + 7_200_000]
        assert bars[1][1:] == [100.0, 101.0, 99.0, 100.0, 10.0] and bars[2][5] == 0.0
        assert await client.fetch_ohlcv(BTC, "1h", since=start + 1, limit=1) == [bars[1]]
        await server.close_bar()
        assert (await client.fetch_ohlcv(BTC, "1h"))[-1][5] == 10.0
        with pytest.raises(ccxt.BadRequest):
            await client.fetch_ohlcv(BTC, "5m")

    trade(play)


def test_prices_are_the_open_less_and_plus_the_slippage(trade):
    async def play(client, server):
        ticker = await client.fetch_ticker(BTC)
        assert (ticker["bid"], ticker["ask"], ticker["last"]) == (99.9, 100.1, 100.0)
        both = await client.fetch_bids_asks([BTC, ETH])
        assert (both[ETH]["bid"], both[ETH]["ask"]) == (9.99, 10.01)
        book = await client.fetch_order_book(BTC)
        assert book["bids"][0][0] == 99.9 and book["asks"][0][0] == 100.1
        trades = await client.fetch_trades(BTC)
        assert trades[-1]["price"] == 100.0 and trades[-1]["timestamp"] == server.exchange.replay.time

    trade(play, slippage=Decimal("0.001"))


def test_market_order_fills_at_once_and_balances_tell_it_to_the_digit(trade):
    async def play(client, server):
        order = await client.create_order(BTC, "market", "buy", 1.5, params={"newClientOrderId": "ldr-1"})
        assert (order["status"], order["filled"], order["average"]) == ("closed", 1.5, 100.1)
        assert order["clientOrderId"] == "ldr-1" and order["timestamp"] == server.exchange.replay.time
        assert order["fees"][0] == {"cost": 0.15015, "currency": "USDT"} or order["fee"]["cost"] == 0.15015
        account = await client.fetch_balance()
        found = {entry["asset"]: (entry["free"], entry["locked"]) for entry in account["info"]["balances"]}
        assert found == {"BTC": ("1.5", "0"), "ETH": ("0", "0"), "USDT": ("9849.69985", "0")}
        mine = await client.fetch_my_trades(BTC)
        assert [(t["order"], t["price"], t["amount"], t["fee"]["cost"]) for t in mine] == [
            (order["id"], 100.1, 1.5, 0.15015)
        ]

    trade(play, slippage=Decimal("0.001"), fees=(Decimal("0.0002"), Decimal("0.001")))


def test_limit_order_rests_locks_fills_and_is_found_by_both_ids(trade):
    async def play(client, server):
        order = await client.create_order(BTC, "limit", "buy", 2, 99.5, {"newClientOrderId": "ldr-2"})
        assert order["status"] == "open"
        assert (await client.fetch_balance())["USDT"] == {"free": 9801.0, "used": 199.0, "total": 10000.0}
        assert [o["id"] for o in await client.fetch_open_orders(BTC)] == [order["id"]]
        by_name = await client.fetch_order(None, BTC, {"origClientOrderId": "ldr-2"})
        assert by_name["id"] == order["id"] and (await client.fetch_order(order["id"], BTC))["clientOrderId"] == "ldr-2"
        await server.advance()
        done = await client.fetch_order(order["id"], BTC)
        assert (done["status"], done["average"], done["filled"]) == ("closed", 99.5, 2.0)
        assert not await client.fetch_open_orders(BTC)
        assert [o["id"] for o in await client.fetch_orders(BTC)] == [order["id"]]
        mine = await client.fetch_my_trades(BTC, since=server.exchange.replay.time - 3_600_000)
        assert mine[0]["takerOrMaker"] == "maker" and mine[0]["timestamp"] == server.exchange.replay.time - 1

    trade(play)


def test_post_only_stop_and_take_profit_orders(trade):
    async def play(client, server):
        resting = await client.create_order(BTC, "limit", "sell", 1, 100.5, {"postOnly": True})
        assert resting["status"] == "open" and resting["info"]["type"] == "LIMIT_MAKER"
        stop = await client.create_order(BTC, "market", "sell", 1, params={"stopLossPrice": 99.2})
        profit = await client.create_order(BTC, "market", "sell", 1, params={"takeProfitPrice": 101})
        limited = await client.create_order(BTC, "limit", "sell", 1, 98, {"stopLossPrice": 99.1})
        assert server.book.account.locked["BTC"] == 4
        with pytest.raises(ccxt.OrderImmediatelyFillable):
            await client.create_order(BTC, "limit", "sell", 1, 99.5, {"postOnly": True})
        with pytest.raises(ccxt.OrderImmediatelyFillable):
            await client.create_order(BTC, "market", "sell", 1, params={"stopLossPrice": 100})
        await server.advance()
        prices = [(await client.fetch_order(o["id"], BTC))["average"] for o in (resting, stop, profit, limited)]
        assert prices == [100.5, 99.2, 101.0, 99.1]

    trade(play, balances={"BTC": Decimal(5)})


def test_cancels(trade):
    async def play(client, server):
        first = await client.create_order(BTC, "limit", "buy", 1, 90, {"newClientOrderId": "a"})
        await client.create_order(BTC, "limit", "buy", 1, 91, {"newClientOrderId": "b"})
        await client.create_order(BTC, "limit", "buy", 1, 92)
        assert (await client.cancel_order(first["id"], BTC))["status"] == "canceled"
        await client.cancel_order(None, BTC, {"origClientOrderId": "b"})
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order(first["id"], BTC)
        assert len(await client.cancel_all_orders(BTC)) == 1
        assert server.book.account.locked["USDT"] == 0
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_all_orders(BTC)
        with pytest.raises(ccxt.OrderNotFound):
            await client.fetch_order("77", BTC)

    trade(play)


def test_each_refusal_is_the_exception_that_binance_s_answer_makes_in_ccxt(trade):
    async def play(client, server):
        await client.load_markets()
        cases = [
            (ccxt.InsufficientFunds, ("market", "buy", 1000.0, None)),
            (ccxt.BadRequest, ("market", "buy", 0.01, None)),  # notional
            (ccxt.BadRequest, ("limit", "buy", 0.01, 100.0)),
        ]
        for error, (kind, side, amount, price) in cases:
            with pytest.raises(error):
                await client.create_order(BTC, kind, side, amount, price)
        await client.create_order(BTC, "limit", "buy", 1, 90, {"newClientOrderId": "same"})
        with pytest.raises(ccxt.InvalidOrder, match="Duplicate order sent"):
            await client.create_order(BTC, "limit", "buy", 1, 90, {"newClientOrderId": "same"})
        with pytest.raises(ccxt.BadSymbol):
            await client.public_get_klines({"symbol": "NONE", "interval": "1h"})
        with pytest.raises(ccxt.InvalidOrder):
            await client.private_post_order(
                {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.0015", "price": "90"}
            )
        with pytest.raises(ccxt.BadRequest):
            await client.private_post_order({"symbol": "BTCUSDT", "side": "BUY", "type": "ODD", "quantity": "1"})
        assert len(server.book.orders) == 1

    trade(play)


def test_no_code_of_ours_means_another_exception_on_the_real_host():
    # ccxt has codes of its own for https://api.binance.com, which it does not look at for a URL here.
    source = "".join(path.read_text() for path in Path(rehearsal.__file__).parent.glob("binance*.py"))
    codes = set(re.findall(r"-[12]\d{3}\b", source))
    described = ccxt.pro.binance().exceptions
    assert {"-1021", "-2010", "-2013"} <= codes <= set(described["exact"])
    assert not codes & set(described["spot"]["exact"])


def test_signed_requests_are_checked(trade):
    async def play(client, server):
        client.secret = "another"
        with pytest.raises(ccxt.AuthenticationError, match="Signature"):
            await client.fetch_balance()
        client.secret, client.apiKey = "secret", "another"
        with pytest.raises(ccxt.AuthenticationError, match="API-key"):
            await client.fetch_open_orders(BTC)
        client.apiKey = "key"
        client.options["recvWindow"] = 50
        client.options["timeDifference"] = 500
        with pytest.raises(ccxt.InvalidNonce):
            await client.fetch_balance()
        client.options["timeDifference"] = -1500
        with pytest.raises(ccxt.InvalidNonce):
            await client.fetch_balance()
        await client.load_time_difference()
        assert (await client.fetch_balance())["USDT"]["free"] == 10000.0

    trade(play)


def test_permissions_and_fees_of_the_account_are_told(trade):
    async def play(client, server):
        fees = await client.fetch_trading_fees()
        assert (fees[BTC]["maker"], fees[BTC]["taker"]) == (0.0002, 0.001)
        told = await client.sapi_get_account_apirestrictions()
        return told["enableWithdrawals"]

    rates = (Decimal("0.0002"), Decimal("0.001"))
    assert trade(play, fees=rates) is False
    assert trade(play, fees=rates, withdrawals=True) is True


def test_weights_are_told_and_their_limit_refuses_then_bans(trade):
    async def play(client, server):
        await client.load_markets()
        used = int(client.last_response_headers["X-MBX-USED-WEIGHT-1M"])
        await client.fetch_order_book(BTC)
        assert int(client.last_response_headers["X-MBX-USED-WEIGHT-1M"]) == used + 5
        statuses = []
        for _ in range(20):
            try:
                await client.fetch_order_book(BTC)
            except ccxt.DDoSProtection as error:
                statuses.append(next(code for code in ("429", "418") if f" {code} " in str(error)))
                assert int(client.last_response_headers["Retry-After"]) >= 1
        assert statuses[:3] == ["429"] * 3 and set(statuses[3:]) == {"418"}

    trade(play, weight_limit=60)


def test_pair_of_orders_and_its_cancel(trade):
    async def play(client, server):
        await client.load_markets()
        asked = {
            "symbol": "BTCUSDT", "side": "SELL", "quantity": "2", "aboveType": "LIMIT_MAKER", "abovePrice": "101",
            "belowType": "STOP_LOSS", "belowStopPrice": "98", "listClientOrderId": "pair", "aboveClientOrderId": "up",
            "belowClientOrderId": "down",
        }  # fmt: skip
        pair = await client.private_post_orderlist_oco(asked)
        assert pair["listOrderStatus"] == "EXECUTING" and len(pair["orderReports"]) == 2
        assert server.book.account.locked["BTC"] == 2
        assert len(await client.fetch_open_orders(BTC)) == 2
        assert len(await client.private_get_openorderlist()) == 1
        await server.advance()
        up = await client.fetch_order(None, BTC, {"origClientOrderId": "up"})
        down = await client.fetch_order(None, BTC, {"origClientOrderId": "down"})
        assert (up["status"], up["average"], down["status"]) == ("closed", 101.0, "expired")
        found = await client.private_get_orderlist({"origClientOrderId": "pair"})
        assert found["listOrderStatus"] == "ALL_DONE"
        again = await client.private_post_order_oco(
            {"symbol": "BTCUSDT", "side": "SELL", "quantity": "1", "price": "102", "stopPrice": "97"}
        )
        await client.private_delete_orderlist({"symbol": "BTCUSDT", "orderListId": again["orderListId"]})
        assert not await client.fetch_open_orders(BTC) and server.book.account.locked["BTC"] == 0
        with pytest.raises(ccxt.InvalidOrder, match="relationship"):
            await client.private_post_orderlist_oco({**asked, "abovePrice": "99"})

    trade(play, balances={"BTC": Decimal(5)})
