"""The database while a bot has it: nothing half-written is read, nothing is changed, nobody waits for ever."""

import contextlib
import shutil
import sqlite3
import threading
import time

import pytest

from data.errors import ValidationError
from reports.hummingbot.records import read_trades, snapshot
from tests.reports.records.recorded import insert, payment, stored, trade, write_database


def pair(number):
    """A buy and the sell that closes it."""
    return [stored(trade(2 * number)), stored(trade(2 * number + 1, "SELL"))]


@pytest.mark.parametrize("wal", [False, True])
def test_no_read_sees_half_of_what_the_bot_writes_at_once(tmp_path, wal):
    path = write_database(tmp_path / "a.sqlite", wal=wal)
    stop, failures, written = threading.Event(), [], [0]

    def write():
        connection = sqlite3.connect(path, timeout=30.0)
        try:
            while not stop.is_set() and written[0] < 400:
                with connection:
                    for row in pair(written[0]):
                        insert(connection, "TradeFill", [row])
                        time.sleep(0.0005)  # so that a read falls between the two
                written[0] += 1
        except sqlite3.Error as error:
            failures.append(error)
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    sizes = set()
    try:
        until = time.monotonic() + 20.0
        while time.monotonic() < until and (len(sizes) < 8 or written[0] < 40):
            fills = read_trades(path).fills
            sides = fills["side"].tolist()
            assert sides == ["buy", "sell"] * (len(sides) // 2)
            sizes.add(len(sides))
    finally:
        stop.set()
        writer.join(60.0)
    assert not failures  # the bot was never locked out
    assert len(sizes) >= 8 and len(read_trades(path).fills) == 2 * written[0]


def test_all_tables_are_of_one_moment(tmp_path, monkeypatch):
    path = write_database(tmp_path / "a.sqlite", [trade(0)], funding=[payment(0, 1.0)], wal=True)
    read_table = snapshot._table
    with contextlib.closing(sqlite3.connect(path)) as bot:

        def read_and_be_overtaken(connection, name, wanted):
            table = read_table(connection, name, wanted)
            if name == "TradeFill":  # between this table and the next ones the bot writes to both
                with bot:
                    insert(bot, "TradeFill", [stored(trade(1))])
                    insert(bot, "FundingPayment", [payment(1, 1.0)])
            return table

        bot.execute("SELECT * FROM Metadata").fetchall()  # it runs: its log is there
        monkeypatch.setattr(snapshot, "_table", read_and_be_overtaken)
        history = read_trades(path)
        monkeypatch.undo()
        assert (len(history.fills), len(history.funding)) == (1, 1)
        history = read_trades(path)
        assert (len(history.fills), len(history.funding)) == (2, 2)


def test_a_database_that_is_locked_too_long_is_refused_after_the_wait(tmp_path):
    path = write_database(tmp_path / "a.sqlite", [trade(0)])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as bot:
        bot.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        with pytest.raises(
            ValidationError, match=r"a\.sqlite: locked by another program for longer than 0\.3 s .*wait="
        ):
            read_trades(path, wait=0.3)
        assert 0.25 < time.monotonic() - begun < 5.0
        bot.execute("ROLLBACK")
    assert len(read_trades(path).fills) == 1


def test_a_lock_that_is_let_go_in_time_is_waited_for(tmp_path):
    path = write_database(tmp_path / "a.sqlite", [trade(0)])
    bot = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    bot.execute("BEGIN EXCLUSIVE")
    insert(bot, "TradeFill", [stored(trade(1))])
    release = threading.Timer(0.4, lambda: bot.execute("COMMIT"))
    release.start()
    assert len(read_trades(path, wait=20.0).fills) == 2
    release.join()
    bot.close()


def test_a_bot_that_has_not_committed_is_not_seen_and_can_commit_afterwards(tmp_path):
    path = write_database(tmp_path / "a.sqlite", [trade(0)])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as bot:
        bot.execute("BEGIN IMMEDIATE")
        insert(bot, "TradeFill", [stored(trade(1))])
        assert len(read_trades(path).fills) == 1
        bot.execute("COMMIT")
    assert len(read_trades(path).fills) == 2


def test_what_lies_in_the_log_of_a_running_bot_is_read(tmp_path):
    path = write_database(tmp_path / "a.sqlite", [trade(0)], wal=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as bot:
        bot.execute("PRAGMA wal_autocheckpoint=0")
        insert(bot, "TradeFill", [stored(trade(1))])
        bot.execute("BEGIN IMMEDIATE")  # in this mode a writer locks no reader out
        insert(bot, "TradeFill", [stored(trade(2))])
        assert len(read_trades(path, wait=0.0).fills) == 2
        bot.execute("COMMIT")
        assert len(read_trades(path, wait=0.0).fills) == 3


@pytest.mark.parametrize("wal", [False, True])
def test_reading_leaves_the_folder_as_it_was(tmp_path, wal):
    path = write_database(tmp_path / "a.sqlite", [trade(0)], wal=wal)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(read_trades(path).fills) == 1
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert list(before) == ["a.sqlite"]


def test_names_that_mean_something_in_a_uri(tmp_path):
    path = write_database(tmp_path / "conf a?mode=rwc#1%20.sqlite", [trade(0)])
    assert len(read_trades(path).fills) == 1 and [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_write_that_was_cut_off_is_told_with_a_mend(tmp_path):
    path = write_database(tmp_path / "a.sqlite", [trade(number) for number in range(200)])
    copy = tmp_path / "copy.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as bot:
        bot.execute("PRAGMA cache_size=1")
        bot.execute("BEGIN IMMEDIATE")
        bot.execute("UPDATE TradeFill SET strategy = 'a much longer name than before, so that pages are spilled'")
        shutil.copy(path, copy)  # as a machine that lost its power would leave them
        shutil.copy(f"{path}-journal", f"{copy}-journal")
        bot.execute("ROLLBACK")
    with pytest.raises(ValidationError, match=r"copy\.sqlite: cannot be read without writing .*-journal"):
        read_trades(copy)


def test_damaged_files(tmp_path):
    path = write_database(tmp_path / "a.sqlite", [trade(number) for number in range(300)])
    whole = path.read_bytes()
    for kept in (len(whole) // 2, 4096, 101, 100, 30):
        path.write_bytes(whole[:kept])
        with pytest.raises(ValidationError, match=r"a\.sqlite: (damaged|has no table TradeFill)"):
            read_trades(path)
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    with pytest.raises(ValidationError, match=r"a\.sqlite: damaged, or no SQLite database .*\.recover"):
        read_trades(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"\x00\x01\x02\xff\xfe" * 100, "neither a SQLite database nor a CSV file"),
        (b"time,open,high,low,close,volume\n1,2,3,4,5,6\n", "its first line is 'time,open,high,low,close,volume'"),
        (b"PK\x03\x04", "no record of Hummingbot's"),
    ],
)
def test_files_of_no_known_kind(tmp_path, content, words):
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    with pytest.raises(ValidationError, match=r"a\.sqlite: ") as told:
        read_trades(path)
    assert words in str(told.value)


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    for path in (tmp_path / "none.sqlite", tmp_path):
        with pytest.raises(ValidationError, match=r"no such file; Hummingbot keeps .* in data/"):
            read_trades(path)


@pytest.mark.parametrize("wait", [-1, float("nan"), float("inf"), True, "10"])
def test_wait_is_seconds(tmp_path, wait):
    path = write_database(tmp_path / "a.sqlite", [trade(0)])
    with pytest.raises(ValidationError, match="give seconds, 0 or more"):
        read_trades(path, wait=wait)


@pytest.mark.parametrize("given", [{"timezone": "UTC"}, {"fee": 0.001}, {"timezone": "UTC", "fee": 0.0}])
def test_a_database_has_its_own_times_and_fees(tmp_path, given):
    path = write_database(tmp_path / "a.sqlite", [trade(0)])
    with pytest.raises(ValidationError, match=f"{' and '.join(given)} given, but this file has its own"):
        read_trades(path, **given)
