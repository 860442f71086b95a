"""Paper beside a live session: what it is worth, bar by bar, over restarts and bars that were slept through."""

from __future__ import annotations

import asyncio

import numpy as np
import pandas as pd
import pytest

from data import Market, load_sample
from data.errors import ValidationError
from engine import Costs, Exits, paper
from engine.live.beside_paper import Begun
from engine.live.journal import Journal
from engine.live.safety import Stop, kill_file_of, refuse_if_killed
from research.strategies import SmaCross
from tests.engine.live.sessions import RUN, Always, Stage, on_stage

STRATEGY = SmaCross(2, 4, weight=0.9, exits=Exits(stop_loss=0.02, take_profit=0.04))
HOLDING = Always(0.3, exits=Exits(stop_loss=0.3, take_profit=0.4))
NAME = f"{RUN} on paper"


def sample(bars: int = 60) -> Market:
    return load_sample(["BTC/USD"]).iloc(2_900, 2_900 + bars)


class Follower:
    """Keeps what it is told; from a bar on it wants the session to end."""

    def __init__(self, until: int | None = None) -> None:
        self.rows: list[tuple[int, float, float]] = []
        self.again = 0
        self.until = until

    def __call__(self, bar: int, ours: float, paper: float, again: bool) -> str | None:
        self.rows.append((bar, ours, paper))
        self.again += again
        return "it is time" if self.until is not None and len(self.rows) >= self.until else None


COSTS = Costs(fee=0.001, slippage=0.0)  # as the exchange of the stage has them


def stage(tmp_path, strategy=STRATEGY) -> Stage:
    return Stage(tmp_path / "j.sqlite", strategy, sample())


def reference(played: Stage, rows: list[tuple[int, float, float]]) -> pd.Series:
    """`engine.paper` over the same bars, begun where the session began."""
    begins = pd.Timestamp(rows[0][0], tz="UTC")
    bars = played.market.loc[: pd.Timestamp(rows[-1][0], tz="UTC")]
    terms = {"cash": played.cash, "costs": COSTS, "venue": played.venue}
    return paper(Begun(STRATEGY, begins), bars, **terms).since(begins).equity


def test_it_is_paper_on_the_same_bars_and_the_session_without_faults_is_worth_the_same(tmp_path) -> None:
    played, follower = stage(tmp_path), Follower()
    on_stage(lambda one: one.session(40, follow=follower, costs=COSTS), played)
    bars, ours, beside = map(np.array, zip(*follower.rows, strict=True))
    assert len(bars) == 40 and len(set(ours)) > 5
    assert beside.tolist() == reference(played, follower.rows).tolist()
    assert ours == pytest.approx(beside, rel=1e-9)
    with Journal.reading(played.journal) as book:
        assert [name for name, _, _ in book.runs()] == [RUN]
        assert len({bar for bar, *_ in book.decisions(NAME)}) == 40


def test_a_restart_goes_on_with_it_and_tells_all_of_it_again(tmp_path) -> None:
    played, first, second = stage(tmp_path), Follower(), Follower()

    async def both(one: Stage) -> None:
        await one.session(15, follow=first, costs=COSTS)
        await one.server.advance()
        await one.session(15, follow=second, costs=COSTS)

    on_stage(both, played)
    assert second.rows[:15] == first.rows and len(second.rows) == 30 and second.again == 15
    assert [paper for _, _, paper in second.rows] == reference(played, second.rows).tolist()


def test_bars_that_the_session_slept_through_are_decided_on_beside_it(tmp_path) -> None:
    played, first, second = stage(tmp_path), Follower(), Follower()

    async def both(one: Stage) -> None:
        await one.session(10, follow=first, costs=COSTS)
        for _ in range(20):
            await one.server.advance()
        await one.session(10, follow=second, costs=COSTS)

    on_stage(both, played)
    with Journal.reading(played.journal) as book:
        slept = [detail["bar"] for kind, detail in book.incidents(RUN) if kind == "bar not decided on"]
    assert slept and set(slept) <= {bar for bar, *_ in second.rows}
    assert [paper for _, _, paper in second.rows] == reference(played, second.rows).tolist()
    assert any(ours != pytest.approx(paper, rel=1e-6) for _, ours, paper in second.rows)


def test_what_a_follower_says_ends_the_session_for_good_and_leaves_its_stops(tmp_path) -> None:
    played = stage(tmp_path, HOLDING)
    kill_file = kill_file_of(played.journal)

    async def until(one: Stage) -> int:
        follower = Follower(16)
        report = await one.session(40, follow=follower, costs=COSTS, stop=Stop(kill_file=kill_file))
        assert report.why.startswith("it is time") and report.turns == 16
        return len(one.server.book.open_orders())

    resting = on_stage(until, played)
    with Journal.reading(played.journal) as book:
        kinds = [kind for kind, _ in book.incidents(RUN)]
    assert "left its band" in kinds and "stopped" in kinds
    assert resting == 2, "a stop and a profit protect what is held"
    with pytest.raises(ValidationError, match="it is time"):
        refuse_if_killed(kill_file)


def test_a_paper_run_that_breaks_ends_the_session_and_not_its_orders(tmp_path, monkeypatch) -> None:
    played, follower = stage(tmp_path), Follower()

    def broken(self, turn, decision):
        raise RuntimeError("disk full")

    async def play(one: Stage):
        monkeypatch.setattr("engine.live.shadow.Shadow.take", broken)
        return await one.session(40, follow=follower, costs=COSTS)

    report = on_stage(play, played)
    assert report.turns == 1 and "has broken (RuntimeError: disk full)" in report.why


def test_a_run_that_holds_something_cannot_begin_one(tmp_path) -> None:
    played = stage(tmp_path, HOLDING)

    async def both(one: Stage) -> None:
        await one.session(16)
        await one.server.advance()
        await one.session(2, follow=Follower())

    with pytest.raises(ValidationError, match="has traded without paper beside it"):
        on_stage(both, played)


def test_it_costs_no_order_its_time(tmp_path) -> None:
    """The orders of a turn are out before the paper run is worked on."""
    played, seen = stage(tmp_path), []

    async def play(one: Stage) -> None:
        def follow(bar: int, ours: float, paper: float, again: bool) -> None:
            seen.append(len(one.server.book.orders))

        await one.session(16, follow=follow)
        assert seen[-1] == len(one.server.book.orders) > 0

    asyncio.run(_on(played, play))


async def _on(played: Stage, play) -> None:
    async with played:
        await play(played)
