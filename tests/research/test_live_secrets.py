"""No key shows anywhere: a whole `ladder live` process with canaries for its keys, whatever goes wrong around it.

Looked at: what it prints, its log with everything down to ccxt's debug lines, every file that it writes (the journal
with its write-ahead log, the locks, the kill file) while it lives and after, its command line, its last traceback.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import urllib.parse
from pathlib import Path

import pytest

from data import Market
from engine.live.safety import kill_file_of, write_kill
from engine.rehearsal.dialect import Answer
from engine.rehearsal.faults import HEAVY, FaultPlan
from engine.rehearsal.server import RehearsalServer
from tests.engine.live.exchange_process import ROOT
from tests.engine.live.inbox import Inbox
from tests.engine.live.sessions import VENUE, level_market
from tests.research.test_live_command import CARD, LADDER

# As awkward as a key may be: every character that a URL, JSON, a repr or a log's format would write otherwise.
KEY = "KANARIE+key/42=%s{}&'x"
SECRET = "KANARIE-secret\\42\"%d+/=&'y"
CANARIES = sorted(
    {
        form
        for text in (KEY, SECRET)
        for form in (
            *(text, urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text), json.dumps(text)[1:-1]),
            *(repr(text)[1:-1], base64.b64encode(text.encode()).decode(), text.encode().hex(), "KANARIE"),
        )
    }
)
RAISING = """
import os
from dataclasses import dataclass
import pandas as pd
from engine import Strategy

@dataclass(frozen=True)
class Raises(Strategy):
    @property
    def warmup(self):
        return 1

    def targets(self, market):
        key, secret = os.environ["LADDER_REHEARSAL_KEY"], os.environ["LADDER_REHEARSAL_SECRET"]
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise RuntimeError(f"no good: {key!r} {secret}") from error
"""


class Watched:
    """A session's process, and all that can be seen of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder, {}

    async def run(
        self, server: RehearsalServer, card: Path, turns: int, during=None, key: str = KEY, alerts: str = ""
    ) -> int:
        journal = self.folder / "journal.sqlite"
        command = [
            *LADDER,
            "live",
            str(card),
            "--journal",
            str(journal),
            "--rehearsal",
            server.rest_url,
            "--run",
            "one",
        ]
        environment = {**os.environ, "LADDER_REHEARSAL_KEY": key, "LADDER_REHEARSAL_SECRET": SECRET}
        environment |= {"XDG_STATE_HOME": str(self.folder / "state"), "PYTHONASYNCIODEBUG": "1", "COLUMNS": "200"}
        environment |= {"LADDER_ALERTS": alerts}
        self.process = await asyncio.create_subprocess_exec(
            *command,
            *("--run", "one", "--turns", str(turns), "--log", str(self.folder / "session.log")),
            cwd=ROOT,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        reading = asyncio.create_task(self.process.communicate())
        advanced = 0
        while not reading.done():
            self.look("while it lives")
            printed = (self.folder / "session.log").read_bytes() if (self.folder / "session.log").exists() else b""
            if b"waiting for the bar" in printed or self.waiting():
                if during is not None:
                    during(advanced)
                await server.advance()
                advanced += 1
            await asyncio.wait({reading}, timeout=0.4)
        out, err = reading.result()
        self.seen["stdout"], self.seen["stderr"] = out, err
        self.look("after it")
        return self.process.returncode

    def waiting(self) -> bool:
        """Whether it has begun: the journal has a first state."""
        import sqlite3

        path = self.folder / "journal.sqlite"
        if not path.exists():
            return False
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1) as db:
                return bool(db.execute("SELECT count(*) FROM bars_done").fetchone()[0])
        except sqlite3.Error:
            return False

    def look(self, when: str) -> None:
        """Read every file there is, and the command lines of the process and its children."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".toml"):
                self.seen[f"{path.name} {when}"] = path.read_bytes()
        tasks = Path(f"/proc/{self.process.pid}")
        if tasks.exists():
            self.seen[f"command line {when}"] = (tasks / "cmdline").read_bytes()
            for child in (tasks / "task" / str(self.process.pid) / "children").read_text().split():
                self.seen[f"command line of child {child}"] = Path(f"/proc/{child}/cmdline").read_bytes()

    def judge(self) -> None:
        found = [
            (where, canary)
            for where, content in self.seen.items()
            for canary in CANARIES
            if canary.encode() in content or canary.encode("utf-16-le") in content
        ]
        assert not found, found
        assert len(self.seen["session.log after it"]) > 1_000
        assert b"DEBUG ccxt" in self.seen["session.log after it"]  # its lines, headers and all, were to be looked at


def played(tmp_path: Path, play, market: Market | None = None, **settings):
    """Run `async play(server, watched)`; then nothing of the keys may be seen."""
    watched = Watched(tmp_path)

    async def whole():
        given = {"venues": VENUE, "start": 5, "api_key": KEY, "secret": SECRET, **settings}
        async with RehearsalServer(market or level_market(), **given) as server:
            return await play(server, watched)

    told = asyncio.run(asyncio.wait_for(whole(), 240))
    watched.judge()
    return told, watched


def card_of(folder: Path, strategy: str = "SmaCross") -> Path:
    path = folder / "card.toml"
    text = CARD
    if strategy != "SmaCross":
        (folder / "strategy.py").write_text(RAISING)
        text = text.replace('name = "SmaCross"', f'name = "{strategy}"').replace(
            "fast = 2\nslow = 4\nweight = 0.5\n", ""
        )
        text = text.partition("[exits]")[0]
    path.write_text(text)
    return path


def test_canaries_would_be_found(tmp_path):
    """The test's own eyes: a file with a key in it, in any of its forms, is seen."""
    for number, form in enumerate(CANARIES):
        watched = Watched(tmp_path)
        watched.seen = {"x": f"before {form} after".encode(), "session.log after it": b"DEBUG ccxt" * 999}
        with pytest.raises(AssertionError, match="x"):
            watched.judge()
        assert number < 20


def test_session_with_a_key_that_is_refused_in_its_middle_shows_none(tmp_path):
    # Once a key was accepted ccxt takes -2015 for a ban, and the session asks again; -2014 halts it.
    words = f"Invalid API-key, IP, or permissions for action, key {KEY}"
    refusals = [Answer({"code": code, "msg": words}, 401) for code in (-2015, -2015, -2014)]

    async def play(server, watched):
        respond, revoked = server._dialect.respond, []

        def during(turn: int) -> None:
            if turn == 2:
                revoked.append(turn)

        def answer(call):
            signed = "signature" in call.query + call.body
            if not (revoked and signed):
                return respond(call)
            return refusals.pop(0) if len(refusals) > 1 else refusals[0]

        server._dialect.respond = answer
        return await watched.run(server, card_of(tmp_path), 9, during)

    code, watched = played(tmp_path, play, rising(), start=10)
    assert code == 1
    assert b"-2014" in watched.seen["stderr"] and b"***" in watched.seen["stderr"]
    assert b"-2015" in watched.seen["session.log after it"]


def test_session_with_a_wrong_key_shows_neither_it_nor_the_secret(tmp_path):
    async def play(server, watched):
        return await watched.run(server, card_of(tmp_path), 1, key=f"{KEY}-wrong")

    watched = Watched(tmp_path)

    async def whole():
        async with RehearsalServer(level_market(), venues=VENUE, start=5, api_key=KEY, secret=SECRET) as server:
            return await play(server, watched)

    assert asyncio.run(asyncio.wait_for(whole(), 120)) == 1
    assert b"AuthenticationError" in watched.seen["stderr"]
    watched.judge()


def test_traceback_of_an_unexpected_exception_shows_none(tmp_path):
    async def play(server, watched):
        return await watched.run(server, card_of(tmp_path, "strategy.py:Raises"), 3)

    code, watched = played(tmp_path, play)
    assert code == 1
    told = watched.seen["stderr"].decode()
    assert "Traceback" in told and 'RuntimeError: no good: "***" ***' in told and "KeyError: '***'" in told


def test_killed_session_leaves_none_in_its_kill_file(tmp_path):
    async def play(server, watched):
        def during(turn: int) -> None:
            if turn == 2:
                write_kill(kill_file_of(tmp_path / "journal.sqlite"), why="a test", flatten=True)

        return await watched.run(server, card_of(tmp_path), 9, during)

    code, watched = played(tmp_path, play, rising())
    assert code == 0 and "journal.sqlite.kill after it" in watched.seen
    assert any(name.startswith("binance-") and "while it lives" in name for name in watched.seen)
    assert any(name.startswith("journal.sqlite-wal") for name in watched.seen)


@pytest.mark.parametrize("status", [200, 500])
def test_alerts_show_no_address_whether_they_are_taken_or_not(tmp_path, status):
    async def play(server, watched):
        async with Inbox(status) as inbox:
            # One whose parts are awkward, and one where nobody listens.
            awkward = f"json://127.0.0.1:{inbox.port}/KANARIE%2Ftoken%25/?+KANARIE-h=KANARIE-value&rto=60"
            gone = "jsons://KANARIE-user:KANARIE@127.0.0.1:9/KANARIE/42"
            code = await watched.run(server, card_of(tmp_path), 3, alerts=f"{awkward} {inbox.address},{gone}")
            return code, inbox

    (code, inbox), watched = played(tmp_path, play, rising(), start=10)
    assert code == 0
    assert len(inbox.titles("info")) == 2 * len({"started", "ended"})
    told = watched.seen["stdout"].decode()
    assert "json://127.0.0.1, json://127.0.0.1, jsons://127.0.0.1" in told
    assert b"alert not delivered: one: started" in watched.seen["session.log after it"]
    watched.seen |= {f"message {number}": repr(one).encode() for number, one in enumerate(inbox.messages)}
    watched.judge()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_heavy_faults_show_none(tmp_path, seed):
    async def play(server, watched):
        return await watched.run(server, card_of(tmp_path), 20)

    share = {kind: 2 * rate for kind, rate in HEAVY.items()}
    plan = FaultPlan(seed, share, delay=0.02, retry_after=0)
    _, watched = played(tmp_path, play, rising(), faults=plan, start=10)
    assert len(plan.record) >= 10
    assert b"signature" in watched.seen["session.log after it"]


def rising() -> Market:
    """Bars that a moving average buys and sells."""
    import math

    import pandas as pd

    closes = [100 + 10 * math.sin(at / 2) for at in range(60)]
    index = pd.date_range("2024-01-01", periods=60, freq="1h", tz="UTC")
    frame = pd.DataFrame({"close": closes}, index=index)
    frame["open"] = frame["close"].shift(1).fillna(100.0)
    frame["high"], frame["low"] = frame[["open", "close"]].max(axis=1) + 0.1, frame[["open", "close"]].min(axis=1) - 0.1
    frame["volume"] = 10.0
    return Market.from_frames({"BTC/USDT": frame.round(2)}, "1h")
