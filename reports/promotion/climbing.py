"""Up, and down again: what a verdict makes of a strategy's standing, and whether what is to run is what was promoted.

    record = promote(verdict, by="ann")                          # refuses a verdict that did not pass
    require(strategy, market, rung="live", exchange="binance")   # raises: names what has changed since
    demote(line, by="ann", reason="the exchange's fees rose")    # off the ladder: it climbs again from paper
    status()                                                     # every strategy's rung

A promotion is of one strategy with one set of parameters, on one exchange, for its symbols and bars
(`reports.promotion.subject.line_of`). It holds until it is taken back, or until anything that was judged has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.strategy import Strategy, label
from reports.promotion.evidence import RUNGS, Rung
from reports.promotion.judging import Verdict, gate, sentence
from reports.promotion.policy import Policy
from reports.promotion.records import Record, made, read_record, write_record
from reports.promotion.registry import Adding, Event, Kind, Registry, latest, now
from reports.promotion.subject import as_judged, canonical, differences, line_of_run, subject_of

_AGAIN: Final = "put it back as it was, or promote it again (`ladder promote`)"
_BARS: Final = ("data", "first_bar", "last_bar")
LADDER: Final = "ladder"  # who halts: no person


@dataclass(frozen=True)
class Standing:
    """A promotion that holds.

    Attributes:
        event: of the registry.
        record: that it rests on.
    """

    event: Event
    record: Record


def promote(verdict: Verdict, registry: str | Path | None = None, *, by: str) -> Record:
    """Let a strategy climb: write the record of its verdict, and enter it.

    Args:
        verdict: of `reports.gate`; its evidence has a subject (`subject_of`).
        registry: the folder of records; None for $LADDER_RECORDS, else records/ in the candle store's folder.
        by: who promotes.

    Raises:
        ValidationError: the verdict did not pass; names each check in the way. For the live rung: the same strategy
            does not stand on paper.
    """
    evidence = verdict.evidence
    _as_the_gate_judges(verdict)
    if not verdict.passed:
        ways = "".join(f"\n  {one.check.name}: {sentence(one)}" for one in verdict.checks if one.stands_in_the_way)
        raise ValidationError(f"{evidence.strategy} may not climb to {evidence.rung}; in its way:{ways}")
    at, book = now(), Registry(registry)
    record = made(verdict, by, at)
    with book.adding() as adding:
        if evidence.rung == "live":
            _stands_on_paper(record, adding, book)
        write_record(book.folder, record)
        reason = "; ".join(f"{one.by} overrode {one.check}: {one.reason}" for one in verdict.overrides)
        adding.add(_event(record, "promoted", at, by, reason))
    return record


def keep_verdict(verdict: Verdict, registry: str | Path | None = None, *, by: str) -> Record:
    """Keep a verdict that did not pass; where the strategy stands is left as it is.

    Args:
        verdict: of `reports.gate`.
        registry: as `promote` takes it.
        by: who asked.

    Raises:
        ValidationError: the verdict did pass: promote it.
    """
    _as_the_gate_judges(verdict)
    if verdict.passed:
        raise ValidationError(f"{verdict.evidence.strategy} may climb to {verdict.evidence.rung}: promote it")
    at, book = now(), Registry(registry)
    record = made(verdict, by, at)
    ways = ", ".join(one.check.name for one in verdict.checks if one.stands_in_the_way)
    with book.adding() as adding:
        write_record(book.folder, record)
        adding.add(_event(record, "refused", at, by, f"in its way: {ways}"))
    return record


def require(
    strategy: Strategy,
    market: Market,
    *,
    rung: Rung,
    exchange: str,
    terms: Mapping[str, Any] | None = None,
    policy: Policy | None = None,
    registry: str | Path | None = None,
    lock: str | Path | None = None,
    ground: str | None = "exchange",
) -> Standing:
    """The promotion that lets a strategy run on a rung: it is there, and what runs is what was judged.

    Args:
        strategy: that is to run.
        market: the bars that it was judged on, as they are now; those that came since are no difference.
        rung: that it is to run on; who stands above it may.
        exchange: where it is to trade.
        terms: as `subject_of` takes them.
        policy: that must have judged it; None for whichever did.
        registry: as `promote` takes it.
        lock: as `subject_of` takes it.
        ground: where a strategy is to trade that stands on live, "exchange" or "rehearsal": what was shown on a
            rehearsal exchange lets nobody trade with money. None for either.

    Raises:
        ValidationError: there is no such promotion, or it was taken back; the record or the registry has been edited;
            or something has changed: names each difference.
    """
    book = Registry(registry)
    line = line_of_run(strategy, exchange=exchange, symbols=market.symbols, timeframe=market.timeframe)
    standings = book.standings()
    event = standings.get(line)

    def changed(record: Record) -> list[str]:
        bars = as_judged(market, record.subject)
        if not len(bars):
            first, last = record.subject["first_bar"], record.subject["last_bar"]
            return [f"data: there are no bars from {first} to {last}, on which it was judged"]
        current = subject_of(strategy, bars, exchange=exchange, terms=terms, lock=lock)
        if "ground" in record.subject:
            current["ground"] = ground if ground is not None and rung == "live" else record.subject["ground"]
        if policy is not None:
            current |= {"policy": policy.digest, "policy_text": canonical(policy.model_dump())}
        return differences(record.subject, current)

    if event is None:
        raise _unknown(label(strategy), f"{type(strategy).__module__}.{type(strategy).__qualname__}", book, changed)
    if event.standing is None:
        raise ValidationError(
            f"{event.label}: was {event.event} by {event.by} at {event.at} ({event.reason}); it climbs again from "
            "paper: promote it again (`ladder promote`)"
        )
    if RUNGS.index(event.standing) < RUNGS.index(rung):
        raise ValidationError(f"{event.label}: stands on {event.standing} since {event.at}, not on {rung}; promote it")
    record = _record_of(event, book)
    found = changed(record)
    if found:
        raise ValidationError(_told(event, found))
    return Standing(event, record)


def demote(line: str, registry: str | Path | None = None, *, by: str, reason: str) -> Event:
    """Take a strategy off the ladder: nothing runs it until it has climbed again, from paper.

    Args:
        line: which, as `status` shows it; its first characters are enough where no other begins so.
        registry: as `promote` takes it.
        by: who.
        reason: why; it is kept.

    Raises:
        ValidationError: no such strategy stands on a rung, or there is no name or reason.
    """
    return _down(line, registry, "demoted", by, reason)


def halt(line: str, registry: str | Path | None = None, *, reason: str) -> Event:
    """The same, by Ladder itself: what a live session does when it no longer follows its backtest.

    Raises:
        ValidationError: no such strategy stands on a rung.
    """
    return _down(line, registry, "halted", LADDER, reason)


def status(
    registry: str | Path | None = None, figures_now: Mapping[str, Mapping[str, Any]] | None = None
) -> pd.DataFrame:
    """The ladder: where each strategy stands.

    Args:
        registry: as `promote` takes it.
        figures_now: by line, the figures of `Result.stats` as they are now, by whoever has them.

    Returns:
        A row for each strategy, by line: strategy, rung (None for none), since, by, event, reason, record, figures_then
        (`Result.stats` of the run that was judged), figures_now, trouble (what is wrong with its record; "" for
        nothing). The newest event first.

    Raises:
        ValidationError: the registry's chain is broken.
    """
    book, rows = Registry(registry), []
    events = book.events()
    for line, event in latest(events).items():
        trouble, then = "", dict[str, Any]()
        try:
            record, below = _record_of(event, book), _last_promotion(events, line, "paper")
            then = dict(record.stats) or ({} if below is None else dict(_record_of(below, book).stats))
        except ValidationError as error:
            trouble = str(error)
        rows.append(
            {
                "line": line,
                "strategy": event.label,
                "rung": event.standing,
                "since": event.at,
                "by": event.by,
                "event": event.event,
                "reason": event.reason,
                "record": event.record,
                "figures_then": then,
                "figures_now": dict((figures_now or {}).get(line, {})),
                "trouble": trouble,
            }
        )
    names = ["line", "strategy", "rung", "since", "by", "event", "reason", "record", "figures_then", "figures_now"]
    table = pd.DataFrame(rows, columns=[*names, "trouble"])
    table["rung"] = pd.Series([row["rung"] for row in rows], dtype=object)  # none stays None
    return table.sort_values("since", ascending=False, kind="stable").set_index("line")


def record_of_rung(line: str, rung: Rung, registry: str | Path | None = None) -> Record | None:
    """The record of a strategy's last promotion to a rung; None where it never was.

    Raises:
        ValidationError: the record or the registry has been edited.
    """
    book = Registry(registry)
    event = _last_promotion(book.events(), line, rung)
    return None if event is None else _record_of(event, book)


def _last_promotion(events: list[Event], line: str, rung: Rung) -> Event | None:
    found = (one for one in reversed(events) if (one.line, one.event, one.rung) == (line, "promoted", rung))
    return next(found, None)


def _as_the_gate_judges(verdict: Verdict) -> None:
    again = gate(verdict.evidence, verdict.policy, verdict.overrides)
    if again.checks != verdict.checks:
        raise ValidationError(
            f"{verdict.evidence.strategy}: the verdict is not what the gate makes of its evidence; take it from "
            "reports.gate"
        )


def _event(record: Record, kind: Kind, at: str, by: str, reason: str) -> Event:
    subject = record.subject
    told = f"{record.strategy} on {subject['exchange']}, {subject['symbols']} {subject['timeframe']}"
    return Event(at, kind, record.line, subject["strategy"], told, record.rung, record.digest, by.strip(), reason)


def _stands_on_paper(record: Record, adding: Adding, book: Registry) -> None:
    """No rung is left out, and what climbs is what stood on the one below."""
    event = latest(adding.events).get(record.line)
    if event is None or event.standing is None:
        raise ValidationError(f"{record.strategy}: stands on no rung; promote it to paper before live")
    below = _last_promotion(adding.events, record.line, "paper")
    if below is None:  # who stands on a rung was promoted to paper first
        raise ValidationError(f"{record.strategy}: was never promoted to paper")
    was, current = _record_of(below, book).subject, record.subject
    beside = {"policy"}
    if any(was[name] != current[name] for name in _BARS[1:]):  # of other bars: `require` holds each against its own
        beside |= {*_BARS}
    found = differences(*({name: value for name, value in one.items() if name not in beside} for one in (was, current)))
    if found:
        raise ValidationError(_told(below, found))


def _record_of(event: Event, book: Registry) -> Record:
    record = read_record(book.folder, event.record)
    kept = (record.line, record.rung, record.passed or event.event == "refused")
    if kept != (event.line, event.rung, True):
        raise ValidationError(f"record {record.digest[:12]}: is not the one of {event.label} on {event.rung}")
    return record


def _unknown(told: str, strategy: str, book: Registry, changed: Any) -> ValidationError:
    """No promotion of this: how it differs from the nearest one of the same class, where there is one."""
    nearest: tuple[Event, list[str]] | None = None
    for event in book.standings().values():
        if event.strategy != strategy or event.standing is None:
            continue
        try:
            found = changed(_record_of(event, book))
        except ValidationError:  # its own trouble shows when it is asked for
            continue
        if nearest is None or len(found) <= len(nearest[1]):
            nearest = event, found
    if nearest is None or not nearest[1]:
        return ValidationError(f"{told}: has no promotion in {book.folder}; promote it first (`ladder promote`)")
    return ValidationError(_told(*nearest))


def _told(event: Event, found: list[str]) -> str:
    lines = "".join(f"\n  {one}" for one in found)
    return f"{event.label}: promoted to {event.rung} by {event.by} at {event.at}, and since then:{lines}\n{_AGAIN}"


def _down(line: str, registry: str | Path | None, kind: Kind, by: str, reason: str) -> Event:
    if not by.strip() or not reason.strip():
        raise ValidationError("to take a strategy off the ladder needs a name (by=) and a reason; both are kept")
    book = Registry(registry)
    if not book.path.is_file():  # nothing to take down, and nothing is made for it
        raise ValidationError(f"{line!r}: nothing was promoted in {book.folder}")
    with book.adding() as adding:
        standing = {one.line: one for one in latest(adding.events).values() if one.standing is not None}
        meant = [one for name, one in standing.items() if name.startswith(line)] if line else []
        if len(meant) != 1:
            there = "".join(f"\n  {name} {one.label}: {one.standing}" for name, one in standing.items()) or " none"
            which = "several strategies begin so" if meant else "no such strategy stands on a rung"
            raise ValidationError(f"{line!r}: {which}; there are:{there}")
        was = meant[0]
        event = Event(now(), kind, was.line, was.strategy, was.label, was.rung, was.record, by.strip(), reason.strip())
        adding.add(event)
    return event
