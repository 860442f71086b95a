"""The gate: evidence and a policy in, a verdict out. It measures nothing and knows no strategy.

    verdict = gate(evidence, policy)
    verdict.passed                      # whether every check passes, or is overridden where that is allowed
    print(verdict)

Three outcomes a check: pass, fail, and not shown, which is no pass. A person may override a check by name and reason;
never one that is binding (causality, parity, reconciliation, the rehearsal).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from data.errors import ValidationError
from reports.figures import minus
from reports.promotion.catalogue import CATALOGUE, Check
from reports.promotion.evidence import Evidence, Measured, missing
from reports.promotion.policy import Policy

_MOST_DIGITS: Final = 6  # that a figure may have beyond the usual ones


class Outcome(StrEnum):
    """What a check comes to."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True)
class Override:
    """A person's decision that a check does not stand in the way.

    Attributes:
        check: its name.
        by: who.
        reason: why.
    """

    check: str
    by: str
    reason: str


@dataclass(frozen=True)
class Judged:
    """A check and what it came to.

    Attributes:
        check: the question.
        measured: the answer.
        threshold: of the policy; None of a plain yes or no.
        outcome: of the two.
        override: a person's, where there is one.
    """

    check: Check
    measured: Measured
    threshold: float | None
    outcome: Outcome
    override: Override | None = None

    @property
    def stands_in_the_way(self) -> bool:
        """Whether the step cannot be taken for it."""
        return self.outcome is not Outcome.PASS and self.override is None


@dataclass(frozen=True)
class Verdict:
    """Whether a strategy may climb, and why.

    Attributes:
        evidence: what was judged.
        policy: by which thresholds.
        checks: in the catalogue's order.
    """

    evidence: Evidence
    policy: Policy
    checks: tuple[Judged, ...]

    @property
    def passed(self) -> bool:
        """Whether no check stands in the way."""
        return not any(one.stands_in_the_way for one in self.checks)

    @property
    def overrides(self) -> tuple[Override, ...]:
        """What persons have decided."""
        return tuple(one.override for one in self.checks if one.override is not None)

    def of(self, name: str) -> Judged:
        """One check's."""
        return next(one for one in self.checks if one.check.name == name)

    def __str__(self) -> str:
        word = "may climb" if self.passed else "may not climb"
        counts = {outcome: sum(one.outcome is outcome for one in self.checks) for outcome in Outcome}
        told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
        lines = [f"{self.evidence.strategy} {word} to {self.evidence.rung}: {told}"]
        for one in self.checks:
            mark = "overridden" if one.override is not None else str(one.outcome)
            lines.append(f"  {mark:<10} {one.check.title}: {sentence(one)}")
        return "\n".join(lines)


def gate(evidence: Evidence, policy: Policy | None = None, overrides: tuple[Override, ...] = ()) -> Verdict:
    """Judge what was measured.

    Args:
        evidence: of one step.
        policy: the thresholds; the defaults without one.
        overrides: of persons.

    Raises:
        ValidationError: an override of a check that there is not, that is binding or passes anyway, or one without a
            name or a reason.
    """
    rules = Policy() if policy is None else policy
    checks = CATALOGUE[evidence.rung]
    given = _by_name(overrides, checks)
    judged = []
    for check in checks:
        measured = evidence.measured.get(check.name, missing("it was not measured"))
        threshold = rules.threshold(evidence.rung, check.name)
        outcome = _outcome(check, measured, threshold)
        override = given.get(check.name)
        if override is not None and outcome is Outcome.PASS:
            raise ValidationError(f"override of {check.name}: it passes; leave the override out")
        judged.append(Judged(check, measured, threshold, outcome, override))
    return Verdict(evidence, rules, tuple(judged))


def _by_name(overrides: tuple[Override, ...], checks: tuple[Check, ...]) -> Mapping[str, Override]:
    known = {check.name: check for check in checks}
    for one in overrides:
        if one.check not in known:
            raise ValidationError(f"override of {one.check!r}: there is no such check; there are {', '.join(known)}")
        if known[one.check].binding:
            raise ValidationError(f"override of {one.check}: {known[one.check].title.lower()!r} cannot be overridden")
        if not one.by.strip() or not one.reason.strip():
            raise ValidationError(f"override of {one.check}: it needs a name and a reason; they are in the record")
    return {one.check: one for one in overrides}


def _outcome(check: Check, measured: Measured, threshold: float | None) -> Outcome:
    if not measured.shown or measured.value is None:
        return Outcome.NOT_SHOWN
    if check.way == "yes":
        return Outcome.PASS if measured.value == 1.0 else Outcome.FAIL
    if threshold is None:  # the catalogue and the policy have the same names: a test holds them together
        return Outcome.NOT_SHOWN
    reaches = measured.value >= threshold if check.way == "least" else measured.value <= threshold
    return Outcome.PASS if reaches else Outcome.FAIL


def sentence(one: Judged) -> str:
    """The figure beside its threshold, in words."""
    if not one.measured.shown:
        return one.measured.told
    figure = figure_text(one.check, one.measured.value, one.threshold)
    if one.check.way == "yes":
        return f"{figure}{f' ({one.measured.told})' if one.measured.told else ''}"
    bound = bound_text(one.check, one.threshold)
    return f"{figure}, asked: {bound}{f' ({one.measured.told})' if one.measured.told else ''}"


def bound_text(check: Check, threshold: float | None) -> str:
    """What a check asks for, as it is written."""
    if check.way == "yes":
        return "yes"
    return f"{'at least' if check.way == 'least' else 'at most'} {figure_text(check, threshold)}"


def figure_text(check: Check, value: float | None, beside: float | None = None) -> str:
    """A figure of a check as it is written: with more digits where it would read as `beside`, and is not."""
    if value is None:
        return "none"
    if math.isinf(value):
        return minus(f"{'-' if value < 0.0 else ''}\N{INFINITY}")
    more = 0
    if beside is not None and value != beside:
        while more < _MOST_DIGITS and _written(check.unit, value, more) == _written(check.unit, beside, more):
            more += 1
    return _written(check.unit, value, more)


def _written(unit: str, value: float, more: int) -> str:
    """A number of a unit, to the digits that are usual for it, and some more."""
    small = 1 if 0.0 < abs(value) < 0.01 else 0
    written = {
        "yes": "yes" if value == 1.0 else "no",
        "percent": f"{value:.{1 + small + more}%}",
        "probability": f"{value:.{1 + more}%}",
        "count": f"{value:,.{more}f}",
        "days": f"{value:,.{more}f} days",
        "ratio": f"{value:.{2 + more}f}",
        "times": f"{value:,.{(0 if abs(value) >= 100.0 else 2) + more}f}×",
    }
    return minus(written.get(unit, f"{value:,.{2 + more}f}"))
