"""`ladder live` and `ladder kill` as a person at a desk meets them: real processes on a rehearsal exchange."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import pty
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.live.client import live_client
from engine.live.journal import Journal
from engine.live.permission import ACCEPTED
from engine.live.safety import kill_file_of
from research.cli import app
from tests.engine.live.exchange_process import ROOT, running_exchange, write_bars

PRICES = [100 + 10 * math.sin(at / 2) for at in range(60)]
CARD = """
[strategy]
name = "SmaCross"
[strategy.parameters]
fast = 2
slow = 4
weight = 0.5
[market]
exchange = "binance"
symbols = ["BTC/USDT"]
timeframe = "1h"
[account]
cash = 5000
[costs]
fee = 0.001
[exits]
stop_loss = 0.2
take_profit = 0.9
"""
SLOW = pytest.mark.slow  # each begins several processes
LADDER = [sys.executable, "-c", "from research.cli import app; app()"]


def ladder(*words: object, code: int = 0, typed: str | None = None, **variables: str) -> str:
    told = CliRunner().invoke(app, [str(word) for word in words], input=typed, env={"COLUMNS": "200", **variables})
    assert told.exit_code == code, told.output
    return told.output


class Session:
    """A `ladder live` process, its lines as they come."""

    def __init__(self, *words: object, **variables: str) -> None:
        environment = {**os.environ, "COLUMNS": "200", **variables}
        command = [*LADDER, "live", *map(str, words)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, env=environment, **pipes)
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)

    def until(self, words: str, seconds: float = 40) -> str:
        """The line that holds these words."""
        while True:
            line = self._queue.get(timeout=seconds)
            assert line is not None, "".join(self.lines)
            self.lines.append(line)
            if words in line:
                return line

    def ended(self, seconds: float = 40) -> tuple[int, str]:
        """Exit code, and all that it said."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        while (line := self._queue.get()) is not None:
            self.lines.append(line)
        return code, "".join(self.lines)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(10)
        self.process.stdout.close()


@pytest.fixture
def exchange(tmp_path):
    with running_exchange(
        write_bars(tmp_path / "bars.parquet", PRICES), "--start", "10", "--taker", "0.001"
    ) as running:
        yield running


@pytest.fixture
def card(tmp_path) -> Path:
    path = tmp_path / "strategy.toml"
    path.write_text(CARD)
    return path


@pytest.fixture
def journal(tmp_path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def live(card, journal, exchange):
    """Start a session on the exchange, and see it through to its first wait."""
    begun = []

    def start(*words: object, wait: bool = True, **variables: str) -> Session:
        given = [] if "--journal" in words else ["--journal", journal]
        session = Session(card, *given, "--rehearsal", exchange.url, *words, **variables)
        begun.append(session)
        if wait:
            session.until("waiting for the bar to close")
        return session

    yield start
    for session in begun:
        session.close()


def turns(session: Session, exchange, count: int) -> None:
    for _ in range(count):
        exchange.post("advance")
        session.until("equity")


def at_exchange(url: str, act=None):
    """Open orders and coins, after what a person does there by hand."""

    async def asked():
        client = live_client("binance", None, rehearsal=url)
        try:
            await client.load_markets()
            if act is not None:
                await act(client)
            return len(await client.fetch_open_orders("BTC/USDT")), (await client.fetch_balance())["total"].get(
                "BTC", 0
            )
        finally:
            await client.close()

    return asyncio.run(asked())


def test_session_says_what_it_does_trades_bar_by_bar_and_ends_as_asked(live, exchange, journal):
    session = live("--run", "one", "--turns", "4")
    turns(session, exchange, 4)
    code, text = session.ended()
    assert code == 0 and "ended by --turns 4 after 4 bars" in text
    for words in ("run        one", "rehearsal exchange at http://127", "BTC/USDT, 1h", "5,000 USDT", "stop_loss 0.2"):
        assert words in text
    for words in ("fee 0.1000%", f"{journal}.kill", "limits     NONE", "dead man   none", "SIGTERM    cancels all"):
        assert words in text
    assert "BTC/USDT buy" in text and "market filled" in text and "oco at" in text
    shown = ladder("live", "status", journal)
    assert "does not run" in shown and "acknowledged" in shown and "BTC/USDT" in shown
    assert "all is explained" in ladder("live", "reconcile", journal, "--rehearsal", exchange.url)
    # It goes on under the journal's one run; the position and its barriers are what they were.
    session = live("--turns", "1")
    assert "run one: the account is explained" in "".join(session.lines)
    turns(session, exchange, 1)
    assert session.ended()[0] == 0


def test_kill_by_its_name_sells_and_it_stays_stopped_until_a_person_lets_it(live, exchange, journal, card):
    session = live("--run", "one")
    turns(session, exchange, 3)
    assert f"process {session.process.pid}" in ladder("live", "status", journal)
    told = ladder("kill", "one", "--flatten", "--why", "the feed looks wrong")
    assert "stopped (kill file: the feed looks wrong): 1 orders cancelled, 1 positions closed" in told
    assert session.ended()[0] == 0 and at_exchange(exchange.url) == (0, 0)
    refused = Session(card, "--journal", journal, "--rehearsal", exchange.url)
    code, text = refused.ended()
    refused.close()
    assert code == 2 and "was stopped (the feed looks wrong) and stays so" in text
    assert "the feed looks wrong, by " in ladder("live", "reset", journal, typed="n\n", code=1)
    assert kill_file_of(journal).exists()
    assert "taken away" in ladder("live", "reset", journal, typed="y\n")
    assert "nothing keeps run one from starting" in ladder("live", "reset", journal)
    with Journal.reading(journal) as book:
        assert [one.kind for one in book.statements("one")][-1] == "reset"
    session = live("--turns", "1")
    turns(session, exchange, 1)
    assert session.ended()[0] == 0


@pytest.mark.parametrize(
    ("options", "number", "resting", "held", "stays"),
    [
        ((), signal.SIGTERM, 0, True, True),
        pytest.param(("--on-term", "keep"), signal.SIGTERM, 2, True, True, marks=SLOW),
        pytest.param(("--on-term", "flatten"), signal.SIGTERM, 0, False, True, marks=SLOW),
        pytest.param((), signal.SIGINT, 2, True, False, marks=SLOW),
    ],
)
def test_signals(live, exchange, journal, options, number, resting, held, stays):
    session = live("--run", "one", *options)
    turns(session, exchange, 3)
    for _ in range(3):  # a second one, and a third, change nothing
        session.process.send_signal(number)
        time.sleep(0.05)
    code, text = session.ended()
    assert code == 0 and f"ended by {number.name}" in text
    orders, coins = at_exchange(exchange.url)
    assert orders == resting and (coins > 0) is held
    assert kill_file_of(journal).exists() is stays
    with Journal.reading(journal) as book:
        assert [kind for kind, _ in book.incidents("one")].count("stopped") == 1
    assert "all is explained" in ladder("live", "reconcile", journal, "--rehearsal", exchange.url)


@SLOW
def test_kill_that_nobody_answers_says_so_and_reconcile_ends_what_is_left(live, exchange, journal):
    session = live("--run", "one")
    turns(session, exchange, 3)
    session.process.kill()
    session.process.wait()
    told = ladder("kill", journal, "--flatten", code=1)
    assert "run one: no session runs" in told and "NOTHING was cancelled" in told
    assert f"ladder live reconcile {journal} --run one --flatten" in told
    assert "open by the journal: BTC/USDT sell" in told and "held by the journal" in told
    assert at_exchange(exchange.url)[0] == 2
    assert "one choice, with --why" in ladder("live", "reconcile", journal, "--flatten", code=2)
    flat = ["live", "reconcile", journal, "--flatten", "--why", "the machine died", "--rehearsal", exchange.url]
    told = ladder(*flat)
    assert "1 orders cancelled, 1 positions closed" in told and "all is explained" in told
    assert at_exchange(exchange.url) == (0, 0)
    told = ladder("kill", journal)  # nothing is left: that is an answer too
    assert "no session runs" in told and "NOTHING" not in told


@SLOW
def test_session_that_hangs_is_told_from_one_that_has_stopped(live, exchange, journal):
    session = live("--run", "one")
    turns(session, exchange, 3)
    session.process.send_signal(signal.SIGSTOP)
    told = ladder("kill", "one", "--wait", "1", code=1)
    assert "has not said that it has stopped" in told and "The kill file stands" in told
    assert "still ending" in ladder("live", "reset", journal, "--yes", code=2)
    session.process.send_signal(signal.SIGCONT)
    assert session.ended()[0] == 0 and at_exchange(exchange.url)[0] == 0


@SLOW
def test_trade_by_hand_stops_the_next_start_and_is_adopted(live, exchange, journal, card):
    session = live("--run", "one", "--turns", "3")
    turns(session, exchange, 3)
    assert session.ended()[0] == 0

    async def by_hand(client):
        await client.create_order("BTC/USDT", "market", "buy", 1.5)

    at_exchange(exchange.url, by_hand)
    session = live(wait=False)
    code, text = session.ended()
    assert code == 1 and "BTC: the journal explains" in text
    assert f"ladder live reconcile {journal} --run one" in text
    where = ("--rehearsal", exchange.url)
    told = ladder("live", "reconcile", journal, *where, code=1)
    for words in (
        "fills of others",
        "buy",
        "balances that the journal does not explain",
        "+1.5",
        "NOT all is explained",
    ):
        assert words in told
    told = ladder("live", "reconcile", journal, "--adopt", "--why", "I bought", *where)
    assert told.rstrip().endswith("all is explained")
    told = ladder("live", "status", journal)
    assert "adopted" in told and "I bought" in told
    session = live("--turns", "1")
    turns(session, exchange, 1)
    code, text = session.ended()
    assert code == 0
    with Journal.reading(journal) as book:
        # The strategy's weight stands: what was bought by hand beyond it is the run's now, and it decides on it.
        assert str(book.rebuild("one").positions["BTC/USDT"].normalize()) in text.replace(",", "")


def test_second_session_on_the_account_is_refused_with_the_first_one_s_name(live, exchange, tmp_path):
    first = live("--run", "one")
    second = live("--journal", tmp_path / "other.sqlite", wait=False)
    code, text = second.ended()
    assert code == 2
    assert f"run 'one' trades on this account already, process {first.process.pid}" in text
    assert not (tmp_path / "other.sqlite").exists()


@SLOW
def test_run_of_a_rehearsal_does_not_go_on_with_money(live, exchange, journal, card):
    session = live("--run", "one", "--turns", "1")
    turns(session, exchange, 1)
    session.ended()
    keys = {"LADDER_BINANCE_KEY": "canary-key-1", "LADDER_BINANCE_SECRET": "canary-secret-1"}
    assert "trades on a rehearsal exchange" in ladder("live", "reconcile", journal, code=2, **keys)


BAD = [
    ([], {}, "LADDER_BINANCE_KEY and LADDER_BINANCE_SECRET not set"),
    (["--rehearsal", "http://127.0.0.1:1"], {}, "no rehearsal exchange answers there"),
    (["--rehearsal", "http://api.binance.com"], {}, "a server on this machine"),
]


@pytest.mark.parametrize(("words", "variables", "told"), BAD)
def test_bad_input_ends_with_2_and_before_anything(card, journal, words, variables, told):
    assert told in ladder("live", card, "--journal", journal, *words, code=2, **variables)
    assert not journal.exists()


def test_bad_card_and_unknown_exchange_end_with_2(tmp_path, card, journal):
    assert "cannot be read" in ladder("live", tmp_path / "none.toml", "--journal", journal, code=2)
    card.write_text(CARD.replace('"binance"', '"binanse"'))
    keys = {"LADDER_BINANSE_KEY": "canary-key-1", "LADDER_BINANSE_SECRET": "canary-secret-1"}
    assert "did you mean 'binance'" in ladder("live", card, "--journal", journal, code=2, **keys)
    card.write_text(CARD)
    assert "no run of this name trades" in ladder("kill", "nobody", code=2)
    assert "no such file" in ladder("live", "status", tmp_path / "none.sqlite", code=2)
    told = ladder("kill", "x", "--flatten", "--keep-barriers", code=2)
    assert "give one of them" in told


KEYS = {"LADDER_BINANCE_KEY": "canary-key-1", "LADDER_BINANCE_SECRET": "canary-secret-1"}


def test_real_exchange_needs_a_promotion_or_a_typed_sentence_and_a_pipe_types_nothing(card, journal):
    told = ladder("live", card, "--journal", journal, "--run", "one", code=2, **KEYS)
    assert "REAL MONEY" in told and "SmaCross has no promotion to live trading" in told
    sentence = "one trades 5000 USDT on binance without a promotion"
    words = ["live", card, "--journal", journal, "--run", "one", "--i-accept-unpromoted"]
    told = ladder(*words, code=2, typed=f"{sentence}\n", **KEYS)
    assert "is to be typed at a terminal, and there is none" in told
    assert not journal.exists()


PERMITTED = """
import sys
from pathlib import Path
from research.cli.live import permitted
from engine.live.permission import Terms
terms = Terms("one", "binance", ["BTC/USDT"], 5000.0, "USDT", "SmaCross")
print("PERMITTED", permitted(terms, Path(sys.argv[1]), asked=True).kind)
"""


@pytest.mark.parametrize("typed", ["one trades 5000 USDT on binance without a promotion", "yes"])
def test_sentence_is_typed_at_a_terminal(journal, typed):
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PERMITTED, str(journal)], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        sent = False
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 4096):
                shown += chunk
                if b"> " in shown and not sent:
                    os.write(ours, f"{typed}\n".encode())
                    sent = True
        code = process.wait(30)
    os.close(ours)
    assert "one trades 5000 USDT on binance without a promotion" in shown.decode()
    if typed == "yes":
        assert code == 1 and b"not the sentence" in shown
    else:
        assert code == 0 and b"PERMITTED accepted unpromoted" in shown


def test_acceptance_is_in_the_journal_and_holds_for_a_restart(tmp_path):
    from engine.live.permission import Terms, accept_unpromoted
    from research.cli.live import permitted
    from tests.engine.live.sessions import RUN, Stage, on_stage

    stage = Stage(tmp_path / "journal.sqlite")
    terms = Terms(RUN, "binance", ["BTC/USDT"], 5000.0, "USDT", "SmaCross")

    async def play(stage):
        await stage.session(1, permission=accept_unpromoted(terms, terms.sentence, "ada@desk"))

    on_stage(play, stage)
    with Journal.reading(stage.journal) as book:
        (said,) = book.statements(RUN, ACCEPTED)
    assert (said.who, said.detail["sentence"]) == ("ada@desk", terms.sentence)
    assert permitted(terms, stage.journal, asked=True).detail["again"] is True
    assert "is to be typed" in ladder(
        "live", write_card(tmp_path), "--journal", stage.journal, "--i-accept-unpromoted", code=2, **KEYS
    )  # other terms


def write_card(folder: Path) -> Path:
    path = folder / "other.toml"
    path.write_text(CARD)
    return path
