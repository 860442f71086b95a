"""`ladder alerts test` as a person at a desk meets it, and what `ladder live` says of alerts."""

from __future__ import annotations

import asyncio

import pytest
from typer.testing import CliRunner

from engine.live.alert_record import last_test, record_path
from research.cli import app
from tests.engine.live.inbox import TOKEN, Inbox


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("LADDER_ALERTS", raising=False)


def ladder(*words: str, **variables: str) -> tuple[int, str]:
    told = CliRunner().invoke(app, list(words), env={"COLUMNS": "200", **variables})
    assert "KANARIE" not in told.output and "Traceback" not in told.output
    return told.exit_code, told.output


def with_inboxes(play) -> object:
    """Run `play(well, broken)` in a thread: two addresses, the second answers 500."""

    async def whole() -> object:
        async with Inbox() as well, Inbox(status=500) as broken:
            return await asyncio.to_thread(play, well, broken)

    return asyncio.run(whole())


def test_a_test_says_who_took_it_and_is_noted() -> None:
    def play(well: Inbox, broken: Inbox) -> None:
        both = f"{well.address},{broken.address}"
        code, told = ladder("alerts", "test", LADDER_ALERTS=both)
        assert code == 0
        assert told.splitlines()[:2] == ["json://127.0.0.1: taken", "json://127.0.0.1: refused, or not reached"]
        assert f"1 of 2 addresses took it; noted in {record_path()}" in told
        assert well.titles("info") == ["ladder: a test"]
        noted = last_test({"LADDER_ALERTS": both})
        assert (noted.taken, noted.of, noted.same_addresses) == (1, 2, True)
        assert not last_test({"LADDER_ALERTS": well.address}).same_addresses
        assert TOKEN not in record_path().read_text()

    with_inboxes(play)


def test_a_test_that_nobody_took_ends_with_1_and_is_noted_as_such() -> None:
    def play(_: Inbox, broken: Inbox) -> None:
        code, told = ladder("alerts", "test", "--to", "PHONE", PHONE=broken.address)
        assert code == 1 and "0 of 1 addresses took it" in told
        assert last_test({"LADDER_ALERTS": broken.address})[1:] == (0, 1, True)

    with_inboxes(play)


@pytest.mark.parametrize(
    ("words", "variables", "code", "told"),
    [
        ((), {}, 1, "LADDER_ALERTS has no address, nor has the keyring"),
        (("--to", "PHONE"), {}, 1, "PHONE has no address; docs/alerts.md"),
        (("--to", "json://KANARIE"), {}, 2, "give the name of an environment variable"),
        ((), {"LADDER_ALERTS": "KANARIE-token"}, 2, "address 1 is none that apprise knows"),
    ],
)
def test_what_is_wrong_is_said_without_the_address(words, variables, code, told) -> None:
    ended, output = ladder("alerts", "test", *words, **variables)
    assert ended == code and told in output
    assert last_test({}) is None


def test_help_has_an_example() -> None:
    assert "ladder alerts test" in ladder("alerts", "test", "--help")[1]
