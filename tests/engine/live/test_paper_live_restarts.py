"""A run of paper with live prices whose process ends, is killed or loses its stream goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Market, load_sample
from data.errors import ValidationError
from engine import Exits, Result
from engine.live.journal import Journal
from engine.live.paper_journal import PaperJournal
from engine.rehearsal.faults import FaultPlan
from research.strategies import SmaCross
from tests.engine.live.on_paper import RUN, Begun, Draws, Stage, assert_same
from tests.engine.live.paper_process import STRATEGY, SYMBOLS
from tests.engine.test_paper_stream import streamed


def sample(count: int, first: int = 2_900) -> Market:
    return load_sample(SYMBOLS).iloc(first, first + count)


def slept_in(journal: Path) -> tuple[pd.Timestamp, ...]:
    """The bars that nobody decided on, as the journal's incidents tell them."""
    with Journal.reading(journal) as book:
        told = [detail["bar"] for kind, detail in book.incidents(RUN) if kind == "bar not decided on"]
    return tuple(pd.Timestamp(bar, tz="UTC") for bar in told)


MESSAGES = {"duplicate": 0.1, "reorder": 0.1, "late": 0.05}
REQUESTS = {"error_5xx": 0.1, "rate_429": 0.1, "delayed": 0.1, "answer_lost": 0.1, "down": 0.02}


@pytest.mark.parametrize(("seed", "rates"), [(1, MESSAGES), (3, {"stream_drop": 0.2}), (4, REQUESTS)])
def test_whatever_becomes_of_the_stream_the_bars_are_those_of_the_exchange(seed, rates, tmp_path: Path) -> None:
    """A bar whose last message is late, or never came, is asked for by REST: decided on a part of it, orders differ."""
    stage = Stage(sample(60), 11, tmp_path / "journal.sqlite", STRATEGY)
    plan = FaultPlan(seed, rates, delay=0.02, retry_after=0)
    report, _ = stage.played(plan)
    assert sum(plan.counts().values()) >= 4 and report.slept == 0
    assert_same(report.result, stage.paper())


ALL_EXITS = Exits(stop_loss=0.03, trailing=(0.01, 0.02), time_limit=pd.Timedelta("90min"))


@pytest.mark.parametrize("exits", [STRATEGY.exits, ALL_EXITS], ids=["that rest", "that a session moves"])
def test_bars_of_a_stream_that_was_gone_for_a_while_are_executed_and_not_decided_on(exits, tmp_path: Path) -> None:
    stage = Stage(sample(60), 11, tmp_path / "journal.sqlite", replace(STRATEGY, exits=exits))

    async def play():
        async with stage.server() as server:
            turns = 0

            async def after(_: int) -> bool:
                nonlocal turns
                turns += 1
                if turns in (6, 25):  # three bars come and go, and nobody hears of them
                    server._dialect.streams.drop_all()
                    for _ in range(3):
                        await server.advance()
                stage.over = bool((await server.advance())["done"])
                return not stage.over

            return await stage.life(server, after_turn=after)

    report = asyncio.run(play())
    slept = slept_in(stage.journal)
    assert report.slept == len(slept) == 6 and "not decided on     6" in str(report)
    wanted = stage.paper(slept)
    if exits is ALL_EXITS:  # a paper run is never asleep: the broker itself is told which bars were slept through
        market, when = stage.market.iloc(0, len(stage.market) - 1), stage.market.index[stage.start]
        rows = tuple(market.index.get_indexer(list(slept)))
        terms = {"costs": stage.costs, "venue": stage.venue}
        oracle, _ = streamed(Begun(stage.strategy, when, slept), market, asleep=rows, **terms)
        assert not oracle.since(when).orders.equals(wanted.orders)
        wanted = oracle.since(when)
    assert_same(report.result, wanted)
    assert report.result.meta["live"]["not_decided_on"] == 6
    with Journal.reading(stage.journal) as book:
        assert not {bar.value for bar in slept} & {bar for bar, *_ in book.decisions(RUN)}


@settings(max_examples=3)
@given(lives=st.lists(st.tuples(st.integers(1, 8), st.integers(0, 4)), min_size=1, max_size=3))
def test_run_of_several_processes_is_that_of_one_but_for_the_bars_between_them(tmp_path_factory, lives) -> None:
    """Each process lives for some turns, then so many bars close before the next one begins; the last sees the end."""
    strategy = Draws(7, exits=Exits(stop_loss=0.01, take_profit=0.01))  # it has a scale, which is kept as well
    stage = Stage(sample(48), 11, tmp_path_factory.mktemp("run") / "journal.sqlite", strategy)

    async def play():
        async with stage.server() as server:
            for turns, between in lives:
                await stage.life(server, turns=turns)
                for _ in range(between):
                    await server.advance()
            return await stage.life(server)

    report = asyncio.run(play())
    slept = slept_in(stage.journal)
    assert report.slept == len(slept) == sum(max(between - 1, 0) for _, between in lives)
    assert_same(report.result, stage.paper(slept))


def test_process_that_is_dropped_anywhere_within_a_turn_does_it_again(tmp_path: Path) -> None:
    chance = random.Random(5)
    stage = Stage(sample(60), 11, tmp_path / "journal.sqlite", STRATEGY)

    async def play():
        dropped = 0
        async with stage.server() as server:
            while not stage.over:
                work, until = asyncio.ensure_future(stage.life(server)), stage.turns + chance.randrange(9)
                while not work.done() and stage.turns < until:  # noqa: ASYNC110 - anywhere, by the clock
                    await asyncio.sleep(0.001)
                await asyncio.wait({work}, timeout=chance.uniform(0.0, 0.02))
                dropped += not work.done()
                while not work.done():  # a cancellation may come together with a message, and be lost
                    work.cancel()
                    await asyncio.wait({work}, timeout=0.5)
            return dropped, await stage.life(server) if work.cancelled() else work.result()

    dropped, report = asyncio.run(play())
    assert dropped >= 4
    assert_same(report.result, stage.paper(slept_in(stage.journal)))
    with Journal.reading(stage.journal) as book:
        decided = [(bar, symbol) for bar, symbol, _, _ in book.decisions(RUN)]
    assert len(set(decided)) == len(decided)


def test_killed_process_goes_on_from_its_journal(tmp_path: Path) -> None:
    """SIGKILL within a turn; bars close while nobody is there; another process takes the run up to its end."""
    stage = Stage(sample(50), 11, tmp_path / "journal.sqlite", STRATEGY)

    async def process(url: str):
        command = ["-m", "tests.engine.live.paper_process", url, str(stage.journal)]
        return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)

    async def play():
        async with stage.server() as server:
            first = await process(server.rest_url)
            while server.exchange.replay.row < 25:  # noqa: ASYNC110 - the other process asks for the bars
                await asyncio.sleep(0.001)
            first.send_signal(signal.SIGKILL)
            assert await first.wait() == -signal.SIGKILL
            row = server.exchange.replay.row
            for _ in range(3):
                await server.advance()
            second = await process(server.rest_url)
            told, _ = await second.communicate()
            assert second.returncode == 0
            return row, json.loads(told)

    row, told = asyncio.run(play())
    slept = slept_in(stage.journal)
    assert told["slept"] == len(slept) >= 2 and told["turns"] <= len(stage.market) - 1 - row
    assert_same(Result.read_parquet(stage.journal.with_suffix(".parquet")), stage.paper(slept))


def test_journal_that_does_not_come_to_the_same_equity_is_refused(tmp_path: Path) -> None:
    stage = Stage(sample(30), 11, tmp_path / "journal.sqlite", STRATEGY)

    async def play(**options):
        async with stage.server() as server:
            return await stage.life(server, **options)

    asyncio.run(play(turns=8))
    with PaperJournal(stage.journal) as book:
        for table in ("paper_bars", "decisions"):
            with pytest.raises(Exception, match=f"{table} is only added to"):
                book._db.execute(f"DELETE FROM {table}")
        book._db.execute("DROP TRIGGER paper_bars_no_update")
        last = "bar = (SELECT max(bar) FROM paper_bars)"
        book._db.execute(f"UPDATE paper_bars SET equity = equity * 1.0000001 WHERE {last}")
    with pytest.raises(ValidationError, match=r"its equity was .*, executed again it is"):
        asyncio.run(play())


def test_terms_of_a_run_do_not_change_under_way(tmp_path: Path) -> None:
    stage = Stage(sample(30), 11, tmp_path / "journal.sqlite", STRATEGY)

    async def play(**options):
        async with stage.server() as server:
            return await stage.life(server, **options)

    asyncio.run(play(turns=2))
    with pytest.raises(ValidationError, match=r"cash were 10000.0, are 5000.0; give the new one another name"):
        asyncio.run(play(cash=5_000.0))
    stage.strategy = SmaCross(3, 10, weight=0.9, exits=Exits(stop_loss=0.02))
    with pytest.raises(ValidationError, match=r"parameters were .*stop_loss.*exits were"):
        asyncio.run(play())
    with Journal(stage.journal) as book, pytest.raises(ValidationError, match="was begun on paper on binance"):
        book.start_run(RUN, "binance")  # as a live session would
