"""The demo's strategy taken up the ladder, on bundled candles and a rehearsal exchange: no network, no key, no money.

    climb = climb_demo(Path("out/demo"))
    print(climb.paper); print(climb.live)

It is judged for paper on the bars up to a day; trades on paper the bars that follow, which a rehearsal exchange replays
as an exchange would tell them; is rehearsed and judged for live; and trades some bars more through the real live code,
held to the band of its promotion. Where a check says no, the verdict says so first; so that the rest can be seen, the
demonstration then overrides it by name and reason, in a registry of its own. What nobody may override ends it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from data.market import Market
    from engine.live.account_check import AccountSeen
    from engine.live.paper_live import PaperLiveReport
    from engine.live.start import LiveReport
    from engine.rehearsal.server import RehearsalServer
    from reports.promotion.evidence import Evidence
    from reports.promotion.judging import Verdict
    from reports.promotion.records import Record
    from reports.promotion.tracking import Tracking
    from research.band_watch import BandWatch
    from research.strategy_card import Card

BY: Final = "ladder demo"
REASON: Final = "a demonstration on stored bars and a rehearsal exchange: no money is at risk"
PAPER_TURNS, LIVE_TURNS, REHEARSED = 480, 48, 500
_JUDGED_UNTIL: Final = "2019-09-15"
_RUN: Final = "demo"
_LEFT_OVER: Final = ("paper.sqlite", "live.sqlite", "records")  # of an earlier climb
_CARD: Final = """# The demo's strategy, as `ladder backtest | paper | rehearse | promote | live` take it.
[strategy]
name = "QuantileSignal"
[strategy.parameters]
cost = {cost}
hold = {hold}
window = {window}
shorts = false
[market]
exchange = "binance"
symbols = [{symbols}]
timeframe = "{timeframe}"
data = "sample"
since = "{since}"
until = "{until}"
[account]
cash = {cash}
[costs]
fee = {fee}
slippage = {slippage}
[venue]
amount_step = 0.0001
price_tick = 0.000001
min_notional = 10.0
[risk]
max_position = 0.5
max_gross = 1.0
max_daily_loss = 0.15
max_drawdown = 0.4
max_data_age = "15min"
price_collar = 0.1
[forecasts]
predictions = "../forecasts.parquet"
"""


@dataclass(frozen=True, eq=False)
class Climb:
    """What came of it.

    Attributes:
        card: of the strategy.
        paper: the verdict on the step to paper, as the gate gave it.
        session: the paper session; None where the step was not to be taken.
        live: the verdict on the step to live; None where it was not judged.
        traded: the live session; None where there was none.
        tracking: how that one followed its backtest.
        pages: of the verdicts.
    """

    card: Path
    paper: Verdict
    session: PaperLiveReport | None
    live: Verdict | None
    traded: LiveReport | None
    tracking: Tracking | None
    pages: tuple[Path, ...]


def climb_demo(
    folder: Path, say: Callable[[str], None] = lambda _: None, progress: Callable[[int, int], None] | None = None
) -> Climb:
    """Take the demo's strategy up the ladder; runs the demo first where its forecasts are not there.

    Args:
        folder: of the demo; all that is written here goes to its folder climb/, where an earlier climb is replaced.
        say: told what is being done.
        progress: of the demo's models.
    """
    from research.demo import run_demo
    from research.strategy_card import read_card

    if not (folder / "forecasts.parquet").is_file() or not (folder / "equal-terms.parquet").is_file():
        run_demo(folder, say, progress)
    climbs = folder / "climb"
    climbs.mkdir(parents=True, exist_ok=True)
    for name in _LEFT_OVER:
        for path in climbs.glob(f"{name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    card_path = _written_card(climbs / "strategy.toml", folder / "forecasts.parquet")
    stage = _Stage(read_card(card_path), climbs, say)
    return stage.climbed(card_path, folder / "equal-terms.parquet")


class _Stage:
    """A card, the folder that it climbs in, and who is told."""

    def __init__(self, card: Card, folder: Path, say: Callable[[str], None]) -> None:
        self.card, self.folder, self.say = card, folder, say
        self.registry = folder / "records"
        self.pages: list[Path] = []

    def climbed(self, card_path: Path, baseline: Path) -> Climb:
        """All of it."""
        from engine.result import Result
        from research.evidence import live_evidence, paper_evidence
        from research.promoted_card import standing_of, subject_of_card
        from research.trial_records import open_record

        card, say = self.card, self.say
        say("To paper: the gate measures the strategy on the bars up to " + _JUDGED_UNTIL)
        market = card.bars()
        evidence = paper_evidence(
            card.made(),
            market,
            baseline=Result.read_parquet(baseline),
            record=open_record(self.folder / "records" / "trials.sqlite"),
            subject=subject_of_card(card, market),
            say=lambda step: say(f"  {step}"),
            **card.terms(),
        )
        paper, record = self._judged(evidence, "verdict-paper")
        if record is None:
            return Climb(card_path, paper, None, None, None, None, tuple(self.pages))
        say(f"On paper with live prices: {PAPER_TURNS} bars that a rehearsal exchange replays")
        session, seen, prices = asyncio.run(self._on_paper(record.digest))
        say("To live: paper beside its backtest, a rehearsal under heavy faults, the kill switch, the account")
        found = live_evidence(
            card,
            paper=self.folder / "paper.sqlite",
            account=seen,
            prices=lambda _: prices,
            bars=REHEARSED,
            market=market,
            registry=self.registry,
            say=lambda step: say(f"  {step}"),
        )
        live, record = self._judged(found, "verdict-live")
        if record is None:
            return Climb(card_path, paper, session, live, None, None, tuple(self.pages))
        say(f"Live, on the rehearsal exchange and nowhere else: {LIVE_TURNS} bars, held to the band of its promotion")
        from research.band_watch import BandWatch

        standing = standing_of(card, "live", self.registry, market, ground="rehearsal")
        watch = BandWatch(
            standing,
            run=_RUN,
            timeframe=card.market.timeframe,
            cash=card.account.cash,
            rehearsal=True,
            registry=self.registry,
        )
        traded = asyncio.run(self._live(watch))
        return Climb(card_path, paper, session, live, traded, watch.seen, tuple(self.pages))

    def _judged(self, evidence: Evidence, name: str) -> tuple[Verdict, Record | None]:
        """The gate's word, its page, and the record of the step, where it may be taken at all."""
        from reports import gate, promote, verdict_page
        from reports.promotion.climbing import keep_verdict
        from reports.promotion.judging import Override

        verdict = gate(evidence)
        stands = [one.check for one in verdict.checks if one.stands_in_the_way]
        binding = [check.name for check in stands if check.binding]
        if not stands:
            self.pages.append(verdict_page(verdict, self.folder / f"{name}.html"))
            self.say(f"  the gate says yes to {evidence.rung}")
            return verdict, promote(verdict, self.registry, by=BY)
        self.say(f"  the gate says no to {evidence.rung}: {', '.join(check.name for check in stands)}")
        keep_verdict(verdict, self.registry, by=BY)
        if binding:
            self.pages.append(verdict_page(verdict, self.folder / f"{name}.html"))
            self.say(f"  nobody may override {', '.join(binding)}: the climb ends here")
            return verdict, None
        overrides = tuple(Override(check.name, BY, REASON) for check in stands)
        waved = gate(evidence, overrides=overrides)
        self.pages.append(verdict_page(waved, self.folder / f"{name}.html"))
        self.say(f"  overridden by name, on record, to show the rest: {REASON}")
        return verdict, promote(waved, self.registry, by=BY)

    def _server(self, start: int, turns: int) -> RehearsalServer:
        """An exchange that replays the sample from its bar at `start` on."""
        from decimal import Decimal

        from data import load_sample
        from engine.rehearsal.server import RehearsalServer

        terms = self.card.terms()
        costs = terms["costs"]
        fee = Decimal(repr(costs.taker_fee))
        return RehearsalServer(
            load_sample().iloc(0, start + turns + 2),
            venues=terms["venue"],
            cash=Decimal(repr(self.card.account.cash)),
            fees=(fee, fee),
            slippage=Decimal(repr(costs.slippage)),
            start=start,
        )

    def _first(self) -> int:
        """The sample's row at which the bars begin that nobody has judged."""
        from data import load_sample

        return int(load_sample().index.searchsorted(self.card.candles().index[-1], side="right"))

    async def _on_paper(self, record: str) -> tuple[PaperLiveReport, AccountSeen, Market]:
        import pandas as pd

        from engine.live.account_check import candles_told, look_at_account
        from engine.live.clock import standing
        from engine.live.paper_live import run_paper_live

        card, terms = self.card, self.card.terms()
        async with self._server(self._first(), PAPER_TURNS) as server:
            client = _client(server)
            try:
                report = await run_paper_live(
                    card.made(),
                    client,
                    card.market.symbols,
                    card.market.timeframe,
                    cash=terms["cash"],
                    journal=self.folder / "paper.sqlite",
                    run=_RUN,
                    costs=terms["costs"],
                    risk=terms["risk"],
                    enrich=card.enriched,
                    after_turn=self._next(server, PAPER_TURNS),
                    when_ready=_advance(server),
                    clock=standing,
                    record=record,
                )
                seen = await look_at_account(client, card.market.symbols, card.account.cash)
                times = pd.DatetimeIndex(report.result.equity.index).as_unit("ns").asi8
                span = int(times[0]), int(times[-1])
                return report, seen, await candles_told(client, card.market.symbols, card.market.timeframe, *span)
            finally:
                await client.close()

    async def _live(self, watch: BandWatch) -> LiveReport:
        from engine.live.clock import standing
        from engine.live.safety import Stop, kill_file_of
        from engine.live.start import run_live

        card, terms, journal = self.card, self.card.terms(), self.folder / "live.sqlite"
        async with self._server(self._first() + PAPER_TURNS, LIVE_TURNS) as server:
            client = _client(server)
            try:
                return await run_live(
                    card.made(),
                    client,
                    card.market.symbols,
                    card.market.timeframe,
                    cash=terms["cash"],
                    journal=journal,
                    run=_RUN,
                    costs=terms["costs"],
                    risk=terms["risk"],
                    enrich=card.enriched,
                    after_turn=self._next(server, LIVE_TURNS),
                    when_ready=_advance(server),
                    stop=Stop(kill_file=kill_file_of(journal)),
                    clock=standing,
                    follow=watch,
                )
            finally:
                await client.close()

    def _next(self, server: RehearsalServer, turns: int) -> Callable[[int], Any]:
        """After each turn the exchange's next bar, to so many; every tenth part is told."""
        done = 0

        async def advance(_: int) -> bool:
            nonlocal done
            done += 1
            if 10 * done // turns > 10 * (done - 1) // turns:
                self.say(f"  {done} of {turns} bars")
            if done < turns:
                await server.advance()
            return done < turns

        return advance


def _advance(server: RehearsalServer) -> Callable[[bool], Any]:
    async def ready(_: bool) -> None:
        await server.advance()

    return ready


def _client(server: RehearsalServer) -> Any:
    """ccxt.pro's own, its URLs pointed at the rehearsal exchange."""
    import ccxt.pro

    from engine.live.client import set_up

    client = ccxt.pro.binance({"apiKey": "rehearsal", "secret": "rehearsal", "enableRateLimit": False})
    set_up(client, "spot")
    server.point(client)
    return client


def _written_card(path: Path, forecasts: Path) -> Path:
    """The card of what `research.demo` trades, on the bars from its warm-up on."""
    import pandas as pd

    from data import load_sample
    from data.atomic import replacing
    from research import demo
    from research.strategies import QuantileSignal

    market = load_sample()
    cost = 2 * (demo.FEE + demo.SLIPPAGE)
    warmup = QuantileSignal(cost=cost, hold=demo.HORIZON, window=demo.WINDOW, shorts=False).warmup
    first = int(market.index.searchsorted(pd.read_parquet(forecasts, columns=["made_on"])["made_on"].min()))
    text = _CARD.format(
        cost=cost,
        hold=demo.HORIZON,
        window=demo.WINDOW,
        symbols=", ".join(f'"{symbol}"' for symbol in market.symbols),
        timeframe=market.timeframe,
        since=market.index[max(first - warmup + 1, 0)].isoformat(),
        until=_JUDGED_UNTIL,
        cash=demo.CASH,
        fee=demo.FEE,
        slippage=demo.SLIPPAGE,
    )
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return path
