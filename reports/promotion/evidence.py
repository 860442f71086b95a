"""What was measured of a strategy, before anybody judges it.

    evidence = Evidence(rung="paper", subject=subject, measured={"trades": Measured(412.0), ...})

A measurement is a number, or none and the reason why it is missing: missing evidence is not a pass. Who measures knows
no threshold, and who judges (`reports.gate`) measures nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from data.errors import ValidationError

Rung = Literal["paper", "live"]
RUNGS: tuple[Rung, ...] = ("paper", "live")


@dataclass(frozen=True)
class Measured:
    """One measurement.

    Attributes:
        value: the figure; 1.0 and 0.0 for yes and no; None where it could not be measured.
        told: what was found, in words: beside the figure, or instead of it.
        chart: what the page draws: JSON-like, by series.
    """

    value: float | None
    told: str = ""
    chart: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value is None and not self.told:
            raise ValidationError("evidence: a measurement without a value needs the reason why there is none")

    @property
    def shown(self) -> bool:
        """Whether there is a figure to judge: what is not defined (NaN) shows nothing."""
        return self.value is not None and not math.isnan(self.value)


def missing(why: str) -> Measured:
    """What could not be measured."""
    return Measured(None, why)


@dataclass(frozen=True)
class Evidence:
    """All that was measured for one step of a strategy.

    Attributes:
        rung: what it is to climb to.
        strategy: its label.
        subject: what was measured, as hashes and settings by name (`reports.promotion.subject`): a record binds it.
        measured: by the name of the check that judges it.
        figures: further figures for the page and the record, which no check judges.
    """

    rung: Rung
    strategy: str
    subject: Mapping[str, str]
    measured: Mapping[str, Measured]
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rung not in RUNGS:
            raise ValidationError(f"evidence: rung {self.rung!r} must be one of {', '.join(RUNGS)}")
