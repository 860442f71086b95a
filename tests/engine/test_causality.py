"""The check of causality itself: what it tells, what it tells apart, and what it excuses."""

from dataclasses import dataclass, field, fields
from itertools import count

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from data import LadderError, Market, ValidationError, load_sample
from engine import Strategy
from engine.causality import CausalityError, Kind, check_causality
from research.strategies import BollingerReversion, CrossMomentum, SmaCross
from tests.engine.random_market import made_market


@pytest.fixture(scope="module")
def market():
    return load_sample(["ETH/USD", "LTC/USD", "XRP/USD"]).loc["2018-03-01":"2018-05-12"]


@dataclass(frozen=True)
class Ahead(Strategy):
    """The return `bars` ahead, as a weight."""

    bars: int = 1
    warmup: int = 5

    def targets(self, market):
        return (market.close.shift(-self.bars) / market.close - 1).clip(-1, 1).fillna(0.0)


@dataclass(frozen=True)
class PandasCross(Strategy):
    """A cross of pandas' rolling means, whose last digits depend on where the history begins."""

    warmup: int = 21

    def targets(self, market):
        return (market.close.rolling(8).mean() > market.close.rolling(20).mean()).astype(float) / 4


@dataclass(frozen=True)
class OneBarShort(SmaCross):
    """Says that it needs one bar less than it does."""

    @property
    def warmup(self):
        return self.slow


@dataclass(frozen=True)
class Unseeded(Strategy):
    warmup: int = 1

    def targets(self, market):
        return market.close * 0.0 + np.random.default_rng().uniform(0, 0.1, size=market.close.shape)


CALLS = count()


@dataclass(frozen=True)
class CountsItsCalls(Strategy):
    warmup: int = 1

    def targets(self, market):
        return market.close * 0.0 + 0.1 / (1 + next(CALLS))


@dataclass(frozen=True)
class CountsInItself(Strategy):
    seen: list = field(default_factory=list)
    warmup: int = 1

    def targets(self, market):
        self.seen.append(len(market))
        return market.close * 0.0 + 0.1 / len(self.seen)


@dataclass(frozen=True)
class NeedsManyBars(Strategy):
    warmup: int = 10

    def targets(self, market):
        if len(market) < 400:
            raise IndexError(f"only {len(market)} bars")
        return (market.close.shift(-1) > market.close).astype(float) / 4


@dataclass(frozen=True, eq=False)
class Prepared(Strategy):
    """Targets that were computed beforehand, for one market."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    warmup: int = 1

    def targets(self, market):
        return self.table


@dataclass(frozen=True)
class SlowMean(Strategy):
    """Needs 160 bars, and says 10."""

    warmup: int = 10

    def targets(self, market):
        return (market.close > market.close.rolling(160, min_periods=1).mean()).astype(float) / 4


def test_report_names_the_first_row_and_symbol_that_change_and_by_how_much():
    market = made_market(moves=[-0.01, 0.01, 0.02])
    report = check_causality(Ahead(), market, cuts=6, starts=0)
    assert not report.ok
    cuts = [violation for violation in report.of(Kind.LOOKS_AHEAD) if violation.history.startswith("without")]
    assert len(cuts) == report.cuts == 6
    full = Ahead().targets(market)
    for violation in cuts:
        # The last known row is the only one that lacks its tomorrow; there it says 0.
        assert (violation.table, violation.symbol, violation.rows, violation.values) == ("targets", "S0/USD", 1, 2)
        assert violation.bars_before == 0
        assert violation.full == full.at[violation.row, "S0/USD"] != 0.0
        assert (violation.other, violation.difference) == (0.0, -violation.full)
        assert f"without the bars after {violation.row} (" in violation.history
    text = str(report)
    assert text.startswith("Causality of Ahead(bars=1, warmup=5): looks ahead\n")
    assert f"The first: targets of S0/USD at {report.of(Kind.LOOKS_AHEAD)[0].row}" in text
    assert "changes reach 0 to 0 bars back from the last known bar" in text
    with pytest.raises(CausalityError, match=r"targets of S0/USD at 2024-01-") as raised:
        report.raise_if_broken()
    assert isinstance(raised.value, LadderError)


def test_sound_strategy_gets_a_short_report(market):
    report = check_causality(SmaCross(), market)
    assert report.ok and report.fits_live
    report.raise_if_broken()
    assert str(report).startswith(
        "Causality of SmaCross(fast=20, slow=50, weight=1.0, below=0.0): no row changes, and 51"
    )
    assert "16 cuts, 4 altered futures, 24 later starts" in str(report)
    assert "equal to the last bit" in str(report)


def test_default_check_costs_few_runs(market):
    report = check_causality(CrossMomentum(), market)
    assert report.runs == 2 + 16 + 4 + 24
    assert report.cost < 20


@pytest.mark.parametrize("strategy", [Unseeded(), CountsItsCalls(), CountsInItself()], ids=repr)
def test_what_differs_between_two_equal_runs_is_not_deterministic_and_nothing_else(strategy, market):
    report = check_causality(strategy, market)
    assert [violation.kind for violation in report.violations] == [Kind.NOT_DETERMINISTIC]
    assert (report.cuts, report.altered, report.starts, report.runs) == (0, 0, 0, 2)
    assert not report.ok
    assert "not deterministic" in str(report)


def test_strategy_that_was_handed_in_is_left_as_it_was(market):
    strategy = CountsInItself()
    check_causality(strategy, market)
    assert strategy.seen == []


def test_leak_that_a_later_start_comes_upon_is_no_warm_up_finding():
    report = check_causality(Ahead(), made_market(), cuts=0, starts=10)
    assert {violation.kind for violation in report.violations} == {Kind.LOOKS_AHEAD}
    assert len(report.violations) == 3
    assert report.starts < 10


def test_strategy_that_raises_is_reported_with_its_error_and_the_cut(market):
    report = check_causality(NeedsManyBars(), market)
    failed = report.of(Kind.FAILS)
    assert any(violation.detail == "IndexError: only 10 bars" for violation in failed)
    assert f"without the bars after {market.index[9]} (the end of the warm-up): IndexError: only 10 bars" in str(report)
    assert not report.ok
    # Where it does run, what it does is found all the same.
    assert report.of(Kind.LOOKS_AHEAD)


def test_table_made_beforehand_cannot_be_checked_and_says_so(market):
    report = check_causality(Prepared(SmaCross().targets(market)), market)
    assert len(report.of(Kind.FAILS)) >= report.cuts
    assert "index" in report.of(Kind.FAILS)[0].detail
    assert not report.ok


def test_object_that_has_learned_from_an_earlier_run_is_checked_as_if_new(market):
    @dataclass(frozen=True)
    class Remembers(Strategy):
        warmup: int = 10

        def targets(self, market):
            if "mean" not in vars(self):
                object.__setattr__(self, "mean", market.close.mean())
            return (market.close < self.mean).astype(float) / 4

    strategy = Remembers()
    strategy.targets(market)
    assert check_causality(strategy, market).of(Kind.LOOKS_AHEAD)


def test_warm_up_that_is_one_bar_too_short_is_found(market):
    report = check_causality(OneBarShort(), market)
    assert report.ok and not report.fits_live
    first = report.of(Kind.WARM_UP)[0]
    assert first.row in market.index
    assert np.isnan(first.other) and not np.isnan(first.full)
    report.raise_if_broken()


def test_warm_up_finding_says_how_many_bars_are_enough(market):
    report = check_causality(SlowMean(), market)
    assert report.ok and not report.fits_live
    details = [violation.detail for violation in report.violations if violation.detail]
    assert len(details) == 1
    bars = int(details[0].split(" with ")[1].split()[0])
    assert bars in {20, 40, 80, 160}
    assert "causal, but depends on more than its warm-up of 10 bars" in str(report)
    assert "nothing is wrong with the backtest" in str(report)


def test_row_that_hangs_on_an_exact_tie_is_no_finding_after_a_later_start():
    # Prices that swing between two values: both means are the middle, but pandas' last digits depend on the start.
    rng = np.random.default_rng(3)
    base = made_market(bars=1500, symbols=1, seed=3)
    pairs = np.tile(rng.uniform(90, 110, size=(30, 2)).round(2), 25).ravel()
    close = pd.DataFrame({"S0/USD": pairs}, index=base.index).rename_axis(columns="symbol")
    market = base.with_fields(open=close, high=close, low=close, close=close)
    report = check_causality(PandasCross(), market, starts=40)
    assert report.fits_live, str(report)
    assert report.ties > 0
    strict = check_causality(PandasCross(), market, starts=40, tolerance=0.0)
    assert strict.ok and not strict.fits_live


def test_rounding_of_a_matrix_product_is_told_and_no_finding(market):
    @dataclass(frozen=True)
    class Product(Strategy):
        warmup: int = 20

        def targets(self, market):
            rise = pd.concat([market.close.ffill().pct_change(n) for n in (1, 2, 3, 5, 8, 13)], axis=1).fillna(0.0)
            x = np.asfortranarray(rise.to_numpy())
            # As BLAS may: the last rows of a matrix are summed in another order than those before them.
            product = (x * np.linspace(-1, 1, 18)).sum(axis=1)
            product[-3:] = (x * np.linspace(-1, 1, 18))[-3:, ::-1].cumsum(axis=1)[:, -1]
            return pd.DataFrame({s: np.tanh(7 * product) / 3 for s in market.symbols}, index=market.index)

    report = check_causality(Product(), market)
    assert report.ok, str(report)
    assert 0 < report.largest_rounding < 1e-15
    assert "what agrees is equal within" in str(report)
    assert not check_causality(Product(), market, tolerance=0.0).ok


def test_same_call_gives_the_same_report(market):
    strategy = Ahead(bars=3)
    assert check_causality(strategy, market) == check_causality(strategy, market)
    assert check_causality(strategy, market) != check_causality(strategy, market, seed=1)


def test_table_of_barrier_distances_is_checked_like_the_targets(market):
    @dataclass(frozen=True)
    class Scaled(Ahead):
        def targets(self, market):
            return market.close * 0.0 + 0.1

        def scale(self, market):
            return 1.0 + super().targets(market)

    found = check_causality(Scaled(), market).of(Kind.LOOKS_AHEAD)
    assert {violation.table for violation in found} == {"scale"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cuts": -1}, "cuts -1 must be a whole number"),
        ({"starts": 2.5}, "starts 2.5 must be a whole number"),
        ({"seed": None}, "seed None must be"),
        ({"tolerance": 1.0}, "tolerance 1.0 must be a fraction"),
        ({"tolerance": float("nan")}, "tolerance nan must be a fraction"),
        ({"strategy": "SmaCross"}, "got 'SmaCross'"),
        ({"market": pd.DataFrame()}, "and DataFrame"),
        ({"strategy": SmaCross(slow=4000)}, "needs 4001 bars before it decides and the market has"),
        ({"strategy": Prepared(None)}, "targets returned NoneType, not a DataFrame"),
        ({"strategy": Prepared(pd.DataFrame({"BTC/USD": [1.0]}))}, "targets returned 1 rows of"),
    ],
)
def test_wrong_parameter_is_refused_by_name(market, wrong, message):
    given = {"strategy": SmaCross(), "market": market} | wrong
    with pytest.raises(ValidationError, match=message):
        check_causality(given.pop("strategy"), given.pop("market"), **given)


@pytest.mark.parametrize("timeframe", ["15m", "1h", "1d"])
@pytest.mark.parametrize("bars", [6, 7, 60, 400])
def test_short_and_daily_markets_can_be_checked(timeframe, bars):
    market = made_market(bars, symbols=1, timeframe=timeframe)
    assert check_causality(SmaCross(fast=2, slow=4), market).fits_live
    assert not check_causality(Ahead(), market).ok


def test_symbols_that_come_late_or_cease_early_raise_no_alarm():
    market = made_market(800, symbols=3, missing=0.02)
    frames = {symbol: pd.DataFrame({name: market[name][symbol] for name in market}) for symbol in market.symbols}
    frames = {symbol: frame.dropna(subset=["close"]) for symbol, frame in frames.items()}
    frames["S1/USD"] = frames["S1/USD"].iloc[400:]
    frames["S2/USD"] = frames["S2/USD"].iloc[:300]
    market = Market.from_frames(frames, timeframe="1h")
    for strategy in (SmaCross(5, 20), BollingerReversion(20), PandasCross()):
        report = check_causality(strategy, market, cuts=30, starts=60)
        assert report.ok, str(report)
    assert check_causality(SmaCross(5, 20), market, cuts=30, starts=60).fits_live


@given(
    seed=st.integers(0, 10_000),
    missing=st.sampled_from([0.0, 0.05, 0.3]),
    moves=st.sampled_from([None, [0.0, 0.1, -0.1], [0.0, 0.0, 0.5, -0.5]]),
    strategy=st.sampled_from([
        SmaCross(2, 5), SmaCross(3, 10, below=-1.0), BollingerReversion(6, 1.0, shorts=True), BollingerReversion(20),
        CrossMomentum(lookback=12, every=5, top=1), CrossMomentum(lookback=7, every=1, top=2, shorts=True),
    ]),
)  # fmt: skip
@settings(max_examples=25)
def test_library_strategy_raises_no_alarm_on_any_market(seed, missing, moves, strategy):
    market = made_market(300, symbols=4, seed=seed, missing=missing, moves=moves)
    report = check_causality(strategy, market, seed=seed)
    assert report.fits_live, str(report)


@given(seed=st.integers(0, 10_000), bars=st.integers(1, 60), missing=st.sampled_from([0.0, 0.05, 0.3]))
@settings(max_examples=25)
def test_any_number_of_bars_ahead_is_caught_at_every_cut(seed, bars, missing):
    market = made_market(300, seed=seed, missing=missing)
    report = check_causality(Ahead(bars), market, seed=seed, cuts=5, starts=0)
    assert not report.ok
    reach = [violation.bars_before for violation in report.of(Kind.LOOKS_AHEAD)]
    # Nothing changes that lies further back than it looks ahead.
    assert max(reach) < bars


LIBRARY = [SmaCross(), SmaCross(below=-1.0), BollingerReversion(), BollingerReversion(shorts=True), CrossMomentum()]
LIBRARY += [CrossMomentum(shorts=True)]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", LIBRARY, ids=repr)
def test_library_strategy_passes_the_thorough_check_on_the_sample(strategy):
    report = check_causality(strategy, load_sample(), cuts=50, starts=100, seed=7)
    assert report.fits_live, str(report)


def test_strategies_of_these_tests_are_what_they_say():
    assert {item.name for item in fields(OneBarShort)} == {item.name for item in fields(SmaCross)}
    assert OneBarShort().warmup == SmaCross().warmup - 1
