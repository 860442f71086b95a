"""A person is told what a session needs a person for, soon and once, and no address shows anywhere."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ValidationError
from data.mqtt_link import Secret
from engine import Exits, RiskLimits
from engine.live.alert_record import last_test, record_path, record_test
from engine.live.alerts import Alerts, Delivery, read_addresses
from engine.live.journal import Journal
from engine.live.journal_file import Entry
from engine.live.keys import redacted
from engine.live.paper_journal import SLEPT, PaperBar, PaperJournal
from engine.live.reconcile import ReconciliationError
from engine.live.safety import Stop, kill_file_of, write_kill
from engine.live.telling import MEANING, NOT_DELIVERED, worded
from engine.rehearsal.faults import FaultPlan, Planned
from tests.engine.live.exchange_process import ROOT
from tests.engine.live.inbox import Inbox
from tests.engine.live.on_paper import RUN as PAPER_RUN
from tests.engine.live.on_paper import Draws
from tests.engine.live.on_paper import Stage as PaperStage
from tests.engine.live.sessions import RUN, Always, Stage, level_market, on_stage

ORDER = "POST /api/v3/order"
URGENT, CALM = "failure", "info"


def told_on(stage: Stage, play, **settings) -> Inbox:
    """Run `async play(stage, alerts, inbox)`; what was told."""

    async def whole(stage: Stage) -> Inbox:
        async with Inbox() as inbox:
            await play(stage, Alerts([Secret(inbox.address)], **settings), inbox)
        return inbox

    return on_stage(whole, stage)


def incidents(journal: Path, kind: str, run: str = RUN) -> list[dict]:
    with Journal.reading(journal) as book:
        return [detail for name, detail in book.incidents(run) if name == kind]


# Sessions.


def test_a_session_tells_that_it_starts_stops_and_ends(tmp_path) -> None:
    stop = Stop(kill_file_of(tmp_path / "j.sqlite"))

    def kill(turn: int) -> None:
        if turn == 2:
            write_kill(stop.kill_file, why="a test", flatten=True)

    async def play(stage, alerts, inbox) -> None:
        await stage.session(4, stop=stop, each=kill, alerts=alerts)

    inbox = told_on(Stage(tmp_path / "j.sqlite"), play)
    assert inbox.titles() == [f"{RUN}: {what}" for what in ("started", "stopping", "stopped", "ended")]
    assert inbox.titles(URGENT) == []
    assert "why: kill file: a test" in inbox.messages[2]["message"]
    assert f"ladder live status {tmp_path / 'j.sqlite'}" in inbox.messages[2]["message"]


def test_a_session_that_finds_an_unexplained_difference_tells_it_and_that_it_has_ended(tmp_path) -> None:
    async def play(stage, alerts, inbox) -> None:
        await stage.session(2)
        stage.server.book.account.free["USDT"] += Decimal("12.5")
        with pytest.raises(ReconciliationError):
            await stage.session(2, alerts=alerts)

    inbox = told_on(Stage(tmp_path / "j.sqlite"), play)
    assert inbox.titles(URGENT) == [f"{RUN}: unexplained difference", f"{RUN}: ended by ReconciliationError"]
    difference, ended = (one["message"] for one in inbox.messages if one["type"] == URGENT)
    assert "the exchange has" in difference and "ladder live reconcile" in ended


def test_a_loss_limit_is_told(tmp_path) -> None:
    market = level_market(12)
    fallen = np.where(np.arange(12) >= 8, 0.8, 1.0)[:, None]
    market = market.with_fields(
        **{
            name: pd.DataFrame(market[name].to_numpy() * fallen, market.index, list(market.symbols))
            for name in ("open", "high", "low", "close")
        }
    )

    async def play(stage, alerts, inbox) -> None:
        await stage.session(5, alerts=alerts, risk=RiskLimits(max_drawdown=0.05))

    inbox = told_on(Stage(tmp_path / "j.sqlite", Always(0.9), market), play)
    assert inbox.titles(URGENT) == [f"{RUN}: halt"]
    assert "max_drawdown" in next(one["message"] for one in inbox.messages if one["type"] == URGENT)


@pytest.mark.parametrize(
    ("planned", "told", "clock_late"),
    [
        ([Planned("insufficient", ORDER, 1)], "refused for funds", 0.0),
        ([Planned("insufficient", f"{ORDER}List/oco", 1)], "barriers refused BTC/USDT", 0.0),
        ([], "stale bar", 0.6),
    ],
)
def test_what_the_exchange_refuses_and_what_came_too_late_is_told(tmp_path, planned, told, clock_late) -> None:
    stage = Stage(tmp_path / "j.sqlite", Always(exits=Exits(stop_loss=0.2, take_profit=0.3)))
    stage.faults = FaultPlan(planned=planned)

    async def play(stage, alerts, inbox) -> None:
        def late() -> int:
            return stage.server.exchange.replay.time * 1_000_000 + int(clock_late * 3_600_000_000_000)

        await stage.session(2, alerts=alerts, clock=late)

    inbox = told_on(stage, play)
    assert f"{RUN}: {told}" in inbox.titles(URGENT)


def test_a_strategy_that_raises_is_told_with_what_it_raised(tmp_path) -> None:
    @dataclass(frozen=True)
    class Raises(Always):
        def targets(self, market):
            raise RuntimeError("a model that is not there")

    async def play(stage, alerts, inbox) -> None:
        with pytest.raises(RuntimeError):
            await stage.session(2, alerts=alerts)

    inbox = told_on(Stage(tmp_path / "j.sqlite", Raises()), play)
    assert inbox.titles(URGENT) == [f"{RUN}: ended by RuntimeError"]
    assert "a model that is not there" in inbox.messages[-1]["message"]


def test_paper_tells_bars_that_nobody_decided_on_once(tmp_path) -> None:
    paper = PaperStage(level_market(20), 5, tmp_path / "p.sqlite", Draws())

    async def play() -> Inbox:
        async with Inbox() as inbox, paper.server() as server:
            alerts = Alerts([Secret(inbox.address)])
            await paper.life(server, turns=2, alerts=alerts)
            for _ in range(4):
                await server.advance()
            await paper.life(server, turns=2, alerts=alerts)
            return inbox

    inbox = asyncio.run(play())
    slept = f"{PAPER_RUN}: bar not decided on"
    assert len(incidents(paper.journal, "bar not decided on", PAPER_RUN)) >= 3
    assert inbox.titles(URGENT) == [slept]
    assert inbox.titles(CALM)[0] == f"{PAPER_RUN}: started"


# Delivery.


def test_a_service_that_hangs_delays_no_turn(tmp_path) -> None:
    """All turns are over while the first message is on its way still."""

    async def play(stage, alerts, inbox) -> None:
        inbox.holds.clear()

        def look(turn: int) -> None:
            if turn == 4:
                assert inbox.waiting == 1 and inbox.titles() == [f"{RUN}: started"]
                inbox.holds.set()

        report = await stage.session(4, alerts=alerts, each=look)
        assert report.turns == 4

    inbox = told_on(Stage(tmp_path / "j.sqlite"), play)
    assert inbox.titles() == [f"{RUN}: started", f"{RUN}: ended"]
    assert incidents(tmp_path / "j.sqlite", NOT_DELIVERED) == []


@pytest.mark.parametrize(("status", "hangs"), [(500, False), (200, True)])
def test_what_is_not_delivered_is_an_incident_without_the_address(tmp_path, caplog, status, hangs) -> None:
    caplog.set_level(logging.DEBUG)

    async def play(stage, alerts, inbox) -> None:
        inbox.status = status
        if hangs:
            inbox.holds.clear()
        report = await stage.session(3, alerts=alerts)
        assert report.turns == 3

    told_on(Stage(tmp_path / "j.sqlite"), play, timeout=0.5 if hangs else 30.0)
    started, ended = incidents(tmp_path / "j.sqlite", NOT_DELIVERED)
    assert (started["title"], started["taken"], started["of"]) == (f"{RUN}: started", 0, 1)
    assert ended["title"] == f"{RUN}: ended"
    (why,) = started["why"]
    assert why.startswith("json://127.0.0.1: ") and ("within 0.5 s" in why) is hangs
    assert f"alert not delivered: {RUN}: started" in caplog.text
    seen = [caplog.text.encode(), *(path.read_bytes() for path in tmp_path.iterdir())]
    assert not [one for one in seen if b"KANARIE" in one]


def test_one_address_that_hangs_does_not_keep_another_from_being_told() -> None:
    async def play() -> tuple[Delivery, Inbox]:
        async with Inbox() as well, Inbox() as hung:
            hung.holds.clear()
            alerts = Alerts([Secret(hung.address), Secret(well.address)], timeout=0.5)
            return await alerts.tell("title", "text", urgent=True), well

    delivery, well = asyncio.run(play())
    assert (delivery.taken, delivery.of) == (1, 2) and well.titles(URGENT) == ["title"]


def test_a_queue_that_is_full_says_so_at_once() -> None:
    async def play() -> Delivery:
        async with Inbox() as inbox:
            inbox.holds.clear()
            alerts = Alerts([Secret(inbox.address)], timeout=30.0)
            for number in range(30):
                alerts.post(f"title {number}", "text")
            begun = time.perf_counter()
            told = await alerts.tell("one more", "text")
            assert time.perf_counter() - begun < 5.0
            return told

    assert asyncio.run(play()).failures == ["json://127.0.0.1: 16 messages wait for it already"]


def test_a_service_that_hangs_does_not_keep_the_process_from_ending() -> None:
    code = """
import socket, sys
from data.mqtt_link import Secret
from engine.live.alerts import Alerts
server = socket.create_server(("127.0.0.1", 0))
alerts = Alerts([Secret(f"json://127.0.0.1:{server.getsockname()[1]}/x?rto=300")])
alerts.post("title", "text")
connection, _ = server.accept()
connection.recv(10)
print("on its way")
"""
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "on its way\n", "")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 400)), max_size=40))
def test_a_title_is_sent_at_most_once_in_five_minutes_and_the_rest_are_counted(steps) -> None:
    clock = SimpleNamespace(now=0)
    alerts = Alerts([Secret("json://127.0.0.1:9/x")], clock=lambda: clock.now)
    sent: list[tuple[str, int]] = []
    texts: list[str] = []

    class Takes:
        shown = "json://127.0.0.1"

        def take(self, message):
            sent.append((message.title, clock.now))
            texts.append(message.text)

    alerts._receivers = [Takes()]
    for title, pause in steps:
        clock.now += pause
        alerts.post(title, "text")
    for title in "ab":
        times = [at for name, at in sent if name == title]
        assert all(later - earlier >= 300 for earlier, later in pairwise(times))
    told = sum(int(text.split("\n")[1].split()[0]) for text in texts if "\n" in text)
    assert len(sent) + told + sum(alerts.counted().values()) == len(steps)


# Addresses.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" ,\n", []),
        ("ntfy://one,json://two tgram://three", ["ntfy://one", "json://two", "tgram://three"]),
        ("mailto://u:p@h?to=a,b,\n\tjson://two,", ["mailto://u:p@h?to=a,b", "json://two"]),
    ],
)
def test_addresses_are_separated_by_commas_or_spaces(text, found) -> None:
    assert [one.reveal() for one in read_addresses({"LADDER_ALERTS": text})] == found
    if not found:
        assert Alerts.from_environment({"LADDER_ALERTS": text}) is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("json://user:KANARIE@127.0.0.1:8080/KANARIE", "json://127.0.0.1"),
        ("mailtos://bob:KANARIE-1@mail.example.com?to=KANARIE@b.com", "mailtos://mail.example.com"),
        ("tgram://123456789:KANARIEhijKANARIEhijKANARIEhijKAN/12345", "tgram://***"),
        ("discord://KANARIE298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "discord://***"),
        ("slack://KANARIE1L/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", "slack://***"),
        ("ntfy://KANARIE-topic", "ntfy://***"),
        ("gotify://host.example.com/KANARIEhijABCde", "gotify://host.example.com"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajKANARIEcOXrIdevi7FQ", "https://hooks.slack.com"),
    ],
)
def test_an_address_is_shown_by_scheme_and_host_and_a_token_by_nothing(address, shown) -> None:
    alerts = Alerts([Secret(address)])
    assert alerts.where == (shown,) and repr(alerts) == f"Alerts({shown})"
    assert redacted(f"sent to {address} now") == "sent to *** now"


def test_parts_of_an_address_are_masked_but_neither_its_host_nor_plain_words() -> None:
    read_addresses(
        {"LADDER_ALERTS": "json://someone:pass%2Fword1@alerts.example.com/barriers/0123456789abc?x=Zy8Zy8Zy8"}
    )
    told = redacted("alerts.example.com barriers 0123456789abc Zy8Zy8Zy8 pass%2Fword1 pass/word1")
    assert told == "alerts.example.com barriers *** *** *** ***"


@pytest.mark.parametrize("address", ["KANARIE-alone", "foo://KANARIE-token", "tgram://KANARIE"])
def test_an_address_that_apprise_does_not_know_is_refused_and_not_shown(address, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ValidationError, match=r"address 2 is none that apprise knows.*ladder alerts test") as caught:
        Alerts.from_environment({"LADDER_ALERTS": f"json://127.0.0.1 {address}"})
    assert "KANARIE" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_addresses_come_from_the_keyring_where_the_environment_has_none(monkeypatch) -> None:
    entries = {("ladder-alerts", "addresses"): "json://127.0.0.1:9/x"}
    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=lambda *name: entries.get(name)))
    monkeypatch.delenv("LADDER_ALERTS", raising=False)
    assert Alerts.from_environment().where == ("json://127.0.0.1",)
    assert read_addresses(variable="LADDER_ALERTS_OTHER") == []
    monkeypatch.setenv("LADDER_ALERTS", "ntfy://topic")
    assert Alerts.from_environment().where == ("ntfy://***",)


# What is told of a journal.


def test_nothing_is_told_that_was_not_written_and_no_listener_stops_a_writer(tmp_path, caplog) -> None:
    heard: list[Entry] = []

    def raises(entry: Entry) -> None:
        raise RuntimeError("no good")

    with PaperJournal(tmp_path / "j.sqlite", clock=lambda: 7) as book:
        book.start_run("r", "binance")
        book.listen(raises)
        book.listen(heard.append)
        book.record_incident("r", "odd", {"a": 1})
        book.record_risk_event("r", "halt", "BTC/USDT", {"rule": "x"})
        book.state_that("r", "started", "ada", {})
        bar = PaperBar(5, SLEPT, {}, 1.0, 6)
        book.record_bars("r", [], [bar], [("blocked", "BTC/USDT", {})])
        with pytest.raises(Exception, match="UNIQUE"):
            book.record_bars("r", [], [bar])
        book.record_incident("r", "last")
    assert heard == [
        Entry("incidents", "r", 7, "odd", "", {"a": 1}),
        Entry("risk_events", "r", 7, "halt", "BTC/USDT", {"rule": "x"}),
        Entry("statements", "r", 7, "started", "ada", {}),
        Entry("incidents", "r", 7, "bar not decided on", "", {"bar": 5, "opened": 6}),
        Entry("risk_events", "r", 7, "blocked", "BTC/USDT", {}),
        Entry("incidents", "r", 7, "last", "", {}),
    ]
    assert caplog.text.count("nobody was told") == 6


def test_what_nobody_has_thought_of_is_urgent_and_times_are_told_in_utc() -> None:
    entry = Entry("incidents", "r", 0, "odd", "", {"bar": 1_704_067_200_000_000_000, "left": [], "order": "x"})
    told = worded(entry, Path("j.sqlite"))
    assert told.title == "r: odd" and told.urgent
    assert told.text.split("\n")[:2] == ["bar: 2024-01-01 00:00:00Z", "order: x"]
    assert worded(entry._replace(kind=NOT_DELIVERED), Path("j")) is None
    assert worded(entry._replace(table="risk_events", kind="cut"), Path("j")) is None
    stopped = worded(entry._replace(kind="stopped", detail={"left": ["order x"]}), Path("j"))
    assert stopped.urgent and stopped.title == "r: stopped, not all is ended"
    assert not worded(entry._replace(kind="stopped", detail={"left": []}), Path("j")).urgent


def test_every_kind_that_has_a_meaning_is_one_that_is_written() -> None:
    written = "".join(path.read_text() for path in (ROOT / "engine").rglob("*.py") if path.name != "telling.py")
    assert [kind for _, kind in MEANING if f'"{kind}"' not in written] == []


# The record of tests.


def test_record_of_a_test_tells_whether_the_addresses_are_the_same(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    given = {"LADDER_ALERTS": "json://127.0.0.1:9/KANARIE json://127.0.0.1:8/KANARIE"}
    assert last_test(given) is None
    record_test(Delivery((("json://127.0.0.1", ""), ("json://127.0.0.1", "refused"))), read_addresses(given))
    test = last_test(given)
    assert (test.taken, test.of, test.same_addresses) == (1, 2, True)
    assert abs((pd.Timestamp.now("UTC") - pd.Timestamp(test.at)).total_seconds()) < 60
    turned = {"LADDER_ALERTS": "json://127.0.0.1:8/KANARIE,json://127.0.0.1:9/KANARIE"}
    assert last_test(turned).same_addresses
    assert not last_test({"LADDER_ALERTS": "json://127.0.0.1:9/KANARIE"}).same_addresses
    assert b"KANARIE" not in record_path().read_bytes()
    record_path().write_text("{")
    with pytest.raises(ValidationError, match="no record of test alerts; remove it"):
        last_test(given)
