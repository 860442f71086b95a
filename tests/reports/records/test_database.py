"""A bot's database: what its columns mean, and what cannot be a record of trades."""

import json
import sqlite3

import numpy as np
import pandas as pd
import pytest

from data.errors import ValidationError
from reports.hummingbot.records import TradeHistory, read_trades
from tests.reports.records.recorded import (
    START,
    executor,
    fee,
    order_json,
    payment,
    stored,
    trade,
    write_database,
)


def refused(path, *words, **arguments):
    """What read_trades says of a file, which names it and every one of these."""
    with pytest.raises(ValidationError) as told:
        read_trades(path, **arguments)
    for word in (path.name, *words):
        assert word in str(told.value), (word, str(told.value))
    return str(told.value)


def altered(path, statement, *values):
    """The database after a change by hand."""
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def database(tmp_path):
    return write_database(tmp_path / "conf_a.sqlite", [trade(0), trade(1, "SELL", price="101.5")])


def test_columns_of_a_fill(tmp_path):
    row = trade(
        3,
        "SELL",
        amount="0.123456",
        price="42170.5",
        trade_fee_in_quote="0.25",
        leverage=5,
        order_type="LIMIT_MAKER",
        config_file_path="conf_a.yml",
        timestamp=START + 1_234,
    )
    fills = read_trades(write_database(tmp_path / "a.sqlite", [row])).fills
    assert fills.iloc[0].to_dict() == {
        "time": pd.Timestamp("2024-01-01 00:00:01.234", tz="UTC"),
        "bot": "conf_a",
        "exchange": "binance_perpetual",
        "symbol": "BTC/USDT",
        "side": "sell",
        "order_type": "LIMIT_MAKER",
        "price": 42170.5,
        "amount": 0.123456,
        "fee": 0.05,
        "fee_token": "USDT",
        "other_fees": "",
        "fee_in_quote": 0.25,
        "position": "CLOSE",
        "leverage": 5,
        "order_id": "o3",
        "trade_id": "t3",
        "executor": "",
    }


def test_fills_are_ordered_by_time_and_then_as_the_file_has_them(tmp_path):
    rows = [trade(2), trade(0), trade(1, order_id="b"), trade(3, order_id="a", timestamp=trade(1)["timestamp"])]
    fills = read_trades(write_database(tmp_path / "a.sqlite", rows)).fills
    assert fills["order_id"].tolist() == ["o0", "b", "a", "o2"]


def test_amounts_are_cut_and_the_note_says_by_how_much_at_most(tmp_path):
    rows = [trade(0, amount="0.0000199", price="3.0000019"), trade(1, amount="2", price="2500")]
    history = read_trades(write_database(tmp_path / "a.sqlite", rows))
    assert history.fills["amount"].tolist() == [0.000019, 2.0] and history.fills["price"].iloc[0] == 3.000001
    (note,) = history.notes
    # 1e-6 / 0.000019, 1e-6 / 3.000001, 1e-6 x (3.000001 + 0.000019 + 2500 + 2)
    assert "2 fills are cut to a millionth" in note
    assert "less than 0.053 of an amount, 3.3e-7 of a price, and 0.0025 USDT of notional" in note


def test_exact_figures_come_from_the_orders_that_the_bot_kept(tmp_path):
    rows = [
        trade(0, amount="0.00001999", price="3.00000189"),
        trade(1, "SELL", amount="0.1234567", price="4"),
        trade(2, amount="0.5", price="0.0000001234"),
        trade(3, amount="0.7"),
    ]
    grid = executor(1, [], info={"filled_orders": [order_json("o0", "t0", "3.00000189", "0.00001999")]})
    state = json.dumps({"o1": order_json("o1", "t1", "4", "0.1234567"), "o9": order_json("o9", "t0", "1", "1")})
    held = executor(2, [], info={"held_position_orders": [order_json("o2", "t2", "0.0000001234", "0.5")]})
    history = read_trades(write_database(tmp_path / "a.sqlite", rows, executors=[grid, held], states=[state]))
    assert history.fills["amount"].tolist() == [0.00001999, 0.1234567, 0.5, 0.7]
    assert history.fills["price"].tolist() == [3.00000189, 4.0, 1.234e-7, 100.0]
    assert "3 fills have their exact amount and price, from the orders that the bot kept" in history.notes
    assert any("of 1 fills are cut" in note for note in history.notes)
    assert history.fills["executor"].tolist() == ["executor1", "", "executor2", ""]


def test_figures_that_do_not_agree_with_the_row_do_not_replace_it(tmp_path):
    state = json.dumps({"o0": order_json("o0", "t0", "100", "0.50001")})
    history = read_trades(write_database(tmp_path / "a.sqlite", [trade(0)], states=[state]))
    assert history.fills["amount"].tolist() == [0.5]
    assert not any("exact" in note for note in history.notes)


def test_a_saved_state_that_is_no_json_costs_nothing_but_the_exact_amounts(tmp_path):
    history = read_trades(write_database(tmp_path / "a.sqlite", [trade(0)], states=["{half"]))
    assert len(history.fills) == 1 and "MarketState row 0 is not JSON: no exact amounts from it" in history.notes


@pytest.mark.parametrize(
    ("given", "spot", "paid"),
    [
        (fee(("0.6", "USDT")), False, {"USDT": 0.6}),
        (fee(("0.001", "BNB")), False, {"BNB": 0.001}),
        (fee(("-0.02", "USDT")), False, {"USDT": -0.02}),  # a rebate
        (fee(percent="0.001"), False, {"USDT": 0.05}),  # of 0.5 x 100
        (fee(percent="0.001", kind="DeductedFromReturns"), False, {"USDT": 0.05}),  # a contract returns no coins
        (fee(percent="0.001", kind="DeductedFromReturns"), True, {"BTC": 0.0005}),
        (fee(percent="0.001", token="BNB"), True, {"USDT": 0.05}),
        (fee(("0.01", "USDT"), ("0.02", "USDT"), percent="0.001"), False, {"USDT": 0.08}),
        (fee(("0.000005", "SOL"), percent="0.001"), False, {"USDT": 0.05, "SOL": 0.000005}),
        (fee(), False, {}),
        ({"percent": 0.001, "flat_fees": [["USDT", 0.01]]}, False, {"USDT": 0.06}),  # older ones
        ({"percent": 0, "flat_fees": [{"asset": "BNB", "amount": 0.002}]}, False, {"BNB": 0.002}),
    ],
)
def test_fees_by_token(tmp_path, given, spot, paid):
    place = {"market": "binance", "position": "NIL"} if spot else {}
    history = read_trades(write_database(tmp_path / "a.sqlite", [trade(0, trade_fee=given, **place)]))
    row = history.fills.iloc[0]
    others = {name: float(value) for name, value in json.loads(row["other_fees"] or "{}").items()}
    found = {row["fee_token"]: row["fee"], **others}
    assert found == pytest.approx(paid or {"USDT": 0.0})
    assert any("payable in BNB" in note for note in history.notes) == (given.get("percent_token") == "BNB")


def test_a_conversion_that_is_not_the_fee_is_told(tmp_path):
    rows = [trade(0, trade_fee_in_quote="0.05"), trade(1, trade_fee_in_quote="0.06"), trade(2, trade_fee_in_quote=0)]
    notes = read_trades(write_database(tmp_path / "a.sqlite", rows)).notes
    assert "2 fills have a trade_fee_in_quote that their trade_fee is not: the latter is used" in notes


def test_executors_are_joined_to_their_fills(tmp_path):
    executors = [
        executor(2, ["o1"], close_type=3, side=2),
        executor(1, ["o0", "", "o2"]),
        executor(3, [], close_type=None, info={"order_id": "o4"}),
        executor(4, [], close_type=11),
    ]
    history = read_trades(
        write_database(tmp_path / "a.sqlite", [trade(number) for number in range(5)], executors=executors)
    )
    table = history.executors.set_index("id")
    assert table.index.tolist() == ["executor1", "executor2", "executor3", "executor4"]
    assert table["close_type"].tolist() == ["STOP_LOSS", "TAKE_PROFIT", "", "11"]
    assert table["side"].tolist() == ["BUY", "SELL", "BUY", "BUY"]
    assert table["bot"].eq("conf_a").all() and table["symbol"].eq("BTC/USDT").all()
    assert table["order_ids"].tolist() == [("o0", "o2"), ("o1",), ("o4",), ()]
    assert history.fills["executor"].tolist() == ["executor1", "executor2", "executor1", "", "executor3"]
    assert table["opened_at"].iloc[0] == pd.Timestamp("2024-01-01 00:00:01", tz="UTC")
    assert table["closed_at"].iloc[0] == pd.Timestamp("2024-01-01 01:00", tz="UTC")
    assert pd.isna(table["closed_at"]["executor3"]) and table["active"].tolist() == [False, False, True, False]
    first = table.iloc[0]
    assert (first["amount"], first["entry_price"], first["close_price"]) == (0.5, 100.25, 99.5)
    assert (first["pnl_pct"], first["pnl"], first["fees"], first["volume"]) == (-0.0075, -0.375, 0.1, 100.0)


def test_funding_in_seconds_or_milliseconds(tmp_path):
    rows = [payment(8, -0.25), payment(16, 0.5, "ETH-USDT", seconds=True)]
    funding = read_trades(write_database(tmp_path / "a.sqlite", [trade(0)], funding=rows)).funding
    assert funding["time"].tolist() == list(pd.to_datetime(["2024-01-01 08:00", "2024-01-01 16:00"], utc=True))
    assert funding["amount"].tolist() == [-0.25, 0.5] and funding["symbol"].tolist() == ["BTC/USDT", "ETH/USDT"]
    assert funding["rate"].tolist() == [0.0001] * 2


def test_price_of_zero_is_unknown(tmp_path):
    history = read_trades(write_database(tmp_path / "a.sqlite", [trade(0, price="0.0000004"), trade(1)]))
    assert np.isnan(history.fills["price"].iloc[0]) and history.fills["price"].iloc[1] == 100.0
    assert "1 fills have the price 0 in the file, which stands for none: NaN" in history.notes


def test_a_database_without_trades_is_an_empty_history(tmp_path):
    history = read_trades(write_database(tmp_path / "a.sqlite"))
    assert isinstance(history, TradeHistory) and history.notes == ()
    full = read_trades(write_database(tmp_path / "b.sqlite", [trade(0)], executors=[executor(1, ["o0"])]))
    for name in ("fills", "executors", "funding"):
        empty, filled = getattr(history, name), getattr(full, name)
        assert len(empty) == 0
        assert empty.dtypes.to_dict() == filled.dtypes.to_dict(), name
    assert "no fills" in repr(history) and "1 fills of BTC/USDT" in repr(full)


def test_duplicates_are_dropped_and_counted(tmp_path):
    rows = [trade(0), trade(0, order_id="again"), trade(1), trade(0, order_id="other market", symbol="ETH-USDT")]
    history = read_trades(write_database(tmp_path / "a.sqlite", rows))
    assert history.fills["order_id"].tolist() == ["o0", "other market", "o1"]
    assert "1 fills were recorded twice (same exchange, symbol, trade id) and dropped" in history.notes


def test_duplicates_that_differ_are_refused(tmp_path):
    rows = [trade(0), trade(0, order_id="again", amount="0.6")]
    refused(write_database(tmp_path / "a.sqlite", rows), "trade 't0' of BTC/USDT", "0.500000", "0.600000", "row 2")


def test_both_sides_of_a_trade_with_oneself_are_two_fills(tmp_path):
    rows = [trade(0), trade(0, "SELL", order_id="b"), trade(0, "SELL", order_id="c")]
    history = read_trades(write_database(tmp_path / "a.sqlite", rows))
    assert history.fills["order_id"].tolist() == ["o0", "b"]
    assert any(note.startswith("1 trades have both sides in the file") for note in history.notes)


def test_paper_trades_of_one_moment_are_not_one(tmp_path):
    rows = [trade(0, market="binance_PaperTrade"), trade(0, market="binance_PaperTrade", order_id="b", amount="0.6")]
    assert read_trades(write_database(tmp_path / "a.sqlite", rows)).fills["amount"].tolist() == [0.5, 0.6]


def test_fills_without_an_id_all_stay(tmp_path):
    rows = [trade(0, exchange_trade_id=""), trade(0, exchange_trade_id="", order_id="b")]
    history = read_trades(write_database(tmp_path / "a.sqlite", rows))
    assert len(history.fills) == 2 and any("2 fills have no trade id" in note for note in history.notes)


@pytest.fixture
def several(tmp_path):
    rows = [
        trade(0),
        trade(1, symbol="ETH-USDT", config_file_path="conf_b.yml"),
        trade(2, market="okx", config_file_path="conf_b.yml"),
    ]
    found = [executor(1, ["o0"]), executor(2, ["o1"])]
    return read_trades(write_database(tmp_path / "a.sqlite", rows, executors=found, funding=[payment(1, 1.0)]))


def test_several_bots_pairs_and_exchanges_are_counted_together_and_named(several):
    assert several.notes[-1] == (
        "counted together: 2 bots (conf_a, conf_b), 2 exchanges (binance_perpetual, okx), "
        "2 symbols (BTC/USDT, ETH/USDT); select() takes some of them"
    )


def test_select_takes_a_part(several):
    a = several.select(bot="conf_a")
    assert a.fills["order_id"].tolist() == ["o0"] and a.executors["id"].tolist() == ["executor1"]
    assert len(a.funding) == 1 and a.notes[-1] == "selected: bot conf_a (1 of 3 fills)"
    b = several.select(bot="conf_b", symbols=["BTC/USDT", "ETH/USDT"], exchange="okx")
    assert b.fills["order_id"].tolist() == ["o2"] and len(b.funding) == len(b.executors) == 0
    assert several.select().fills.equals(several.fills) and several.select().notes == several.notes
    for names in ({"bot": "conf_c"}, {"symbols": "BTC-USDT"}, {"exchange": []}):
        with pytest.raises(
            ValidationError, match=r"the file holds (conf_a, conf_b|BTC/USDT, ETH/USDT|binance_p.*, okx)"
        ):
            several.select(**names)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("amount", -5, ["is -5: an amount is positive"]),
        ("amount", 0, ["is 0: an amount is positive", "less than the millionth"]),
        ("amount", "abc", ["is 'abc', not a number"]),
        ("amount", 0.5, ["is 0.5, not a whole number (the value times 1,000,000)"]),
        ("price", -1, ["is -1: a price is not negative"]),
        ("price", "12.5", ["is 12.5, not a whole number"]),
        ("price", b"12", ["is b'12', not a number"]),
        ("timestamp", 1_704_067_200, ["not a time in milliseconds since 1970"]),
        ("timestamp", "yesterday", ["is 'yesterday', not a number"]),
        ("trade_type", "RANGE", ["is 'RANGE'; a fill is BUY or SELL"]),
        ("trade_type", "", ["is '', not a text"]),
        ("position", "HALF", ["is 'HALF'; known are OPEN, CLOSE, NIL"]),
        ("leverage", 0, ["is 0, not a whole number of at least 1"]),
        ("symbol", "BTCUSDT", ["is 'BTCUSDT', not a pair such as 'BTC-USDT'"]),
        ("symbol", "BTC-USDT-PERP", ["not a pair"]),
        ("trade_fee_in_quote", "x", ["is 'x', not a number"]),
        ("trade_fee", '{"fee_type": ', ["not JSON"]),
        ("trade_fee", "[1]", ["not a fee"]),
        ("trade_fee", '{"percent": NaN}', ["NaN is no number"]),
        ("trade_fee", '{"fee_type": "Gift"}', ["has fee_type 'Gift'"]),
        ("trade_fee", '{"percent": "much"}', ["has percent 'much', not a number"]),
        ("trade_fee", '{"percent_token": 5}', ["has percent_token 5"]),
        ("trade_fee", '{"flat_fees": "all"}', ["has flat_fees 'all', not a list"]),
        ("trade_fee", '{"flat_fees": [{"amount": "1"}]}', ["without a token"]),
        ("trade_fee", '{"flat_fees": [{"token": "BNB", "amount": "Infinity"}]}', ["flat fee in BNB 'Infinity'"]),
    ],
)
def test_bad_cells_name_table_row_column_and_mend(database, column, value, words):
    altered(database, f'UPDATE "TradeFill" SET "{column}" = ? WHERE order_id = ?', value, "o1")
    refused(database, f"TradeFill row 2, column {column}", *words, "repair or delete that row in a copy")


@pytest.mark.parametrize(
    ("table", "column", "value", "words"),
    [
        ("Executors", "config", "{", ["not JSON"]),
        ("Executors", "custom_info", "[]", ["not a JSON object"]),
        ("Executors", "net_pnl_quote", "won", ["is 'won', not a number"]),
        ("Executors", "timestamp", 12, ["not a time in seconds or milliseconds"]),
        ("FundingPayment", "amount", "little", ["is 'little', not a number"]),
        ("FundingPayment", "symbol", "BTC", ["not a pair"]),
    ],
)
def test_bad_cells_of_other_tables(tmp_path, table, column, value, words):
    path = tmp_path / "a.sqlite"
    write_database(path, [trade(0)], executors=[executor(1, ["o0"])], funding=[payment(1, 1.0)])
    altered(path, f'UPDATE "{table}" SET "{column}" = ?', value)
    refused(path, f"{table} row 1, column {column}", *words)


def test_missing_tables_and_columns(database, tmp_path):
    altered(database, 'DROP TABLE "Executors"')
    history = read_trades(database)
    assert len(history.fills) == 2 and any("no table Executors" in note for note in history.notes)
    altered(database, 'ALTER TABLE "TradeFill" DROP COLUMN position')
    altered(database, 'ALTER TABLE "TradeFill" ADD COLUMN mood TEXT')
    history = read_trades(database)
    assert history.fills["position"].eq("NIL").all()
    assert any("TradeFill has no column position" in note for note in history.notes)
    assert any("columns that are not known and not read: mood" in note for note in history.notes)
    altered(database, 'ALTER TABLE "TradeFill" DROP COLUMN trade_fee')
    refused(database, "table TradeFill has no column trade_fee", "open the database once with a newer Hummingbot")
    altered(database, 'DROP TABLE "TradeFill"')
    refused(database, "has no table TradeFill", "data/<configuration>.sqlite")


def test_an_older_database_keeps_floats(tmp_path):
    path = tmp_path / "old.sqlite"
    connection = sqlite3.connect(path)
    row = stored(trade(0))
    names = ", ".join(f'"{name}" {"FLOAT" if name in {"price", "amount"} else "TEXT"}' for name in row)
    connection.execute(f'CREATE TABLE "TradeFill" (id INTEGER PRIMARY KEY, {names})')
    connection.execute('CREATE TABLE "Executors" (id TEXT)')
    row |= {"price": 42170.12345678, "amount": 0.00000123}
    marks = ", ".join("?" * len(row))
    connection.execute(f'INSERT INTO "TradeFill" VALUES (1, {marks})', list(row.values()))
    connection.commit()
    connection.execute('DROP TABLE "Executors"')
    connection.close()
    history = read_trades(path)
    assert history.fills[["price", "amount"]].iloc[0].tolist() == [42170.12345678, 0.00000123]
    assert any("prices and amounts are floats" in note for note in history.notes)
    assert not any("cut to a millionth" in note for note in history.notes)


def test_liquidity_positions_are_told_of(database):
    altered(database, 'CREATE TABLE "RangePositionUpdate" (id INTEGER)')
    altered(database, 'INSERT INTO "RangePositionUpdate" VALUES (1)')
    assert any("1 changes of liquidity positions" in note for note in read_trades(database).notes)
