"""One session on one account: across journals and processes, and no longer than the process lives."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from data.errors import ValidationError
from engine.live.account_lock import AccountTakenError, account_lock, accounts_folder, holders, is_written
from engine.live.journal import Journal

ROOT = Path(__file__).resolve().parents[3]
REAL = {"api": {"public": "https://api.binance.com", "ws": {"spot": "wss://stream.binance.com"}}}
HOLD = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from engine.live.account_lock import account_lock
exchange = SimpleNamespace(id="binance", apiKey=sys.argv[1], urls={"api": {"public": "https://api.binance.com"}})
with account_lock(exchange, journal=Path(sys.argv[2]), run=sys.argv[3]):
    print("held", flush=True)
    sys.stdin.read()
"""


def account(key: str = "canary-key-1", urls: dict | None = None, name: str = "binance") -> SimpleNamespace:
    return SimpleNamespace(id=name, apiKey=key, urls=urls or REAL)


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def other(tmp_path):
    """Another process that has the account of a key; `start(key, run)`."""
    begun = []

    def start(key: str = "canary-key-1", run: str = "other") -> subprocess.Popen:
        command = [sys.executable, "-c", HOLD, key, str(tmp_path / "other.sqlite"), run]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_second_process_is_refused_with_the_first_one_s_name(other, tmp_path):
    process = other()
    with pytest.raises(AccountTakenError) as refused, account_lock(account(), journal=tmp_path / "mine", run="mine"):
        pass
    holder = refused.value.holder
    assert (holder.run, holder.pid, holder.journal) == ("other", process.pid, str(tmp_path / "other.sqlite"))
    assert abs(holder.since - time.time_ns()) < 60e9
    for words in (
        "run 'other'",
        f"process {process.pid}",
        "since 2",
        str(tmp_path / "other.sqlite"),
        "ladder kill other",
    ):
        assert words in str(refused.value)
    assert "canary" not in str(refused.value)
    assert [one.run for one in holders()] == ["other"]


def test_another_key_another_exchange_and_another_rehearsal_are_other_accounts(other, tmp_path):
    other()
    with account_lock(account("canary-key-2"), journal=tmp_path / "a", run="a"):
        assert {one.run for one in holders()} == {"a", "other"}
    with account_lock(account(name="bybit"), journal=tmp_path / "a", run="a"):
        pass
    here = [account(urls={"api": {"public": f"http://127.0.0.1:{port}/api"}}) for port in (8001, 8002)]
    with account_lock(here[0], journal=tmp_path / "a", run="a"):
        with account_lock(here[1], journal=tmp_path / "b", run="b"):
            pass
        with pytest.raises(AccountTakenError), account_lock(here[0], journal=tmp_path / "b", run="b"):
            pass


def test_lock_dies_with_its_process_however_that_ends(other, tmp_path):
    process = other()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert holders() == []
    with account_lock(account(), journal=tmp_path / "mine", run="mine") as path:
        assert json.loads(path.read_text())["run"] == "mine"
        assert path.stat().st_mode & 0o777 == 0o600 and "canary" not in path.name + path.read_text()
    assert not path.exists()


def test_many_processes_at_once_one_has_it(tmp_path):
    code = HOLD.replace("sys.stdin.read()", "time.sleep(1.5)")
    command = [sys.executable, "-c", code, "canary-key-1", str(tmp_path / "j"), "r"]
    begun = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    told = [process.communicate(timeout=60) for process in begun]
    held = [out for out, _ in told if out == "held\n"]
    assert held == ["held\n"]
    assert sum("AccountTakenError" in err for _, err in told) == 3


def test_lock_can_be_had_again_at_once_after_it_was_let_go(tmp_path):
    for turn in range(50):
        with account_lock(account(), journal=tmp_path / "j", run=str(turn)):
            assert [one.run for one in holders()] == [str(turn)]
    assert list(accounts_folder().iterdir()) == []


def test_folder_that_cannot_be_made_is_an_error_that_says_how_to_name_another(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(ValidationError, match="XDG_STATE_HOME"), account_lock(account(), journal=tmp_path, run="r"):
        pass


def test_relative_state_folder_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert accounts_folder() == tmp_path / ".local" / "state" / "ladder" / "accounts"
    assert accounts_folder().stat().st_mode & 0o777 == 0o700


def test_journal_that_a_process_writes_is_told_from_one_that_none_does(tmp_path):
    path = tmp_path / "journal.sqlite"
    assert not is_written(path)
    with Journal(path):
        assert is_written(path)
    assert not is_written(path)
