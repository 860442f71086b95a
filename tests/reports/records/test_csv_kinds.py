"""Hummingbot's CSV files: what it wrote by itself, and what `export trades` writes."""

import datetime as dt
import zoneinfo

import pandas as pd
import pytest

from data.errors import ValidationError
from reports.hummingbot.records import read_trades
from tests.reports.records.recorded import (
    EXPORT_HEADER,
    TRADES_HEADER,
    fee,
    trade,
    write_database,
    write_export_csv,
    write_trades_csv,
)

BERLIN = {"timezone": "Europe/Berlin", "fee": 0.001}


def test_the_bots_own_csv_reads_as_its_database_does(tmp_path):
    rows = [
        trade(0, trade_fee=fee(("0.05", "USDT")), trade_fee_in_quote="0.05"),
        trade(1, "SELL", price="42170.628906", amount="0.023713", leverage=3, order_type="LIMIT"),
        trade(2, trade_fee=fee(("0.001", "BNB"), percent="0.0001"), config_file_path="conf_b.yml"),
    ]
    text = read_trades(write_trades_csv(tmp_path / "trades_conf_a.csv", rows))
    database = read_trades(write_database(tmp_path / "conf_a.sqlite", rows))
    pd.testing.assert_frame_equal(text.fills, database.fills)
    assert text.kind == "trades csv" and len(text.executors) == len(text.funding) == 0
    assert any("3 fills are cut to a millionth" in note for note in text.notes)


def test_decimals_finer_than_a_millionth_are_kept(tmp_path):
    rows = [trade(0, amount="0.00000001", price="0.123456789012")]
    history = read_trades(write_trades_csv(tmp_path / "a.csv", rows))
    assert history.fills[["amount", "price"]].iloc[0].tolist() == [1e-8, 0.123456789012]
    assert history.notes == ()


def test_a_fee_is_a_dict_as_python_writes_it_or_json(tmp_path):
    path = write_trades_csv(tmp_path / "a.csv", [trade(0)])
    written = path.read_text()
    assert "{'fee_type': 'AddedToCost', 'percent': '0', 'percent_token': None," in written
    first = read_trades(path).fills
    path.write_text(written.replace("'", '""').replace("None", "null"))
    assert read_trades(path).fills.equals(first)


def test_columns_that_an_older_file_lacks_and_those_that_are_new(tmp_path):
    path = write_trades_csv(tmp_path / "a.csv", [trade(0)])
    table = pd.read_csv(path, dtype=str).drop(columns=["leverage", "position", "age", "trade_fee_in_quote"])
    table.assign(mood="calm").to_csv(path, index=False)
    history = read_trades(path)
    assert history.fills[["leverage", "position"]].iloc[0].tolist() == [1, "NIL"]
    assert "the file has no column leverage, trade_fee_in_quote, position, age" in history.notes
    assert "the file has columns that are not known and not read: mood" in history.notes


def test_rows_that_are_there_twice(tmp_path):
    rows = [trade(0), trade(1), trade(0)]
    history = read_trades(write_trades_csv(tmp_path / "a.csv", rows))
    assert history.fills["order_id"].tolist() == ["o0", "o1"]
    assert any("1 fills were recorded twice" in note for note in history.notes)
    path = write_trades_csv(tmp_path / "b.csv", [*rows[:2], trade(0, price="100.5")])
    with pytest.raises(ValidationError, match=r"b\.csv: line 4: trade 't0' of BTC/USDT .* differs: .*line 2"):
        read_trades(path)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("amount", "half", "is 'half', not a number"),
        ("amount", "1_000", "not a number"),
        ("amount", "1,000", "not a number"),
        ("amount", "nan", "not a number"),
        ("amount", "1e400", "not a number"),
        ("amount", "-0.5", "an amount is positive"),
        ("amount", "", "is empty"),
        ("price", "-1", "a price is not negative"),
        ("timestamp", "2024-01-01", "is '2024-01-01', not a number"),
        ("timestamp", "1704067200", "not a time in milliseconds"),
        ("timestamp", "9e12", "not a time in milliseconds"),
        ("trade_type", "HOLD", "is 'HOLD'; a fill is BUY or SELL"),
        ("market", "", "is empty"),
        ("leverage", "1.5", "not a whole number"),
        ("trade_fee", "{'percent': ", "not JSON"),
        ("trade_fee", "__import__('os').getcwd()", "not JSON"),
        ("trade_fee", "[" * 4000, "not JSON"),
        ("trade_fee", "{'a': '" + "x" * 20_000 + "'}", "characters, which is no fee"),
        ("trade_fee", "5", "not a fee"),
    ],
)
def test_bad_cells_name_line_column_and_mend(tmp_path, column, value, words):
    path = write_trades_csv(tmp_path / "a.csv", [trade(0), {**trade(1), column: value}])
    with pytest.raises(ValidationError) as told:
        read_trades(path)
    assert f"a.csv: line 3, column {column}: " in str(told.value) and words in str(told.value)
    assert "correct that line in a copy of the file, or read the bot's database" in str(told.value)


def test_broken_lines(tmp_path):
    path = write_trades_csv(tmp_path / "a.csv", [trade(0), trade(1)])
    whole = path.read_text()
    path.write_text(whole[:-60])
    with pytest.raises(
        ValidationError, match=r"a\.csv: line 3: \d+ cells .* 18 columns; .*read the file again|line 3: not"
    ):
        read_trades(path)
    path.write_text(whole + "a,b\n")
    with pytest.raises(ValidationError, match=r"a\.csv: line 4: 2 cells where the header has 18 columns"):
        read_trades(path)
    path.write_text(whole + '"open')
    with pytest.raises(ValidationError, match=r"a\.csv: line 4: not a line of CSV"):
        read_trades(path)
    path.write_bytes(whole.encode() + b"\xff\xfe\n")
    with pytest.raises(ValidationError, match=r"a\.csv: .*(CSV|text)"):
        read_trades(path)
    path.write_text(whole.replace("trade_fee,", "cost,", 1))
    with pytest.raises(ValidationError, match=r"a\.csv: line 1 has no column trade_fee \(it has exchange_trade_id"):
        read_trades(path)
    path.write_text(whole.replace(",age", ",price", 1))
    with pytest.raises(ValidationError, match=r"line 1 names a column twice"):
        read_trades(path)
    path.write_text("﻿" + whole.replace("\n", "\r\n") + "\r\n\r\n")  # as Windows keeps it
    assert len(read_trades(path).fills) == 2


def test_only_a_header_is_an_empty_history(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(",".join(TRADES_HEADER) + "\n")
    assert len(read_trades(path).fills) == 0
    path.write_text(",".join(EXPORT_HEADER) + "\n")
    assert len(read_trades(path, **BERLIN).fills) == 0


def test_an_export_has_local_times_and_the_given_fee(tmp_path):
    rows = [("t1", "2024-07-01 12:00:00", "buy", "100", "0.5"), ("t2", "2024-12-01 12:00:00", "sell", "120", "0.5")]
    history = read_trades(write_export_csv(tmp_path / "a.csv", rows), **BERLIN)
    fills = history.fills
    assert fills["time"].tolist() == list(pd.to_datetime(["2024-07-01 10:00", "2024-12-01 11:00"], utc=True))
    assert fills["fee"].tolist() == [0.05, 0.06] and fills["fee_token"].tolist() == ["USDT"] * 2
    assert fills["side"].tolist() == ["buy", "sell"] and fills["order_type"].tolist() == ["LIMIT"] * 2
    assert fills["trade_id"].tolist() == ["t1", "t2"] and fills["bot"].tolist() == ["", ""]
    assert "the file has no fees: 0.001 of each fill's notional, in quote currency, was given" in history.notes
    assert "times are of a whole second, read as local time of Europe/Berlin" in history.notes
    with pytest.raises(ValidationError, match="the file holds no bot by name"):
        history.select(bot="a")


@pytest.mark.parametrize(
    "zone",
    [
        zoneinfo.ZoneInfo("America/New_York"),
        "America/New_York",
        dt.timezone(dt.timedelta(hours=-4)),
    ],
)
def test_zones_by_name_or_as_tzinfo(tmp_path, zone):
    path = write_export_csv(tmp_path / "a.csv", [("t1", "2024-07-01 12:00:00", "buy", "100", "0.5")])
    assert read_trades(path, timezone=zone, fee=0).fills["time"].iloc[0] == pd.Timestamp("2024-07-01 16:00", tz="UTC")


def test_a_zone_of_pytz_is_taken_by_its_name(tmp_path):
    class Pytz(dt.tzinfo):  # attached as it is, a zone of pytz has the offset of 1893
        zone = "Europe/Berlin"

        def utcoffset(self, when):
            return dt.timedelta(minutes=53)

    path = write_export_csv(tmp_path / "a.csv", [("t1", "2024-07-01 12:00:00", "buy", "100", "0.5")])
    assert read_trades(path, timezone=Pytz(), fee=0).fills["time"].iloc[0] == pd.Timestamp("2024-07-01 10:00", tz="UTC")


@pytest.mark.parametrize(
    ("given", "missing"),
    [({}, "timezone and fee"), ({"timezone": "UTC"}, "fee"), ({"fee": 0.001}, "timezone")],
)
def test_an_export_needs_a_zone_and_a_fee(tmp_path, given, missing):
    path = write_export_csv(tmp_path / "a.csv", [("t1", "2024-07-01 12:00:00", "buy", "100", "0.5")])
    with pytest.raises(ValidationError, match=rf"local times and no fees: give {missing}, as in read_trades\(path, "):
        read_trades(path, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"timezone": "Berlin", "fee": 0.0}, "timezone='Berlin' is not known; give an IANA name"),
        ({"timezone": "../etc/passwd", "fee": 0.0}, "is not known"),
        ({"timezone": 2, "fee": 0.0}, "timezone=2: give an IANA name"),
        ({"timezone": "UTC", "fee": 0.6}, "fee=0.6: give a fraction of notional"),
        ({"timezone": "UTC", "fee": float("nan")}, "give a fraction of notional"),
        ({"timezone": "UTC", "fee": "0.001"}, "give a fraction of notional"),
    ],
)
def test_zones_and_fees_that_are_none(tmp_path, given, words):
    path = write_export_csv(tmp_path / "a.csv", [("t1", "2024-07-01 12:00:00", "buy", "100", "0.5")])
    with pytest.raises(ValidationError) as told:
        read_trades(path, **given)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("2024-03-31 02:30:00", "which never happened in Europe/Berlin, as the clocks changed"),
        ("2024-10-27 02:30:00", "which happened twice in Europe/Berlin, as the clocks changed"),
        ("2024-10-27T02:30:00", "not a time such as"),
        ("27.10.2024 12:00", "not a time such as"),
    ],
)
def test_times_that_tell_no_moment_are_refused(tmp_path, time, words):
    path = write_export_csv(tmp_path / "a.csv", [("t1", time, "buy", "100", "0.5")])
    with pytest.raises(ValidationError, match=r"a\.csv: line 2, column Timestamp: .*read the bot's database") as told:
        read_trades(path, **BERLIN)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("time", "utc"),
    [
        ("2024-03-31 01:59:59", "2024-03-31 00:59:59"),
        ("2024-03-31 03:00:00", "2024-03-31 01:00:00"),
        ("2024-10-27 01:59:59", "2024-10-26 23:59:59"),
        ("2024-10-27 03:00:00", "2024-10-27 02:00:00"),
    ],
)
def test_the_seconds_beside_a_change_of_the_clocks(tmp_path, time, utc):
    path = write_export_csv(tmp_path / "a.csv", [("t1", time, "buy", "100", "0.5")])
    assert read_trades(path, **BERLIN).fills["time"].iloc[0] == pd.Timestamp(utc, tz="UTC")


def test_bad_cells_of_an_export(tmp_path):
    path = write_export_csv(tmp_path / "a.csv", [("t1", "2024-07-01 12:00:00", "hold", "100", "0.5")])
    with pytest.raises(ValidationError, match=r"a\.csv: line 2, column Side: is 'hold'; a fill is BUY or SELL"):
        read_trades(path, **BERLIN)
    path.write_text(path.read_text().replace("Market,", "Pair,", 1))
    with pytest.raises(ValidationError, match=r"line 1 has no column Market \(it has Id, Timestamp, Exchange, Pair"):
        read_trades(path, **BERLIN)
