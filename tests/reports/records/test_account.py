"""A bot's trades as an account: equity, fees in all their currencies, funding, and what cannot be placed."""

import numpy as np
import pandas as pd
import pytest

from data.errors import ValidationError
from reports.hummingbot.records import baseline_from_trades, read_trades
from tests.reports.records.recorded import HOUR, START, candles, executor, fee, market, payment, trade, write_database

FLAT = [100.0] * 6
SPOT = {"market": "binance", "position": "NIL"}
FREE = fee()


@pytest.fixture
def account(tmp_path):
    def run(trades, bars=None, cash=1_000.0, *, funding=(), executors=(), **options):
        (tmp_path / "conf_a.sqlite").unlink(missing_ok=True)
        path = write_database(tmp_path / "conf_a.sqlite", trades, funding=funding, executors=executors)
        return baseline_from_trades(read_trades(path), bars or market(BTC=FLAT), cash, **options)

    return run


def test_equity_is_cash_and_positions_at_each_close(account):
    closes = [100.0, 110.0, 121.0, 100.0, 90.0, 95.0]
    trades = [
        trade(1, amount="2", price="110", trade_fee=fee(("0.5", "USDT"))),
        trade(3, "SELL", amount="3", price="100", trade_fee=fee(("0.25", "USDT"))),  # 1 short
    ]
    run = account(trades, market(BTC=closes))
    assert run.equity.tolist() == [1000, 999.5, 1021.5, 979.25, 989.25, 984.25]
    assert run.positions["BTC/USDT"].tolist() == [0, 2, 2, -1, -1, -1]
    assert run.orders["amount"].tolist() == [2.0, 3.0] and run.orders["side"].tolist() == ["buy", "sell"]
    assert run.orders["fee"].tolist() == [0.5, 0.25] and run.orders["reason"].tolist() == ["market", "market"]
    assert (run.orders["filled_at"] == run.equity.index[[1, 3]]).all()
    # Still open: the short of 1 from 100 is marked at 95.
    assert run.statement().drop("unexplained").to_dict() == {
        "initial_cash": 1000, "realised": -20, "unrealised": 5, "fees": 0.75, "funding": 0, "borrow": 0,
        "final_equity": 984.25,
    }  # fmt: skip
    assert run.trades["open"].tolist() == [False, True]
    assert (run.name, run.broker, run.timeframe) == ("Hummingbot, conf_a", "hummingbot", "1h")


def test_a_fill_belongs_to_the_bar_that_was_open_at_its_time(account):
    times = [START, START + HOUR - 1, START + HOUR, START + 6 * HOUR - 1]
    run = account([trade(number, timestamp=time) for number, time in enumerate(times)])
    assert ((run.orders["filled_at"] - run.equity.index[0]) / pd.Timedelta("1h")).tolist() == [0, 0, 1, 5]


def test_meta_tells_where_it_came_from(account):
    bars = market(BTC=FLAT, BNB=[300.0] * 6)
    run = account([trade(0)], bars, funding=[payment(1, 0.5)], executors=[executor(1, ["o0"])], name="mine")
    meta = run.meta
    assert run.name == "mine" and meta["source"].endswith("conf_a.sqlite") and meta["kind"] == "sqlite"
    assert (meta["fills"], meta["executors"], meta["funding_payments"], meta["bars"]) == (1, 1, 1, 6)
    assert len(meta["records"]) == 64 and meta["data"] == bars.fingerprint() and meta["symbols"] == ["BTC/USDT"]
    assert any("cut to a millionth" in note for note in meta["notes"]) and meta["unpriced_fees"] == {}


def test_an_order_of_an_executors_end_tells_how_it_ended(account):
    trades = [trade(0, order_id="a"), trade(1, "SELL", order_id="b"), trade(2, order_type="LIMIT_MAKER")]
    run = account(trades, executors=[executor(1, ["a", "b"])])
    assert run.orders["reason"].tolist() == ["market", "STOP_LOSS", "limit maker"]


def test_without_fills_the_account_is_its_cash(account):
    run = account([])
    assert run.equity.tolist() == [1000.0] * 6 and len(run.orders) == 0 and run.stats()["orders"] == 0


def test_fees_in_another_token_at_its_close_in_the_fills_bar(account):
    bnb = [300.0, 310.0, 320.0, 330.0, 340.0, 350.0]
    trades = [trade(1, trade_fee=fee(("0.002", "BNB")), trade_fee_in_quote="99")]
    run = account(trades, market(BTC=FLAT, BNB=bnb))
    assert run.orders["fee"].tolist() == [pytest.approx(0.62)]
    assert run.equity.iloc[-1] == pytest.approx(1000 - 0.62) and run.meta["symbols"] == ["BTC/USDT"]
    note = "fees of 1 fills in BNB are counted at the close of BNB/USDT in the fill's bar"
    assert note in run.meta["notes"]


def test_a_gap_in_the_tokens_candles_is_priced_by_the_close_before(account):
    bars = market(BTC=FLAT, BNB=candles([300.0, 310.0, 320.0, 330.0], missing=[0, 2]))
    row = {"trade_fee": fee(("0.01", "BNB"))}
    run = account([trade(2, **row), trade(5, **row)], bars)
    assert run.orders["fee"].tolist() == [pytest.approx(3.1), pytest.approx(3.3)]
    early = account([trade(0, **row, exchange_trade_id="early")], bars)
    assert early.meta["unpriced_fees"] == {"BNB": "0.01"}


def test_without_its_candles_a_fee_is_what_the_bot_made_of_it(account):
    run = account([trade(1, trade_fee=fee(("0.002", "BNB")), trade_fee_in_quote="0.61")])
    assert run.orders["fee"].tolist() == [0.61] and run.meta["unpriced_fees"] == {}
    assert any("1 fills in BNB are counted as the bot converted them" in note for note in run.meta["notes"])


def test_a_fee_that_nothing_prices_is_told_by_token_and_amount(account):
    rows = [trade(number, trade_fee=fee((amount, "BNB"))) for number, amount in enumerate(["0.002", "0.001"])]
    rows.append(trade(2, trade_fee=fee(("0.5", "USDT"), ("0.00001", "SOL")), trade_fee_in_quote="7"))
    run = account(rows)
    assert run.orders["fee"].tolist() == [0.0, 0.0, 0.5]
    assert run.meta["unpriced_fees"] == {"BNB": "0.003", "SOL": "0.00001"}
    notes = run.meta["notes"]
    assert "fees of 0.003 BNB are NOT counted: nothing prices them; add candles of BNB/USDT" in notes
    assert "fees of 0.00001 SOL are NOT counted: nothing prices them; add candles of SOL/USDT" in notes


def test_a_fee_in_the_coin_comes_out_of_the_position(account):
    trades = [
        trade(0, amount="1", trade_fee=fee(percent="0.001", kind="DeductedFromReturns"), **SPOT),
        trade(2, "SELL", amount="0.5", trade_fee=fee(("0.002", "BTC")), **SPOT),
    ]
    run = account(trades, market(BTC=[100.0, 100.0, 100.0, 200.0, 200.0, 200.0]))
    assert run.positions["BTC/USDT"].tolist() == [0.999, 0.999, 0.497, 0.497, 0.497, 0.497]
    assert run.equity.tolist() == pytest.approx([999.9, 999.9, 999.7, 1049.4, 1049.4, 1049.4], rel=1e-12)
    assert run.orders["amount"].tolist() == [0.999, 0.502]
    assert run.orders["fee"].tolist() == pytest.approx([0.1, 0.2])
    assert run.statement()["unexplained"] == pytest.approx(0.0, abs=1e-9)
    assert any("fees of 2 fills were paid in the traded coin" in note for note in run.meta["notes"])


def test_a_contracts_fee_in_the_coin_does_not_come_out_of_the_contract(account):
    run = account([trade(0, amount="1", trade_fee=fee(("0.001", "BTC")))])
    assert run.positions["BTC/USDT"].tolist() == [1.0] * 6 and run.orders["fee"].tolist() == [0.1]


def test_a_fee_of_all_that_was_bought_is_refused(account):
    with pytest.raises(ValidationError, match=r"the fee of 0\.5 in the coin is all that BTC/USDT, trade 't0'"):
        account([trade(0, trade_fee=fee(("0.5", "BTC")), **SPOT)])


def test_a_closed_position_is_exactly_nothing(account):
    amounts = ["0.1", "0.2", "0.3"]
    trades = [trade(number, amount=amount, trade_fee=FREE) for number, amount in enumerate(amounts)]
    run = account([*trades, trade(4, "SELL", amount="0.6", trade_fee=FREE)])
    assert run.positions["BTC/USDT"].iloc[-1] == 0.0
    assert 0.1 + 0.2 + 0.3 - 0.6 != 0.0  # what floats would have left


def test_funding_is_charged_on_its_bar(account):
    run = account([trade(0, trade_fee=FREE)], funding=[payment(2.5, -0.75), payment(4, 0.25, seconds=True)])
    assert run.equity.tolist() == [1000, 1000, 999.25, 999.25, 999.5, 999.5]
    assert run.charges["paid"].tolist() == [0.75, -0.25] and run.statement()["funding"] == 0.5
    assert run.charges["kind"].eq("funding").all()


def test_funding_in_a_gap_falls_on_the_next_bar_and_outside_is_refused(account):
    bars = market(BTC=candles(FLAT, missing=[2]))
    run = account([trade(0)], bars, funding=[payment(2.5, -1.0)])
    assert run.charges["at"].tolist() == [run.equity.index[2]] == [pd.Timestamp("2024-01-01 03:00", tz="UTC")]
    for hour in (-1, 6):
        with pytest.raises(ValidationError, match=r"1 of 1 funding payments lie outside the candles, the first of BTC"):
            account([trade(0)], funding=[payment(hour, 1.0)])


def test_several_pairs_in_one_account_and_in_two(tmp_path):
    trades = [
        trade(0, amount="1", trade_fee=FREE),
        trade(1, amount="2", price="10", symbol="ETH-USDT", config_file_path="conf_b.yml", trade_fee=FREE),
    ]
    history = read_trades(write_database(tmp_path / "a.sqlite", trades))
    bars = market(ETH=[10.0, 10.0, 12.0, 12.0], BTC=[100.0, 101.0, 102.0, 103.0])
    both = baseline_from_trades(history, bars, 1_000.0)
    assert both.equity.tolist() == [1000, 1001, 1006, 1007] and list(both.positions.columns) == ["ETH/USDT", "BTC/USDT"]
    assert any(note.startswith("counted together: 2 bots (conf_a, conf_b)") for note in both.meta["notes"])
    one = baseline_from_trades(history.select(bot="conf_a"), bars, 1_000.0)
    two = baseline_from_trades(history.select(symbols="ETH/USDT"), bars, 1_000.0)
    assert (one.equity + two.equity - 1_000.0).tolist() == both.equity.tolist()
    assert list(two.positions.columns) == ["ETH/USDT"] and one.meta["records"] != both.meta["records"]


def test_two_quote_currencies_are_no_account(account):
    trades = [trade(0), trade(1, symbol="ETH-BTC", price="0.05")]
    with pytest.raises(ValidationError, match=r"2 quote currencies \(USDT: BTC/USDT; BTC: ETH/BTC\).*select\(symbols="):
        account(trades)


def test_a_symbol_without_candles_is_named(account):
    trades = [trade(0), trade(1, symbol="ETH-USDT"), trade(2, symbol="ETH-USDT")]
    with pytest.raises(
        ValidationError, match=r"fills without candles: ETH/USDT \(2\), the first at 2024-01-01 01:00:00"
    ):
        account(trades)
    with pytest.raises(ValidationError, match=r"funding payments without candles: ETH/USDT \(1\)"):
        account([], funding=[payment(1, 1.0, "ETH-USDT")])


@pytest.mark.parametrize(("number", "when"), [(-1, "2023-12-31 23:00:00"), (6, "2024-01-01 06:00:00")])
def test_fills_outside_the_candles_are_refused(account, number, when):
    words = (
        rf"1 of 2 fills fall on no bar, first BTC/USDT buy at 100, {when} UTC: the candles run from 2024-01-01 00:00"
    )
    with pytest.raises(ValidationError, match=words + r".* to 2024-01-01 06:00.*; load candles from"):
        account([trade(3), trade(number)])


def test_fills_in_a_gap_are_refused(account):
    bars = market(BTC=candles(FLAT, missing=[2]), ETH=FLAT)
    with pytest.raises(ValidationError, match=r"gap there \(its last bar before opens at 2024-01-01 01:00.*1h bars"):
        account([trade(0), trade(2)], bars)
    # Of the other symbol, which has the bar, it is none.
    assert len(account([trade(2, symbol="ETH-USDT")], bars).orders) == 1


def test_prices_outside_their_bars(account):
    def trades(far):
        return [trade(number, price="103" if number < far else "100") for number in range(6)]

    assert not any("outside" in note for note in account(trades(0)).meta["notes"])
    for far in (1, 6):
        with pytest.raises(
            ValidationError, match=rf"{far} of 6 fills have a price more than 0\.50% outside .* \(5% may\)"
        ):
            account(trades(far))
    run = account(trades(1), may_lie_outside=0.2)
    assert "1 of 6 fills lie more than 0.50% outside their bar's range" in run.meta["notes"]
    assert len(account(trades(6), price_tolerance=0.03).orders) == 6


def test_a_wrong_time_zone_is_guessed(account):
    closes = list(np.linspace(100.0, 300.0, 24))
    trades = [trade(number + 5, price=f"{closes[number]:.4f}") for number in range(10)]
    with pytest.raises(
        ValidationError, match=r"10 of 10 fills .*; moved by -5 to -4.5 h, all but 0 would lie within: is the time"
    ):
        account(trades, market(BTC=closes))
    with pytest.raises(ValidationError, match=r"are the candles of the bot's own exchange and market"):
        account([trade(number, price="9000") for number in range(10)], market(BTC=closes))


def test_an_unknown_price_is_refused(account):
    with pytest.raises(
        ValidationError, match=r"1 of 2 fills have no price \(the file keeps millionths: 0\), first BTC"
    ):
        account([trade(0), trade(1, price="0.0000001")])


def test_spot_that_is_sold_before_it_is_bought_is_told(account):
    run = account([trade(0, "SELL", amount="2", trade_fee=FREE, **SPOT)])
    assert any("BTC/USDT is sold down to -2 on a spot market" in note for note in run.meta["notes"])
    run = account([trade(0, "SELL", amount="2", exchange_trade_id="contract")])
    assert not any("spot market" in note for note in run.meta["notes"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cash": 0}, "cash=0: give a positive amount"),
        ({"cash": float("nan")}, "give a positive amount"),
        ({"cash": "1000"}, "give a positive amount"),
        ({"price_tolerance": -0.1}, "price_tolerance=-0.1: give a fraction of 0 to 1"),
        ({"may_lie_outside": 2}, "may_lie_outside=2: give a fraction"),
        ({"may_lie_outside": True}, "give a fraction"),
    ],
)
def test_arguments_that_are_none(account, options, words):
    with pytest.raises(ValidationError) as told:
        account([trade(0)], **options)
    assert words in str(told.value)


def test_what_is_no_history_or_no_market(tmp_path):
    history = read_trades(write_database(tmp_path / "a.sqlite", [trade(0)]))
    with pytest.raises(ValidationError, match="trades is str; give what read_trades"):
        baseline_from_trades("conf_a.sqlite", market(BTC=FLAT), 1_000.0)
    with pytest.raises(ValidationError, match="candles: give a Market with bars"):
        baseline_from_trades(history, candles(FLAT), 1_000.0)
