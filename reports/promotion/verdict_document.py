"""A verdict as plain data: what its page says, for machines.

    document = verdict_json(verdict)        # or a Record, or what its file holds
    document["passed"], document["in_the_way"], document["checks"][3]["figure"]

The page is made of this document alone, so that the two cannot differ. A number that is not finite is null here, and
"not_finite" has it in words by its place, a JSON pointer (RFC 6901): {"/checks/16/value": "infinity"}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.run import plain
from reports.promotion.evidence import RUNGS
from reports.promotion.judging import Judged, Outcome, Verdict, bound_text, figure_text
from reports.promotion.policy import Policy
from reports.promotion.records import Record, verdict_of
from reports.promotion.subject import canonical

FORMAT: Final = "ladder verdict 1"
_NOT_FINITE: Final = {"nan": "not defined", "inf": "infinity", "-inf": "minus infinity"}


def verdict_json(judged: Verdict | Record | Mapping[str, Any]) -> dict[str, Any]:
    """The document of a verdict, of a record, or of the content of a record's file.

    The same verdict gives the same document, whether it comes by itself or from its record; "record" is null, or says
    which record, by whom and when.

    Raises:
        ValidationError: a record of another version.
    """
    record = Record.of(judged) if isinstance(judged, Mapping) else judged
    verdict = record if isinstance(record, Verdict) else verdict_of(record)
    evidence, policy = verdict.evidence, verdict.policy
    recorded = record if isinstance(record, Record) else None
    told = {
        "format": FORMAT,
        "strategy": evidence.strategy,
        "rung": evidence.rung,
        "passed": verdict.passed,
        "headline": headline(verdict),
        "sentence": decision(verdict),
        "counts": counts(verdict),
        "in_the_way": [one.check.name for one in verdict.checks if one.stands_in_the_way],
        "overrides": [
            {"check": one.check, "title": verdict.of(one.check).check.title, "by": one.by, "reason": one.reason}
            for one in verdict.overrides
        ],
        "checks": [_check(one) for one in verdict.checks],
        "subject": {name: text for name, text in evidence.subject.items() if name not in ("policy", "policy_text")},
        "policy": {"digest": policy.digest, "thresholds": policy.model_dump(), "changed": _changed(policy)},
        "figures": dict(evidence.figures),
        "record": None
        if recorded is None
        else {
            "digest": recorded.digest,
            "by": recorded.by,
            "at": recorded.at,
            "versions": recorded.content.get("versions", {}),
            "commit": recorded.content.get("commit"),
        },
    }
    document: dict[str, Any] = plain(told)
    words: dict[str, str] = {}
    for at, check in enumerate(document["checks"]):
        for name in ("value", "threshold", "chart"):
            check[name] = _finite(check[name], f"/checks/{at}/{name}", words)
    document["policy"]["thresholds"] = _finite(document["policy"]["thresholds"], "/policy/thresholds", words)
    document["figures"] = _finite(document["figures"], "/figures", words)
    return {**document, "not_finite": words}


def json_text(document: Mapping[str, Any]) -> str:
    """The one text of a document: keys in order, a line's end behind."""
    return canonical(document) + "\n"


def headline(verdict: Verdict) -> str:
    """May it climb, and where to."""
    return f"{'May' if verdict.passed else 'May not'} climb to the {verdict.evidence.rung} rung"


def decision(verdict: Verdict) -> str:
    """The verdict in a sentence, with the checks that stand in the way, or that persons have waved through."""
    name, rung, checks = verdict.evidence.strategy, verdict.evidence.rung, verdict.checks
    if not verdict.passed:
        reasons = []
        for outcome, one, many in (
            (Outcome.FAIL, "check fails", "checks fail"),
            (Outcome.NOT_SHOWN, "is not shown", "are not shown"),
        ):
            titles = [item.check.title for item in checks if item.stands_in_the_way and item.outcome is outcome]
            if titles:
                reasons.append(f"{len(titles)} {one if len(titles) == 1 else many} ({_listed(titles)})")
        return f"{name} may not climb to the {rung} rung: {' and '.join(reasons)}."
    waved = [item.check.title for item in checks if item.override is not None]
    if not waved:
        return f"{name} may climb to the {rung} rung: all {len(checks)} checks pass."
    by = _listed(list(dict.fromkeys(one.by for one in verdict.overrides)), " and ")
    what = "the one that does not is" if len(waved) == 1 else f"the {len(waved)} that do not are"
    return (
        f"{name} may climb to the {rung} rung: {len(checks) - len(waved)} of {len(checks)} checks pass, and {what} "
        f"overridden by {by} ({_listed(waved)})."
    )


def counts(verdict: Verdict) -> dict[str, int]:
    """How many checks pass, fail, and are not shown, and how many of the latter two are overridden."""
    found = {str(outcome): sum(one.outcome is outcome for one in verdict.checks) for outcome in Outcome}
    return {**found, "overridden": len(verdict.overrides)}


def from_where(rung: str) -> str:
    """The rung below."""
    return ("backtest", *RUNGS)[[str(one) for one in RUNGS].index(rung)]


def short_bound(asked: str) -> str:
    """What a check asks for, for a table."""
    return asked.replace("at least", "≥").replace("at most", "≤")


def _changed(policy: Policy) -> dict[str, float]:
    """The defaults of those thresholds that are others, as "rung.name"."""
    default = Policy()
    return {
        f"{rung}.{name}": value
        for rung in RUNGS
        for name, value in getattr(default, rung).model_dump().items()
        if getattr(getattr(policy, rung), name) != value
    }


def _check(one: Judged) -> dict[str, Any]:
    check, measured = one.check, one.measured
    return {
        "name": check.name,
        "title": check.title,
        "outcome": str(one.outcome),
        "stands_in_the_way": one.stands_in_the_way,
        "value": measured.value,
        "figure": figure_text(check, measured.value, one.threshold) if measured.shown else "not shown",
        "threshold": one.threshold,
        "asked": bound_text(check, one.threshold),
        "way": check.way,
        "unit": check.unit,
        "binding": check.binding,
        "meaning": check.meaning,
        "told": measured.told,
        "chart": dict(measured.chart),
        "override": None if one.override is None else {"by": one.override.by, "reason": one.override.reason},
    }


def _listed(names: Sequence[str], last: str = "; ") -> str:
    return names[0] if len(names) == 1 else f"{'; '.join(names[:-1])}{last}{names[-1]}"


def _finite(value: Any, place: str, words: dict[str, str]) -> Any:
    """The value with null for what is not finite, which `plain` writes as text; its words go by their places."""
    if isinstance(value, Mapping):
        return {name: _finite(item, f"{place}/{_pointer(name)}", words) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item, f"{place}/{at}", words) for at, item in enumerate(value)]
    if isinstance(value, str) and value in _NOT_FINITE:
        words[place] = _NOT_FINITE[value]
        return None
    return value


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
