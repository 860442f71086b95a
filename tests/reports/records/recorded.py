"""Files as Hummingbot writes them, made here: its SQLite schema (as `.schema` of a real one has it), its CSV kinds."""

import csv
import json
import sqlite3
from decimal import Decimal

import numpy as np
import pandas as pd

from data import Market

SCHEMA = """
CREATE TABLE "Metadata" ("key" TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("key"));
CREATE TABLE "Executors" (id TEXT NOT NULL, timestamp FLOAT NOT NULL, type TEXT NOT NULL, close_type INTEGER,
    close_timestamp BIGINT, status INTEGER NOT NULL, config JSON NOT NULL, net_pnl_pct FLOAT NOT NULL,
    net_pnl_quote FLOAT NOT NULL, cum_fees_quote FLOAT NOT NULL, filled_amount_quote FLOAT NOT NULL,
    is_active BOOLEAN NOT NULL, is_trading BOOLEAN NOT NULL, custom_info JSON NOT NULL, controller_id TEXT,
    PRIMARY KEY (id));
CREATE TABLE "FundingPayment" (timestamp BIGINT NOT NULL, config_file_path TEXT NOT NULL, market TEXT NOT NULL,
    rate FLOAT NOT NULL, symbol TEXT NOT NULL, amount FLOAT NOT NULL, PRIMARY KEY (timestamp));
CREATE TABLE "MarketState" (id INTEGER NOT NULL, config_file_path TEXT NOT NULL, market TEXT NOT NULL,
    timestamp BIGINT NOT NULL, saved_state JSON NOT NULL, PRIMARY KEY (id));
CREATE TABLE "TradeFill" (config_file_path TEXT NOT NULL, strategy TEXT NOT NULL, market TEXT NOT NULL,
    symbol TEXT NOT NULL, base_asset TEXT NOT NULL, quote_asset TEXT NOT NULL, timestamp BIGINT NOT NULL,
    order_id TEXT NOT NULL, trade_type TEXT NOT NULL, order_type TEXT NOT NULL, price BIGINT NOT NULL,
    amount BIGINT NOT NULL, leverage INTEGER NOT NULL, trade_fee JSON NOT NULL, trade_fee_in_quote BIGINT,
    exchange_trade_id TEXT NOT NULL, position TEXT, PRIMARY KEY (market, order_id, exchange_trade_id));
CREATE INDEX tf_config_timestamp_index ON "TradeFill" (config_file_path, timestamp);
"""
TRADES_HEADER = [
    "exchange_trade_id",
    "config_file_path",
    "strategy",
    "market",
    "symbol",
    "base_asset",
    "quote_asset",
    "timestamp",
    "order_id",
    "trade_type",
    "order_type",
    "price",
    "amount",
    "leverage",
    "trade_fee",
    "trade_fee_in_quote",
    "position",
    "age",
]
EXPORT_HEADER = [
    "Id",
    "Timestamp",
    "Exchange",
    "Market",
    "Order_type",
    "Side",
    "Price",
    "Amount",
    "Leverage",
    "Position",
    "Age",
]
START = 1_704_067_200_000  # 2024-01-01 00:00 UTC
HOUR = 3_600_000


def fee(*flat, percent="0", token=None, kind="AddedToCost"):
    flat_fees = [{"token": name, "amount": str(amount)} for amount, name in flat]
    return {"fee_type": kind, "percent": percent, "percent_token": token, "flat_fees": flat_fees}


def trade(number=0, side="BUY", amount="0.5", price="100", **given):
    """One fill by column, decimals as text; `number` is its hour and its id."""
    pair = given.get("symbol", "BTC-USDT")
    return {
        "config_file_path": "conf_a.yml",
        "strategy": "v2_with_controllers",
        "market": "binance_perpetual",
        "symbol": pair,
        "base_asset": pair.split("-")[0],
        "quote_asset": pair.split("-")[-1],
        "timestamp": START + number * HOUR,
        "order_id": f"o{number}",
        "trade_type": side,
        "order_type": "MARKET",
        "price": price,
        "amount": amount,
        "leverage": 1,
        "trade_fee": fee(("0.05", "USDT")),
        "trade_fee_in_quote": None,
        "exchange_trade_id": f"t{number}",
        "position": "OPEN" if side == "BUY" else "CLOSE",
        **given,
    }


def stored(trades):
    """The fill as the database has it: whole millionths, cut; the fee as JSON."""
    row = dict(trades)
    for name in ("price", "amount", "trade_fee_in_quote"):
        if row[name] is not None and not isinstance(row[name], int):
            row[name] = int(Decimal(row[name]) * 10**6)
    row["trade_fee"] = json.dumps(row["trade_fee"])
    return row


def insert(connection, table, rows):
    for row in rows:
        marks = ", ".join("?" * len(row))
        names = ", ".join(f'"{name}"' for name in row)
        connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(row.values()))


def write_database(path, trades=(), *, executors=(), funding=(), states=(), wal=False):
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(SCHEMA)
    insert(connection, "Metadata", [{"key": "local_db_version", "value": "20230516"}])
    insert(connection, "TradeFill", [stored(row) for row in trades])
    insert(connection, "Executors", executors)
    insert(connection, "FundingPayment", funding)
    for number, state in enumerate(states):
        row = {"id": number, "config_file_path": "conf_a.yml", "market": "binance_perpetual", "timestamp": START}
        insert(connection, "MarketState", [{**row, "saved_state": state}])
    connection.commit()
    connection.close()
    return path


def payment(hour, amount, symbol="BTC-USDT", *, seconds=False):
    moment = START + int(hour * HOUR)
    return {
        "timestamp": moment // 1000 if seconds else moment,
        "config_file_path": "conf_a.yml",
        "market": "binance_perpetual",
        "rate": 0.0001,
        "symbol": symbol,
        "amount": amount,
    }


def executor(number, order_ids, *, close_type=2, side=1, info=None, **given):
    custom = {
        "level_id": None,
        "current_position_average_price": "100.25",
        "side": side,
        "close_price": "99.5",
        "order_ids": list(order_ids),
        "held_position_orders": [],
        **(info or {}),
    }
    return {
        "id": f"executor{number}",
        "timestamp": START / 1000 + number,
        "type": "position_executor",
        "close_type": close_type,
        "close_timestamp": None if close_type is None else START // 1000 + 3600,
        "status": 4,
        "config": json.dumps(
            {"connector_name": "binance_perpetual", "trading_pair": "BTC-USDT", "side": side, "amount": "0.5"}
        ),
        "net_pnl_pct": -0.0075,
        "net_pnl_quote": -0.375,
        "cum_fees_quote": 0.1,
        "filled_amount_quote": 100.0,
        "is_active": close_type is None,
        "is_trading": False,
        "custom_info": json.dumps(custom),
        "controller_id": "main",
        **given,
    }


def order_json(order_id, trade_id, price, amount):
    """An order as the bot saves it, with one fill."""
    fill = {"trade_id": trade_id, "client_order_id": order_id, "fill_price": price, "fill_base_amount": amount}
    return {
        "client_order_id": order_id,
        "trading_pair": "BTC-USDT",
        "amount": amount,
        "order_fills": {trade_id: {**fill, "fee": fee(("0.05", "USDT"))}},
    }


def write_trades_csv(path, trades):
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(TRADES_HEADER)
        lines.writerows([{**row, "age": "00:00:01"}[name] for name in TRADES_HEADER] for row in trades)
    return path


def write_export_csv(path, rows):
    """Rows of (id, local time, side, price, amount)."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(EXPORT_HEADER)
        for name, time, side, price, amount in rows:
            lines.writerow(
                [name, time, "binance_perpetual", "BTC-USDT", "limit", side, price, amount, 1, "OPEN", "00:00:01"]
            )
    return path


def candles(closes, *, timeframe="1h", start="2024-01-01", spread=0.001, missing=()):
    """Bars that open and close at the same price, with a narrow range; `missing` ones are left out."""
    index = pd.date_range(start, periods=len(closes), freq=pd.Timedelta(timeframe), tz="UTC")
    close = np.asarray(closes, dtype=float)
    table = {"open": close, "high": close * (1 + spread), "low": close * (1 - spread), "close": close, "volume": 1.0}
    return pd.DataFrame(table, index=index).drop(index[list(missing)])


def market(timeframe="1h", **by_coin):
    """A market of COIN/USDT from lists of closes, or tables of candles."""
    frames = {
        f"{coin}/USDT": table if isinstance(table, pd.DataFrame) else candles(table, timeframe=timeframe)
        for coin, table in by_coin.items()
    }
    return Market.from_frames(frames, timeframe=timeframe)
