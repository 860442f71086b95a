"""`ladder live`: a strategy's card traded on a real account, or on a rehearsal exchange by its URL.

`ladder live CARD` runs; `ladder live status | reconcile | reset JOURNAL` are beside it, in files of their own.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from typer.core import TyperGroup

from research.cli.alerts import alerts_line
from research.cli.live_account import reconcile, reset, status
from research.cli.live_shown import announce, print_status, turn_line

if TYPE_CHECKING:
    from engine.live.permission import Permission, Terms
    from engine.live.safety import Stop
    from research.band_watch import BandWatch
    from research.strategy_card import Card

HALTED, BAD_INPUT = 1, 2


class _LiveGroup(TyperGroup):
    """`ladder live CARD` is `ladder live run CARD`: what is no command of the group is a card."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "--install-completion"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


live_app = typer.Typer(
    name="live",
    cls=_LiveGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Trade a strategy's card on an exchange, and see to the account that it trades on.

    Read docs/live.md first: what a session does when the exchange fails, and what it cannot know.

    Example: `ladder live strategy.toml --journal btc.sqlite`""",
    epilog="`ladder kill` stops a session; `ladder rehearse` tries it on stored bars.",
)


@live_app.command()
def run(
    card: Annotated[Path, typer.Argument(metavar="CARD", help="The strategy's card (.toml), see docs/card.md.")],
    journal: Annotated[
        Path, typer.Option(help="The run's journal (.sqlite); one that is there is gone on with.", dir_okay=False)
    ],
    name: Annotated[
        str | None,
        typer.Option("--run", help="The run's name; else the journal's one run, or a new one.", show_default=False),
    ] = None,
    rehearsal: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Trade on the rehearsal exchange at http://127.0.0.1:PORT.", show_default=False
        ),
    ] = None,
    i_accept_unpromoted: Annotated[
        bool,
        typer.Option("--i-accept-unpromoted", help="Trade without the gate's promotion; a sentence is to be typed."),
    ] = False,
    dead_man: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="The exchange cancels all orders of the account when it has not heard of us for so long.",
            show_default=False,
        ),
    ] = None,
    dead_man_takes_barriers: Annotated[
        bool, typer.Option("--dead-man-takes-barriers", help="Also stops and profits that protect a position.")
    ] = False,
    watch_exits: Annotated[
        bool,
        typer.Option(
            "--watch-exits",
            help="Where the exchange has no stop orders, watch the stop on its trades: it protects nothing once this "
            "process has died.",
        ),
    ] = False,
    on_term: Annotated[
        Literal["cancel", "keep", "flatten"],
        typer.Option(help="What SIGTERM does: cancel all, keep stops and profits, or sell what is held as well."),
    ] = "cancel",
    turns: Annotated[int | None, typer.Option(min=1, help="End after so many bars.", show_default=False)] = None,
    kill_file: Annotated[
        Path | None, typer.Option(help="Stop once it is there; else JOURNAL.kill.", show_default=False, dir_okay=False)
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Append all of the log to this file, keys taken out.", show_default=False, dir_okay=False),
    ] = None,
) -> None:
    """Trade a card on its exchange until it is stopped.

    Keys come from LADDER_<EXCHANGE>_KEY and _SECRET, or the system's keyring; a key that may withdraw is refused where
    the exchange tells. Says first what it is about to do, then a line for each bar.

    Ctrl-C ends it, and leaves the stops and profits that protect what is held. `ladder kill` and SIGTERM cancel all,
    and it does not start again before `ladder live reset`.

    Tells a person what needs one, where LADDER_ALERTS has addresses: `ladder alerts test`, docs/alerts.md.

    Exit code 0: ended as asked. 1: halted, or something is unexplained. 2: an input is wrong, and nothing was sent.

    Example: `ladder live run strategy.toml --journal btc.sqlite --run btc-1 --i-accept-unpromoted`

    On a rehearsal exchange (`python -m engine.rehearsal.serve --speed 60`): `ladder live strategy.toml --journal
    try.sqlite --rehearsal http://127.0.0.1:8080`
    """
    from engine.live.alerts import Alerts
    from engine.live.keys import guard_output, load_keys
    from engine.live.safety import kill_file_of, refuse_if_killed
    from research.promoted_card import promotion_of
    from research.strategy_card import read_card

    guard_output()
    with told_errors():
        given = read_card(card)
        strategy = given.made()
        named = name or _run_of(journal, card)
        kill_file = kill_file or kill_file_of(journal)
        refuse_if_killed(kill_file)
        keys = None if rehearsal is not None else load_keys(given.market.exchange)
        client = _client(given, keys, rehearsal)
        terms = _terms_of(given, named)
        alerts = Alerts.from_environment()
        flags: dict[str, Any] = {"dead_man": dead_man, "dead_man_takes_barriers": dead_man_takes_barriers}
        flags["watch_exits"] = watch_exits
        flags["alerts"] = alerts
        announce(given, named, journal, kill_file, rehearsal, on_term, dead_man, alerts_line(alerts))
        permission = None
        if rehearsal is None:
            permission = permitted(terms, journal, asked=i_accept_unpromoted, find=promotion_of(given))
        watch = _watch_of(given, permission, named, rehearsal=rehearsal is not None)
        flags["follow"] = watch
        work = _Work(given, strategy, named, journal, kill_file, on_term, turns, permission, flags)
        _log_to(log)
        ended = work.play(client, rehearsal=rehearsal is not None)
    raise typer.Exit(ended)


for command in (status, reconcile, reset):
    live_app.command()(command)


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """An input that is wrong ends with 2, and whatever else of ours with 1; both as a message, without keys."""
    from data.errors import LadderError, ValidationError
    from engine.live.keys import redacted
    from engine.live.permission import PermissionDeniedError

    try:
        yield
    except LadderError as error:
        typer.secho(f"ladder: {redacted(str(error))}", err=True, fg=typer.colors.RED)
        wrong = isinstance(error, ValidationError | PermissionDeniedError)
        raise typer.Exit(BAD_INPUT if wrong else HALTED) from None


def permitted(
    terms: Terms, journal: Path, *, asked: bool, find: Callable[[Terms], Permission | None] | None = None
) -> Permission:
    """What lets the run trade on a real account: a promotion, or a person's own word.

    Args:
        terms: what is to go live.
        journal: of the run.
        asked: whether the person has said --i-accept-unpromoted.
        find: looks for the gate's record; None for no records.

    Raises:
        PermissionDeniedError: neither.
    """
    from engine.live.account_lock import who_says_so
    from engine.live.journal import Journal
    from engine.live.permission import (
        ACCEPTED,
        PermissionDeniedError,
        accept_unpromoted,
        accepted_before,
        require_promotion,
    )

    try:
        return require_promotion(terms, find)
    except PermissionDeniedError as error:
        if not asked:
            raise
        typer.echo(f"not promoted: {error}")  # what a person accepts is said before the sentence is typed
    who = who_says_so()
    if journal.is_file():
        with contextlib.closing(Journal.reading(journal)) as book:
            before = accepted_before(terms, [one.detail for one in book.statements(terms.run, ACCEPTED)], who)
        if before is not None:
            typer.echo(f"run {terms.run}: accepted before, on the same terms")
            return before
    return accept_unpromoted(terms, typed_at_terminal(terms.sentence, terms.run), who)


def typed_at_terminal(sentence: str, run: str) -> str:
    """What a person at a terminal types when asked for a sentence.

    Raises:
        PermissionDeniedError: nobody is at a terminal: a pipe cannot mean what it says.
    """
    from engine.live.permission import PermissionDeniedError

    if not sys.stdin.isatty():
        raise PermissionDeniedError(
            f"run {run!r}: {sentence!r} is to be typed at a terminal, and there is none; a pipe is not asked"
        )
    typer.echo(f"\nType this sentence to go on, anything else to stop:\n\n    {sentence}\n")
    return str(typer.prompt("", prompt_suffix="> ", default="", show_default=False))


class _Work:
    """One session from its first request to its last, and what the terminal shows of it."""

    def __init__(
        self,
        card: Card,
        strategy: Any,
        run: str,
        journal: Path,
        kill_file: Path,
        on_term: str,
        turns: int | None,
        permission: Permission | None,
        flags: dict[str, Any],
    ) -> None:
        self.card, self.strategy, self.run, self.journal = card, strategy, run, journal
        self.kill_file, self.on_term, self.turns = kill_file, on_term, turns
        self.permission, self.flags = permission, flags
        self.begun, self.done, self.orders = False, 0, 0

    def play(self, client: Any, *, rehearsal: bool) -> int:
        """Run it; the exit code."""
        import asyncio

        from data.errors import LadderError, ValidationError

        try:
            return asyncio.run(self._play(client, rehearsal=rehearsal))
        except ValidationError as error:
            if self.begun:  # no input of the user's any more
                raise LadderError(str(error)) from error
            raise

    async def _play(self, client: Any, *, rehearsal: bool) -> int:
        from engine.live.clock import standing
        from engine.live.safety import Stop
        from engine.live.start import run_live

        card, terms = self.card, self.card.terms()
        stop = Stop(
            kill_file=self.kill_file,
            term_flattens=self.on_term == "flatten",
            term_keeps_barriers=self.on_term == "keep",
        )
        stop.on_signals()
        try:
            report = await run_live(
                self.strategy,
                client,
                card.market.symbols,
                card.market.timeframe,
                cash=card.account.cash,
                journal=self.journal,
                run=self.run,
                costs=terms["costs"],
                leverage=terms["venue"].leverage,
                risk=terms.get("risk"),
                enrich=card.enrich,
                after_turn=self._after_turn(stop),
                when_ready=self._ready,
                stop=stop,
                clock=standing if rehearsal else None,
                permission=self.permission,
                **self.flags,
            )
        finally:
            await client.close()
        typer.echo(f"ended by {report.why} after {report.turns:,} bars")
        self._last_words()
        following = report.session.following
        return HALTED if following is not None and following.why else 0

    @property
    def _watch(self) -> BandWatch | None:
        return cast("BandWatch | None", self.flags.get("follow"))

    async def _ready(self, _: bool) -> None:
        from engine.live.journal import Journal

        self.begun = True
        with contextlib.closing(Journal.reading(self.journal)) as book:
            self.orders = book.order_count()
        typer.echo(f"run {self.run}: the account is explained; waiting for the bar to close")

    def _after_turn(self, stop: Stop) -> Callable[[int], Awaitable[bool]]:
        from engine.live.journal import Journal

        async def told(opened: int) -> bool:
            self.done += 1
            with contextlib.closing(Journal.reading(self.journal)) as book:
                told = turn_line(book, self.run, opened, self.orders)
                seen = None if self._watch is None else self._watch.seen
                typer.echo(told if seen is None else f"{told}  {seen.gap:+.2%} against paper")
                self.orders = book.order_count()
            over = self.turns is not None and self.done >= self.turns
            if over:
                stop.why = stop.why or f"--turns {self.turns}"
            return not over

        return told

    def _last_words(self) -> None:
        from engine.live.journal import Journal

        with contextlib.closing(Journal.reading(self.journal)) as book:
            print_status(book, self.run)


def _watch_of(card: Card, permission: Permission | None, run: str, *, rehearsal: bool) -> BandWatch | None:
    """What holds the session to the band of its promotion; None of one that runs without a promotion.

    Raises:
        ValidationError: its promotion is gone, or something has changed since.
    """
    from data.errors import ValidationError
    from research.band_watch import BandWatch
    from research.promoted_card import standing_of

    if not rehearsal and (permission is None or permission.kind != "promotion"):
        return None
    try:
        standing = standing_of(card, "live", ground=None if rehearsal else "exchange")
    except ValidationError as error:
        if not rehearsal:
            raise
        typer.echo(f"no promotion, whose band it would be held to: {str(error).splitlines()[0]}")
        return None
    watch = BandWatch(standing, run=run, timeframe=card.market.timeframe, cash=card.account.cash, rehearsal=rehearsal)
    typer.echo(f"promoted to live by {standing.event.by}: halted and taken off the ladder when it leaves {watch.told}")
    return watch


def _client(card: Card, keys: Any, rehearsal: str | None) -> Any:
    from engine.live.client import live_client

    perpetual = ":" in card.market.symbols[0]
    return live_client(card.market.exchange, keys, rehearsal=rehearsal, perpetual=perpetual)


def _run_of(journal: Path, card: Path) -> str:
    """The journal's one run; a name of its own for a new one: order ids are made of it, and must be nobody else's.

    Raises:
        ValidationError: the journal has several runs.
    """
    from datetime import UTC, datetime

    from data.errors import ValidationError
    from engine.live.journal import Journal

    runs: list[str] = []
    if journal.is_file():
        with contextlib.closing(Journal.reading(journal)) as book:
            runs = [run for run, _, _ in book.runs()]
    if len(runs) > 1:
        raise ValidationError(f"journal {journal}: has the runs {', '.join(runs)}; name one with --run")
    return runs[0] if runs else f"{card.stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _terms_of(card: Card, run: str) -> Terms:
    from engine.live.books import currencies
    from engine.live.permission import Terms

    settings = card.model_dump(mode="json", exclude={"market": {"data", "since", "until"}, "venue": True})
    return Terms(
        run=run,
        exchange=card.market.exchange,
        symbols=card.market.symbols,
        cash=card.account.cash,
        quote=currencies(card.market.symbols[0])[1],
        strategy=card.strategy.name,
        settings=settings,
    )


def _log_to(path: Path | None) -> None:
    """Warnings to stderr; with a file, everything there. Keys are taken out where a record is made."""
    import logging
    import time

    form = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s")
    form.converter = time.gmtime
    shown = logging.StreamHandler()
    shown.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [shown]
    if path is not None:
        handlers.append(logging.FileHandler(path))
    root = logging.getLogger()
    root.setLevel(logging.WARNING if path is None else logging.DEBUG)
    for handler in handlers:
        handler.setFormatter(form)
        root.addHandler(handler)
