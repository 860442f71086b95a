"""Execution rule 7 asked directly: what the guard allows, cuts and blocks, and what it remembers."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given

from engine import RiskLimits
from engine.guard import (
    AGE,
    ALLOWED,
    BLOCKED,
    COLLAR,
    CUT,
    DAILY_LOSS,
    DRAWDOWN,
    GROSS,
    NET,
    NO_RULE,
    NOTIONAL,
    NS_PER_DAY,
    NS_PER_MINUTE,
    POSITION,
    RATE,
    RULES,
    VERDICTS,
    Account,
    Order,
    RiskGuard,
    Verdict,
    is_outside_collar,
    largest_opening,
    loss_fraction,
    reducing_part,
)

NOON = 19_000 * NS_PER_DAY + NS_PER_DAY // 2
BLOCKING: dict[str, Any] = {
    "price_collar": (RiskLimits(price_collar=0.05), COLLAR),
    "max_data_age": (RiskLimits(max_data_age=pd.Timedelta("59s")), AGE),
    "max_orders_per_minute": (RiskLimits(max_orders_per_minute=1), RATE),
    "max_daily_loss": (RiskLimits(max_daily_loss=0.1), DAILY_LOSS),
    "max_drawdown": (RiskLimits(max_drawdown=0.1), DRAWDOWN),
}


def order(amount: float, price: float = 10.0, fee: float = 0.0, last_close: float = 10.0, age: int = 0) -> Order:
    return Order(amount, price, fee, last_close, NOON - age)


def account(held: float = 0.0, equity: float = 1_000.0, others: tuple[float, ...] = (), mark: float = 10.0) -> Account:
    """An account that holds this many of the order's symbol, and other positions of these worths."""
    worths = [held * mark, *others]
    return Account(held, mark, equity, sum(abs(worth) for worth in worths), sum(worths))


def ask(limits: RiskLimits, amount: float, holding: Account | None = None, **terms: Any) -> Verdict:
    return RiskGuard(limits, 1_000.0).check(order(amount, **terms), holding or account(), NOON)


# The parts of an order


@pytest.mark.parametrize(
    ("amount", "held", "reducing"),
    [(5, 0, 0), (5, 3, 0), (-5, -3, 0), (-2, 5, 2), (-5, 5, 5), (-8, 5, 5), (2, -5, 2), (8, -5, 5)],
)
def test_reducing_part_is_what_takes_the_position_towards_zero(amount: float, held: float, reducing: float) -> None:
    assert reducing_part(amount, held) == reducing


@pytest.mark.parametrize(
    ("price", "outside"), [(95.0, False), (94.9, True), (105.0, False), (105.1, True), (100.0, False)]
)
def test_collar_is_a_distance_from_the_last_close_in_either_direction(price: float, outside: bool) -> None:
    assert is_outside_collar(price, 100.0, 0.05 + 1e-12) is outside


def test_loss_is_a_fraction_of_what_there_was_and_a_gain_is_none() -> None:
    assert loss_fraction(900.0, 1_000.0) == pytest.approx(0.1)
    assert loss_fraction(-500.0, 1_000.0) == pytest.approx(1.5)
    assert loss_fraction(1_100.0, 1_000.0) == 0.0
    assert loss_fraction(-5.0, 0.0) == 0.0
    assert loss_fraction(-5.0, -10.0) == 0.0


def test_largest_opening_by_hand() -> None:
    # 30% of 1,000 less 100 already there is 200: 20 coins at 10.
    assert largest_opening(0.3, 1_000.0, 100.0, 10.0, 0.0) == pytest.approx(20.0)
    # Each coin costs 1 in fee and slippage, and lowers what 30% is: 200 / (10 + 0.3).
    assert largest_opening(0.3, 1_000.0, 100.0, 10.0, 1.0) == pytest.approx(200 / 10.3)
    assert largest_opening(0.3, 1_000.0, 300.1, 10.0, 0.0) == 0.0
    assert largest_opening(0.3, -1_000.0, 0.0, 10.0, 0.0) == 0.0
    assert largest_opening(math.inf, 1_000.0, 100.0, 10.0, 1.0) == math.inf


positive = st.floats(1e-6, 1e6)


@given(
    limit=st.floats(0.01, 10),
    equity=positive,
    share=st.floats(-1, 2),
    mark=positive,
    fee=st.floats(-0.01, 0.1),
    slippage=st.floats(0, 0.1),
)
def test_largest_opening_meets_the_limit_exactly_once_fee_and_slippage_are_paid(
    limit: float, equity: float, share: float, mark: float, fee: float, slippage: float
) -> None:
    exposure = share * limit * equity
    unit_cost = fee * mark * (1 + slippage) + mark * slippage
    size = largest_opening(limit, equity, exposure, mark, unit_cost)
    assert size >= 0.0
    after = exposure + size * mark - limit * (equity - size * unit_cost)
    room = 1e-9 * (abs(exposure) + size * mark + limit * equity)
    # At the limit, not beyond it and not below; or nothing where the limit is passed already.
    assert abs(after) <= room if size > 0.0 else exposure >= limit * equity - room


# Position, gross, net, notional: cuts


def test_without_limits_everything_is_allowed() -> None:
    assert ask(RiskLimits(), 1e9, age=NS_PER_DAY, last_close=1.0) == Verdict(ALLOWED, NO_RULE, 1e9)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_order_within_the_limit_is_allowed_whole_and_beyond_it_cut_to_it(side: float) -> None:
    limits = RiskLimits(max_position=0.3)
    assert ask(limits, side * 30.0) == Verdict(ALLOWED, NO_RULE, side * 30.0)
    verdict = ask(limits, side * 31.0)
    assert (verdict.kind, verdict.rule) == (CUT, POSITION)
    assert verdict.amount == pytest.approx(side * 30.0)


def test_position_limit_counts_what_is_held_already_and_not_the_order_alone() -> None:
    # Four orders of 29% under a limit of 30%: by the order each would pass, and the position reach 99% and more.
    guard, held = RiskGuard(RiskLimits(max_position=0.3), 1_000.0), 0.0
    for _ in range(4):
        verdict = guard.check(order(29.0), account(held), NOON)
        held += verdict.amount
        assert held * 10.0 <= 0.3 * 1_000.0 + 1e-9
    assert held == pytest.approx(30.0)


@given(
    wanted=st.lists(st.floats(-500, 500), min_size=1, max_size=12),
    limit=st.floats(0.05, 3),
    price=positive,
    fee=st.floats(0, 0.05),
)
def test_no_sequence_of_orders_takes_a_position_over_its_limit(
    wanted: list[float], limit: float, price: float, fee: float
) -> None:
    guard, held, equity = RiskGuard(RiskLimits(max_position=limit), 1_000.0), 0.0, 1_000.0
    for share in wanted:
        asked = order(share * 10.0 / price, price, fee, price)
        verdict = guard.check(asked, account(held, equity, mark=price), NOON)
        opens = abs(held + verdict.amount) > abs(held) or held * (held + verdict.amount) < 0.0
        held += verdict.amount
        equity -= fee * price * abs(verdict.amount)
        assert not opens or abs(held) * price <= limit * max(equity, 0.0) + 1e-6


def test_gross_limit_counts_the_positions_of_all_symbols_whatever_their_sign() -> None:
    limits = RiskLimits(max_gross=1.0)
    verdict = ask(limits, 50.0, account(10.0, others=(300.0, -400.0)))
    assert (verdict.kind, verdict.rule) == (CUT, GROSS)
    assert verdict.amount == pytest.approx(20.0)
    short = ask(limits, -50.0, account(others=(300.0, -400.0)))
    assert (short.kind, short.rule, short.amount) == (CUT, GROSS, pytest.approx(-30.0))


def test_net_limit_lets_an_order_balance_the_others() -> None:
    limits = RiskLimits(max_net=0.2)
    # Net long by 100, 200 allowed: 10 coins more; or 30 sold short, to 200 net short.
    assert ask(limits, 50.0, account(others=(400.0, -300.0))).amount == pytest.approx(10.0)
    sold = ask(limits, -50.0, account(others=(400.0, -300.0)))
    assert (sold.kind, sold.rule, sold.amount) == (CUT, NET, pytest.approx(-30.0))


def test_order_notional_limits_the_order_at_its_own_price() -> None:
    verdict = ask(RiskLimits(max_order_notional=50.0), 10.0, price=12.5)
    assert (verdict.kind, verdict.rule, verdict.amount) == (CUT, NOTIONAL, pytest.approx(4.0))


def test_tightest_of_several_limits_cuts() -> None:
    limits = RiskLimits(max_position=0.5, max_gross=0.4, max_net=0.6, max_order_notional=450.0)
    assert ask(limits, 100.0).rule == GROSS
    assert ask(RiskLimits(max_position=0.5, max_gross=0.6, max_order_notional=450.0), 100.0).rule == NOTIONAL
    assert ask(RiskLimits(max_position=0.4, max_gross=0.6), 100.0).rule == POSITION


def test_cut_order_keeps_to_its_limit_after_fee_and_slippage() -> None:
    # A buy at 10.1 where the mark is 10, fee 1%: each coin costs 0.201.
    verdict = ask(RiskLimits(max_gross=0.5), 100.0, price=10.1, fee=0.01)
    assert verdict.amount == pytest.approx(500 / (10 + 0.5 * 0.201))
    assert verdict.amount * 10.0 == pytest.approx(0.5 * (1_000.0 - verdict.amount * 0.201))


def test_reversal_is_cut_to_what_closes_and_what_the_limit_lets_open() -> None:
    verdict = ask(RiskLimits(max_position=0.3), -100.0, account(40.0))
    assert (verdict.kind, verdict.rule, verdict.amount) == (CUT, POSITION, pytest.approx(-70.0))
    spent = ask(RiskLimits(max_order_notional=300.0), -100.0, account(40.0))
    assert (spent.kind, spent.rule, spent.amount) == (CUT, NOTIONAL, -40.0)


def test_position_that_the_market_took_over_its_limit_may_stay_and_shrink_but_not_grow() -> None:
    limits = RiskLimits(max_position=0.3)
    assert ask(limits, 1.0, account(50.0)) == Verdict(CUT, POSITION, 0.0)
    assert ask(limits, -1.0, account(50.0)) == Verdict(ALLOWED, NO_RULE, -1.0)


# Blocks


@pytest.mark.parametrize("name", BLOCKING)
def test_rule_blocks_what_opens_and_lets_through_what_reduces(name: str) -> None:
    limits, rule = BLOCKING[name]
    guard = RiskGuard(limits, 1_000.0)
    guard.begin(NOON)
    guard.sent(NOON)
    guard.close(800.0)
    terms: dict[str, Any] = {"last_close": 9.0, "age": NS_PER_MINUTE}
    assert guard.check(order(5.0, **terms), account(), NOON) == Verdict(BLOCKED, rule, 0.0)
    assert guard.check(order(5.0, **terms), account(10.0), NOON) == Verdict(BLOCKED, rule, 0.0)
    for amount in (-1.0, -10.0):
        assert guard.check(order(amount, **terms), account(10.0), NOON) == Verdict(ALLOWED, NO_RULE, amount)
    # Of a reversal, what closes the position goes.
    assert guard.check(order(-25.0, **terms), account(10.0), NOON) == Verdict(BLOCKED, rule, -10.0)
    assert guard.check(order(25.0, **terms), account(-10.0), NOON) == Verdict(BLOCKED, rule, 10.0)


def test_collar_and_age_let_through_what_lies_at_their_bound() -> None:
    assert ask(RiskLimits(price_collar=0.25), 1.0, price=12.5).kind == ALLOWED
    assert ask(RiskLimits(price_collar=0.25), 1.0, price=7.5).kind == ALLOWED
    assert ask(RiskLimits(price_collar=0.25), 1.0, price=12.51).rule == COLLAR
    limits = RiskLimits(max_data_age=pd.Timedelta("1min"))
    assert ask(limits, 1.0, age=NS_PER_MINUTE).kind == ALLOWED
    assert ask(limits, 1.0, age=NS_PER_MINUTE + 1) == Verdict(BLOCKED, AGE, 0.0)


def test_order_rate_is_counted_over_the_last_minute_whatever_the_orders_were() -> None:
    guard = RiskGuard(RiskLimits(max_orders_per_minute=2), 1_000.0)

    def rule_at(seconds: float) -> int:
        return guard.check(order(1.0), account(), NOON + int(seconds * 1e9)).rule

    assert rule_at(0) == NO_RULE
    guard.sent(NOON)
    assert rule_at(30) == NO_RULE
    guard.sent(NOON + 30_000_000_000)
    assert rule_at(30) == RATE
    assert rule_at(59.999) == RATE
    assert rule_at(60) == NO_RULE
    guard.sent(NOON + NS_PER_MINUTE)
    # The orders of 30 and 60 seconds fill the window until 90.
    assert rule_at(89.999) == RATE
    assert rule_at(90) == NO_RULE


def test_asking_counts_for_nothing_only_what_was_sent_does() -> None:
    guard = RiskGuard(RiskLimits(max_orders_per_minute=1), 1_000.0)
    assert [guard.check(order(1.0), account(), NOON).kind for _ in range(3)] == [ALLOWED] * 3


# Halts


def test_daily_loss_is_counted_from_the_last_close_of_the_day_before_and_halts_at_its_bound() -> None:
    guard = RiskGuard(RiskLimits(max_daily_loss=0.25), 1_000.0)
    guard.begin(NOON)
    assert guard.close(1_200.0) == NO_RULE
    # A quarter of the day's first 1,000, not of its best 1,200.
    assert guard.close(751.0) == NO_RULE
    assert guard.begin(NOON + NS_PER_DAY) is False
    assert guard.close(564.0) == NO_RULE
    assert guard.close(751.0 * 0.75) == DAILY_LOSS
    assert guard.halted == DAILY_LOSS


def test_daily_halt_is_told_once_and_ends_with_the_utc_day() -> None:
    guard = RiskGuard(RiskLimits(max_daily_loss=0.25), 1_000.0)
    guard.begin(NOON)
    assert [guard.close(equity) for equity in (750.0, 600.0)] == [DAILY_LOSS, NO_RULE]
    last_moment = NOON + NS_PER_DAY // 2 - 1
    assert guard.begin(last_moment) is False
    assert guard.check(order(1.0), account(), last_moment).rule == DAILY_LOSS
    assert guard.begin(last_moment + 1) is True
    assert guard.check(order(1.0), account(), last_moment + 1).kind == ALLOWED
    # The new day begins with 600.
    assert [guard.close(equity) for equity in (451.0, 450.0)] == [NO_RULE, DAILY_LOSS]


def test_drawdown_is_counted_from_the_best_close_and_no_day_ends_its_halt() -> None:
    guard = RiskGuard(RiskLimits(max_drawdown=0.25), 1_000.0)
    guard.begin(NOON)
    assert [guard.close(equity) for equity in (2_000.0, 1_501.0, 1_500.0, 1_000.0)] == [NO_RULE, NO_RULE, DRAWDOWN, 0]
    for day in range(1, 4):
        assert guard.begin(NOON + day * NS_PER_DAY) is False
        assert guard.close(3_000.0) == NO_RULE
        assert guard.check(order(1.0), account(), NOON + day * NS_PER_DAY).rule == DRAWDOWN


def test_first_loss_may_be_that_of_the_first_bar() -> None:
    for limits, rule in ((RiskLimits(max_daily_loss=0.25), DAILY_LOSS), (RiskLimits(max_drawdown=0.25), DRAWDOWN)):
        guard = RiskGuard(limits, 1_000.0)
        guard.begin(NOON)
        assert guard.close(750.0) == rule


def test_drawdown_takes_over_a_daily_halt_and_the_next_day_does_not_lift_it() -> None:
    guard = RiskGuard(RiskLimits(max_daily_loss=0.25, max_drawdown=0.5), 1_000.0)
    guard.begin(NOON)
    assert [guard.close(equity) for equity in (750.0, 500.0, 400.0)] == [DAILY_LOSS, DRAWDOWN, NO_RULE]
    assert guard.begin(NOON + NS_PER_DAY) is False
    assert guard.halted == DRAWDOWN


def test_words_of_rules_are_the_fields_of_the_limits() -> None:
    words = {rule: RULES[rule] for rule in (POSITION, GROSS, NET, NOTIONAL, RATE, COLLAR, AGE, DAILY_LOSS, DRAWDOWN)}
    assert set(words.values()) == set(RiskLimits.__dataclass_fields__)
    assert (words[POSITION], words[RATE], words[AGE]) == ("max_position", "max_orders_per_minute", "max_data_age")
    assert (VERDICTS[ALLOWED], VERDICTS[CUT], VERDICTS[BLOCKED]) == ("allowed", "cut", "blocked")
