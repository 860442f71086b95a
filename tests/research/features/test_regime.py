"""Regime features: each is what its formula says, rests on what was known, and on no more bars than `warmup`."""

import itertools
import warnings

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from data import Market, ValidationError
from research.features.quantile_kernel import trailing_quantiles
from research.features.regime import (
    CAPS,
    DOMINANCE,
    FEATURES,
    SENTIMENT,
    VOLATILITY,
    MissingInputsWarning,
    Regimes,
    in_crisis,
    is_opportunity,
    legacy_multiplier,
    size_multiplier,
)
from tests.engine.random_market import made_market
from tests.research.features.regime_inputs import with_inputs

NAN = np.nan
SMALL = Regimes(window=24, least=10, dominance_window=40, persistence_cap=5)


def market_of(close, **fields):
    """One symbol, A, hourly from 2024 on; NaN where there is no bar."""
    index = pd.date_range("2024-01-01", periods=len(close), freq="1h", tz="UTC")
    table = pd.DataFrame({"close": np.asarray(close, dtype=np.float64)}, index=index)
    table = table.assign(open=table["close"], high=table["close"], low=table["close"], volume=1.0, **fields)
    return Market.from_frames({"A": table[table["close"].notna()]}, timeframe="1h").on_grid()


def feature(name, market, regimes=SMALL):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingInputsWarning)
        return regimes.features(market)[name]["A"]


def walk(bars, seed=0):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, bars)))


# Each feature is its formula


def test_features_of_prices_are_what_pandas_computes():
    close = walk(300)
    found = {name: feature(name, market_of(close)) for name in FEATURES if not FEATURES[name]}
    series = pd.Series(close, index=found["vol_risk"].index)
    returns = np.log(series).diff()
    expected = {
        "vol_risk": returns.rolling(6).var(),
        "relative_volatility": returns.rolling(5).std() / returns.rolling(20).std(),
        **{f"momentum_{bars}": series.pct_change(bars) for bars in (5, 10, 25)},
    }
    for name, values in expected.items():
        pd.testing.assert_series_equal(found[name], values, rtol=1e-9, check_names=False, check_freq=False)
    regime = sum(
        (found["vol_risk"] > found["vol_risk"].rolling(24).quantile(level)) * 1.0 for level in (0.1, 0.3, 0.7, 0.9)
    )
    assert found["volatility_regime"].iloc[29:].tolist() == regime.iloc[29:].tolist()
    assert set(regime) == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert found["volatility_regime"].iloc[:29].isna().all()
    changed = (found["volatility_regime"] != found["volatility_regime"].shift(1)).astype(float).iloc[30:]
    stability = 1.0 - changed.rolling(20).mean()
    np.testing.assert_allclose(found["stability"].iloc[30:], stability, atol=1e-12)
    assert found["stability"].iloc[:49].isna().all() and found["stability"].iloc[49:].notna().all()


def test_vol_risk_needs_seven_closes_and_is_a_sample_variance():
    # Returns of +1, -1, ...: six of them sum to 0, their squares to 6; over 5 that is 1.2.
    close = np.exp(np.tile([0.0, 1.0], 5))
    risk = feature("vol_risk", market_of(close))
    assert risk.iloc[:6].isna().all()
    assert risk.iloc[6:].tolist() == pytest.approx([1.2] * 4)


@pytest.mark.parametrize("price", [0.1, 0.3, 123.456])
def test_prices_that_stand_still_have_no_risk_and_no_ratio(price):
    market = market_of([1e3, 7.0, 1e4] + [price] * 60)
    assert (feature("vol_risk", market).iloc[-50:] == 0.0).all()
    assert feature("relative_volatility", market).iloc[-39:].isna().all()
    assert (feature("volatility_regime", market).iloc[-20:] == 0.0).all()
    assert feature("stability", market).iloc[-1] == 1.0


@pytest.mark.parametrize(
    ("index", "regime"),
    [(0, 0), (20, 0), (20.5, 1), (35, 1), (36, 2), (64.9, 2), (65, 3), (79, 3), (80, 4), (100, 4), (NAN, NAN)],
)
def test_sentiment_has_its_bounds(index, regime):
    market = market_of(walk(3), fear_greed=[50.0, index, 50.0])
    assert feature("sentiment_regime", market).tolist() == pytest.approx([2, regime, 2], nan_ok=True)


def test_dominance_has_its_bounds_among_its_own_values():
    regimes = Regimes(window=24, dominance_window=11, least=11)
    # The window's 30% and 70% quantiles of 40, 41, ..., 50 are 43 and 47.
    for newest, regime in ((43, 0), (44, 1), (46, 1), (47, 2), (50, 2), (40, 0)):
        others = [value for value in range(40, 51) if value != newest]
        market = market_of(walk(11), btc_dominance=np.array([*others, newest], dtype=np.float64))
        assert feature("dominance_regime", market, regimes).tolist() == pytest.approx(
            [NAN] * 10 + [regime], nan_ok=True
        )
    still = market_of(walk(30), btc_dominance=50.0)
    assert (feature("dominance_regime", still, regimes).iloc[10:] == 1.0).all()


def test_dominance_with_missing_days_takes_those_there_are_and_never_too_few():
    dominance = np.linspace(40, 60, 60)
    dominance[5:25] = NAN
    market = market_of(walk(60), btc_dominance=dominance)
    known = feature("dominance_regime", market).notna()
    # Ten values are there with the first ten that follow the gap, less the five before it.
    assert not known.iloc[:29].any() and known.iloc[29:].all()


@pytest.mark.parametrize(
    ("volatility", "sentiment", "dominance", "crisis", "opportunity"),
    [
        (4, 0, 2, 1, 1),
        (4, 0, 0, 1, 1),
        (3, 0, 0, 0, 1),
        (2, 0, 2, 0, 1),
        (2, 0, 1, 0, 0),
        (4, 1, 2, 0, 0),
        (4, NAN, 2, NAN, NAN),
        (2, NAN, 1, 0, 0),
        (2, NAN, NAN, 0, NAN),
        (4, 0, NAN, 1, 1),
        (2, 0, NAN, 0, NAN),
        (NAN, 0, 2, NAN, 1),
        (NAN, 0, 1, NAN, NAN),
        (NAN, 1, 1, 0, 0),
    ],
)
def test_crisis_and_opportunity_are_told_where_what_is_known_decides(
    volatility, sentiment, dominance, crisis, opportunity
):
    assert float(in_crisis(volatility, sentiment)) == pytest.approx(crisis, nan_ok=True)
    assert float(is_opportunity(volatility, sentiment, dominance)) == pytest.approx(opportunity, nan_ok=True)


def test_features_of_a_forecast_are_what_pandas_computes():
    rng = np.random.default_rng(1)
    q50 = pd.Series(rng.normal(0.0005, 0.001, 200).round(4))
    q50[rng.uniform(size=200) < 0.2] = NAN
    q10, q90 = q50 - rng.uniform(0, 0.01, 200), q50 + rng.uniform(0, 0.01, 200)
    q10[7], q90[7] = q90[7], q10[7]  # crossed
    market = market_of(walk(200), q10=q10.to_numpy(), q50=q50.to_numpy(), q90=q90.to_numpy())
    found = {name: feature(name, market).to_numpy() for name, needs in FEATURES.items() if {"q10", "q50"} & set(needs)}
    assert len(found) == 6
    spread, known = (q90 - q10).abs(), q50.notna()
    runs = (q50 > 0).where(known)
    length = runs.groupby((runs != runs.shift(1)).cumsum()).cumcount() + 1.0
    window = q50.rolling(6, min_periods=1)
    alike = window.apply(lambda six: (np.sign(six[~np.isnan(six)]) == np.sign(six[-1])).mean(), raw=True)
    expected = {
        "q50_momentum_3": q50 - q50.shift(2),
        "spread_momentum_3": spread - spread.shift(2),
        "q50_stability_6": q50.rolling(6, min_periods=3).std().fillna(0.0).where(known),
        "q50_regime_persistence": length.clip(upper=5).where(known),
        "prediction_confidence": 1 / (1 + spread / q50.abs().clip(lower=0.001)),
        "q50_direction_consistency": alike.where(window.count() >= 3, 0.5).where(known),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-12, err_msg=name)
    assert length.where(known).max() > 5


def test_steady_forecast_deviates_by_nothing():
    market = market_of(walk(40), q50=0.0007)
    assert (feature("q50_stability_6", market) == 0.0).all()
    assert feature("q50_direction_consistency", market).tolist() == [0.5, 0.5] + [1.0] * 38
    assert feature("q50_regime_persistence", market).tolist() == [1.0, 2.0, 3.0, 4.0] + [5.0] * 36


# The multiplier

COMBINATIONS = np.array(list(itertools.product(range(5), range(5), range(3))), dtype=np.float64)


def table_of(function, **options):
    """Sizes by volatility, sentiment and dominance, (5, 5, 3)."""
    return function(*COMBINATIONS.T, **options).reshape(5, 5, 3)


def test_multiplier_never_grows_as_volatility_gets_worse():
    sizes = table_of(size_multiplier)
    assert (np.diff(sizes, axis=0) <= 0.0).all()
    assert (sizes.max(axis=2)[1:] <= sizes.min(axis=2)[:-1]).all(), "whatever the dominance"
    assert (sizes[4] < sizes[:4].min(axis=0)).all(), "the worst is never the largest"
    assert (sizes <= np.array(CAPS)[:, None, None]).all()
    assert (np.diff(sizes, axis=1) <= 0.0).all(), "nor as greed grows"
    assert (sizes > 0.0).all()


@given(
    boost=st.floats(1.0, 10.0),
    caps=st.lists(st.floats(0.01, 20.0), min_size=5, max_size=5).map(lambda caps: tuple(sorted(caps, reverse=True))),
)
@settings(max_examples=100)
def test_multiplier_never_grows_as_volatility_gets_worse_with_any_boost_and_caps(boost, caps):
    assert (np.diff(table_of(size_multiplier, opportunity_boost=boost, caps=caps), axis=0) <= 0.0).all()


def test_multiplier_by_hand():
    # Neutral in all: 1. Greed in low volatility: 1.2 x 0.8. Fear in high: 0.7 x 1.3. Extreme fear in the extreme: 0.8,
    # capped at 0.5; in ultra low, 3, at 2.
    cases = {(2, 2, 1): 1.0, (1, 3, 1): 0.96, (3, 1, 1): 0.91, (4, 0, 2): 0.5, (0, 0, 1): 2.0, (4, 4, 0): 0.24}
    for regimes, size in cases.items():
        assert size_multiplier(*regimes) == pytest.approx(size)


def test_boost_shows_once_the_caps_let_it_and_never_where_volatility_is_high():
    high = (9.0,) * 5
    boosted, plain = (table_of(size_multiplier, opportunity_boost=boost, caps=high) for boost in (1.25, 1.0))
    assert (boosted / plain)[:3, 0, 2] == pytest.approx([1.25] * 3)
    ratio = boosted / plain
    ratio[:3, 0, 2] = 1.0
    assert (ratio == 1.0).all()
    # With the default caps it never does: extreme fear alone reaches them.
    assert (table_of(size_multiplier, opportunity_boost=10.0) == table_of(size_multiplier)).all()


def test_legacy_multiplier_is_largest_in_the_worst_market():
    sizes = table_of(legacy_multiplier)
    assert sizes[4, 0].tolist() == [5.0] * 3
    assert sizes[3, 0].tolist() == pytest.approx([3.5] * 3)
    assert (sizes[2, 0, 1], sizes[2, 0, 2]) == pytest.approx((2.0, 5.0))
    assert (sizes.min(), sizes.max()) == pytest.approx((0.24, 5.0))
    assert sizes[:, 1:].max(axis=(1, 2)) == pytest.approx(np.array([1.5, 1.2, 1.0, 0.7, 0.4]) * 1.3)


@pytest.mark.parametrize("function", [size_multiplier, legacy_multiplier])
def test_what_is_not_known_has_no_say_but_for_volatility(function):
    for volatility in range(5):
        assert function(volatility, NAN, 2) == function(volatility, 2, 1)
        assert function(volatility, 0, NAN) == function(volatility, 0, 1)
    assert np.isnan(function([NAN, NAN], [0, NAN], [2, 2])).all()


def test_multiplier_of_a_market_without_sentiment_is_that_of_volatility():
    market = market_of(walk(200))
    by_volatility = feature("volatility_regime", market).map(dict(enumerate([1.5, 1.2, 1.0, 0.7, 0.4])))
    assert feature("multiplier", market).tolist() == pytest.approx(by_volatility.tolist(), nan_ok=True)
    assert by_volatility.nunique() == 5


def test_switch_chooses_the_legacy_multiplier():
    market = with_inputs(made_market(400, symbols=1))
    found = SMALL.features(market)
    regimes = [found[f"{name}_regime"] for name in ("volatility", "sentiment", "dominance")]
    legacy = Regimes(window=24, least=10, dominance_window=40, persistence_cap=5, legacy=True).features(market)
    np.testing.assert_array_equal(legacy["multiplier"], legacy_multiplier(*regimes))
    np.testing.assert_array_equal(found["multiplier"], size_multiplier(*regimes))
    assert not legacy["multiplier"].equals(found["multiplier"])
    assert legacy["crisis"].equals(found["crisis"])


# Quantiles of a moving window


@given(
    values=st.lists(st.one_of(st.sampled_from([0.0, 1.0, 2.0, NAN]), st.floats(-1e6, 1e6)), max_size=60),
    window=st.integers(1, 70),
    least=st.integers(1, 20),
    levels=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4),
)
@settings(max_examples=100)
def test_trailing_quantiles_are_those_of_numpy_to_the_last_bit(values, window, least, levels):
    array = np.array(values, dtype=np.float64)
    found = trailing_quantiles(array, window, least, np.array(levels))
    assert found.shape == (len(values), len(levels))
    for row in range(len(values)):
        known = array[max(row + 1 - window, 0) : row + 1]
        known = known[~np.isnan(known)]
        if len(known) >= least:
            np.testing.assert_array_equal(found[row], np.quantile(known, levels))
        else:
            assert np.isnan(found[row]).all()


def test_bound_itself_belongs_to_the_lower_regime():
    # Of eleven values one step apart, the bar's own is the 2nd, 4th, 8th and 10th: just on the bounds.
    risk = np.linspace(1.0, 2.0, 11)
    bounds = trailing_quantiles(risk, 11, 11, np.array([0.1, 0.3, 0.7, 0.9]))[-1]
    assert bounds == pytest.approx(risk[[1, 3, 7, 9]])


# Inputs


def test_every_feature_is_a_float_table_of_the_market_and_takes_a_field():
    market = with_inputs(made_market(600, missing=0.1))
    found = SMALL.features(market)
    assert list(found) == list(FEATURES)
    for table in found.values():
        assert table.index.equals(market.index) and list(table.columns) == list(market.symbols)
        assert table.dtypes.eq("float64").all()
        assert table[market.close.isna()].isna().all(axis=None)
        assert table.notna().any(axis=None)
    assert market.with_fields(**found)["stability"].equals(found["stability"])
    for name, regimes in {"volatility": VOLATILITY, "sentiment": SENTIMENT, "dominance": DOMINANCE}.items():
        assert np.nanmax(found[f"{name}_regime"]) == len(regimes) - 1


@pytest.mark.parametrize(
    "absent", [["fear_greed"], ["btc_dominance", "q90"], ["q10", "q50", "q90"], ["fear_greed", "q50"]]
)
def test_absent_input_drops_the_features_that_need_it_with_one_warning(absent):
    market = with_inputs(made_market(100))
    less = Market({name: market[name] for name in market if name not in absent}, market.timeframe)
    with pytest.warns(MissingInputsWarning) as caught:
        found = SMALL.features(less)
    assert len(caught) == 1
    dropped = [name for name, needs in FEATURES.items() if set(needs) & set(absent)]
    assert str(caught[0].message) == f"the market has no field {', '.join(absent)}: left out {', '.join(dropped)}"
    assert list(found) == [name for name in FEATURES if name not in dropped]
    whole = SMALL.features(market)
    kept = [name for name in found if name != "multiplier"]
    assert all(found[name].equals(whole[name]) for name in kept)


def test_market_with_all_inputs_is_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SMALL.features(with_inputs(made_market(60, missing=0.1)))
        SMALL.features(with_inputs(made_market(1)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"fear_greed": [0.2, 0.9, 1.0]},
            "A: no fear_greed is above 1, the highest is 1: it is on a 0 to 1 scale",
        ),
        ({"btc_dominance": [0.4, NAN, 0.5]}, "A: no btc_dominance is above 1, the highest is 0.5: it is on a 0 to 1"),
        (
            {"fear_greed": [20, 101, 30]},
            r"A bar 2024-01-01 01:00:00\+00:00: fear_greed is 101; give values from",
        ),
        ({"fear_greed": [20, 30, -1]}, r"A bar 2024-01-01 02:00:00\+00:00: fear_greed is -1"),
        ({"btc_dominance": [np.inf, 30, 40]}, r"A bar 2024-01-01 00:00:00\+00:00: btc_dominance is inf"),
        ({"q50": [0.0, -np.inf, 0.0]}, r"A bar 2024-01-01 01:00:00\+00:00: q50 is -inf; give fractional returns"),
    ],
)
def test_wrong_input_is_named(fields, message):
    market = market_of(walk(3), **{name: np.array(values, dtype=np.float64) for name, values in fields.items()})
    with pytest.raises(ValidationError, match=message):
        SMALL.features(market)


def test_sentiment_that_is_missing_throughout_is_on_no_scale():
    assert feature("sentiment_regime", market_of(walk(3), fear_greed=NAN)).isna().all()


@pytest.mark.parametrize(
    ("given_parameters", "message"),
    [
        ({"window": 0}, "window 0 must be a whole number of bars"),
        ({"window": 2.5}, "window 2.5 must be"),
        ({"least": True}, "least True must be"),
        ({"dominance_window": -1}, "dominance_window -1 must be"),
        ({"persistence_cap": 0}, "persistence_cap 0 must be"),
        ({"opportunity_boost": 0.9}, "opportunity_boost 0.9 must be a number, at least 1"),
        ({"opportunity_boost": NAN}, "opportunity_boost nan must be"),
        (
            {"caps": (1.0, 2.0, 0.5, 0.4, 0.3)},
            r"caps \(1.0, 2.0, .*\) must be a tuple of five sizes above 0, one",
        ),
        ({"caps": (2.0, 1.0)}, "caps .* must be a tuple of five sizes"),
        ({"caps": (2.0, 1.0, 1.0, 1.0, 0.0)}, "caps .* must be a tuple of five sizes"),
        ({"caps": (NAN, 1.0, 1.0, 1.0, 1.0)}, "caps .* must be a tuple of five sizes"),
        ({"legacy": 1}, "legacy 1 must be True or False"),
    ],
)
def test_wrong_parameter_is_named(given_parameters, message):
    with pytest.raises(ValidationError, match=f"^Regimes: {message}"):
        Regimes(**given_parameters)
