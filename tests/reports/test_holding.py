"""Holding: one round of buying, in equal parts, and what the page says of a strategy beside it."""

from __future__ import annotations

import pytest

from data import load_sample
from data.errors import ValidationError
from engine import Costs, Venue, backtest
from reports import hold, tearsheet
from research.strategies import SmaCross


@pytest.fixture(scope="module")
def market():
    return load_sample(["BTC/USD", "ETH/USD"]).iloc(0, 3_000)


def test_it_buys_equal_parts_at_the_second_bar_and_never_trades_again(market) -> None:
    result = hold(market, cash=1_000.0, costs=Costs(fee=0.0, slippage=0.0))
    orders = result.orders
    assert orders["side"].tolist() == ["buy", "buy"]
    assert (orders["filled_at"] == market.index[1]).all()
    worth = orders["amount"] * orders["symbol"].map(market.close.iloc[0])
    assert worth.tolist() == pytest.approx([500.0, 500.0], rel=0.01)
    grown = (orders.set_index("symbol")["amount"] * market.close.iloc[-1]).sum()
    spent = (orders["amount"] * orders["price"]).sum()
    assert result.equity.iloc[-1] == pytest.approx(1_000.0 - spent + grown, rel=1e-12)


def test_page_says_whether_the_strategy_is_ahead_of_it(market, tmp_path) -> None:
    terms = {"costs": Costs(fee=0.001), "venue": Venue(amount_step=1e-4)}
    run, held = backtest(SmaCross(), market, **terms), hold(market, **terms)
    page = tearsheet(run, path=tmp_path / "page.html", holding=held).read_text()
    better = run.stats()["total_return"] > held.stats()["total_return"]
    assert "Buying equal parts and holding them returned" in page
    assert ("the strategy is ahead of it by return" in page) is better
    assert "Holding(" in page
    with pytest.raises(ValidationError, match=r"holding must be a Result, of reports.hold, got Series"):
        tearsheet(run, path=tmp_path / "page.html", holding=run.equity)
