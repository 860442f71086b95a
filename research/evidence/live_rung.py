"""The evidence that a strategy needs to be traded with money: its paper run, a rehearsal, a drill, the account.

    evidence = live_evidence(card, paper=Path("paper.sqlite"), account=seen)
    verdict = gate(evidence)

The paper run is read from its journal and executed again. The rehearsal and the drill of the kill switch are run here,
by the very code that is judged, and their seed is not for anybody to choose: it comes of what is judged.

What was replayed by a rehearsal exchange is no evidence for a real account: the subject has a key "ground", "rehearsal"
or "exchange", and `reports.promotion.climbing.require` asks for the one where the session is to run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from data.candles import CANDLE_COLUMNS
from data.errors import LadderError, ValidationError
from data.market import Market
from engine.live.account_check import AccountSeen
from engine.live.alert_record import last_test
from engine.live.kill_drill import kill_drill
from engine.live.paper_record import PaperRun, read_paper_run
from engine.live.rehearsing import Rehearsal, rehearse
from engine.strategy import label
from engine.venue import Venue
from reports.promotion.climbing import record_of_rung
from reports.promotion.evidence import Evidence, Measured, missing
from reports.promotion.subject import line_of
from research.evidence.measures import figures_of
from research.evidence.paper_run import paper_measures, prices_told
from research.evidence.readiness import readiness, risk_limits
from research.promoted_card import standing_of, subject_of_card
from research.strategy_card import Card

REHEARSED: Final = 500  # bars
_CRASHES: Final = 0.03  # probability that the session's process is killed within a turn
_DRILLED: Final = 400  # bars in which the drill finds something to cancel
_STEP: Final = 1e-6  # of amounts, where neither the card nor a paper run tells one: no exchange has none
_ALERT_DAYS: Final = 30  # that a test alert shows something
_NO_PAPER: Final = "no paper run was given"
_FROM_PAPER: Final = (
    *("paper_days", "paper_prices", "paper_trades", "paper_decisions"),
    *("tracking", "shortfall", "paper_result", "no_halt", "stale"),
)
_LEAST_REHEARSED: Final = 100  # bars, with a kill and an order: fewer show nothing, whatever a policy says


def live_evidence(
    card: Card,
    *,
    paper: Path | None,
    run: str | None = None,
    account: AccountSeen | None = None,
    prices: Callable[[PaperRun], Market | None] | None = None,
    bars: int = REHEARSED,
    market: Market | None = None,
    registry: str | Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Evidence:
    """Measure everything that the gate asks of the live rung.

    Args:
        card: of the strategy.
        paper: journal of its paper run; None for none yet.
        run: its name there; None where the journal has but one.
        account: what the exchange has told of the account; None where it was not asked.
        prices: asks the exchange for the paper run's bars again; None where it cannot be asked.
        bars: that the rehearsal decides on.
        market: the card's bars, where they are at hand.
        registry: the folder of records; None for the default one.
        say: told what is being measured.

    Raises:
        ValidationError: an input is wrong.
    """
    known = card.bars() if market is None else market
    subject = subject_of_card(card, known)
    terms = card.terms()
    found: dict[str, Measured] = {}
    say("Paper: its bars executed again, and the backtest of the same bars")
    on_paper, told = _paper_run(card, terms, paper, run)
    below = record_of_rung(line_of(subject), "paper", registry)
    if on_paper is None:
        found |= {name: missing(told) for name in _FROM_PAPER}
    else:
        found |= paper_measures(on_paper, below)
        found["paper_prices"] = prices_told(on_paper, None if prices is None else prices(on_paper), below)
    found["promoted_to_paper"] = _stands(card, known, registry, on_paper)
    venue = _venue(terms["venue"], on_paper)
    trial = _Trial(card, known, terms, venue)
    found |= trial.rehearsed(bars, int(subject["source"][:8], 16), say)
    found["reconciled"] = _reconciled(paper, on_paper, told, found["rehearsal"])
    say("Kill switch: a session stopped by it, on the rehearsal exchange")
    found["kill_switch"] = trial.drilled()
    found["risk_limits"] = risk_limits(terms.get("risk"))
    found["alerts"] = _alerts()
    found["account"] = _account(account)
    stats = {} if below is None else below.stats
    found["checklist"] = readiness(terms.get("risk"), found, stats, subject)
    replayed = (on_paper is not None and on_paper.rehearsal) or (account is not None and account.rehearsal)
    subject["ground"] = "rehearsal" if replayed else "exchange"
    figures: dict[str, Any] = {}
    if on_paper is not None:
        figures["paper_stats"] = figures_of(on_paper.result.stats())
    return Evidence("live", label(card.made()), subject, found, figures)


def _paper_run(
    card: Card, terms: Mapping[str, Any], journal: Path | None, run: str | None
) -> tuple[PaperRun | None, str]:
    """The run, or why there is none."""
    if journal is None:
        return None, _NO_PAPER
    try:
        found = read_paper_run(
            journal,
            card.made(),
            cash=terms["cash"],
            costs=terms["costs"],
            risk=terms.get("risk"),
            run=run,
            enrich=card.enrich,
        )
    except ValidationError as error:
        return None, str(error)
    if found.exchange != card.market.exchange:
        return None, f"its prices are of {found.exchange}, the card trades on {card.market.exchange}"
    return found, ""


def _stands(card: Card, market: Market, registry: str | Path | None, run: PaperRun | None) -> Measured:
    """Whether it stands on paper as it is now, and its paper run was of that promotion from the first to the last."""
    try:
        standing = standing_of(card, "paper", registry, market)
    except ValidationError as error:
        return Measured(0.0, str(error))
    below = record_of_rung(standing.event.line, "paper", registry)
    if below is None:
        return Measured(0.0, "it has no record for paper")
    told = f"record {below.digest[:12]}, by {below.by} at {below.at[:16]}"
    begun = set() if run is None else {str(one.detail.get("record") or "none") for one in run.starts} or {"nobody"}
    strange = sorted(one[:12] for one in begun - {below.digest})
    if strange:
        return Measured(0.0, f"{told}; but the paper run was begun by another one: {', '.join(strange)}")
    return Measured(1.0, told)


def _venue(of_card: Venue, run: PaperRun | None) -> Venue:
    """The exchange's rules that a rehearsal is to have: amounts have a step everywhere."""
    if of_card.amount_step > 0.0:
        return of_card
    if run is not None:
        return next(iter(run.venues.values()))
    return dataclasses.replace(of_card, amount_step=_STEP)


class _Trial:
    """What is tried on a rehearsal exchange, on the last bars of the card."""

    def __init__(self, card: Card, market: Market, terms: Mapping[str, Any], venue: Venue) -> None:
        self.strategy = card.made()
        self.candles = Market({name: market[name] for name in CANDLE_COLUMNS}, market.timeframe)
        self.terms = {"cash": terms["cash"], "costs": terms["costs"], "risk": terms.get("risk"), "venue": venue}
        self.enrich = card.enrich

    def rehearsed(self, bars: int, seed: int, say: Callable[[str], None]) -> dict[str, Measured]:
        """The rehearsal, and how long it was."""
        say(f"Rehearsal: {bars:,} bars under heavy faults, its process killed (seed {seed})")
        parts = {0}

        def progress(done: int, total: int) -> None:
            part = 10 * done // max(total, 1)
            if part not in parts:
                parts.add(part)
                say(f"  rehearsed {done:,} of {total:,} bars")

        try:
            told = rehearse(
                self.strategy,
                self._last(bars),
                **self.terms,
                faults="heavy",
                seed=seed,
                crashes=_CRASHES,
                enrich=self.enrich,
                progress=progress,
            )
        except LadderError as error:
            return {"rehearsal": Measured(0.0, str(error)), "rehearsal_bars": missing("the rehearsal did not end")}
        if told.bars < _LEAST_REHEARSED or not told.crashes or not told.orders:
            few = f"{told.bars} bars, {told.orders} orders and {told.crashes} kills are too few to show anything"
            return {"rehearsal": missing(few), "rehearsal_bars": Measured(float(told.bars), f"{told.orders:,} orders")}
        return {"rehearsal": _told(told, seed), "rehearsal_bars": Measured(float(told.bars), f"{told.orders:,} orders")}

    def drilled(self) -> Measured:
        """The kill switch."""
        try:
            drill = kill_drill(self.strategy, self._last(_DRILLED), **self.terms, enrich=self.enrich)
        except (LadderError, TimeoutError) as error:
            return Measured(0.0, str(error) or "no end in time")
        return Measured(float(drill.ok), str(drill))

    def _last(self, bars: int) -> Market:
        """The last bars, with the warm-up before them."""
        return self.candles.iloc(max(len(self.candles) - bars - max(self.strategy.warmup, 1) - 3, 0), None)


def _told(rehearsal: Rehearsal, seed: int) -> Measured:
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(rehearsal.faults.items()))
    told = f"seed {seed}: {rehearsal.orders:,} orders, {rehearsal.crashes} kills; faults: {faults or 'none'}"
    if not rehearsal.ok:
        return Measured(0.0, f"{'; '.join(rehearsal.broken)} ({told})")
    return Measured(1.0, told, {kind: float(count) for kind, count in sorted(rehearsal.faults.items())})


def _reconciled(journal: Path | None, run: PaperRun | None, told: str, rehearsal: Measured) -> Measured:
    """The paper run comes to its equity again, and the rehearsal's balances are explained."""
    if journal is None:
        return missing(_NO_PAPER)
    if run is None:
        return Measured(0.0, told)
    if rehearsal.value != 1.0:
        return missing(rehearsal.told) if rehearsal.value is None else Measured(0.0, rehearsal.told)
    told = (
        f"{len(run.bars):,} bars of the paper run come to its equity, to the last bit; in the rehearsal every balance "
    )
    return Measured(1.0, f"{told}is explained to the last digit")


def _alerts() -> Measured:
    """Whether somebody was told, not long ago, at the addresses that are set now."""
    test = last_test()
    if test is None:
        return missing("no alert was tried: set LADDER_ALERTS, then `ladder alerts test`")
    age = (datetime.now(UTC) - test.at).days
    told = f"{test.taken} of {test.of} addresses took the test of {test.at:%Y-%m-%d %H:%M} UTC"
    if not test.same_addresses:
        return Measured(0.0, f"{told}; they are not those that are set now: `ladder alerts test`")
    if age > _ALERT_DAYS:
        return Measured(0.0, f"{told}, {age} days ago: `ladder alerts test`")
    return Measured(float(test.taken > 0), told)


def _account(seen: AccountSeen | None) -> Measured:
    if seen is None:
        return missing("the account was not asked: its keys are needed (LADDER_<EXCHANGE>_KEY and _SECRET)")
    if seen.lacking:
        return Measured(0.0, "; ".join(seen.lacking))
    return Measured(1.0, str(seen))
