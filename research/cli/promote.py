"""`ladder promote`: a card judged by the gate, and its promotion recorded where no check stands in the way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import typer

from data.errors import ValidationError
from research.cli.standing import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from data.market import Market
    from engine.live.paper_record import PaperRun
    from engine.result import Result
    from reports.promotion.evidence import Evidence
    from reports.promotion.judging import Override
    from research.strategy_card import Card

Answer = TypeVar("Answer")
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
    to: Annotated[Literal["paper", "live"], typer.Option(help="The rung.")] = "paper",
    paper: Annotated[
        Path | None,
        typer.Option(
            metavar="JOURNAL", help="To live: of `ladder paper CARD --live`.", show_default=False, dir_okay=False
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Its run there, where the journal has several.", show_default=False)
    ] = None,
    rehearsal: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="To live on the rehearsal exchange there; no key is asked for.", show_default=False
        ),
    ] = None,
    bars: Annotated[
        int | None, typer.Option(min=1, help="To live: that the rehearsal decides on; else as many as are asked for.")
    ] = None,
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
    """Judge a strategy, and promote it where no check stands in the way: to paper, and from paper to live.

    To paper it is measured on the card's bars and terms: causality, both brokers, what was tried before, walk-forward,
    the baseline and holding, worse terms, regimes and years. To live: its paper run beside the backtest of the same
    bars, a rehearsal of the live code under heavy faults, a drill of the kill switch, limits, alerts and the account
    (keys as `ladder live` reads them). The page says what was found and what it means: docs/gate.md.

    Exit code 0: promoted. 3: a check stands in the way; the verdict is kept. 1: an input is wrong.

    Example: `ladder promote strategy.toml --baseline conf/controllers/my_bot.yml --out verdict.html`

    And then: `ladder promote strategy.toml --to live --paper paper.sqlite --out live.html`

    A person's decision, in the record and on the page: `--override "drawdown=half of the usual size" --by ada`
    """
    import time

    from engine.live.account_lock import who_says_so
    from reports import gate, verdict_page
    from reports import promote as record_promotion
    from reports.promotion.climbing import keep_verdict
    from reports.promotion.policy import Policy, read_policy
    from research.cli.inputs import require_writable
    from research.strategy_card import read_card

    require_writable("--out", out)
    _together(to, {"--baseline": baseline, "--trials": trials}, {"--paper": paper, "--run": run, "--bars": bars})
    who, began = by or who_says_so(), time.monotonic()
    rules = Policy() if policy is None else read_policy(policy)
    overrides = _overrides(override or [], who)
    given = read_card(card)

    def say(step: str) -> None:
        typer.echo(f"{time.monotonic() - began:5.1f} s  {step}")

    if to == "paper":
        evidence = _for_paper(given, baseline, trials, say)
    else:
        evidence = _for_live(given, paper, run, rehearsal, bars or rules.live.rehearsal_bars, registry, say)
    verdict = gate(evidence, rules, overrides)
    say("The page")
    page = verdict_page(verdict, out)
    typer.echo(f"\n{verdict}\n\nVerdict: {page.resolve()}")
    if not verdict.passed:
        keep_verdict(verdict, registry, by=who)
        typer.echo(f"not promoted to {to}: the verdict is kept, and the rung is as it was")
        raise typer.Exit(_IN_THE_WAY)
    record = record_promotion(verdict, registry, by=who)
    runs = f"ladder paper {card} --live" if to == "paper" else f"ladder live {card}"
    where = " on a rehearsal exchange, and nowhere else" if evidence.subject.get("ground") == "rehearsal" else ""
    typer.echo(f"promoted to {to}{where} by {who}: record {record.digest[:12]}; `{runs}` runs it")


def _together(to: str, for_paper: dict[str, Any], for_live: dict[str, Any]) -> None:
    """Refuse options of the other rung: who gives one means that it counts."""
    others = for_live if to == "paper" else for_paper
    given = [name for name, value in others.items() if value is not None]
    if given:
        rung = "live" if to == "paper" else "paper"
        raise ValidationError(f"{', '.join(given)}: said for the step to {rung}, this one is to {to}; leave it out")


def _for_paper(card: Card, baseline: Path | None, trials: Path | None, say: Callable[[str], None]) -> Evidence:
    from research.evidence import paper_evidence
    from research.promoted_card import subject_of_card

    say("Bars, and what the record will bind")
    market = card.bars()
    subject = subject_of_card(card, market)
    bot = _baseline(card, market, baseline)
    return paper_evidence(card.made(), market, baseline=bot, record=trials, subject=subject, say=say, **card.terms())


def _for_live(
    card: Card,
    paper: Path | None,
    run: str | None,
    rehearsal: str | None,
    bars: int,
    registry: Path | None,
    say: Callable[[str], None],
) -> Evidence:
    import pandas as pd

    from engine.live.account_check import candles_told, look_at_account
    from research.evidence import live_evidence

    symbols = card.market.symbols
    say("Account: key, funds, precision, clock")
    client = _client(card, rehearsal, say, keys=True)
    seen = None if client is None else _asked(client, look_at_account(client, symbols, card.account.cash), say)

    def prices(on_paper: PaperRun) -> Market | None:
        public = _client(card, rehearsal, say, keys=False)
        if public is None:
            return None
        times = pd.DatetimeIndex(on_paper.result.equity.index).as_unit("ns").asi8
        again = candles_told(public, symbols, card.market.timeframe, int(times[0]), int(times[-1]))
        return _asked(public, again, say)

    return live_evidence(card, paper=paper, run=run, account=seen, prices=prices, bars=bars, registry=registry, say=say)


def _client(card: Card, rehearsal: str | None, say: Callable[[str], None], *, keys: bool) -> Any:
    """A client of the card's exchange; None where its keys are not set."""
    from engine.live.client import live_client
    from engine.live.keys import guard_output, load_keys, redacted

    guard_output()
    given = card.market
    try:
        found = load_keys(given.exchange) if keys and rehearsal is None else None
        return live_client(given.exchange, found, rehearsal=rehearsal, perpetual=":" in given.symbols[0])
    except ValidationError as error:
        if rehearsal is not None:
            raise
        say(f"  not asked: {redacted(str(error))}")
        return None


def _asked(client: Any, question: Coroutine[Any, Any, Answer], say: Callable[[str], None]) -> Answer | None:
    """What an exchange answers; None where it does not."""
    import asyncio

    from engine.live.keys import redacted

    async def ask() -> Answer:
        try:
            return await question
        finally:
            await client.close()

    try:
        return asyncio.run(ask())
    except Exception as error:  # noqa: BLE001  (ccxt's, of which there are many: what was not told is not shown)
        say(f"  not told: {redacted(f'{type(error).__name__}: {error}')}")
        return None


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
