"""`ladder promote`: a card judged by the gate, and its promotion recorded where no check stands in the way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from data.errors import ValidationError
from research.cli.promote import Records

if TYPE_CHECKING:
    from data.market import Market
    from engine.result import Result
    from reports.promotion.judging import Override
    from research.strategy_card import Card

_IN_THE_WAY: Final = 3  # exit code


def promote(
    card: Annotated[Path, typer.Argument(metavar="CARD", help="The strategy's card (.toml), see docs/card.md.")],
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="What it is to be better than: a Hummingbot controller (.yml), or a Result (.parquet).",
            show_default=False,
            dir_okay=False,
        ),
    ] = None,
    to: Annotated[Literal["paper"], typer.Option(help="The rung.")] = "paper",
    policy: Annotated[
        Path | None, typer.Option(help="Thresholds (.toml); else the defaults.", show_default=False, dir_okay=False)
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK=REASON", help="A check that shall not stand in the way.", show_default=False),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who; else the user of this machine.", show_default=False)] = None,
    trials: Annotated[
        Path | None,
        typer.Option(help="The record of trials; else the default one.", show_default=False, dir_okay=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The verdict's page; beside it the same as JSON.")] = Path(
        "verdict.html"
    ),
    registry: Records = None,
) -> None:
    """Judge a strategy, and promote it to paper where no check stands in the way.

    Measures it on the card's bars and terms: causality, both brokers, what was tried before, walk-forward, the baseline
    and holding, worse terms, regimes and years. The page says what was found and what it means: docs/gate.md.

    Exit code 0: promoted. 3: a check stands in the way; the verdict is kept. 1: an input is wrong.

    Example: `ladder promote strategy.toml --baseline conf/controllers/my_bot.yml --out verdict.html`

    A person's decision, in the record and on the page: `--override "drawdown=half of the usual size" --by ada`
    """
    import time

    from engine.live.account_lock import who_says_so
    from reports import gate
    from reports import promote as record_promotion
    from reports.promotion.climbing import keep_verdict
    from reports.promotion.policy import read_policy
    from reports.promotion.verdict_page import verdict_page
    from research.cli.inputs import require_writable
    from research.evidence import paper_evidence
    from research.promoted_card import subject_of_card
    from research.strategy_card import read_card

    require_writable("--out", out)
    who, began = by or who_says_so(), time.monotonic()
    rules = None if policy is None else read_policy(policy)
    overrides = _overrides(override or [], who)
    given = read_card(card)

    def say(step: str) -> None:
        typer.echo(f"{time.monotonic() - began:5.1f} s  {step}")

    say("Bars, and what the record will bind")
    market = given.bars()
    subject = subject_of_card(given, market)
    bot = _baseline(given, market, baseline)
    evidence = paper_evidence(
        given.made(), market, baseline=bot, record=trials, subject=subject, say=say, **given.terms()
    )
    verdict = gate(evidence, rules, overrides)
    say("The page")
    page = verdict_page(verdict, out)
    typer.echo(f"\n{verdict}\n\nVerdict: {page.resolve()}")
    if not verdict.passed:
        keep_verdict(verdict, registry, by=who)
        typer.echo(f"not promoted to {to}: the verdict is kept, and the rung is as it was")
        raise typer.Exit(_IN_THE_WAY)
    record = record_promotion(verdict, registry, by=who)
    typer.echo(f"promoted to {to} by {who}: record {record.digest[:12]}; `ladder paper {card} --live` runs it")


def _overrides(given: list[str], who: str) -> tuple[Override, ...]:
    from reports.promotion.judging import Override

    found = []
    for text in given:
        name, equals, reason = text.partition("=")
        if not equals:
            raise ValidationError(f"--override {text!r}: write CHECK=REASON, such as drawdown='half of the usual size'")
        found.append(Override(name.strip(), who, reason.strip()))
    return tuple(found)


def _baseline(card: Card, market: Market, file: Path | None) -> Result | None:
    """What the strategy is held against, over the same bars."""
    from engine.result import Result

    if file is None:
        return None
    if file.suffix == ".parquet":
        return Result.read_parquet(file)
    from reports.hummingbot import read_controller

    made: Any = read_controller(file).baseline()
    result: Result = made.run(market, cash=card.account.cash).marked
    return result
