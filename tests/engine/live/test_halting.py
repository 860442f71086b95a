"""A session that is to stop: nothing of its run is left on the exchange but what was to stay, whenever it is asked."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from data.errors import ValidationError
from engine import Exits
from engine.live.journal import Journal
from engine.live.order_state import OrderIntent, State, client_id
from engine.live.safety import Stop, kill_file_of, read_kill, write_kill
from engine.live.start import SessionHaltedError
from tests.engine.live.sessions import OTHER, RUN, SYMBOL, Always, Stage, level_market, on_stage

BARRIERS = Exits(stop_loss=0.2, take_profit=0.3)


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path / "journal.sqlite", Always(exits=BARRIERS))


def told_of(stage: Stage, kind: str) -> list[dict]:
    with Journal.reading(stage.journal) as book:
        return [detail for name, detail in book.incidents(RUN) if name == kind]


@pytest.mark.parametrize(
    ("flatten", "cancel", "resting", "held"),
    [(False, True, 0, True), (False, False, 2, True), (True, True, 0, False), (True, False, 0, False)],
)
def test_kill_file_does_what_it_says(stage, flatten, cancel, resting, held):
    stop = Stop(kill_file_of(stage.journal))

    def kill(turn: int) -> None:
        if turn == 2:
            write_kill(stop.kill_file, why="a test", flatten=flatten, cancel=cancel)

    async def play(stage):
        report = await stage.session(5, stop=stop, each=kill)
        assert report.turns == 2 and report.why == "kill file: a test"
        book = stage.server.book
        assert len(book.open_orders()) == resting
        assert (stage.total("BTC") > 0) is held
        (stopped,) = told_of(stage, "stopped")
        assert stopped["left"] == [] and stopped["flatten"] is flatten
        with pytest.raises(ValidationError, match=r"stays so; look why.*ladder live reset"):
            await stage.session(1, stop=Stop(stop.kill_file))
        stop.kill_file.unlink()
        report = await stage.session(3)
        # It goes on from books that are the exchange's: what was sold is bought again, and is protected.
        assert stage.total("BTC") > 0 and len(stage.server.book.open_orders()) == 2
        assert report.session.tally.held(SYMBOL) == stage.total("BTC")
        assert report.session.tally.cash == stage.total("USDT")

    on_stage(play, stage)


def test_kill_within_a_turn_sends_nothing_more_and_loses_nothing(tmp_path):
    """The file comes while the first of the turn's orders is on its way."""
    market = level_market(symbols=(SYMBOL, OTHER))
    stage = Stage(tmp_path / "journal.sqlite", Always(0.4, exits=BARRIERS), market)
    stop = Stop(kill_file_of(stage.journal))

    async def play(stage):
        respond = stage.server._dialect.respond

        def seen(call):
            if call.label == "POST /api/v3/order" and not stop.kill_file.exists():
                write_kill(stop.kill_file, why="now", flatten=True)
            return respond(call)

        stage.server._dialect.respond = seen
        await stage.session(5, stop=stop)
        assert not stage.server.book.open_orders()
        assert (stage.total("BTC"), stage.total("ETH")) == (0, 0)
        (stopped,) = told_of(stage, "stopped")
        assert stopped["left"] == []
        findings = await stage.looked()
        assert findings.clean and not findings.strangers

    on_stage(play, stage)


def test_order_that_nobody_knows_the_end_of_is_found_and_cancelled(stage):
    """A resting order whose answer was lost, and which no session has in its state: cancel all takes it as well."""
    stop = Stop(kill_file_of(stage.journal))
    name = client_id(RUN, 7, SYMBOL, "barriers", 9)
    lost = OrderIntent(name, SYMBOL, "buy", "limit", "0.5", "50", None, False, "lost", 7, "barriers", 50.0)

    async def play(stage):
        await stage.session(2)
        with Journal(stage.journal) as book:
            book.intend(RUN, [lost], sent={"from": 0})
            book.step(name, State.UNKNOWN, {"why": "a test"})
        client = stage.client()
        await client.create_order(SYMBOL, "limit", "buy", 0.5, 50, {"clientOrderId": name})
        await client.close()
        write_kill(stop.kill_file, why="a test", flatten=False)
        stop.kill_file.unlink()
        await stage.session(3, stop=stop, each=lambda turn: write_kill(stop.kill_file, why="t", flatten=False))
        assert not stage.server.book.open_orders()
        with Journal.reading(stage.journal) as book:
            assert book.state(name) is State.CANCELLED and not book.unsettled(RUN)

    on_stage(play, stage)


def test_order_of_the_turn_that_nobody_knew_the_end_of_is_booked(stage):
    """Its answer is lost and no look-up is answered until the session gives up: by then it is to stop."""
    stop = Stop(kill_file_of(stage.journal))
    stage.gateway["patience"] = 0.5

    async def play(stage):
        respond, down = stage.server._dialect.respond, stage.server._dialect.fault("error_5xx", 0)

        def seen(call):
            if call.label == "POST /api/v3/order":
                respond(call)
                write_kill(stop.kill_file, why="now", flatten=False)
                return down
            asked = call.method == "GET" and "rder" in call.path
            with Journal.reading(stage.journal) as book:
                given_up = any(kind == "stopping" for kind, _ in book.incidents(RUN))
            return down if asked and stop.kill_file.exists() and not given_up else respond(call)

        stage.server._dialect.respond = seen
        report = await stage.session(4, stop=stop)
        assert stage.total("BTC") == 30 == report.session.tally.held(SYMBOL)
        assert report.session.desk.account.holdings[0].held == 30.0
        stage.server._dialect.respond = respond
        stop.kill_file.unlink()
        report = await stage.session(2)
        assert report.session.tally.held(SYMBOL) == stage.total("BTC")
        assert report.session.tally.cash == stage.total("USDT")
        assert len(stage.server.book.open_orders()) == 2

    on_stage(play, stage)


def test_stops_that_a_person_has_cancelled_are_set_again_when_the_bar_closes(stage):
    async def play(stage):
        seen = []

        async def by_hand(turn):
            seen.append(len(stage.server.book.open_orders()))
            if turn == 2:
                client = stage.client()
                await client.cancel_all_orders(SYMBOL)
                await client.close()
                seen.append(len(stage.server.book.open_orders()))

        await stage.session(4, each=by_hand)
        assert seen == [2, 2, 0, 2, 2]

    on_stage(play, stage)


def test_orders_of_others_stay(stage):
    stop = Stop(kill_file_of(stage.journal))

    async def play(stage):
        client = stage.client()
        await stage.session(2)
        await client.create_order(SYMBOL, "limit", "buy", 0.5, 50, {"clientOrderId": "by-hand"})
        await client.close()
        stop.ask("a test")
        stop.keeps_barriers = False
        await stage.session(1, stop=stop)
        (order,) = stage.server.book.open_orders()
        assert order.client_id == "by-hand"

    on_stage(play, stage)


def test_what_cannot_be_ended_is_told_and_stays_to_be_ended(stage):
    stop = Stop(kill_file_of(stage.journal))

    async def play(stage):
        stage.gateway["patience"] = 1.0
        await stage.session(2)
        respond = stage.server._dialect.respond

        def deaf(call):
            if call.method == "DELETE":
                return stage.server._dialect.fault("error_5xx", 0)
            return respond(call)

        stage.server._dialect.respond = deaf
        write_kill(stop.kill_file, why="a test", flatten=False)
        told = stop.kill_file.read_text()
        stop.kill_file.unlink()
        with pytest.raises(SessionHaltedError, match="could not be ended: order ldr-"):
            await stage.session(3, stop=stop, each=lambda _: stop.kill_file.write_text(told))
        (stopped,) = told_of(stage, "stopped")
        assert len(stopped["left"]) == 1 and "cancel_order" in stopped["left"][0]
        assert len(stage.server.book.open_orders()) == 2
        stage.server._dialect.respond = respond
        stop.kill_file.unlink()
        await stage.session(2)  # a restart has it in its state, and goes on
        assert len(stage.server.book.open_orders()) == 2

    on_stage(play, stage)


def test_flatten_that_is_asked_for_while_it_halts_is_done_as_well(stage):
    stop = Stop(kill_file_of(stage.journal))

    async def play(stage):
        await stage.session(2)
        respond = stage.server._dialect.respond

        def seen(call):
            if call.method == "DELETE":
                write_kill(stop.kill_file, why="and sell", flatten=True)
            return respond(call)

        stage.server._dialect.respond = seen
        stop.keeps_barriers = False
        await stage.session(3, stop=stop, each=lambda _: stop.ask("SIGINT"))
        assert stage.total("BTC") == 0 and not stage.server.book.open_orders()

    on_stage(play, stage)


def test_account_that_has_less_than_the_books_say_is_sold_out_and_the_rest_is_told(stage):
    stop = Stop(kill_file_of(stage.journal))

    async def play(stage):
        await stage.session(2)
        stop.flatten = True

        def gone(_: int) -> None:
            stage.server.book.account.free["BTC"] -= Decimal(10)
            stop.ask("SIGINT")

        with pytest.raises(SessionHaltedError, match="of BTC/USDT: not closed"):
            await stage.session(3, stop=stop, each=gone)
        assert stage.total("BTC") == 0

    on_stage(play, stage)


def test_signal_handlers_ask_once_and_sigterm_stays(tmp_path):
    path = tmp_path / "kill"

    async def play():
        stop = Stop(path, term_keeps_barriers=True)
        stop._interrupted()
        stop._interrupted()
        assert (stop.why, stop.spares_barriers, path.exists()) == ("SIGINT", True, False)
        stop._terminated()  # also after Ctrl-C: it stays halted
        assert (stop.why, stop.spares_barriers) == ("SIGINT", True)
        assert read_kill(path)["why"] == "SIGTERM" and read_kill(path)["cancel"] is False
        stop = Stop(tmp_path / "other", term_flattens=True)
        stop._terminated()
        assert (stop.why, stop.flatten, stop.spares_barriers) == ("SIGTERM", True, False)
        assert read_kill(tmp_path / "other")["flatten"] is True

    asyncio.run(play())


def test_kill_file_asks_for_all_that_anyone_has_asked_for(tmp_path):
    path = tmp_path / "kill"
    write_kill(path, why="one", flatten=True, cancel=True)
    write_kill(path, why="two", flatten=False, cancel=False)
    told = json.loads(path.read_text())
    assert (told["why"], told["flatten"], told["cancel"]) == ("two", True, True)
    path.write_text("half a fi")

    async def play():
        stop = Stop(path)
        assert stop.asked() and not stop.flatten and not stop.spares_barriers

    asyncio.run(play())
