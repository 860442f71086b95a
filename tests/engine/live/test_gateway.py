"""What becomes of an order at the gateway: each refusal by its treatment, what is lost looked up, every fill kept."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import ccxt
import pytest

from data.errors import ValidationError
from engine.live import account_reader
from engine.live.calls import HaltError, UnreachableError
from engine.live.journal import Journal
from engine.live.order_state import State, client_id
from engine.live.treatments import Treatment
from tests.engine.live.scripted import (
    BAR,
    RUN,
    SYMBOL,
    WINDOW,
    ScriptedClock,
    ScriptedExchange,
    a_gateway,
    an_order,
)

BUY = an_order()
REST = an_order("rest", "limit", amount="0.02", price="50000.00")
OCO = an_order("guard", "oco", side="sell", amount="0.01", price="70000.00", stop_price="55000.00")


class Desk:
    """An exchange, a journal and a gateway between them."""

    def __init__(self, path, **settings):
        self.exchange = ScriptedExchange(ScriptedClock())
        self.journal = Journal(path)
        self.gateway = a_gateway(self.exchange, self.journal, **settings)

    def do(self, name, *args, **named):
        return asyncio.run(getattr(self.gateway, name)(*args, **named))

    def place(self, order, *faults):
        self.exchange.faults = list(faults)
        return self.do("place", order)

    def states(self, order):
        return [step.state for step in self.journal.steps(order.client_id)]

    def order_of(self, client_id):
        return next(order for order in self.exchange.book if order["client_id"] == client_id)


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path / "journal.sqlite")
    yield made
    made.journal.close()


def test_market_order_is_filled_to_the_last_digit(desk):
    report = desk.place(BUY)
    assert report.state is State.FILLED and report.complete and report.filled == Decimal("0.015")
    assert [fill.price for fill in report.fills] == [Decimal(60000), Decimal(60001)]
    assert report.average == Decimal("60000.5")
    assert {(fill.fee, fill.fee_currency) for fill in report.fills} == {(Decimal("0.0000075"), "BTC")}
    assert desk.states(BUY) == [State.INTENDED, State.SENT, State.FILLED]
    assert desk.exchange.calls == ["create_order"]


def test_placing_again_sends_nothing_and_tells_the_same(desk):
    first = desk.place(BUY)
    assert desk.place(BUY) == first
    assert desk.exchange.calls.count("create_order") == 1


def test_two_callers_at_once_place_one_order(desk):
    async def both():
        return await asyncio.gather(desk.gateway.place(REST), desk.gateway.place(REST))

    one, other = asyncio.run(both())
    assert one.state is other.state is State.ACKNOWLEDGED and len(desk.exchange.book) == 1


def test_same_id_for_another_order_is_refused_before_it_leaves(desk):
    desk.place(BUY)
    with pytest.raises(ValidationError, match="another order of this id"):
        desk.place(an_order(amount="0.016"))


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (an_order(amount="0.0150001"), "amount 0.0150001 would leave as 0.01500"),
        (an_order("x", "limit", price="50000.001"), "price 50000.001 would leave as 50000.00"),
        (an_order("x", "stop", stop_price="50000.001"), "stop_price 50000.001 would leave as 50000.00"),
    ],
)
def test_what_ccxt_would_round_is_refused_before_anything_is_written(desk, order, words):
    with pytest.raises(ValidationError, match=words):
        desk.place(order)
    assert desk.journal.state(order.client_id) is None and desk.exchange.calls == []


def test_ccxt_repeats_no_request_by_itself(tmp_path):
    exchange = ScriptedExchange(ScriptedClock())
    with Journal(tmp_path / "j.sqlite") as journal:
        exchange.options["maxRetriesOnFailure"] = 3
        a_gateway(exchange, journal)
        assert exchange.options["maxRetriesOnFailure"] == 0 and exchange.options["recvWindow"] == WINDOW
        exchange.options["order"] = {"maxRetriesOnFailure": 3}
        with pytest.raises(ValidationError, match="would send orders twice"):
            a_gateway(exchange, journal)
        with pytest.raises(ValidationError, match="recv_window 0 from 1 to 60000"):
            type(a_gateway(ScriptedExchange(ScriptedClock()), journal))(exchange, journal, run=RUN, recv_window=0)


@pytest.mark.parametrize(
    ("error", "treatment", "incidents"),
    [
        (ccxt.InsufficientFunds("binance -2010 insufficient balance"), Treatment.CUT_TO_FUNDS, ["refused for funds"]),
        (ccxt.InvalidOrder("binance LOT_SIZE"), Treatment.REJECTED, ["rejected"]),
        (ccxt.BadRequest("binance -1013 NOTIONAL"), Treatment.REJECTED, ["rejected"]),
        (ccxt.MarketClosed("binance market is closed"), Treatment.REJECTED, ["rejected"]),
        (ccxt.OrderImmediatelyFillable("binance would take"), Treatment.REPRICE, []),
    ],
)
def test_a_refusal_is_final_and_the_next_attempt_is_another_order(desk, error, treatment, incidents):
    desk.exchange.refusal = error
    report = desk.place(BUY)
    assert report.state is State.REJECTED and report.treatment is treatment and str(error)[:7] in report.detail
    assert [kind for kind, _ in desk.journal.incidents(RUN)] == incidents
    assert desk.place(BUY).state is State.REJECTED, "a refused order is never sent again"
    assert desk.exchange.calls == ["create_order"]
    desk.exchange.refusal = None
    second = an_order(amount="0.01")
    object.__setattr__(second, "client_id", client_id(RUN, BAR, SYMBOL, "entry", attempt=1))
    assert desk.place(second).state is State.FILLED


def test_what_looks_refused_after_a_resend_was_the_first_request_executed(desk):
    real = desk.exchange._execute

    def execute(request):
        answer = real(request)
        desk.order_of(BUY.client_id)["shown_at"] = desk.exchange.clock.now + 10.0  # far longer than is promised
        desk.exchange.refusal = ccxt.InsufficientFunds("binance insufficient balance")
        return answer

    def refuse(request):
        desk.order_of(BUY.client_id)["shown_at"] = 0.0
        raise desk.exchange.refusal

    attempts = [execute, refuse]

    def in_turn(request):
        return attempts.pop(0)(request)

    desk.exchange._execute = in_turn
    report = desk.place(BUY, "lost")
    assert report.state is State.FILLED and report.complete and len(desk.exchange.book) == 1


def test_duplicate_is_the_order_itself(desk):
    desk.place(REST)
    desk.exchange.calls.clear()
    other = Desk(desk.journal.path.with_name("lost-journal.sqlite"))  # the journal is gone, the order rests
    other.gateway._exchange = other.gateway._calls.exchange = other.exchange = desk.exchange
    report = other.place(REST)
    assert report.state is State.ACKNOWLEDGED and len(desk.exchange.book) == 1
    other.journal.close()


def test_rate_limit_waits_as_long_as_it_is_told_and_sends_the_same_order(desk):
    began = desk.exchange.clock.now
    assert desk.place(BUY, "rate").state is State.FILLED
    assert desk.exchange.clock.now - began >= 3.0
    assert desk.exchange.calls == ["create_order", "fetch_order", "create_order"]
    assert desk.states(BUY) == [State.INTENDED, State.SENT, State.SENT, State.FILLED]


def test_clock_skew_is_measured_and_the_same_order_goes_out_again(desk):
    desk.exchange.skew = 10_000
    assert desk.place(BUY).state is State.FILLED
    assert desk.exchange.calls == ["create_order", "fetch_time", "fetch_order", "create_order"]
    assert desk.exchange.skew == 0 and len(desk.exchange.book) == 1


def test_clock_that_is_refused_after_it_was_set_halts(desk):
    async def fails():
        return 0

    desk.exchange.skew, desk.exchange.load_time_difference = 10_000, fails
    with pytest.raises(HaltError, match="our clock was set 3 times, and is refused still"):
        desk.place(BUY)
    assert desk.journal.incidents(RUN)[-1][0] == "halt" and desk.exchange.book == []


@pytest.mark.parametrize("kind", [ccxt.AuthenticationError, ccxt.PermissionDenied, ccxt.AccountSuspended])
def test_refusal_of_us_halts(desk, kind):
    desk.exchange.refusal = kind("binance -2015 Invalid API-key")
    with pytest.raises(HaltError, match="-2015") as caught:
        desk.place(BUY)
    assert caught.value.failure.treatment is Treatment.HALT
    assert desk.journal.state(BUY.client_id) is State.REJECTED
    assert desk.journal.incidents(RUN)[-1][1]["order"] == BUY.client_id


def test_maintenance_is_waited_out(desk):
    assert desk.place(BUY, *["maintenance"] * 12).state is State.FILLED
    assert len(desk.exchange.book) == 1


def test_exchange_that_stays_away_leaves_the_order_unknown_and_a_later_call_finds_out(desk):
    report = desk.place(BUY, "lost", *["down"] * 200)
    assert report.state is State.UNKNOWN and report.treatment is Treatment.LOOK_UP
    assert desk.journal.incidents(RUN)[-1][0] == "unreachable"
    desk.exchange.faults = []
    assert desk.do("settle", BUY).state is State.FILLED
    assert len(desk.exchange.book) == 1


def test_ban_that_outlasts_our_patience_is_not_waited_for(desk):
    desk.exchange.ban = 259_200  # three days
    began = desk.exchange.clock.now
    report = desk.place(BUY, "rate")
    assert report.state is State.UNKNOWN and "wants no request for 259200 s more" in report.detail
    assert desk.exchange.clock.now - began < 300.0 and desk.exchange.calls == ["create_order"]


def test_order_that_is_too_old_is_not_sent_again(tmp_path):
    desk = Desk(tmp_path / "journal.sqlite", resend_within=5.0)
    report = desk.place(BUY, "refused", *["down"] * 8)
    assert report.state is State.REJECTED and "never arrived" in report.detail and desk.exchange.book == []
    assert desk.place(REST, "refused").state is State.ACKNOWLEDGED
    desk.journal.close()


def test_settle_sends_nothing(desk):
    assert desk.place(BUY, "refused", *["down"] * 200).state is State.UNKNOWN
    desk.exchange.faults = []
    report = desk.do("settle", BUY)
    assert report.state is State.REJECTED and "never arrived" in report.detail
    assert desk.place(BUY).state is State.REJECTED and desk.exchange.book == []


def test_settle_of_an_order_that_was_only_intended(desk):
    desk.journal.intend(RUN, [BUY])
    assert desk.do("settle", BUY).state is State.REJECTED
    with pytest.raises(ValidationError, match="not in the journal"):
        desk.do("settle", REST)


def test_a_request_that_is_late_is_waited_for_before_another(desk):
    began = desk.exchange.clock.now
    assert desk.place(BUY, "late").state is State.FILLED
    assert desk.exchange.clock.now - began >= WINDOW / 1000 and len(desk.exchange.book) == 1
    assert desk.exchange.calls.count("create_order") == 1


def test_answer_that_is_cut_off_is_looked_up_at_once(desk):
    assert desk.place(BUY, "cut").state is State.FILLED
    assert desk.exchange.calls[:2] == ["create_order", "fetch_order"] and State.UNKNOWN in desk.states(BUY)


def test_answer_about_another_order_is_not_believed(desk):
    real = desk.exchange._told
    desk.exchange._told = lambda order: {**real(order), "clientOrderId": "x", "info": {}}
    desk.gateway._patience = 1.0
    assert desk.place(REST).state is State.UNKNOWN
    desk.exchange._told = real
    assert desk.place(REST).state is State.ACKNOWLEDGED and len(desk.exchange.book) == 1


def test_request_that_hangs_is_given_up_and_looked_up(tmp_path):
    desk = Desk(tmp_path / "journal.sqlite", timeout=0.02)
    real = desk.exchange.create_order

    async def hang(*args):
        await real(*args)
        await asyncio.sleep(60)

    desk.exchange.create_order = hang
    assert desk.place(BUY).state is State.FILLED and len(desk.exchange.book) == 1
    desk.journal.close()


def test_caller_that_gives_up_leaves_the_order_to_be_looked_up(desk):
    real = desk.exchange.create_order

    async def hang(*args):
        await real(*args)
        await asyncio.sleep(60)

    async def give_up():
        await asyncio.wait_for(desk.gateway.place(BUY), 0.02)

    desk.exchange.create_order = hang
    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    assert desk.journal.state(BUY.client_id) is State.UNKNOWN
    desk.exchange.create_order = real
    assert desk.place(BUY).state is State.FILLED and len(desk.exchange.book) == 1


def test_order_is_not_final_before_all_its_fills_are_known(desk):
    desk.exchange.fills_shown, desk.exchange.lag = False, 3
    report = desk.place(BUY)
    assert report.state is State.FILLED and len(report.fills) == 2 and desk.exchange.lag == 0
    assert desk.states(BUY) == [State.INTENDED, State.SENT, State.PARTLY_FILLED, State.FILLED]


def test_market_order_that_the_book_fills_in_part_is_cancelled_with_its_fills(desk):
    desk.exchange.filled_share = Decimal("0.4")
    report = desk.place(BUY)
    assert report.state is State.CANCELLED and report.filled == Decimal("0.006") and report.complete


def test_cancel_keeps_what_was_filled(desk):
    desk.place(REST)
    desk.exchange.fill(desk.order_of(REST.client_id), Decimal("0.005"))
    report = desk.do("cancel", REST)
    assert report.state is State.CANCELLED and report.filled == Decimal("0.005")
    assert desk.journal.rebuild(RUN).positions[SYMBOL] == Decimal("0.004995")


@pytest.mark.parametrize("fault", ["lost", "refused", "rate", "skew", "garbage", "maintenance", "late"])
def test_cancel_whose_answer_is_lost_is_found_out_about(desk, fault):
    desk.place(REST)
    desk.exchange.faults = ["ok", fault]
    assert desk.do("cancel", REST).state is State.CANCELLED
    assert desk.do("cancel", REST).state is State.CANCELLED


def test_cancel_of_an_order_that_was_filled_meanwhile_finds_it_filled(desk):
    desk.place(REST)
    desk.exchange.fill(desk.order_of(REST.client_id), Decimal("0.02"))
    assert desk.do("cancel", REST).state is State.FILLED


def test_cancel_of_what_was_never_sent_keeps_it_from_being_sent(desk):
    desk.journal.intend(RUN, [REST])
    assert desk.do("cancel", REST).state is State.CANCELLED
    assert desk.place(REST).state is State.CANCELLED and desk.exchange.book == []


def test_cancel_that_is_locked_out_halts(desk):
    desk.place(REST)
    desk.exchange.faults = ["ok", "locked out"]
    with pytest.raises(HaltError):
        desk.do("cancel", REST)
    assert desk.journal.state(REST.client_id) is State.ACKNOWLEDGED


def test_cancel_that_is_never_answered_says_so(desk):
    desk.place(REST)
    desk.exchange._cancel = lambda wanted: {}
    with pytest.raises(UnreachableError):
        desk.do("cancel", REST)


def test_order_once_acknowledged_is_never_sent_again_though_it_is_found_no_more(desk):
    desk.place(REST)
    desk.exchange.book.clear()
    report = desk.place(REST)
    assert report.state is State.ACKNOWLEDGED and report.treatment is Treatment.LOOK_UP
    assert desk.exchange.calls.count("create_order") == 1


def test_stop_rests_until_it_is_touched(desk):
    stop = an_order("stop", "stop", side="sell", stop_price="55000.00")
    assert desk.place(stop).state is State.ACKNOWLEDGED
    desk.exchange.fill(desk.order_of(stop.client_id), Decimal("0.015"))
    assert desk.do("look_up", stop).state is State.FILLED


def test_look_up_of_what_the_exchange_has_not(desk):
    desk.journal.intend(RUN, [BUY])
    assert desk.do("look_up", BUY) is None


@pytest.mark.parametrize("fault", ["ok", "lost", "cut", "refused", "late", "rate"])
def test_oco_is_placed_once_and_ends_when_one_leg_fills(desk, fault):
    report = desk.place(OCO, fault)
    assert report.state is State.ACKNOWLEDGED and len(report.order_ids) == 2
    assert [order["client_id"] for order in desk.exchange.book] == list(OCO.legs)
    limit, stop = desk.exchange.book
    desk.exchange.fill(limit, Decimal("0.01"))
    assert desk.do("look_up", OCO).state is State.PARTLY_FILLED, "its other leg is not told to have ended yet"
    stop["status"] = "EXPIRED"
    report = desk.do("look_up", OCO)
    assert report.state is State.FILLED and report.filled == Decimal("0.01")


def test_cancel_of_an_oco_ends_both_legs(desk):
    desk.place(OCO)
    assert desk.do("cancel", OCO).state is State.CANCELLED
    assert {order["status"] for order in desk.exchange.book} == {"CANCELED"}


def test_stream_that_tells_late_twice_and_in_disorder_does_no_harm(desk):
    report = desk.place(REST)
    new = desk.exchange._told(desk.order_of(REST.client_id))
    desk.exchange.fill(desk.order_of(REST.client_id), Decimal("0.02"), pieces=2)
    whole = desk.exchange._told(desk.order_of(REST.client_id))
    for trade in (*reversed(whole["trades"]), whole["trades"][0]):
        desk.gateway.hear_trade(trade)
    report = desk.gateway.hear_order({**whole, "trades": []})
    assert report is not None and report.state is State.FILLED and len(report.fills) == 2
    for message in (new, whole, new):
        assert desk.gateway.hear_order(message).state is State.FILLED
    assert desk.states(REST) == [State.INTENDED, State.SENT, State.ACKNOWLEDGED, State.FILLED]
    assert desk.journal.incidents(RUN) == []


def test_stream_that_tells_the_end_before_the_fills_leaves_the_order_open(desk):
    desk.place(REST)
    desk.exchange.fill(desk.order_of(REST.client_id), Decimal("0.02"))
    told = {**desk.exchange._told(desk.order_of(REST.client_id)), "trades": []}
    assert desk.gateway.hear_order(told).state is State.PARTLY_FILLED
    assert desk.journal.unsettled(RUN) == [REST]
    assert desk.do("look_up", REST).state is State.FILLED


def test_stream_is_quicker_than_the_answer_that_is_lost(desk):
    real = desk.exchange.create_order

    async def told_first(*args):
        try:
            return await real(*args)
        finally:
            desk.gateway.hear_order(desk.exchange._told(desk.order_of(BUY.client_id)))

    desk.exchange.create_order = told_first
    report = desk.place(BUY, "lost")
    assert report.state is State.FILLED and len(desk.exchange.book) == 1
    assert desk.states(BUY) == [State.INTENDED, State.SENT, State.FILLED]


def test_stream_of_another_order_is_none_of_ours(desk):
    assert desk.gateway.hear_order({"id": "1", "clientOrderId": "web_1", "status": "open", "filled": 0.0}) is None
    assert desk.gateway.hear_trade({"symbol": SYMBOL, "id": "1"}) is None


def test_order_that_counts_as_refused_but_trades_is_an_incident_and_its_fill_is_kept(desk):
    desk.exchange.refusal = ccxt.InvalidOrder("binance LOT_SIZE")
    desk.place(BUY)
    desk.exchange.refusal = None
    told = asyncio.run(
        desk.exchange.create_order(SYMBOL, "market", "buy", "0.015", None, {"clientOrderId": BUY.client_id})
    )
    desk.gateway.hear_order(told)
    assert desk.journal.incidents(RUN)[-1][0] == "contradiction"
    assert desk.journal.rebuild(RUN).positions[SYMBOL] == Decimal("0.014985")


def test_fills_are_read_page_by_page_and_go_on_where_they_ended(desk, monkeypatch):
    monkeypatch.setattr(account_reader, "PAGE", 3)
    began = int(desk.exchange.clock.now * 1000)
    desk.exchange.pieces = 1
    with pytest.raises(ValidationError, match="give since= or trade_id="):
        desk.do("fills_since", SYMBOL)
    for number in range(7):
        asyncio.run(desk.exchange.create_order(SYMBOL, "market", "buy", "0.01", None, {"clientOrderId": f"o{number}"}))
        desk.exchange.clock.now += 86_400
    numbers = [fill.trade_id for fill in desk.do("fills_since", SYMBOL, since=began + 1)]
    assert numbers == ["2", "3", "4", "5", "6", "7"]
    assert desk.journal.cursor("binance", SYMBOL)[0] == "7"
    desk.place(BUY)
    assert [fill.trade_id for fill in desk.do("fills_since", SYMBOL)] == ["7", "8"]
    assert [fill.trade_id for fill in desk.do("fills_since", SYMBOL, trade_id="3")] == ["3", "4", "5", "6", "7", "8"]
    assert len(desk.journal.foreign_fills()) == 6 and len(desk.journal.fills(RUN)) == 1


def test_reading_on_from_a_later_trade_leaves_the_gap_to_be_read(desk):
    desk.exchange.pieces = 1
    for number in range(3):
        asyncio.run(desk.exchange.create_order(SYMBOL, "market", "buy", "0.01", None, {"clientOrderId": f"o{number}"}))
    desk.do("fills_since", SYMBOL, trade_id="1")
    assert desk.journal.cursor("binance", SYMBOL)[0] == "3"
    desk.do("fills_since", SYMBOL, trade_id="2")
    assert desk.journal.cursor("binance", SYMBOL)[0] == "3"


def test_balances_are_the_text_of_the_exchange(desk):
    assert desk.do("balances") == {"BTC": Decimal("0.123456789012345679"), "USDT": Decimal("9007199254740993.01")}
    assert desk.do("balance_parts")["BTC"].locked == Decimal("0.000000000000000001")


def test_open_orders_name_ours_and_others(desk):
    desk.place(REST)
    desk.place(OCO)
    foreign = {"clientOrderId": "web_1", "stopLossPrice": "1"}
    asyncio.run(desk.exchange.create_order(SYMBOL, "market", "sell", "0.01", None, foreign))
    found = desk.do("open_orders")
    assert [order.intent for order in found] == [REST, OCO, OCO, None]
    assert found[0].price == Decimal("50000.00") and found[0].amount == Decimal("0.02") and found[3].price is None


def test_orders_that_go_together_are_written_in_one_transaction_and_all_leave(desk):
    commits = []
    real = desk.journal._commit
    desk.journal._commit = lambda: (commits.append(len(desk.exchange.calls)), real())
    reports = desk.do("place_many", [BUY, REST])
    assert [report.state for report in reports] == [State.FILLED, State.ACKNOWLEDGED]
    assert commits[0] == 0 and len(commits) == 3
    with pytest.raises(ValidationError, match="the same client id twice"):
        desk.do("place_many", [BUY, BUY])
