"""An account that is not what the journal says: what is shown, and what each of a person's choices makes of it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ValidationError
from engine import Exits, RiskLimits
from engine.live import choices
from engine.live.books import Adjustment, books_of
from engine.live.journal import Journal
from engine.live.order_state import OrderIntent, State, client_id
from engine.live.reconcile import OPENING, ReconciliationError
from engine.venue import Venue
from tests.engine.live.sessions import OTHER, RUN, SYMBOL, Always, Stage, level_market, on_stage

BARRIERS = Exits(stop_loss=0.2, take_profit=0.3)
ME = {"who": "ada@desk", "why": "by hand"}
PRICES = {SYMBOL: 100.0, OTHER: 100.0}


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path / "journal.sqlite", Always(exits=BARRIERS))


async def by_hand(stage: Stage, side: str, amount: float, symbol: str = SYMBOL, price: float | None = None) -> None:
    """An order that a person sends from the exchange's own page."""
    client = stage.client()
    kind = "market" if price is None else "limit"
    await client.create_order(symbol, kind, side, amount, price)
    await client.close()


async def free_coins(stage: Stage) -> None:
    """The person takes the session's stops away first, for coins that are bound cannot be sold."""
    client = stage.client()
    await client.cancel_all_orders(SYMBOL)
    await client.close()


def adopted(gateway, book, findings, **more):
    choices.adopt(book, RUN, findings, **ME, symbols=[SYMBOL], prices=PRICES, **more)


def ignored(gateway, book, findings, **more):
    choices.ignore(book, RUN, findings, **ME, **more)


def test_account_that_explains_itself_is_clean_and_its_barriers_are_shown(stage):
    async def play(stage):
        await stage.session(2)
        findings = await stage.looked()
        assert findings.clean and not (findings.strangers or findings.recovered or findings.foreign)
        assert sorted(order.client_id[-2:] for order in findings.own) == ["-l", "-s"]

    on_stage(play, stage)


def test_what_a_person_sold_is_told_and_adopted(stage):
    async def play(stage):
        await stage.session(2)
        await free_coins(stage)
        await by_hand(stage, "sell", 10)
        with pytest.raises(ReconciliationError, match=r"BTC: the journal explains 30, the exchange has 20; USDT"):
            await stage.session(1)
        findings = await stage.looked()
        (fill,) = findings.strangers
        assert (fill.side, fill.amount, fill.price) == ("sell", 10, 100)
        assert {one.currency: one.amount for one in findings.differences} == {"BTC": -10, "USDT": Decimal(999)}
        await stage.looked(adopted)
        assert (await stage.looked()).clean
        with Journal.reading(stage.journal) as book:
            books = book.rebuild(RUN)
            assert (books.positions[SYMBOL], books.cost[SYMBOL]) == (20, 2000)
            assert books.changes["USDT"] == stage.total("USDT") - 10_000
            (said,) = book.statements(RUN, choices.ADOPTED)
            assert (said.who, said.detail["why"]) == ("ada@desk", "by hand")
            assert said.detail["fills of others"] == ["BTC/USDT sell 10 at 100"]
        report = await stage.session(1)
        # The session holds what is there, is protected for that much, and bought back what it wanted to hold.
        assert report.session.tally.held(SYMBOL) == stage.total("BTC") > Decimal("29.9")
        assert report.session.tally.cash == stage.total("USDT")
        (amount,) = {order.amount for order in stage.server.book.open_orders()}
        assert amount == stage.total("BTC")

    on_stage(play, stage)


def test_adopted_coins_are_protected_before_the_next_bar_closes(stage):
    async def play(stage):
        await stage.session(2)
        await by_hand(stage, "buy", 5)
        await stage.looked(adopted)
        seen = []

        async def ready(_):
            seen.append(len(stage.server.book.open_orders()))
            raise KeyboardInterrupt

        # Until the first turn nothing has closed: barriers of 35 rest already when the session begins to wait.
        from engine.live import feed

        original = feed.CandleFeed.turn

        async def turn(self):
            seen.append({order.amount for order in stage.server.book.open_orders()})
            return await original(self)

        feed.CandleFeed.turn = turn
        try:
            await stage.session(1)
        finally:
            feed.CandleFeed.turn = original
        assert seen == [{Decimal(35)}]

    on_stage(play, stage)


def test_deposit_is_ignored_and_is_not_the_run_s(stage):
    async def play(stage):
        await stage.session(2)
        stage.server.book.account.free["USDT"] += 700
        account = stage.server.book.account
        account.free["BNB"], account.locked["BNB"] = Decimal("0.125"), Decimal(0)
        await stage.looked(ignored)
        assert (await stage.looked()).clean
        with Journal.reading(stage.journal) as book:
            assert book.balances(RUN, OPENING) == {"USDT": Decimal(10_700), "BNB": Decimal("0.125")}
            assert not book.adjustments(RUN)
            (said,) = book.statements(RUN, choices.IGNORED)
            assert said.detail["differences"]["BNB"] == ["0", "0.125"]
        report = await stage.session(1)
        assert report.session.tally.cash == stage.total("USDT") - 700

    on_stage(play, stage)


def test_one_currency_is_ignored_and_the_other_adopted(stage):
    async def play(stage):
        await stage.session(2)
        stage.server.book.account.free["USDT"] += 700
        stage.server.book.account.free["BTC"] = Decimal(2)  # beside the 30 that are bound
        with pytest.raises(ValidationError, match="no difference of ETH; there is one of BTC, USDT"):
            await stage.looked(lambda *found: ignored(*found, only=["ETH"]))
        await stage.looked(lambda *found: ignored(*found, only=["USDT"]))
        findings = await stage.looked()
        assert [one.currency for one in findings.differences] == ["BTC"]
        await stage.looked(adopted)
        report = await stage.session(1)
        assert (report.session.tally.held(SYMBOL), report.session.tally.cash) == (
            stage.total("BTC"),
            stage.total("USDT") - 700,
        )

    on_stage(play, stage)


def test_flatten_sells_what_the_run_holds_and_leaves_the_rest_and_the_session_knows(stage):
    async def play(stage):
        await stage.session(2)
        stage.server.book.account.free["BTC"] += 3
        await stage.looked(ignored)
        await by_hand(stage, "buy", 1, price=50)

        async def flat(gateway, book, findings):
            venues = {SYMBOL: Venue(amount_step=0.001, price_tick=0.01, min_notional=10.0)}
            return await choices.flatten(gateway, book, RUN, **ME, venues=venues, prices=PRICES)

        ended = await stage.looked(flat)
        assert (ended.cancelled, ended.closed, ended.left, ended.dust) == (1, 1, [], {})
        assert stage.total("BTC") == 3
        (order,) = stage.server.book.open_orders()
        assert order.price == 50
        findings = await stage.looked()
        assert findings.clean and len(findings.foreign) == 1
        stage.strategy = Always(0.0)
        report = await stage.session(2)
        assert report.session.tally.held(SYMBOL) == 0 == report.session.desk.account.holdings[0].held
        assert report.session.tally.cash == stage.total("USDT")

    on_stage(play, stage)


def test_flatten_of_a_turn_that_was_interrupted_is_booked_with_the_turn_s_own_fills(stage):
    """The session dies after its first order, before the turn is done; a person flattens; a new one begins."""
    from engine.live import session as sessions

    original = sessions.Session._protect_all

    async def dies(self, columns):
        raise RuntimeError("dead")

    async def play(stage):
        sessions.Session._protect_all = dies
        try:
            with pytest.raises(RuntimeError, match="dead"):
                await stage.session(1)
        finally:
            sessions.Session._protect_all = original
        assert stage.total("BTC") == 30

        async def flat(gateway, book, findings):
            venues = {SYMBOL: Venue(amount_step=0.001, price_tick=0.01, min_notional=10.0)}
            return await choices.flatten(gateway, book, RUN, **ME, venues=venues, prices=PRICES)

        assert (await stage.looked(flat)).closed == 1
        stage.strategy = Always(0.0)
        report = await stage.session(3)
        assert stage.total("BTC") == 0 == report.session.tally.held(SYMBOL)
        assert report.session.tally.cash == stage.total("USDT")
        assert report.session.desk.account.money == float(stage.total("USDT"))

    on_stage(play, stage)


def test_order_that_the_exchange_has_forgotten_is_ended_by_a_person_s_word(stage):
    async def play(stage):
        await stage.session(2)
        name = client_id(RUN, 9, SYMBOL, "barriers", 3)
        with Journal(stage.journal) as book:
            intent = OrderIntent(name, SYMBOL, "buy", "limit", "1", "50", None, False, "x", 9, "barriers", 50.0)
            book.intend(RUN, [intent], sent={"from": 0})
            book.step(name, State.ACKNOWLEDGED, order_ids=["424242"], exchange="binance")
        findings = await stage.looked()
        assert [one.client_id for one in findings.lost] == [name] and not findings.clean
        await stage.looked(ignored)
        assert (await stage.looked()).clean
        with Journal.reading(stage.journal) as book:
            assert "ended by ada@desk" in book.steps(name)[-1].detail["why"]

    on_stage(play, stage)


def test_nothing_is_chosen_while_an_order_s_end_is_unknown(stage):
    async def play(stage):
        await stage.session(2)
        name = client_id(RUN, 9, SYMBOL, "target", 3)
        with Journal(stage.journal) as book:
            intent = OrderIntent(name, SYMBOL, "buy", "market", "1", None, None, False, "x", 9, "target", 100.0)
            book.intend(RUN, [intent], sent={"from": 0})
        stage.server.book.account.free["USDT"] += 1
        respond = stage.server._dialect.respond
        down = stage.server._dialect.fault("error_5xx", 0)

        def deaf(call):
            return down if call.label == "GET /api/v3/order" and name in call.query else respond(call)

        stage.server._dialect.respond = deaf
        import tests.engine.live.sessions as settings_of

        patience = settings_of.GATEWAY["patience"]
        settings_of.GATEWAY["patience"] = 0.5
        try:
            with pytest.raises(ValidationError, match="nobody knows yet what became of it"):
                await stage.looked(adopted)
        finally:
            settings_of.GATEWAY["patience"] = patience

    on_stage(play, stage)


def test_transfer_is_no_loss_to_the_limits(stage):
    """Half of the money is taken out: a drawdown limit of a tenth is not hit."""

    async def play(stage):
        risk = RiskLimits(max_drawdown=0.1, max_daily_loss=0.1)
        await stage.session(2, risk=risk)
        stage.server.book.account.free["USDT"] -= 5_000
        await stage.looked(adopted)
        report = await stage.session(2, risk=risk)
        assert report.turns == 2 and stage.total("BTC") > 10
        with Journal.reading(stage.journal) as book:
            assert not [event for event in book.risk_events(RUN) if event[0] == "halt"]

    on_stage(play, stage)


def test_run_that_has_not_begun_adopts_nothing(stage):
    async def play(stage):
        with Journal(stage.journal) as book:
            book.start_run(RUN, "binance")
            book.record_balances(RUN, OPENING, {"USDT": Decimal(9_000)})
        with pytest.raises(ValidationError, match="it owns nothing yet"):
            await stage.looked(adopted)
        await stage.looked(ignored)
        assert (await stage.looked()).clean

    on_stage(play, stage)


def test_two_symbols_only_the_one_that_differs_is_adopted(tmp_path):
    stage = Stage(tmp_path / "j.sqlite", Always(0.2, exits=BARRIERS), level_market(symbols=(SYMBOL, OTHER)))

    async def play(stage):
        await stage.session(2)
        before = stage.total("BTC")
        await by_hand(stage, "buy", 4, OTHER)

        def adopt(gateway, book, findings):
            choices.adopt(book, RUN, findings, **ME, symbols=[SYMBOL, OTHER], prices=PRICES)

        await stage.looked(adopt)
        with Journal.reading(stage.journal) as book:
            assert {one.symbol for one in book.adjustments(RUN)} == {OTHER, ""}
        report = await stage.session(1)
        tally = report.session.tally
        assert (tally.held(SYMBOL), tally.held(OTHER)) == (stage.total("BTC"), stage.total("ETH"))
        assert abs(stage.total("BTC") - before) < Decimal("0.1")

    on_stage(play, stage)


AMOUNTS = st.decimals(-1000, 1000, places=8)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["BTC", "USDT", "BNB"]), AMOUNTS), max_size=6))
def test_adjustments_change_what_is_explained_by_just_as_much(amounts):
    items = []
    for at, (currency, amount) in enumerate(amounts, 1):
        symbol, price = (SYMBOL, Decimal(100)) if currency == "BTC" else ("", None)
        items.append(Adjustment(at, at, currency, amount, symbol, price))
    books = books_of([], items)
    for currency in ("BTC", "USDT", "BNB"):
        total = sum((amount for name, amount in amounts if name == currency), Decimal(0))
        assert books.changes.get(currency, Decimal(0)) == total
    assert books.positions.get(SYMBOL, Decimal(0)) == books.changes.get("BTC", Decimal(0))
