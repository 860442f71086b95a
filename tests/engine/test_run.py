"""Every wrong input of a run is refused before anything is executed, by an error that says what, where and the mend."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data import Market, ValidationError
from engine import (
    Costs,
    Exits,
    LimitOrders,
    Result,
    RiskLimits,
    SquareRootImpact,
    Strategy,
    Venue,
    backtest,
    paper,
)
from engine.run import prepare

BARS = 6
INDEX = pd.date_range("2024-01-01", periods=BARS, freq="1h", tz="UTC", name="time")
SYMBOLS = ("BTC/USDT", "ETH/USDT")


def candles(price: float = 100.0) -> pd.DataFrame:
    return pd.DataFrame(price, index=INDEX, columns=["open", "high", "low", "close", "volume"])


def market() -> Market:
    return Market.from_frames({symbol: candles() for symbol in SYMBOLS}, timeframe="1h")


def weights(value: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame(value, index=INDEX, columns=list(SYMBOLS))


@dataclass(frozen=True, eq=False)
class Given(Strategy):
    """Targets and warm-up as a test wants them, wrong ones too."""

    table: Any = None
    warmup: Any = 0

    def targets(self, market: Market) -> pd.DataFrame:
        return weights() if self.table is None else self.table


def refused(strategy: Any, *says: str, given_market: Any = None, **terms: Any) -> None:
    """Both engines refuse it in the same words, which hold all of `says`."""
    messages = []
    for run in (backtest, paper):
        with pytest.raises(ValidationError) as caught:
            run(strategy, market() if given_market is None else given_market, **terms)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    for part in says:
        assert part in messages[0]


# The strategy


def test_class_instead_of_an_instance() -> None:
    refused(Given, "strategy: expected an instance of a Strategy", "Given")


def test_something_else_than_a_strategy() -> None:
    refused("SmaCross", "strategy: expected an instance of a Strategy, got 'SmaCross'")


def test_strategy_that_is_no_dataclass() -> None:
    class Plain(Strategy):
        warmup = 0

        def targets(self, market: Market) -> pd.DataFrame:
            return weights()

    refused(Plain(), "Plain: a strategy is a frozen dataclass", "@dataclass(frozen=True)")


def test_strategy_that_can_be_changed() -> None:
    @dataclass
    class Changeable(Strategy):
        warmup: int = 0

        def targets(self, market: Market) -> pd.DataFrame:
            return weights()

    refused(Changeable(), "Changeable: a strategy is a frozen dataclass", "@dataclass(frozen=True)")


def test_subclass_of_a_dataclass_that_forgot_to_be_one() -> None:
    class Heir(Given):
        pass

    refused(Heir(), "Heir: a strategy is a frozen dataclass")


@pytest.mark.parametrize("warmup", [-1, 2.0, True, "5", None, np.nan])
def test_warmup_that_is_no_number_of_bars(warmup: Any) -> None:
    refused(Given(warmup=warmup), f"warmup {warmup!r} must be a whole number of bars, at least 0")


def test_warmup_may_be_an_integer_of_numpy_and_longer_than_the_market() -> None:
    assert len(backtest(Given(warmup=np.int64(2)), market()).orders) > 0
    assert len(backtest(Given(warmup=BARS), market()).orders) == 0
    assert len(backtest(Given(warmup=1_000), market()).orders) == 0


def test_decision_within_the_warmup_counts_for_nothing() -> None:
    result = backtest(Given(warmup=3), market())
    assert result.orders["decided_at"].min() == INDEX[2]


# Its targets


@pytest.mark.parametrize("wrong", [1.5, -1.5, 1.0 + 1e-9, np.inf, -np.inf])
def test_weight_outside_the_unit_interval_names_symbol_bar_and_value(wrong: float) -> None:
    table = weights()
    table.iloc[3, 1] = table.iloc[4, 0] = wrong
    refused(
        Given(table),
        f"ETH/USDT bar 2024-01-01 03:00:00+00:00: target {wrong:g} is outside [-1, 1]",
        "fraction of equity",
        "(2 such)",
        venue=Venue(shorts=True),
    )


def test_weight_outside_is_refused_even_within_the_warmup() -> None:
    refused(Given(weights(2.0), warmup=4), "BTC/USDT bar 2024-01-01 00:00:00+00:00: target 2 is outside [-1, 1]")


def test_short_on_spot_names_symbol_and_bar_and_two_ways_out() -> None:
    table = weights()
    table.iloc[2, 1] = -0.25
    refused(
        Given(table),
        "ETH/USDT bar 2024-01-01 02:00:00+00:00: target -0.25 is negative and the venue is spot",
        "clip the targets at 0",
        "Venue(shorts=True)",
    )


def test_short_is_refused_for_the_symbol_alone_whose_venue_is_spot() -> None:
    venues = {"BTC/USDT": Venue(shorts=True), "ETH/USDT": Venue()}
    table = weights(-0.25)
    refused(Given(table), "ETH/USDT bar 2024-01-01 00:00:00+00:00", venue=venues)
    table["ETH/USDT"] = 0.25
    assert len(backtest(Given(table), market(), venue=venues).orders) > 0


@pytest.mark.parametrize("run", [backtest, paper])
def test_rows_of_nan_leave_everything_as_it_is_and_the_result_is_whole(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    result = run(Given(weights(np.nan)), market())
    assert len(result.orders) == len(result.trades) == 0
    assert (result.equity == result.cash).all()
    assert (result.returns == 0.0).all()
    assert (result.weights == 0.0).all(axis=None)
    stats = result.stats()
    assert (stats["total_return"], stats["orders"], stats["fees"], stats["exposure"]) == (0.0, 0, 0.0, 0.0)
    assert np.isnan(stats["sharpe"])
    assert len(result.plot().data) > 0
    back = Result.read_parquet(result.to_parquet(tmp_path / "run.parquet"))
    pd.testing.assert_frame_equal(back.orders, result.orders)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.rename(columns={"ETH/USDT": "DOGE/USDT"}), "unknown symbol: ['DOGE/USDT'], missing: ['ETH/USDT']"),
        (lambda t: t.assign(**{"DOGE/USDT": 0.1}), "unknown symbol: ['DOGE/USDT'], missing: []"),
        (lambda t: t[["BTC/USDT"]], "missing: ['ETH/USDT']"),
        (lambda t: t.T, "the market holds ['BTC/USDT', 'ETH/USDT']"),
        (lambda t: pd.concat([t, t["BTC/USDT"]], axis=1), "give each symbol one column"),
    ],
)
def test_columns_that_are_not_the_symbols(change: Callable[[pd.DataFrame], pd.DataFrame], says: str) -> None:
    refused(Given(change(weights())), "targets have the columns", says)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.tz_localize(None),
        lambda t: t.tz_convert("Asia/Tokyo"),
        lambda t: t.iloc[1:],
        lambda t: t.iloc[:0],
        lambda t: t.shift(1, freq="h"),
        lambda t: t.reset_index(drop=True),
        lambda t: t.iloc[::-1],
    ],
    ids=["naive", "zone", "short", "empty", "shifted", "numbered", "reversed"],
)
def test_index_that_is_not_the_markets(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    refused(Given(change(weights())), "6 bars", "index the targets by market.index", "naive")


def test_index_of_the_same_times_in_another_unit_is_the_markets() -> None:
    table = weights()
    table.index = table.index.as_unit("s")
    assert len(backtest(Given(table), market()).orders) > 0


@pytest.mark.parametrize("table", [weights()["BTC/USDT"], weights().to_numpy(), 0.5, {"BTC/USDT": 0.5}])
def test_targets_that_are_no_table(table: Any) -> None:
    refused(Given(table), f"targets returned {type(table).__name__}, not a DataFrame, time by symbol")


def test_targets_that_are_no_numbers() -> None:
    refused(Given(weights().astype(object).replace(0.5, "half")), "targets hold something that is not a number", "half")


def test_columns_in_another_order_are_brought_into_the_markets() -> None:
    table = weights(0.0)
    table["ETH/USDT"] = 0.5
    result = backtest(Given(table[["ETH/USDT", "BTC/USDT"]]), market())
    assert set(result.orders["symbol"]) == {"ETH/USDT"}


def test_table_that_the_strategy_keeps_is_not_written_to() -> None:
    table = weights()
    backtest(Given(table, warmup=4), market())
    pd.testing.assert_frame_equal(table, weights())


# The market


@pytest.mark.parametrize("wrong", [None, candles(), {"BTC/USDT": candles()}])
def test_market_that_is_none(wrong: Any) -> None:
    for run in (backtest, paper):
        with pytest.raises(ValidationError, match=f"expected a Market, got {type(wrong).__name__}.*from_frames"):
            run(Given(), wrong)


def test_market_without_bars() -> None:
    refused(Given(), "market: it holds no bars", given_market=market().iloc(0, 0))


@pytest.mark.parametrize("field", ["open", "high", "low", "close"])
@pytest.mark.parametrize("price", [np.nan, 0.0, -1.0, np.inf])
def test_bar_that_with_fields_broke_names_symbol_bar_and_price(field: str, price: float) -> None:
    broken = market()[field]
    broken.iloc[2, 1] = price
    refused(
        Given(),
        "market: ETH/USDT bar 2024-01-01 02:00:00+00:00",
        "four positive prices or, where it is missing, none",
        given_market=market().with_fields(**{field: broken}),
    )


def test_symbol_that_has_no_bar_at_all_does_not_trade() -> None:
    frames = {"BTC/USDT": candles(), "ETH/USDT": candles().shift(5, freq="h")}
    early = Market.from_frames(frames, timeframe="1h").iloc(0, 5)
    assert early.close["ETH/USDT"].isna().all()
    table = pd.DataFrame(0.5, index=early.index, columns=list(early.symbols))
    for run in (backtest, paper):
        result = run(Given(table), early)
        assert set(result.orders["symbol"]) == {"BTC/USDT"}
        assert result.equity.notna().all()


def test_market_of_one_bar_decides_and_fills_nothing() -> None:
    one = market().iloc(0, 1)
    for run in (backtest, paper):
        result = run(Given(weights().iloc[:1]), one)
        assert len(result.orders) == 0
        assert result.equity.tolist() == [10_000.0]


# The terms


@pytest.mark.parametrize("cash", [0, -1.0, np.nan, np.inf, "10", None, True])
def test_cash_that_is_no_positive_amount(cash: Any) -> None:
    refused(Given(), f"cash {cash!r} must be a positive amount of quote currency", cash=cash)


def test_costs_that_are_none() -> None:
    refused(Given(), "costs: expected Costs(fee=..., slippage=...), got 0.001", costs=0.001)


def test_venue_of_another_type() -> None:
    refused(Given(), "venue: expected a Venue or a mapping of symbol to Venue, got str", venue="binance")


def test_venues_that_miss_a_symbol_or_name_an_unknown_one() -> None:
    refused(Given(), "missing in the mapping: ['ETH/USDT'], unknown in it: []", venue={"BTC/USDT": Venue()})
    venues = {"BTC/USDT": Venue(), "ETH/USDT": Venue(), "DOGE/USDT": Venue()}
    refused(Given(), "missing in the mapping: [], unknown in it: ['DOGE/USDT']", venue=venues)
    refused(Given(), "must hold a Venue for each symbol", venue={"BTC/USDT": Venue(), "ETH/USDT": 0.001})


# What a run then holds


def test_run_is_laid_out_as_arrays_of_the_types_that_numba_compiles_once_for() -> None:
    single = Market.from_frames({"BTC/USDT": candles()}, timeframe="1h")
    venue = Venue(amount_step=1, min_notional=5)
    ready = [
        prepare(Given(weights()[list(m.symbols)]), m, 100, Costs(0, 0), venue, None, None) for m in (market(), single)
    ]
    for run in ready:
        bars, terms = run.setup.bars, run.setup.terms
        floats = (run.targets, run.scale, bars.open, bars.high, bars.low, bars.close, bars.volume, terms.tiers)
        for array in (*floats, terms.borrow, terms.funding_before, terms.funding_within):
            assert array.dtype == np.float64
        for array in (*floats, bars.times, bars.days, terms.venues):
            assert array.flags.c_contiguous
            assert array.flags.writeable
        assert bars.times.dtype == bars.days.dtype == np.int64
        assert isinstance(run.cash, float)
    assert ready[0].targets.shape == ready[0].setup.bars.open.shape == (BARS, 2)


def test_costs_of_whole_numbers_and_of_fractions_are_laid_out_alike() -> None:
    impact = Costs(slippage=SquareRootImpact(coefficient=0, base=0))
    for costs in (Costs(0, 0), Costs(0.001, 0.0005), impact):
        terms = prepare(Given(), market(), 100, costs, Venue(), None, None).setup.terms
        assert [type(value) for value in (terms.slip_base, terms.slip_coefficient, terms.slip_most)] == [float] * 3
    limits = prepare(Given(), market(), 100, Costs(), Venue(), RiskLimits(max_gross=1), None).setup.limits
    assert (limits.on, limits.gross, type(limits.gross), limits.net) == (True, 1.0, float, np.inf)


def test_result_says_what_ran_under_which_terms() -> None:
    @dataclass(frozen=True, eq=False)
    class Barred(Given):
        exits: Exits | None = None

    funding = pd.Series([0.0001], INDEX[2:3])
    result = backtest(
        Barred(exits=Exits(stop_loss=0.05, trailing=(0.02, 0.01), time_limit=pd.Timedelta("1D"))),
        market(),
        costs=Costs(fee=(0.0, 0.002), slippage=0.001, funding=funding, tiers=((1e6, 0.0, 0.001),)),
        venue=Venue(shorts=True, amount_step=0.5),
        risk=RiskLimits(max_gross=1.5),
        orders=LimitOrders(offset=0.01, alive=3, then="market"),
    )
    meta = result.meta
    assert meta["strategy"].endswith("Barred")
    assert meta["symbols"] == list(SYMBOLS)
    assert meta["bars"] == BARS
    assert meta["data"] == market().fingerprint()
    hashed = meta["costs"].pop("funding")
    assert hashed.startswith("sha256:")
    assert meta["costs"] == {
        "fee": [0.0, 0.002],
        "slippage": 0.001,
        "borrow": 0.0,
        "tiers": [[1e6, 0.0, 0.001]],
        "fee_in": "quote",
    }
    assert meta["exits"]["stop_loss"] == 0.05
    assert meta["exits"]["trailing"] == [0.02, 0.01]
    assert meta["exits"]["time_limit"] == "1 days 00:00:00"
    assert meta["risk"]["max_gross"] == 1.5
    assert meta["order_style"] == {"offset": 0.01, "alive": 3, "then": "market"}
    venue = dataclasses.asdict(Venue(shorts=True, amount_step=0.5))
    assert meta["venue"]["ETH/USDT"] == venue | {"max_amount": "inf", "max_notional": "inf"}
    assert {"ladder", "vectorbt", "numpy", "pandas", "python"} <= set(meta["versions"])
    assert "backtrader" in paper(Given(), market()).meta["versions"]
    assert json.loads(json.dumps(meta, allow_nan=False)) == meta


def test_other_funding_has_another_fingerprint_and_none_has_none() -> None:
    def told(funding: pd.Series | None) -> Any:
        venue = Venue(shorts=True)
        return backtest(Given(), market(), costs=Costs(funding=funding), venue=venue).meta["costs"]["funding"]

    one, other = pd.Series([0.0001], INDEX[2:3]), pd.Series([0.0002], INDEX[2:3])
    assert told(one) == told(one.copy()) != told(other)
    assert told(None) is None
    assert backtest(Given(), market()).meta["exits"] is None
