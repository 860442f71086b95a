"""Whatever a bot traded: what is written is what is read, and the account adds up."""

import itertools
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from reports.hummingbot.records import baseline_from_trades, read_trades
from tests.reports.records.recorded import (
    HOUR,
    START,
    fee,
    market,
    payment,
    trade,
    write_database,
    write_trades_csv,
)

BARS, CASH = 12, 10_000.0
COINS = {"BTC": 100.0, "ETH": 10.0}
EXAMPLES = settings(max_examples=60, deadline=None)
amounts = st.integers(1, 3_000_000).map(lambda number: Decimal(number).scaleb(-6))


@st.composite
def fees(draw):
    amount = draw(st.integers(-20, 500).map(lambda number: Decimal(number).scaleb(-4)))
    kind = draw(st.sampled_from(["USDT", "BNB", "percent", "deducted", "both", "none"]))
    return {
        "USDT": fee((amount, "USDT")),
        "BNB": fee((amount / 100, "BNB")),
        "percent": fee(percent="0.0006"),
        "deducted": fee(percent="0.001", kind="DeductedFromReturns"),
        "both": fee((amount, "USDT"), (amount / 100, "BNB"), percent="0.0002"),
        "none": fee(),
    }[kind]


@st.composite
def histories(draw):
    """Fills of two coins, spot or contract, each at its coin's price; funding; closes that move."""
    moves = st.lists(st.sampled_from([1.0, 1.1, 0.9, 1.25, 0.8]), min_size=BARS, max_size=BARS)
    closes = {}
    for coin, first in COINS.items():
        levels = itertools.accumulate(draw(moves), lambda price, move: round(price * move, 4), initial=first)
        closes[coin] = list(levels)[1:]
    rows = []
    for number in range(draw(st.integers(0, 15))):
        coin, bar = draw(st.sampled_from(sorted(COINS))), draw(st.integers(0, BARS - 1))
        spot = draw(st.booleans())
        rows.append(
            trade(
                number,
                draw(st.sampled_from(["BUY", "SELL"])),
                amount=str(draw(amounts)),
                price=str(closes[coin][bar]),
                symbol=f"{coin}-USDT",
                timestamp=START + bar * HOUR + draw(st.integers(0, HOUR - 1)),
                market="binance" if spot else "binance_perpetual",
                trade_fee=draw(fees()),
                config_file_path=draw(st.sampled_from(["conf_a.yml", "conf_b.yml"])),
                **({"position": "NIL"} if spot else {}),
            )
        )
    hours = draw(st.lists(st.integers(0, BARS - 1), unique=True, max_size=4))
    paid = [
        payment(hour, draw(st.integers(-200, 200)) / 100, f"{draw(st.sampled_from(['BTC', 'ETH']))}-USDT")
        for hour in hours
    ]
    return rows, paid, closes


def by_hand(rows, paid, closes, bnb):
    """Cash and coins at each close, in decimals, kept in the plainest way: from the rows, not from what was read."""
    equity = []
    for bar in range(BARS):
        until = START + (bar + 1) * HOUR
        cash, coins = Decimal(str(CASH)), dict.fromkeys(COINS, Decimal(0))
        for row in rows:
            if row["timestamp"] >= until:
                continue
            coin, price, amount = row["base_asset"], Decimal(row["price"]), Decimal(row["amount"])
            sign = 1 if row["trade_type"] == "BUY" else -1
            coins[coin] += sign * amount
            cash -= sign * amount * price
            charged = row["trade_fee"]
            share = Decimal(charged["percent"])
            if charged["fee_type"] == "DeductedFromReturns" and sign > 0 and row["position"] == "NIL":
                coins[coin] -= share * amount
            else:
                cash -= share * amount * price
            for flat in charged["flat_fees"]:
                at = (row["timestamp"] - START) // HOUR
                rate = Decimal(str(bnb[at])) if flat["token"] == "BNB" else Decimal(1)
                cash -= Decimal(flat["amount"]) * rate
        cash += sum((Decimal(str(row["amount"])) for row in paid if row["timestamp"] < until), Decimal(0))
        marks = {coin: Decimal(str(closes[coin][bar])) for coin in COINS}
        equity.append(float(cash + sum(coins[coin] * marks[coin] for coin in COINS)))
    return equity


@EXAMPLES
@given(histories())
def test_the_account_is_that_of_books_kept_by_hand_and_its_statement_adds_up(history):
    rows, paid, closes = history
    bnb = [300.0 + bar for bar in range(BARS)]
    with TemporaryDirectory() as folder:
        read = read_trades(write_database(Path(folder) / "a.sqlite", rows, funding=paid))
    run = baseline_from_trades(read, market(BNB=bnb, **closes), CASH)
    assert run.equity.tolist() == pytest.approx(by_hand(rows, paid, closes, bnb), rel=1e-12)
    said = run.statement()
    explained = said["initial_cash"] + said["realised"] + said["unrealised"] - said["fees"] - said["funding"]
    assert explained == pytest.approx(run.equity.iloc[-1], rel=1e-9)
    assert said["fees"] == pytest.approx(run.orders["fee"].sum()) and run.meta["unpriced_fees"] == {}


@EXAMPLES
@given(histories())
def test_what_is_written_is_what_is_read_from_either_kind(history):
    rows, paid, _ = history
    with TemporaryDirectory() as folder:
        database = read_trades(write_database(Path(folder) / "a.sqlite", rows, funding=paid))
        text = read_trades(write_trades_csv(Path(folder) / "trades_a.csv", rows))
    assert database.fills.equals(text.fills)
    ranked = sorted(rows, key=lambda row: row["timestamp"])
    fills = database.fills
    # Each float is the nearest to the decimal written: it gives the decimal back.
    for name in ("price", "amount"):
        assert [Decimal(repr(value)) for value in fills[name]] == [Decimal(row[name]) for row in ranked]
    assert (fills["time"].astype("int64") // 10**6).tolist() == [row["timestamp"] for row in ranked]
    assert fills["order_id"].tolist() == [row["order_id"] for row in ranked]
    assert fills["side"].tolist() == [row["trade_type"].lower() for row in ranked]
    assert sorted(database.funding["amount"]) == sorted(row["amount"] for row in paid)


@EXAMPLES
@given(histories(), st.randoms(use_true_random=False))
def test_the_parts_of_a_history_are_the_whole(history, random):
    rows, paid, closes = history
    random.shuffle(rows)
    with TemporaryDirectory() as folder:
        read = read_trades(write_database(Path(folder) / "a.sqlite", rows, funding=paid))
    column = random.choice(["bot", "exchange"])
    names = sorted(set(read.fills[column]) | set(read.funding[column]))
    parts = [read.select(**{column: name}) for name in names]
    assert sum(len(part.fills) for part in parts) == len(read.fills)
    bars = market(BNB=[300.0] * BARS, **closes)
    whole = baseline_from_trades(read, bars, CASH).equity.iloc[-1] - CASH
    gains = [baseline_from_trades(part, bars, CASH).equity.iloc[-1] - CASH for part in parts]
    assert sum(gains) == pytest.approx(whole, rel=1e-9, abs=1e-8)
