"""The database that the real bot's recorder wrote, beside the executors that it was made from."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import Market
from reports.hummingbot.records import baseline_from_trades, read_trades

SHARED = Path(__file__).resolve().parents[4] / "shared" / "hummingbot"
DATABASE, GOLDEN = SHARED / "conf_v2_quantile.sqlite", SHARED / "golden" / "quantile_1h_a"
CASH, CUT = 10_000.0, 1e-6

pytestmark = pytest.mark.skipif(
    not DATABASE.exists() or not GOLDEN.exists(),
    reason="the real Hummingbot's database and its golden runs are not here: ../shared/hummingbot",
)


@pytest.fixture(scope="module")
def history():
    return read_trades(DATABASE)


@pytest.fixture(scope="module")
def executors():
    """The first 400 of the run by creation: those that the database holds."""
    return pd.read_parquet(GOLDEN / "executors.parquet").sort_values("opened_at", ignore_index=True).iloc[:400]


@pytest.fixture(scope="module")
def legs(history):
    """Fills of the orders o0... and c0..., the openings and the closings, each in the order of the executors."""
    number = history.fills["order_id"].str[1:].astype(int)
    ranked = history.fills.assign(number=number).sort_values("number")
    kinds = ranked["order_id"].str[0]
    return tuple(ranked[kinds == kind].reset_index(drop=True) for kind in "oc")


@pytest.fixture(scope="module")
def bars():
    table = pd.read_parquet(GOLDEN / "bars.parquet")[["open", "high", "low", "close", "volume"]]
    return Market.from_frames({"BTC/USDT": table}, timeframe="1h")


def test_all_its_800_fills_are_read(history):
    assert history.kind == "sqlite" and len(history.fills) == 800
    assert set(history.fills["symbol"]) == {"BTC/USDT"} and set(history.fills["bot"]) == {"conf_v2_quantile"}
    assert history.fills["position"].value_counts().to_dict() == {"OPEN": 400, "CLOSE": 400}
    assert history.fills["time"].is_monotonic_increasing and str(history.fills["time"].dtype) == "datetime64[ns, UTC]"
    assert history.fills["price"].gt(1_000).all() and history.fills["fee_token"].eq("USDT").all()
    assert len(history.executors) == len(history.funding) == 0


def test_times_and_sides_are_those_of_the_executors(legs, executors):
    opened, closed = legs
    assert (opened["time"] == executors["opened_at"]).all()
    # The recorder's run stamped each closing half a second after its bar's time.
    assert (closed["time"] - executors["closed_at"] == pd.Timedelta("0.5s")).all()
    assert opened["side"].str.upper().tolist() == executors["side"].tolist()
    assert (closed["side"] != opened["side"]).all()


def test_prices_amounts_and_fees_are_those_of_the_executors_but_for_the_cut(legs, executors):
    opened, closed = legs
    noise = 1e-9  # of the price's own float64
    for ours, real in (
        (opened["price"], executors["entry"]),
        (closed["price"], executors["close_price"]),
        (opened["amount"], executors["amount"]),
        (closed["amount"], executors["amount"]),
    ):
        lacking = real - ours
        assert lacking.between(-noise, CUT + noise).all()
    rate = executors["fees"] / 2 / executors["filled"] * 2
    assert np.abs(opened["fee"] - executors["amount"] * executors["entry"] * rate).max() < CUT
    assert np.abs(closed["fee"] - executors["amount"] * executors["close_price"] * rate).max() < CUT


def profits(legs, executors):
    """What each pair of fills won, and what its executor did, before and after fees."""
    opened, closed = legs
    side = np.where(executors["side"] == "BUY", 1.0, -1.0)
    gross = side * (closed["amount"] * closed["price"] - opened["amount"] * opened["price"])
    return gross, executors["pnl"] + executors["fees"]


def test_profit_of_each_pair_is_its_executors_but_for_the_cut_of_its_amount(legs, executors):
    ours, real = profits(legs, executors)
    moved = (executors["close_price"] - executors["entry"]).abs()
    # What a millionth of a coin and of a price can come to, and no more.
    assert ((ours - real).abs() <= CUT * (moved + 2 * executors["amount"]) + 1e-9).all()
    assert (ours - real).abs().max() > 1e-5  # the cut is there


def test_equity_at_every_bar_is_that_of_books_kept_by_hand(history, bars):
    run = baseline_from_trades(history, bars, CASH)
    fills = history.fills
    signed = np.where(fills["side"] == "buy", fills["amount"], -fills["amount"])
    for bar in range(0, len(bars), 371):
        known = (fills["time"] < bars.index[bar] + pd.Timedelta("1h")).to_numpy()
        cash = CASH - (signed * fills["price"] + fills["fee"])[known].sum()
        by_hand = cash + signed[known].sum() * bars.close["BTC/USDT"].iloc[bar]
        assert run.equity.iloc[bar] == pytest.approx(by_hand, rel=1e-12)
    assert run.broker == "hummingbot" and len(run.orders) == 800
    assert (run.positions.iloc[-1] == 0.0).all()
    assert run.statement()["unexplained"] == pytest.approx(0.0, abs=1e-8)


def test_final_equity_is_the_executors_profit_within_the_cut(history, bars, executors, legs):
    run = baseline_from_trades(history, bars, CASH)
    opened, closed = legs
    # The golden run charges both legs on the entry's notional, the bot's recorder each on its own.
    fees = opened["fee"].sum() + closed["fee"].sum()
    real = CASH + (executors["pnl"] + executors["fees"]).sum() - fees
    moved = (executors["close_price"] - executors["entry"]).abs()
    most = (CUT * (moved + 2 * executors["amount"])).sum()
    assert abs(run.equity.iloc[-1] - real) < most < 0.25


def test_figures_of_the_docs_are_those_of_this_database(history, bars, executors, legs):
    page = (Path(__file__).resolve().parents[3] / "docs" / "hummingbot-records.md").read_text(encoding="utf-8")
    opened, closed = legs
    ours, real = profits(legs, executors)
    price = max((executors["entry"] - opened["price"]).max(), (executors["close_price"] - closed["price"]).max())
    amount = executors["amount"] - opened["amount"]
    fees = np.abs(closed["fee"] - executors["amount"] * executors["close_price"] * 0.0006).max()
    rows = {
        "price": f"{price:.1e} USDT",
        "amount": f"{amount.max():.1e} BTC, {(amount / executors['amount']).max():.1e} of it",
        "fee": f"{fees:.1e} USDT",
        "profit of a round trip": f"{(ours - real).abs().max():.1e} USDT",
        "profit of all 400": f"{abs(ours.sum() - real.sum()):.1e} USDT of {real.sum():.2f}",
    }
    for name, figure in rows.items():
        assert f"| {name} | {figure} |" in page, (name, figure)
    run = baseline_from_trades(history, bars, CASH)
    assert f"fees of {run.statement()['fees']:.2f} USDT" in page
    assert f"{run.equity.iloc[-1]:,.2f} USDT" in page


def test_wrong_time_zone_is_refused_with_how_far_it_is_off(history, bars):
    for hours in (2, 3, 5, 8):
        moved = history.fills.assign(time=history.fills["time"] + pd.Timedelta(hours=hours))
        late = type(history)(moved, history.executors, history.funding, "x.sqlite", "sqlite", ())
        with pytest.raises(ValueError, match=r"of 800 fills have a price more than 0.50% outside .* time zone") as told:
            baseline_from_trades(late, bars, CASH)
        assert f"moved by {-hours} to {-hours + 1.5:g} h" in str(told.value)


def test_digest_is_of_the_rows(history):
    assert history.digest == read_trades(DATABASE).digest
    other = history.fills.assign(amount=history.fills["amount"] + 1e-6)
    assert type(history)(other, history.executors, history.funding, "", "sqlite", ()).digest != history.digest


def test_result_survives_its_file(history, bars, tmp_path):
    run = baseline_from_trades(history, bars, CASH)
    again = type(run).read_parquet(run.to_parquet(tmp_path / "bot.parquet"))
    pd.testing.assert_series_equal(again.equity, run.equity, check_freq=False)
    pd.testing.assert_frame_equal(again.orders, run.orders)
    assert again.meta["records"] == history.digest and json.dumps(again.meta) == json.dumps(run.meta)
