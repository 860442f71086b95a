"""Paper with live prices from a rehearsal exchange, by an unmodified ccxt client: `engine.paper` on the same bars.

Equal to the last bit: the exchange tells prices as the shortest decimals that read back as the stored floats, and both
execute by the same broker. The strategies here have targets that a window gives as the history does; where a strategy's
targets hang on a rolling sum that drifts, so would its decisions, in a backtest of another length as well.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Market, load_sample
from data.errors import ValidationError
from engine import Costs, Exits, RiskLimits, Strategy
from engine.live.journal import Journal
from engine.live.paper_live import run_paper_live
from engine.live.safety import Stop, write_kill
from research.strategies import QuantileSignal, SmaCross, SmaRsi
from tests.engine.live.on_paper import PERPETUAL, RUN, VENUE, Draws, Stage, assert_same
from tests.engine.random_market import made_market
from tests.forecast_fields import with_made_forecasts

PUBLIC = {"GET /api/v3/exchangeInfo", "GET /fapi/v1/exchangeInfo", "GET /dapi/v1/exchangeInfo", "GET /api/v3/klines"}
PAIRS = ["BTC/USD", "ETH/USD", "LTC/USD"]
ALL_EXITS = Exits(stop_loss=0.02, take_profit=0.03, trailing=(0.005, 0.01), time_limit=pd.Timedelta("6h"))
NAN = float("nan")


def sample(count: int, first: int = 2_900, symbols: list[str] | None = None) -> Market:
    return load_sample(symbols or PAIRS).iloc(first, first + count)


def perpetuals(market: Market) -> Market:
    frames = {
        f"{symbol.partition('/')[0]}/USDT:USDT": pd.DataFrame(
            {name: market[name][symbol] for name in ("open", "high", "low", "close", "volume")}
        ).dropna()
        for symbol in market.symbols
    }
    return Market.from_frames(frames, market.timeframe)


CASES = {
    "market orders": SmaCross(3, 10, weight=0.9),
    "stops and profits": SmaCross(3, 10, weight=0.9, exits=Exits(stop_loss=0.01, take_profit=0.015)),
    "trailing": SmaCross(3, 10, weight=0.9, exits=Exits(trailing=(0.005, 0.01))),
    "time limit": SmaCross(3, 10, weight=0.9, exits=Exits(stop_loss=0.02, time_limit=pd.Timedelta("4h"))),
    "fixed notional": SmaRsi(3, 10, 5),
}


@pytest.mark.parametrize("strategy", CASES.values(), ids=CASES.keys())
def test_its_result_is_that_of_paper_to_the_last_bit(strategy: Strategy, tmp_path: Path) -> None:
    stage = Stage(sample(70), 21, tmp_path / "journal.sqlite", strategy)
    report, requests = stage.played()
    assert len(report.result.orders) >= 5 and report.turns == 48 == len(report.result.equity)
    assert_same(report.result, stage.paper())
    assert set(requests) <= PUBLIC  # nothing that needs a key, and no order


def test_limits_cut_and_halt_as_in_paper(tmp_path: Path) -> None:
    risk = RiskLimits(max_position=0.3, max_gross=0.5, max_daily_loss=0.01)
    stage = Stage(sample(90), 11, tmp_path / "journal.sqlite", CASES["market orders"], risk=risk)
    report, _ = stage.played()
    wanted = stage.paper()
    assert {"cut", "halt", "resume"} <= set(wanted.risk_events["verdict"])
    assert_same(report.result, wanted)
    with Journal.reading(stage.journal) as book:
        told = wanted.risk_events[wanted.risk_events["verdict"] != "allowed"]
        assert [kind for kind, _, _ in book.risk_events(RUN)] == told["verdict"].tolist()


def test_bars_that_a_symbol_misses_are_missed_as_in_paper(tmp_path: Path) -> None:
    market = load_sample(["BTC/USD", "EOS/USD"])
    gap = int(market.close["EOS/USD"].isna().to_numpy()[500:].argmax()) + 500
    stage = Stage(market.iloc(gap - 30, gap + 30), 10, tmp_path / "journal.sqlite", SmaCross(2, 5, weight=0.9))
    report, _ = stage.played()
    assert report.result.prices.isna().to_numpy().any() and len(report.result.orders) >= 5
    assert_same(report.result, stage.paper())


def test_symbol_that_has_just_begun_to_trade_is_traded_once_it_is_warm(tmp_path: Path) -> None:
    market = sample(60)
    frames = {symbol: pd.DataFrame({name: market[name][symbol] for name in market.fields}) for symbol in market.symbols}
    frames["LTC/USD"] = frames["LTC/USD"].iloc[13:]  # one bar before the session begins
    stage = Stage(Market.from_frames(frames, "30m"), 14, tmp_path / "journal.sqlite", SmaCross(3, 10, weight=0.9))
    report, _ = stage.played()
    begun = report.result.orders["symbol"] == "LTC/USD"
    assert begun.any() and report.result.orders[begun]["decided_at"].min() >= market.index[22]
    assert_same(report.result, stage.paper())


def test_shorts_and_leverage_on_a_perpetual_and_that_funding_is_not_charged(tmp_path: Path, caplog) -> None:
    market = perpetuals(sample(60))
    strategy = SmaCross(3, 10, weight=0.9, below=-0.9, exits=Exits(stop_loss=0.02, trailing=(0.01, 0.01)))
    stage = Stage(market, 12, tmp_path / "journal.sqlite", strategy, Costs(0.0005, borrow=0.05), PERPETUAL)
    report, requests = stage.played()
    assert (report.result.positions < 0).to_numpy().any() and len(report.result.charges)
    assert_same(report.result, stage.paper())
    assert not [one for one in requests if "order" in one or "position" in one or "wallet" in one]
    assert "funding of perpetuals is not charged" in str(report) and "funding of perpetuals" in caplog.text
    assert report.result.meta["live"]["funding"] == "not charged"


def test_forecasts_are_joined_to_the_window_as_to_the_history(tmp_path: Path) -> None:
    strategy = QuantileSignal(window=24, hold=2, shorts=False)
    stage = Stage(sample(90), 45, tmp_path / "j.sqlite", strategy, enrich=with_made_forecasts, extra_bars=5)
    report, _ = stage.played()
    assert len(report.result.orders) >= 5
    assert_same(report.result, stage.paper())


@settings(max_examples=8)
@given(
    seed=st.integers(0, 10_000),
    missing=st.sampled_from([0.0, 0.2, 0.5]),
    exits=st.sampled_from([None, Exits(stop_loss=0.01), Exits(take_profit=0.01, trailing=(0.005, 0.01)), ALL_EXITS]),
    risk=st.sampled_from([None, RiskLimits(max_gross=0.6, max_daily_loss=0.02), RiskLimits(max_drawdown=0.03)]),
    notional=st.sampled_from([None, 3_000.0]),
)
def test_whatever_is_decided_it_is_paper_to_the_last_bit(
    tmp_path_factory, seed: int, missing: float, exits: Exits | None, risk: RiskLimits | None, notional: float | None
) -> None:
    market = made_market(24, symbols=2, seed=seed, missing=missing)
    market = Market({name: market[name] for name in market.fields if name != "signal"}, market.timeframe)
    journal = tmp_path_factory.mktemp("run") / "journal.sqlite"
    stage = Stage(market, 3, journal, Draws(seed, exits, notional), risk=risk)
    report, _ = stage.played()
    assert_same(report.result, stage.paper())


def test_each_decision_is_in_the_journal_once_with_the_digest_of_its_inputs(tmp_path: Path, caplog) -> None:
    stage = Stage(sample(30), 11, tmp_path / "journal.sqlite", SmaCross(3, 10, weight=0.9))
    with caplog.at_level(logging.INFO):
        report, _ = stage.played()
    with Journal.reading(stage.journal) as book:
        decided = book.decisions(RUN)
        beats = [beat for beat in book.heartbeats(RUN) if beat]
        assert book.statements(RUN)[0].detail["symbols"] == PAIRS
        assert book.last_bar_done(RUN) == stage.market.index[-1].value and not book.incidents(RUN)
    bars = report.result.equity.index
    assert [(bar, symbol) for bar, symbol, _, _ in decided] == [(bar.value, one) for bar in bars for one in PAIRS]
    assert len({inputs for _, _, _, inputs in decided}) == len(bars)
    assert [beat["equity"] for beat in beats] == report.result.equity.tolist()
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("paper_session")]
    assert len(lines) == len(bars) and all(f"{RUN}: equity " in line for line in lines)
    assert any("filled +" in line and "held 0." in line for line in lines)
    assert "18 of them decided on by this process" in str(report) and "ended by           its caller" in str(report)


def test_turn_that_comes_late_by_the_exchange_s_clock_is_not_decided_on(tmp_path: Path) -> None:
    stage = Stage(sample(40), 11, tmp_path / "journal.sqlite", CASES["stops and profits"])
    opened = stage.market.index.as_unit("ns").asi8.tolist()
    late = {opened[16], opened[17], opened[25]}  # what opened then was heard of after 37 seconds

    async def play():
        async with stage.server() as server:

            def clock() -> int:
                now = opened[server.exchange.replay.row]
                return now + (37 * 10**9 if now in late else 35 * 10**9)

            return await stage.life(server, clock=clock)

    report = asyncio.run(play())
    with Journal.reading(stage.journal) as book:
        told = [detail["bar"] for kind, detail in book.incidents(RUN) if kind == "bar not decided on"]
    assert told == [opened[15], opened[16], opened[24]] and report.slept == 3
    assert_same(report.result, stage.paper(tuple(pd.Timestamp(bar, tz="UTC") for bar in told)))


# How it ends.


def test_kill_file_ends_it_between_bars_and_keeps_it_from_starting_again(tmp_path: Path) -> None:
    kill = tmp_path / "run.kill"
    stage = Stage(sample(40), 11, tmp_path / "journal.sqlite", SmaCross(3, 10, weight=0.9))

    async def play():
        async with stage.server() as server:
            turns = 0

            async def fourth(_: int) -> None:  # the bars stand still: the session waits for the next one
                nonlocal turns
                turns += 1
                if turns == 4:
                    write_kill(kill, why="enough", flatten=True)
                else:
                    await server.advance()

            report = await stage.life(server, after_turn=fourth, stop=Stop(kill_file=kill))
            with pytest.raises(ValidationError, match=r"was stopped .enough. and stays so"):
                await stage.life(server, stop=Stop(kill_file=kill))
            return report

    report = asyncio.run(play())
    assert report.turns == 4 and report.why == "kill file: enough" and "kill file: enough" in str(report)
    with Journal.reading(stage.journal) as book:
        assert [kind for kind, _ in book.incidents(RUN)] == ["stopped"]
    assert not [one for one in threading.enumerate() if one.name == "paper broker"]


@dataclass(frozen=True)
class Breaks(SmaCross):
    """Divides by zero at a bar."""

    at: str = ""

    def decide(self, window: Market) -> pd.Series:
        if str(window.index[-1]) == self.at:
            raise ZeroDivisionError("planted in the strategy")
        return super().decide(window)


def test_error_of_the_strategy_surfaces_with_its_traceback_and_the_run_can_go_on(tmp_path: Path) -> None:
    market = sample(30)
    stage = Stage(market, 11, tmp_path / "journal.sqlite", Breaks(3, 10, weight=0.9, at=str(market.index[15])))

    async def play():
        async with stage.server() as server:
            with pytest.raises(ZeroDivisionError, match="planted in the strategy") as raised:
                await stage.life(server)
            assert "decide" in [entry.name for entry in raised.traceback]
            assert not [one for one in threading.enumerate() if one.name == "paper broker"]
            assert not [one for one in asyncio.all_tasks() if one.get_name() == "candles"]
            stage.strategy = Breaks(3, 10, weight=0.9)
            with pytest.raises(ValidationError, match=r"parameters were .* are .*; give the new one another name"):
                await stage.life(server)
            object.__setattr__(stage.strategy, "at", str(market.index[15]))
            with pytest.raises(ZeroDivisionError):
                await stage.life(server)  # the turn is done again, for nothing of it was written

    asyncio.run(play())
    with Journal.reading(stage.journal) as book:
        assert max(bar for bar, *_ in book.decisions(RUN)) == market.index[14].value


@dataclass(frozen=True)
class Wild(Strategy):
    """Asks for what no backtest would let pass, once it is live."""

    weight: float = 0.0
    since: str = ""

    @property
    def warmup(self) -> int:
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        wild = market.index >= pd.Timestamp(self.since)
        rows = np.where(wild[:, None], self.weight, NAN)
        return pd.DataFrame(np.repeat(rows, len(market.symbols), axis=1), market.index, list(market.symbols))


@pytest.mark.parametrize(("weight", "told"), [(1.5, "outside"), (-0.5, "the venue is spot")])
def test_target_that_no_run_could_have_ends_the_session(tmp_path: Path, weight: float, told: str) -> None:
    market = sample(20)
    stage = Stage(market, 11, tmp_path / "journal.sqlite", Wild(weight, str(market.index[12])))
    with pytest.raises(ValidationError, match=f"BTC/USD bar {market.index[12]}.*{told}".replace("+", r"\+")):
        stage.played()


def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    given = {"cash": 100.0, "journal": tmp_path / "journal.sqlite", "run": RUN}
    for symbols, more, told in (
        ("BTC/USDT", {}, "give a list"),
        (["BTC/USDT", "BTC/USDT"], {}, "each once"),
        (["BTC/USDT", "ETH/EUR"], {}, "one quote currency"),
        (["BTC/USDT"], {"run": ""}, "needs a name"),
        (["BTC/USDT"], {"cash": -1.0}, "an amount above 0"),
    ):
        with pytest.raises(ValidationError, match=told):
            asyncio.run(run_paper_live(SmaCross(3, 10), None, symbols, "1h", **{**given, **more}))
    with pytest.raises(ValidationError, match="expected a Strategy"):
        asyncio.run(run_paper_live("SmaCross", None, ["BTC/USDT"], "1h", **given))  # type: ignore[arg-type]


def test_venue_s_own_rules_hold_and_go_on_to_hold_when_the_exchange_changes_them(tmp_path: Path) -> None:
    stage = Stage(sample(40), 11, tmp_path / "journal.sqlite", SmaCross(3, 10, weight=0.9))

    async def play():
        async with stage.server() as server:
            await stage.life(server, venues=None, turns=10)
            await server.advance()
            return await stage.life(server, venues=None)

    report = asyncio.run(play())
    first = report.result.meta["venue"]["BTC/USD"]
    assert (first["amount_step"], first["min_notional"]) == (VENUE.amount_step, VENUE.min_notional)
    stage.venue = VENUE.__class__(amount_step=0.5, price_tick=0.5, min_notional=20.0)
    again = asyncio.run(_alone(stage))
    assert again.result.meta["venue"] == report.result.meta["venue"]


async def _alone(stage: Stage):
    async with stage.server() as server:
        return await stage.life(server, venues=None, turns=1, when_ready=_nothing, stop=_asked())


async def _nothing(behind: bool) -> None: ...


def _asked() -> Stop:
    stop = Stop()
    stop.ask("only a look")
    return stop
