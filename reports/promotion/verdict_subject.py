"""What exactly was judged, and by which thresholds: the last part of a verdict's page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from reports import page
from reports.promotion.catalogue import CATALOGUE, Check
from reports.promotion.evidence import RUNGS
from reports.promotion.judging import bound_text
from reports.promotion.verdict_document import short_bound

_WORDS: Final = {
    "strategy": "Strategy",
    "label": "With parameters",
    "source": "Its source, SHA-256",
    "parameters": "Parameters, SHA-256",
    "terms": "Terms, SHA-256",
    "exchange": "Exchange",
    "symbols": "Symbols",
    "timeframe": "Bars of",
    "first_bar": "First bar",
    "last_bar": "Last bar",
    "data": "Data, fingerprint",
    "lock": "requirements.lock, SHA-256",
    "engine": "Ladder’s data and engine, SHA-256",
    "python": "Python",
}
_IN_PLACE: Final = ("parameters", "terms")  # short enough to be read on the page itself
_LISTS: Final = {
    "source": "Source files of the strategy",
    "data": "Columns of the data",
    "lock": "Packages that requirements.lock pins",
    "installed": "Packages that were installed",
    "engine": "Source files of Ladder’s data and engine",
}
_SHOWN: Final = 16  # characters of a file's hash


def subject_section(document: Mapping[str, Any], json_name: str) -> str:
    """What was judged: names, hashes, parameters and terms, and what the hashes are of."""
    subject = document["subject"]
    if not subject:
        words = "The evidence does not say what was judged: no record can be made of it."
        return page.section("What was judged", f'<p class="note">{words}</p>', "subject")
    rows: dict[str, str] = {}
    for name in [*(name for name in _WORDS if name in subject), *(name for name in subject if name not in _WORDS)]:
        if name.endswith("_text"):
            continue
        rows[_WORDS.get(name, name)] = subject[name]
        if name in _IN_PLACE and f"{name}_text" in subject:
            words = name.capitalize()
            rows[words] = ", ".join(f"{key} {value}" for key, value in _flat("", _read(subject[f"{name}_text"])))
    lists = "".join(
        _listed(words, _read(subject[f"{name}_text"])) for name, words in _LISTS.items() if f"{name}_text" in subject
    )
    note = f'<p class="note">The lists are in {escape(json_name)} in full.</p>' if lists else ""
    return page.section("What was judged", page.facts(rows) + lists + note, "subject")


def policy_section(document: Mapping[str, Any]) -> str:
    """Every threshold, of both rungs, and what its default is where it is another."""
    policy = document["policy"]
    changed = policy["changed"]
    rows: list[list[str]] = []
    for rung in RUNGS:
        known = {check.name: check for check in CATALOGUE[rung]}
        rows.append([f"To {rung}" + (" (judged here)" if rung == document["rung"] else "")])
        for name, value in policy["thresholds"].get(rung, {}).items():
            default = changed.get(f"{rung}.{name}")
            rows.append(
                [
                    known[name].title if name in known else name,
                    _asked(known.get(name), value),
                    "" if default is None else _asked(known.get(name), default),
                ]
            )
    table = page.rows_table(["Check", "Asked", "Default, where it is another"], rows, "policy")
    facts = page.facts({"Policy, SHA-256": policy["digest"], "Version": str(policy["thresholds"].get("version", "–"))})
    yes = "Checks that are a plain yes or no have no threshold."
    return page.section("Policy", f'{facts}{table}<p class="note">{yes}</p>', "policy")


def _asked(check: Check | None, value: float | None) -> str:
    if value is None:
        return "not a number"
    return f"{value:g}" if check is None else short_bound(bound_text(check, float(value)))


def _listed(words: str, held: Any) -> str:
    """A list that opens: long, and of interest only where something has changed."""
    items = "".join(f"<li>{escape(name)} <code>{escape(text[:_SHOWN])}</code></li>" for name, text in _flat("", held))
    return (
        f"<details><summary>{escape(words)}: {items.count('<li>')}</summary><ul>{items}</ul></details>" if items else ""
    )


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"as recorded": text}


def _flat(above: str, value: Any) -> Iterator[tuple[str, str]]:
    """Names and texts of a nested value; a list of plain items is one text."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _flat(f"{above}.{name}" if above else str(name), one)
    elif isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
        for at, one in enumerate(value):
            yield from _flat(f"{above}[{at}]", one)
    elif isinstance(value, list):
        yield above, " ".join(str(one) for one in value) or "none"
    else:
        yield above, "none" if value is None else "yes" if value is True else "no" if value is False else str(value)
