"""The gate: three outcomes, overrides that stand in the open, and checks that nobody can override."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ValidationError
from reports.promotion.catalogue import CATALOGUE
from reports.promotion.evidence import RUNGS, Evidence, Measured, missing
from reports.promotion.judging import Outcome, Override, gate
from reports.promotion.policy import Policy, read_policy


def evidence(rung="paper", **changed) -> Evidence:
    """Evidence that passes every check, but for what is changed."""
    policy, measured = Policy(), {}
    for check in CATALOGUE[rung]:
        threshold = policy.threshold(rung, check.name)
        value = 1.0 if threshold is None else threshold
        measured[check.name] = Measured(value)
    return Evidence(rung, "SmaCross(fast=3)", {"data": "ab12"}, {**measured, **changed})


def test_catalogue_and_policy_have_the_same_names() -> None:
    for rung in RUNGS:
        asked = {check.name for check in CATALOGUE[rung] if check.way != "yes"}
        assert set(type(getattr(Policy(), rung)).model_fields) == asked
        assert len({check.name for check in CATALOGUE[rung]}) == len(CATALOGUE[rung])


@pytest.mark.parametrize("rung", RUNGS)
def test_what_reaches_every_threshold_may_climb(rung) -> None:
    assert gate(evidence(rung)).passed


@given(st.sampled_from(RUNGS), st.data())
def test_a_single_check_that_fails_or_is_missing_stands_in_the_way(rung, data) -> None:
    check = data.draw(st.sampled_from(CATALOGUE[rung]))
    threshold = Policy().threshold(rung, check.name)
    worse = 0.0 if threshold is None else threshold + (-1e-6 if check.way == "least" else 1e-6)
    for measured, outcome in (
        (Measured(worse), Outcome.FAIL),
        (missing("nobody looked"), Outcome.NOT_SHOWN),
        (Measured(math.nan), Outcome.NOT_SHOWN),
    ):
        verdict = gate(evidence(rung, **{check.name: measured}))
        assert not verdict.passed and verdict.of(check.name).outcome is outcome
        override = Override(check.name, "ann", "known, and accepted")
        if check.binding:
            with pytest.raises(ValidationError, match="cannot be overridden"):
                gate(verdict.evidence, overrides=(override,))
        else:
            overridden = gate(verdict.evidence, overrides=(override,))
            assert overridden.passed and overridden.overrides == (override,)
            assert "overridden" in str(overridden)


def test_evidence_that_lacks_a_check_altogether_does_not_pass() -> None:
    whole = evidence()
    for name in whole.measured:
        lacking = {key: value for key, value in whole.measured.items() if key != name}
        assert gate(Evidence("paper", "x", {}, lacking)).of(name).outcome is Outcome.NOT_SHOWN


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (Override("luck", "ann", "why not"), "no such check"),
        (Override("trades", "ann", "why not"), "it passes"),
        (Override("drawdown", "", "why not"), "name and a reason"),
        (Override("drawdown", "ann", "  "), "name and a reason"),
        (Override("causality", "ann", "I know it is"), "cannot be overridden"),
    ],
)
def test_overrides_that_say_nothing_or_may_not_be_are_refused(override, words) -> None:
    failing = evidence(drawdown=Measured(0.9), causality=Measured(0.0))
    with pytest.raises(ValidationError, match=words):
        gate(failing, overrides=(override,))


def test_policy_of_a_file_is_checked_and_has_its_own_digest(tmp_path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[paper]\ntrades = 200\n")
    policy = read_policy(file)
    assert policy.paper.trades == 200 and policy.paper.days == Policy().paper.days
    assert policy.digest != Policy().digest == Policy().digest
    assert gate(evidence(), policy).of("trades").outcome is Outcome.FAIL
    for text, words in (("[paper]\nluck = 1\n", "luck"), ("[paper]\ndrawdown = 7\n", "drawdown"), ("[paper", "read")):
        file.write_text(text)
        with pytest.raises(ValidationError, match=words):
            read_policy(file)
    with pytest.raises(ValidationError, match="nowhere"):
        read_policy(tmp_path / "nowhere.toml")


def test_the_verdict_says_what_stands_in_the_way() -> None:
    verdict = gate(evidence(drawdown=Measured(0.61, "2024-03 to 2024-08"), capacity=missing("no volume in the data")))
    text = str(verdict)
    assert "may not climb to paper" in text and "1 fail, 1 not shown" in text
    assert "61.0%, asked: at most 35.0% (2024-03 to 2024-08)" in text and "no volume in the data" in text
