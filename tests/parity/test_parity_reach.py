"""The drawn runs reach what the properties are to judge: each reason, each verdict, each rule, and the rare cases."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings

from engine import Result, reasons
from engine.guard import RULES, VENUE_AMOUNT, VERDICTS
from tests.parity.cases import Case, cases

BASES = [reasons.reason_text(reason, 0) for reason in range(reasons.LIQUIDATION + 1)]
CUTTING = ["cash", "max_position", "max_gross", "max_net", "max_order_notional"]
BLOCKING = [*CUTTING, "max_orders_per_minute", "price_collar", "max_data_age", "max_daily_loss", "max_drawdown"]
VENUE = RULES[VENUE_AMOUNT]
RARE = [
    "reversal",
    "entry and exit in one bar",
    "a week's wait for a bar",
    "less than a step left",
    "more owed than held",
    "another fee tier",
    "funding",
    "borrow",
]


def occurrences(case: Case, result: Result) -> Counter[str]:
    """What of the rules a run has met, by its word."""
    orders, events, positions = result.orders, result.risk_events, result.positions
    seen = Counter(reason.partition(", cut ")[0] for reason in orders["reason"])
    seen.update(events["verdict"] + " " + events["rule"])
    seen.update(reason.rpartition(", cut by ")[2] for reason in orders["reason"] if VENUE in reason)
    seen.update(result.charges["kind"])
    seen.update(f"verdict {verdict}" for verdict in events["verdict"])
    rates = orders["fee"] / (orders["amount"] * orders["price"])
    steps = pd.Series({symbol: venue.amount_step for symbol, venue in case.venues.items()})
    seen.update(
        {
            "runs": 1,
            "runs without orders": int(orders.empty),
            "reversal": int((positions * positions.shift() < 0.0).any(axis=None)),
            "entry and exit in one bar": int(orders.duplicated(["symbol", "filled_at"]).any()),
            "a week's wait for a bar": int((orders["filled_at"] - orders["decided_at"] > pd.Timedelta("7D")).any()),
            "less than a step left": int(((positions > 0.0) & (positions < steps)).any(axis=None)),
            "more owed than held": int((result.equity < 0.0).any()),
            "another fee tier": int(bool(case.terms["costs"].tiers) and rates.round(9).nunique() > 2),
        }
    )
    return seen


@pytest.fixture(scope="module")
def seen() -> Counter[str]:
    """Counted over the same runs each time, drawn as those of the properties are."""
    counted: Counter[str] = Counter()

    @given(case=cases())
    @settings(max_examples=300, derandomize=True, database=None)
    def count(case: Case) -> None:
        counted.update(occurrences(case, case.run("backtest")))

    count()
    return counted


def test_most_of_the_drawn_runs_trade(seen: Counter[str]) -> None:
    assert seen["runs"] == 300
    assert seen["runs without orders"] < 100


@pytest.mark.parametrize("base", BASES)
def test_an_order_is_filled_for_each_reason_there_is(seen: Counter[str], base: str) -> None:
    assert seen[base] >= 1


def test_every_verdict_is_given(seen: Counter[str]) -> None:
    assert all(seen[f"verdict {verdict}"] >= 1 for verdict in VERDICTS)


def test_every_rule_of_the_guard_is_among_those_that_must_occur() -> None:
    assert {"", *BLOCKING, VENUE} == set(RULES)


def test_an_order_is_cut_by_the_venue(seen: Counter[str]) -> None:
    assert seen[VENUE] >= 1


@pytest.mark.parametrize("rule", CUTTING)
def test_an_order_is_cut_by_each_rule_that_cuts(seen: Counter[str], rule: str) -> None:
    assert seen[f"cut {rule}"] >= 1


@pytest.mark.parametrize("rule", BLOCKING)
def test_an_order_is_blocked_by_each_rule(seen: Counter[str], rule: str) -> None:
    assert seen[f"blocked {rule}"] >= 1


@pytest.mark.parametrize("event", ["halt max_daily_loss", "halt max_drawdown", "resume max_daily_loss"])
def test_accounts_are_halted_and_resumed(seen: Counter[str], event: str) -> None:
    assert seen[event] >= 1


@pytest.mark.parametrize("rare", RARE)
def test_rare_cases_occur(seen: Counter[str], rare: str) -> None:
    assert seen[rare] >= 1
