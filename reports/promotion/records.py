"""The record of a verdict: one file, named by the SHA-256 of its bytes. Who edits it takes its name away.

    record = read_record(folder, digest)       # raises where the file is gone, or is not what its name says
    verdict_of(record)                         # as it was given, for the page

It holds what was judged (`reports.promotion.subject`), every figure with its threshold and outcome, the whole policy,
who overrode what and why, who recorded it and when, and the versions that measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ValidationError as SchemaError

from data.atomic import replacing
from data.errors import ValidationError
from engine.code_version import code_version, package_versions
from engine.run import plain
from reports.promotion.catalogue import Check
from reports.promotion.evidence import Evidence, Measured, Rung
from reports.promotion.judging import Judged, Outcome, Override, Verdict
from reports.promotion.policy import Policy
from reports.promotion.subject import NEEDED, canonical, digest_of, line_of

_FORMAT: Final = 1
_PACKAGES: Final = ("ladder", "numpy", "pandas", "vectorbt", "backtrader", "ccxt", "arch")


@dataclass(frozen=True)
class Record:
    """A verdict that was kept.

    Attributes:
        digest: SHA-256 of the file, and its name.
        content: of the file.
    """

    digest: str
    content: Mapping[str, Any]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Record:
        """The record of a file's content."""
        return cls(digest_of(_text(content)), content)

    @property
    def rung(self) -> Rung:
        """What was asked for."""
        return cast("Rung", self.content["rung"])

    @property
    def strategy(self) -> str:
        """Its label."""
        return str(self.content["strategy"])

    @property
    def line(self) -> str:
        """Which strategy, as `reports.promotion.subject.line_of` tells it."""
        return line_of(self.subject)

    @property
    def subject(self) -> Mapping[str, str]:
        """What was judged."""
        return cast("Mapping[str, str]", self.content["subject"])

    @property
    def passed(self) -> bool:
        """Whether it might climb."""
        return bool(self.content["passed"])

    @property
    def by(self) -> str:
        """Who recorded it."""
        return str(self.content["by"])

    @property
    def at(self) -> str:
        """When, UTC."""
        return str(self.content["at"])

    @property
    def stats(self) -> Mapping[str, Any]:
        """Figures of the run that was judged; none where the evidence has none."""
        return cast("Mapping[str, Any]", self.content["figures"].get("stats", {}))

    def check(self, name: str) -> Mapping[str, Any]:
        """One check: value, threshold, outcome.

        Raises:
            ValidationError: the verdict has no such check.
        """
        for one in self.content["checks"]:
            if one["check"]["name"] == name:
                return cast("Mapping[str, Any]", one)
        raise ValidationError(f"record {self.digest[:12]} (rung {self.rung}): it has no check {name!r}")


def made(verdict: Verdict, by: str, at: str) -> Record:
    """The record of a verdict, not written yet.

    Raises:
        ValidationError: nobody's name, or evidence that does not say what was judged.
    """
    evidence, policy = verdict.evidence, verdict.policy
    if not by.strip():
        raise ValidationError("record: who promotes? Give a name with by=")
    lacking = [name for name in NEEDED if not evidence.subject.get(name)]
    if lacking:
        raise ValidationError(
            f"record of {evidence.strategy}: the evidence does not say what was judged ({', '.join(lacking)} missing); "
            "give it subject=subject_of(strategy, market, exchange=...)"
        )
    judged = {one.check.name for one in verdict.checks}
    content = {
        "format": _FORMAT,
        "rung": evidence.rung,
        "strategy": evidence.strategy,
        "passed": verdict.passed,
        "by": by.strip(),
        "at": at,
        "subject": {**evidence.subject, "policy": policy.digest, "policy_text": canonical(policy.model_dump())},
        "policy": policy.model_dump(),
        "checks": [
            {
                "check": asdict(one.check),
                **asdict(one.measured),
                "threshold": one.threshold,
                "outcome": str(one.outcome),
                "override": None if one.override is None else asdict(one.override),
            }
            for one in verdict.checks
        ],
        "unjudged": {name: asdict(one) for name, one in evidence.measured.items() if name not in judged},
        "figures": evidence.figures,
        "versions": package_versions(*_PACKAGES),
        "commit": code_version(),
    }
    return Record.of(json.loads(_text(plain(content))))


def write_record(folder: Path, record: Record) -> Path:
    """Write it beside its place and give it its name.

    Raises:
        ValidationError: the folder cannot be written.
    """
    path = folder / f"{record.digest}.json"
    try:
        with replacing(path) as beside:
            beside.write_bytes(_text(record.content).encode())
    except OSError as error:
        raise ValidationError(f"record {path}: cannot be written ({error}); name another folder") from error
    return path


def read_record(folder: Path, digest: str) -> Record:
    """The record of that name.

    Raises:
        ValidationError: the file is gone, has been edited, or is of another version.
    """
    path = folder / f"{digest}.json"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValidationError(
            f"record {path}: is gone or cannot be read ({error}); bring it back from a copy, or promote again"
        ) from error
    if sha256(content).hexdigest() != digest:
        raise ValidationError(
            f"record {path}: it has been edited: its bytes are no longer those that its name is the hash of; bring it "
            "back from a copy, or promote again"
        )
    told = json.loads(content)
    if told.get("format") != _FORMAT:
        raise ValidationError(f"record {path}: format {told.get('format')!r}, this Ladder reads {_FORMAT}")
    return Record(digest, told)


def verdict_of(record: Record) -> Verdict:
    """The verdict that was recorded: checks, thresholds and outcomes as they were then, whatever they are now.

    Raises:
        ValidationError: the policy was one of another version.
    """
    content = record.content
    checks = tuple(
        Judged(
            Check(**one["check"]),
            _measured(one),
            one["threshold"],
            Outcome(one["outcome"]),
            None if one["override"] is None else Override(**one["override"]),
        )
        for one in content["checks"]
    )
    measured = {one.check.name: one.measured for one in checks}
    measured |= {name: _measured(one) for name, one in content["unjudged"].items()}
    try:
        policy = Policy.model_validate(content["policy"])
    except SchemaError as error:
        raise ValidationError(f"record {record.digest[:12]}: its policy is of another version ({error})") from error
    evidence = Evidence(record.rung, record.strategy, record.subject, measured, _numbers(content["figures"]))
    return Verdict(evidence, policy, checks)


def _measured(one: Mapping[str, Any]) -> Measured:
    value = one["value"]  # what is not finite was written as text
    return Measured(None if value is None else float(value), one["told"], _numbers(one["chart"]))


def _numbers(value: Any) -> Any:
    """Figures with those that are not finite, which JSON has as text, as numbers again."""
    if isinstance(value, Mapping):
        return {name: _numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return float(value) if value in ("nan", "inf", "-inf") else value


def _text(content: Mapping[str, Any]) -> str:
    """A record as it is written: the order of what a chart shows is kept, and read and written again it is the same."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False)
