"""What the rehearsal exchange does wrong on purpose: by seeded chance or by a list, each fault recorded.

    plan = FaultPlan(seed=7, rates={"answer_lost": 0.02, "duplicate": 0.01})
    plan = FaultPlan(planned=[Planned("answer_lost", on="POST /api/v3/order", nth=2)])
    plan = FaultPlan.heavy(seed=7)
    plan.record[0]           # Fault(number=1, kind="answer_lost", on="POST /api/v3/order", ...)

Things that can go wrong are numbered as they come (requests, messages, fills, bars), each with a label. Whether one
goes wrong depends on the seed, its kind of thing and its number alone, so equal sequences have equal faults.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from data.errors import ValidationError

Place = Literal["request", "message", "fill", "bar"]

# Kind of fault: where it happens, and what the client sees.
KINDS: Final[Mapping[str, tuple[Place, str]]] = {
    "answer_lost": ("request", "the request is executed, the connection breaks before the answer"),
    "delayed": ("request", "the request is executed, the answer comes late"),
    "unknown_5xx": ("request", "the request is executed, the answer is 504: timeout, execution status unknown"),
    "refused_503": ("request", "503 before execution"),
    "error_5xx": ("request", "502 of a gateway, a page of HTML, before execution"),
    "rate_429": ("request", "429 with Retry-After, before execution"),
    "banned_418": ("request", "418 with Retry-After, before execution"),
    "clock_skew": ("request", "-1021: the timestamp is outside of recvWindow; signed requests alone"),
    "insufficient": ("request", "-2010: insufficient balance, once; new orders alone"),
    "down": ("request", "this request and those after it are refused, and all streams dropped"),
    "duplicate": ("message", "a stream's message comes twice"),
    "reorder": ("message", "a stream's message comes after the next one"),
    "late": ("message", "a stream's message comes with the next bar's"),
    "partial_fill": ("fill", "an order fills in several trades; one that rests fills in part and rests on"),
    "thin_book": ("fill", "an order at the market fills in worse parts and the rest expires; others fill in part"),
    "stream_drop": ("bar", "all WebSocket connections are closed"),
}
HEAVY: Final = {
    "answer_lost": 0.03,
    "delayed": 0.02,
    "unknown_5xx": 0.01,
    "refused_503": 0.02,
    "error_5xx": 0.02,
    "rate_429": 0.01,
    "banned_418": 0.002,
    "clock_skew": 0.02,
    "insufficient": 0.02,
    "down": 0.005,
    "duplicate": 0.05,
    "reorder": 0.05,
    "late": 0.02,
    "partial_fill": 0.2,
    "thin_book": 0.05,
    "stream_drop": 0.02,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was injected.

    Attributes:
        number: of the fault, from 1.
        kind: one of KINDS.
        on: label of what went wrong, such as "POST /api/v3/order".
        count: number of the request, message, fill or bar among its like.
        at: venue clock, ms.
        detail: what identifies it further: client order id, symbol, parts.
    """

    number: int
    kind: str
    on: str
    count: int
    at: int
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault that is to happen for certain: on the `nth` thing, from 1, whose label begins with `on`."""

    kind: str
    on: str = ""
    nth: int = 1


class FaultPlan:
    """Which faults happen, and the record of those that have.

    Args:
        seed: of the chances.
        rates: kind of fault to its probability, per thing that it can befall.
        planned: faults that happen for certain.
        delay: seconds by which a delayed answer is late.
        down_for: requests that are refused while the exchange is down, the first included.
        retry_after: seconds that 429 and 418 tell to wait.

    Raises:
        ValidationError: an unknown kind, a rate outside [0, 1], rates of one place above 1 together.
    """

    def __init__(
        self,
        seed: int = 0,
        rates: Mapping[str, float] | None = None,
        planned: Sequence[Planned] = (),
        *,
        delay: float = 0.05,
        down_for: int = 5,
        retry_after: int = 1,
    ) -> None:
        self.seed = seed
        self.rates = dict(rates or {})
        self.planned = tuple(planned)
        self.delay = delay
        self.down_for = down_for
        self.retry_after = retry_after
        self.record: list[Fault] = []
        self._counts: dict[Place, int] = dict.fromkeys(("request", "message", "fill", "bar"), 0)
        self._down = 0
        self._seen = [0] * len(self.planned)
        unknown = [kind for kind in (*self.rates, *(plan.kind for plan in self.planned)) if kind not in KINDS]
        if unknown:
            raise ValidationError(f"FaultPlan: unknown kind of fault {unknown}; there are {list(KINDS)}")
        self._chances: dict[Place, list[tuple[str, float]]] = {place: [] for place in self._counts}
        for kind, rate in self.rates.items():
            if not 0.0 <= rate <= 1.0:
                raise ValidationError(f"FaultPlan: rate {rate!r} of {kind!r} must be a probability, 0 to 1")
            self._chances[KINDS[kind][0]].append((kind, rate))
        for place, chances in self._chances.items():
            if sum(rate for _, rate in chances) > 1.0:
                raise ValidationError(f"FaultPlan: the rates of {dict(chances)} exceed 1 together for a {place}")

    @classmethod
    def heavy(cls, seed: int, share: float = 1.0, **more: Any) -> FaultPlan:
        """All kinds at the rates of HEAVY, times `share`."""
        return cls(seed, {kind: rate * share for kind, rate in HEAVY.items()}, **more)

    def refuses(self) -> bool:
        """Whether the exchange is down and refuses this request, or this connection, too."""
        if self._down:
            self._down -= 1
            return True
        return False

    def counts(self) -> dict[str, int]:
        """How many faults of each kind there have been."""
        kinds = [fault.kind for fault in self.record]
        return {kind: kinds.count(kind) for kind in KINDS if kind in kinds}

    def touches(self, place: Place) -> bool:
        """Whether anything of this place can go wrong at all."""
        return bool(self._chances[place]) or any(KINDS[plan.kind][0] == place for plan in self.planned)

    def meets(
        self, place: Place, label: str, at: int, barred: Iterable[str] = (), detail: Mapping[str, Any] | None = None
    ) -> Fault | None:
        """The fault, if any, that befalls the next thing of this place; it is recorded.

        Args:
            place: what kind of thing.
            label: of this thing.
            at: venue clock, ms.
            barred: kinds that cannot befall this one.
            detail: kept in the record.
        """
        self._counts[place] += 1
        count = self._counts[place]
        if place == "request" and self.refuses():
            return Fault(0, "down", label, count, at)
        kind = self._planned(place, label) or self._drawn(place, count)
        if kind is None or kind in barred:
            return None
        if kind == "down":
            self._down = self.down_for - 1
        fault = Fault(len(self.record) + 1, kind, label, count, at, dict(detail or {}))
        self.record.append(fault)
        return fault

    def chance(self, *names: object) -> random.Random:
        """Chances that depend on the seed and these names alone."""
        return random.Random(":".join(map(str, (self.seed, *names))))  # noqa: S311  (faults, not secrets)

    def _planned(self, place: Place, label: str) -> str | None:
        found = None
        for at, plan in enumerate(self.planned):
            if KINDS[plan.kind][0] == place and label.startswith(plan.on):
                self._seen[at] += 1
                if self._seen[at] == plan.nth and found is None:
                    found = plan.kind
        return found

    def _drawn(self, place: Place, count: int) -> str | None:
        chances = self._chances[place]
        if not chances:
            return None
        draw = self.chance(place, count).random()
        for kind, rate in chances:
            draw -= rate
            if draw < 0.0:
                return kind
        return None
