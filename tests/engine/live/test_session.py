"""The live session on the rehearsal exchange, by an unmodified ccxt client: paper's orders, and books that agree.

The quick ones are a handful of schedules; the slow suite has hundreds (`test_session_slow.py`).
"""

from __future__ import annotations

import pandas as pd
import pytest

from data import Market, load_sample
from data.errors import ValidationError
from engine import Costs, Exits, RiskLimits, Venue
from engine.live.rehearsing import RehearsalError, rehearse
from engine.rehearsal.faults import FaultPlan, Planned
from research.strategies import CrossMomentum, QuantileSignal, SmaCross, SmaRsi
from tests.engine.live.schedules import schedules
from tests.forecast_fields import with_made_forecasts

TERMS = {
    "costs": Costs(fee=0.001, slippage=0.0005),
    "venue": Venue(amount_step=1e-4, price_tick=1e-8, min_notional=10.0),
}
PAIRS = ["BTC/USD", "ETH/USD", "LTC/USD"]


def bars(count: int, first: int = 2_900, symbols: list[str] | None = None) -> Market:
    return load_sample(symbols or PAIRS).iloc(first, first + count)


CASES = {
    "market orders": SmaCross(3, 10, weight=0.9),
    "stops": SmaCross(3, 10, weight=0.9, exits=Exits(stop_loss=0.01)),
    "stops and profits": SmaCross(3, 10, weight=0.9, exits=Exits(stop_loss=0.01, take_profit=0.015)),
    "profits": SmaCross(3, 10, weight=0.9, exits=Exits(take_profit=0.01)),
    "trailing": SmaCross(3, 10, weight=0.9, exits=Exits(trailing=(0.005, 0.01))),
    "time limit": SmaCross(3, 10, weight=0.9, exits=Exits(stop_loss=0.02, time_limit=pd.Timedelta("4h"))),
    "fixed notional": SmaRsi(3, 10, 5),
    "many symbols": CrossMomentum(lookback=12, every=4, top=2, weight=0.9),
}


@pytest.mark.parametrize("strategy", CASES.values(), ids=CASES.keys())
def test_without_faults_its_orders_are_those_of_paper_and_every_balance_is_explained(strategy) -> None:
    rehearsal = rehearse(strategy, bars(90), **TERMS)
    rehearsal.raise_if_broken()
    assert rehearsal.matched >= 5 and not rehearsal.differences
    assert rehearsal.bars > 70


def test_risk_limits_act_as_in_paper() -> None:
    risk = RiskLimits(max_position=0.2, max_gross=0.5, max_daily_loss=0.02)
    rehearsal = rehearse(CASES["market orders"], bars(90), risk=risk, **TERMS)
    rehearsal.raise_if_broken()
    assert rehearsal.matched >= 5


def test_bars_that_a_symbol_misses_are_missed_as_in_paper() -> None:
    sample = load_sample(["BTC/USD", "EOS/USD"])
    gap = int(sample.close["EOS/USD"].isna().to_numpy()[500:].argmax()) + 500
    rehearsal = rehearse(SmaCross(2, 5, weight=0.9), sample.iloc(gap - 30, gap + 30), **TERMS)
    rehearsal.raise_if_broken()
    assert rehearsal.matched >= 5


def test_whatever_goes_wrong_no_order_goes_twice_and_no_fill_is_lost() -> None:
    rehearsals = schedules(range(20), turns=14, at_once=3)
    assert len(rehearsals) == 20
    for seed, rehearsal in rehearsals.items():
        rehearsal.raise_if_broken()
        # A session that is killed before its first turn is done begins anew, a bar later.
        assert rehearsal.bars + rehearsal.incidents.get("bar not decided on", 0) + rehearsal.crashes >= 14, seed


def test_answer_that_is_lost_is_looked_up_and_the_order_is_not_sent_again() -> None:
    lost = [Planned("answer_lost", on="POST /api/v3/order", nth=number) for number in (1, 2, 4)]
    rehearsal = rehearse(CASES["market orders"], bars(60), faults=FaultPlan(planned=lost), **TERMS)
    rehearsal.raise_if_broken()
    assert rehearsal.faults["answer_lost"] == 3
    assert not rehearsal.differences  # it was executed: nothing is otherwise than in paper


def test_session_that_sends_again_without_looking_is_caught(monkeypatch) -> None:
    """A bug planted in the resend logic: a lost answer is taken for an order that never arrived."""
    from engine.live import gateway

    async def blind(self, intent, until):
        return None

    monkeypatch.setattr(gateway.Gateway, "_resolve", blind)
    lost = [Planned("answer_lost", on="POST /api/v3/order", nth=number) for number in (1, 2, 4)]
    rehearsal = rehearse(CASES["market orders"], bars(60), faults=FaultPlan(planned=lost), **TERMS)
    assert any("went twice" in one for one in rehearsal.broken)
    with pytest.raises(RehearsalError, match="orders went twice"):
        rehearsal.raise_if_broken()


def test_forecasts_are_joined_to_the_window_as_to_the_history() -> None:
    market = bars(120)
    strategy = QuantileSignal(window=24, hold=2, shorts=False)
    rehearsal = rehearse(strategy, market, enrich=with_made_forecasts, **TERMS)
    rehearsal.raise_if_broken()
    assert rehearsal.matched >= 5


def test_what_cannot_be_rehearsed_is_refused() -> None:
    with pytest.raises(ValidationError, match="give more bars than the warm-up"):
        rehearse(SmaCross(5, 50), bars(40), **TERMS)
    with pytest.raises(ValidationError, match="faults 'some' must be none, light, heavy"):
        rehearse(SmaCross(2, 5), bars(40), faults="some", **TERMS)
