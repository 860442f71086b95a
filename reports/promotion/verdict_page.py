"""The page of a verdict, for a person who has to sign it: one file, no script, and nothing asked of the network.

    verdict_page(gate(evidence), "verdict.html")       # and verdict.json beside it, for machines
    verdict_page(record, "verdict.html")               # of the record alone, which says by whom and when

It comes in the order in which one decides: may it climb, and what stands in the way; what persons have overridden, and
why; all checks at a glance; each check with its figure, its threshold, its chart and what it means; the tearsheet
beside baseline and holding; what exactly was judged, by which thresholds; and where to sign. It is made of the document
of `verdict_json` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from data.atomic import replacing
from data.errors import ValidationError
from reports import page
from reports.promotion.judging import Verdict
from reports.promotion.records import Record
from reports.promotion.verdict_charts import Chart, chart_of, growth_of, overview
from reports.promotion.verdict_document import from_where, json_text, short_bound, verdict_json
from reports.promotion.verdict_subject import policy_section, subject_section
from reports.promotion.verdict_tearsheet import run_facts, tearsheet_section

if TYPE_CHECKING:
    from engine.result import Result

# Outcome by mark and word, never by colour alone.
_BADGES: Final = {
    "pass": ("good", "✓ pass"),
    "fail": ("bad", "✕ fail"),
    "not shown": ("open", "? not shown"),
    "overridden": ("waved", "! overridden"),
}


def verdict_page(
    judged: Verdict | Record | Mapping[str, Any], path: str | Path, *, results: Sequence[Result] = ()
) -> Path:
    """Write the page, and its document beside it under the same name with ".json"; the page's path.

    Args:
        judged: a verdict, a record, or the content of a record's file.
        path: of the page; it ends in .html.
        results: runs whose figures are set side by side: the strategy's, the baseline's, and others. Without any the
            page has the figures that follow from the growth by day that the evidence has kept.

    Raises:
        ValidationError: another ending, a record of another version, or results that are none.
    """
    target = Path(path)
    if target.suffix != ".html":
        raise ValidationError(f"verdict page {target}: name a file that ends in .html; the .json is written beside it")
    document = verdict_json(judged)
    text = json_text(document)
    body = _body(document, results, target.with_suffix(".json").name, sha256(text.encode()).hexdigest())
    style = Path(__file__).with_name("verdict.css").read_text(encoding="utf-8")
    title = f"{document['headline']}: {document['strategy']}"
    whole = page.document(title, body, style=style, policy=page.STATIC)
    for file, content in ((target.with_suffix(".json"), text), (target, whole)):
        with replacing(file) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return target


def _body(document: Mapping[str, Any], results: Sequence[Result], json_name: str, digest: str) -> str:
    checks = {check["name"]: check for check in document["checks"]}
    return "".join(
        [
            _head(document),
            _verdict(document),
            _overrides(document, checks),
            _glance(document, overview(checks)),
            *_checks(document["checks"], checks),
            tearsheet_section(document, results),
            subject_section(document, json_name),
            policy_section(document),
            _signature(document, json_name, digest),
            f"<footer>{escape(_definitions(json_name))}</footer>",
        ]
    )


def _head(document: Mapping[str, Any]) -> str:
    subject = document["subject"]
    told = [subject.get(name, "") for name in ("exchange", "symbols", "timeframe")]
    if subject.get("first_bar") and subject.get("last_bar"):
        told.append(f"{subject['first_bar'][:10]} to {subject['last_bar'][:10]}")
    below = f'<p class="sub">{escape(" · ".join(one for one in told if one))}</p>' if any(told) else ""
    step = f"Promotion: from {from_where(document['rung'])} to {document['rung']}"
    return f'<p class="step">{escape(step)}</p><h1>{page.breakable(document["strategy"])}</h1>{below}'


def _verdict(document: Mapping[str, Any]) -> str:
    tone, mark = ("good", "✓") if document["passed"] else ("bad", "✕")
    tally = "".join(
        f'<li class="{_BADGES[name][0]}"><b>{count}</b> {escape(_BADGES[name][1][2:])}</li>'
        for name, count in document["counts"].items()
        if count or name != "overridden"
    )
    changed = len(document["policy"]["changed"])
    note = ""
    if changed:
        what = "1 threshold is" if changed == 1 else f"{changed} thresholds are"
        note = f'<p class="note">{what} not the default: see <a href="#policy">the policy</a>.</p>'
    return (
        f'<section class="verdict {tone}" id="verdict"><h2 class="ruling"><span aria-hidden="true">{mark}</span> '
        f"{escape(document['headline'])}</h2><p>{escape(document['sentence'])}</p>"
        f'<ul class="tally">{tally}</ul>{note}{_ground(document)}{_recorded(document)}</section>\n'
    )


def _ground(document: Mapping[str, Any]) -> str:
    if document["subject"].get("ground") != "rehearsal":
        return ""
    words = "Shown on a rehearsal exchange, which replays stored bars: it lets nobody trade with money."
    return f"<p><b>{words}</b></p>"


def _recorded(document: Mapping[str, Any]) -> str:
    record = document["record"]
    if record is None:
        return '<p class="note">A verdict, not a record: nobody has promoted it yet.</p>'
    return f'<p class="note">Recorded by {escape(record["by"])}, {escape(_time(record["at"]))}.</p>'


def _time(text: str) -> str:
    """A time of a record as a person reads it; what is no time as it is."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time.tzinfo is not None else text


def _overrides(document: Mapping[str, Any], checks: Mapping[str, Mapping[str, Any]]) -> str:
    if not document["overrides"]:
        return ""
    items = "".join(
        f'<li><a href="#check-{escape(one["check"])}">{escape(one["title"])}</a> '
        f"({escape(_figure(checks[one['check']]))})<br><b>{escape(one['by'])}</b>: {escape(one['reason'])}</li>"
        for one in document["overrides"]
    )
    return f'<section class="waved" id="overrides"><h2>! Overridden by a person</h2><ul>{items}</ul></section>\n'


def _glance(document: Mapping[str, Any], chart: Chart | None) -> str:
    groups: dict[str, list[Mapping[str, Any]]] = {"In the way": [], "Overridden": [], "Passed": []}
    for check in document["checks"]:
        group = "In the way" if check["stands_in_the_way"] else "Passed" if check["override"] is None else "Overridden"
        groups[group].append(check)
    rows = "".join(
        f'<tr class="group"><th colspan="4" scope="colgroup">{name}</th></tr>' + "".join(map(_row, members))
        for name, members in groups.items()
        if members
    )
    table = (
        '<table class="glance"><thead><tr><th scope="col">Check</th><th scope="col">Outcome</th>'
        f'<th scope="col">Figure</th><th scope="col">Asked</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    facts = run_facts(document)
    did = "" if chart is None else f"<h3>What it did</h3>{_figure_of(chart)}"
    did += f"<h3>The run</h3>{page.facts(facts)}" if facts else ""
    beside = f'<div class="did">{did}</div>' if did else ""
    return page.section("All checks", f'<div class="beside"><div>{table}</div>{beside}</div>', "checks")


def _row(check: Mapping[str, Any]) -> str:
    return (
        f'<tr><th scope="row"><a href="#check-{escape(check["name"])}">{escape(check["title"])}</a></th>'
        f"<td>{_badge(check)}</td><td>{escape(check['figure'])}</td><td>{escape(short_bound(check['asked']))}</td></tr>"
    )


def _checks(listed: Iterable[Mapping[str, Any]], checks: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    strategy = growth_of(checks.get("drawdown"), "strategy")
    for check in listed:
        chart = chart_of(check, strategy)
        told = f'<p class="found"><b>Found:</b> {escape(check["told"])}</p>' if check["told"] else ""
        told += _items(check["chart"])
        waved = check["override"]
        if waved is not None:
            told += f'<p class="found"><b>Overridden by {escape(waved["by"])}:</b> {escape(waved["reason"])}</p>'
        if check["binding"]:
            told += '<p class="note">Nobody can override this check.</p>'
        yield (
            f'<section class="check" id="check-{escape(check["name"])}"><div class="beside"><div>'
            f"<h2>{escape(check['title'])} {_badge(check)}</h2>"
            f'<p class="figure"><b>{escape(check["figure"])}</b> <span>asked: {escape(check["asked"])}</span></p>'
            f"<p>{escape(check['meaning'])}</p>{told}</div>"
            f"{'' if chart is None else _figure_of(chart)}</div></section>\n"
        )


def _items(data: Mapping[str, Any]) -> str:
    """A list that a check has kept: each item, whether it holds, and by what that is shown."""
    if not data.get("items"):
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(one["name"])}</th><td>{"✓" if one["ok"] else "✕"}</td>'
        f"<td>{escape(one['shown'])}</td></tr>"
        for one in data["items"]
    )
    return f'<table class="items"><tbody>{rows}</tbody></table>'


def _figure_of(chart: Chart) -> str:
    return f"<figure>{chart.svg}<figcaption>{escape(chart.caption)}</figcaption></figure>"


def _badge(check: Mapping[str, Any]) -> str:
    tone, words = _BADGES["overridden" if check["override"] is not None else check["outcome"]]
    return f'<span class="outcome {tone}">{escape(words)}</span>'


def _figure(check: Mapping[str, Any]) -> str:
    """What it came to, in a line."""
    if check["outcome"] == "not shown":
        return f"not shown: {check['told']}"
    return f"{check['outcome']}: {check['figure']}, asked: {check['asked']}"


def _signature(document: Mapping[str, Any], json_name: str, digest: str) -> str:
    record = document["record"]
    rows = {"Document": f"{json_name}, SHA-256 {digest}"}
    if record is not None:
        versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        rows |= {
            "Record": f"SHA-256 {record['digest']}",
            "Recorded by": record["by"],
            "Recorded at": _time(record["at"]),
            "Measured with": versions,
            "Code": str(record["commit"] or "no commit recorded"),
        }
    lines = "".join(f"<div><span>{name}</span></div>" for name in ("Name", "Signature", "Date"))
    return page.section("Signature", f'{page.facts(rows)}<div class="signature">{lines}</div>', "signature")


def _definitions(json_name: str) -> str:
    return (
        "Sharpe ratios are annual: mean over standard deviation of returns by UTC day, × √365, risk-free rate 0. "
        "A check that was not shown is not passed. A figure of ∞ or −∞ is explained beside it. "
        f"{json_name} holds every figure that was judged, and the data of every chart."
    )
