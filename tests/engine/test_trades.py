"""Round trips: pairing, averages, reversals, and the identity that ties them to the account."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.result import order_table
from engine.trades import TRADE_COLUMNS, pair_trades

INDEX = pd.date_range("2024-01-01", periods=12, freq="h", tz="UTC", name="time")


def orders_of(*fills, symbols=("BTC/USDT", "ETH/USDT"), index=INDEX):
    """The orders table of (bar, symbol number, signed amount, price, fee[, reason])."""
    rows = [(*fill, "target")[:6] for fill in fills]
    bars = np.array([row[0] for row in rows], dtype=int)
    return order_table(
        index,
        symbols,
        decided=bars - 1,
        filled=bars,
        column=np.array([row[1] for row in rows], dtype=int),
        amount=np.array([row[2] for row in rows], dtype=float),
        price=np.array([row[3] for row in rows], dtype=float),
        fee=np.array([row[4] for row in rows], dtype=float),
        reason=np.array([row[5] for row in rows], dtype=object),
    )


def prices_at(btc=10.0, eth=5.0, index=INDEX):
    return pd.DataFrame({"BTC/USDT": btc, "ETH/USDT": eth}, index=index, dtype=float)


def test_long_round_trip_with_two_entries_and_two_exits():
    trades = pair_trades(
        orders_of(
            (1, 0, 1.0, 10.0, 0.1, "enter"),
            (2, 0, 3.0, 12.0, 0.3),
            (4, 0, -2.0, 15.0, 0.2),
            (6, 0, -2.0, 13.0, 0.2, "leave"),
        ),
        prices_at(),
    )
    assert list(trades.columns) == list(TRADE_COLUMNS)
    trade = trades.iloc[0]
    assert (trade["symbol"], trade["side"], trade["open"]) == ("BTC/USDT", "long", False)
    assert (trade["entry_at"], trade["exit_at"], trade["bars"]) == (INDEX[1], INDEX[6], 5)
    assert (trade["entry_reason"], trade["exit_reason"]) == ("enter", "leave")
    assert trade["amount"] == 4.0
    assert trade["entry_price"] == pytest.approx(46 / 4)
    assert trade["exit_price"] == pytest.approx(14.0)
    assert trade["fees"] == pytest.approx(0.8)
    assert trade["pnl"] == pytest.approx(56 - 46 - 0.8)
    assert trade["return"] == pytest.approx((56 - 46 - 0.8) / 46)


def test_reversal_ends_one_trade_and_begins_the_next_with_its_fee_split_by_amount():
    trades = pair_trades(
        orders_of((1, 0, 1.0, 10.0, 0.1), (3, 0, -4.0, 12.0, 0.8, "turn"), (5, 0, 3.0, 11.0, 0.3)), prices_at()
    )
    assert trades["side"].tolist() == ["long", "short"]
    assert trades["entry_at"].tolist() == [INDEX[1], INDEX[3]]
    assert trades["exit_at"].tolist() == [INDEX[3], INDEX[5]]
    assert trades["fees"].tolist() == pytest.approx([0.1 + 0.2, 0.6 + 0.3])
    assert trades["pnl"].tolist() == pytest.approx([2.0 - 0.3, 3.0 - 0.9])
    assert trades["entry_reason"].tolist() == ["target", "turn"]


def test_open_position_is_marked_at_the_last_known_close():
    prices = prices_at(btc=14.0)
    prices.iloc[-3:, 0] = np.nan
    trade = pair_trades(orders_of((1, 0, 2.0, 10.0, 0.1), (4, 0, -1.0, 11.0, 0.1)), prices).iloc[0]
    assert trade["open"]
    assert pd.isna(trade["exit_at"])
    assert trade["bars"] == 10
    assert trade["exit_price"] == pytest.approx((11 + 14) / 2)
    assert trade["pnl"] == pytest.approx(11 + 14 - 20 - 0.2)


def test_rounding_noise_is_no_position():
    trades = pair_trades(
        orders_of((1, 0, 0.1, 10.0, 0), (2, 0, 0.2, 10.0, 0), (3, 0, -0.3, 10.0, 0), (5, 0, 0.4, 10.0, 0)), prices_at()
    )
    assert trades["open"].tolist() == [False, True]
    assert trades["entry_at"].tolist() == [INDEX[1], INDEX[5]]


def test_symbols_are_paired_apart_and_listed_by_entry():
    trades = pair_trades(
        orders_of((1, 1, 2.0, 5.0, 0), (2, 0, 1.0, 10.0, 0), (3, 0, -1.0, 11.0, 0), (6, 1, -2.0, 6.0, 0)), prices_at()
    )
    assert trades["symbol"].tolist() == ["ETH/USDT", "BTC/USDT"]
    assert trades["pnl"].tolist() == pytest.approx([2.0, 1.0])


def test_no_orders_give_an_empty_table_of_the_same_types():
    empty = pair_trades(orders_of(), prices_at())
    full = pair_trades(orders_of((1, 0, 1.0, 10.0, 0)), prices_at())
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.floats(-5, 5).filter(lambda x: abs(x) > 1e-3), st.floats(1, 100), st.floats(0, 1)
        ),
        max_size=40,
    )
)
def test_profits_add_up_to_what_the_account_gained(fills):
    index = pd.date_range("2024-01-01", periods=len(fills) + 2, freq="h", tz="UTC")
    table = orders_of(*((bar + 1, *fill) for bar, fill in enumerate(fills)), index=index)
    cash, held = 0.0, [0.0, 0.0]
    for symbol, amount, price, fee in fills:
        cash -= amount * price + fee
        held[symbol] += amount
    trades = pair_trades(table, prices_at(btc=17.0, eth=3.0, index=index))
    assert trades["pnl"].sum() == pytest.approx(cash + held[0] * 17.0 + held[1] * 3.0, abs=1e-6)
    assert trades["fees"].sum() == pytest.approx(sum(fill[3] for fill in fills))


def bars_of(*ranges, index=INDEX):
    """High and low of BTC/USDT by bar, the rest flat at 10."""
    high, low = prices_at(index=index), prices_at(index=index)
    for bar, lowest, highest in ranges:
        high.iloc[bar, 0], low.iloc[bar, 0] = highest, lowest
    return {"high": high, "low": low}


def test_excursions_are_the_worst_and_the_best_price_while_held_over_the_average_entry():
    ranges = bars_of((0, 1.0, 99.0), (1, 9.0, 10.5), (3, 10.0, 14.0), (5, 1.0, 99.0))
    orders = orders_of((1, 0, 1.0, 10.0, 0), (2, 0, 1.0, 12.0, 0), (5, 0, -2.0, 11.5, 0))
    trade = pair_trades(orders, prices_at(), **ranges).iloc[0]
    assert trade["mae"] == pytest.approx(9 / 11 - 1)
    assert trade["mfe"] == pytest.approx(14 / 11 - 1)
    short = orders_of((1, 0, -1.0, 10.0, 0), (5, 0, 1.0, 9.5, 0))
    trade = pair_trades(short, prices_at(), **ranges).iloc[0]
    assert trade["mae"] == pytest.approx(1 - 14 / 10)
    assert trade["mfe"] == pytest.approx(1 - 9 / 10)


def test_excursions_of_an_exit_reach_its_price_though_its_bar_is_not_counted():
    orders = orders_of((1, 0, 1.0, 10.0, 0), (1, 0, -1.0, 8.0, 0, "stop loss"))
    trade = pair_trades(orders, prices_at(), **bars_of((1, 7.0, 13.0))).iloc[0]
    assert (trade["mae"], trade["mfe"]) == (pytest.approx(-0.2), 0.0)


def test_what_was_better_in_the_bar_of_a_limit_fill_may_lie_before_it_and_does_not_count():
    for reason, best in (("target, limit", 0.0), ("target, limit expired", 0.4), ("target", 0.4)):
        orders = orders_of((1, 0, 1.0, 10.0, 0, reason), (3, 0, -1.0, 10.0, 0))
        trade = pair_trades(orders, prices_at(), **bars_of((1, 9.0, 14.0))).iloc[0]
        assert (trade["mae"], trade["mfe"]) == (pytest.approx(-0.1), pytest.approx(best))


def test_charges_belong_to_the_trade_that_was_open_when_their_bar_began():
    charges = pd.DataFrame(
        {
            "at": INDEX[[2, 3, 4, 4]],
            "symbol": ["BTC/USDT"] * 4,
            "kind": ["funding", "borrow", "funding", "borrow"],
            "paid": [0.5, 0.25, 1.0, 0.125],
        }
    )
    orders = orders_of((1, 0, -1.0, 10.0, 0), (4, 0, 2.0, 10.0, 0), (6, 0, -1.0, 10.0, 0))
    trades = pair_trades(orders, prices_at(), charges=charges)
    assert trades["funding"].tolist() == [1.5, 0.0]
    assert trades["borrow"].tolist() == [0.375, 0.0]
    assert trades["pnl"].tolist() == pytest.approx([-1.875, 0.0])


def test_rest_that_a_fee_in_coins_leaves_ends_the_trade_and_joins_the_next_at_its_price():
    orders = orders_of((1, 0, 1.0, 10.0, 0.1), (3, 0, -0.9, 12.0, 0.12), (5, 0, 1.0, 14.0, 0.14), (7, 0, -1.0, 15.0, 0))
    trades = pair_trades(orders, prices_at(btc=20.0), flat=np.array([0.1, 0.1]), fee_in_bought=True)
    # 0.99 coins come for 10; 0.9 of them leave at 12, where 0.09 stay; with 0.99 more at 14 that is 1.08.
    assert trades["open"].tolist() == [False, False]
    assert trades["amount"].tolist() == pytest.approx([0.99, 1.08])
    assert trades["pnl"].iloc[0] == pytest.approx(0.99 * 12 - 0.99 * 10 - 0.1 - 0.12)
    assert trades["pnl"].iloc[1] == pytest.approx(1.08 * 15 - 0.99 * 14 - 0.09 * 12 - 0.14)
