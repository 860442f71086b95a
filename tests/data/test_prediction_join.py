"""Forecasts on bars: only what was known at a bar's close, for as long as its horizon, and every other one counted."""

from __future__ import annotations

import os

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from data import Market
from data.errors import ValidationError
from data.prediction_join import Joined, with_predictions
from data.prediction_sources import FilePredictions, ModelPredictions
from data.predictions import Predictions

BAR = pd.Timestamp("2024-01-01", tz="UTC")
HOUR = pd.Timedelta("1h")


def market(bars: int = 6, symbols: tuple[str, ...] = ("BTC/USDT",), missing: tuple[int, ...] = ()) -> Market:
    index = pd.date_range(BAR, periods=bars, freq="1h", name="time")
    prices = pd.Series(100.0, index=index).drop(index[list(missing)])
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "volume"), prices))
    return Market.from_frames(dict.fromkeys(symbols, frame), timeframe="1h").on_grid()


def records(*rows: tuple[float, float, float, float], symbol: str = "BTC/USDT", **extra: list) -> Predictions:
    """(hour made on, hour available at, horizon in hours, q50) each."""
    made, known, horizon, middle = (list(column) for column in zip(*rows, strict=True))
    given = pd.DataFrame(
        {
            "symbol": symbol,
            "made_on": [BAR + hour * HOUR for hour in made],
            "available_at": [BAR + hour * HOUR for hour in known],
            "horizon": [hour * HOUR for hour in horizon],
            "q10": [value - 0.01 for value in middle],
            "q50": middle,
            "q90": [value + 0.01 for value in middle],
            **extra,
        }
    )
    return Predictions.from_table(given, "1h", features=tuple(extra))


def middles(joined: Joined, symbol: str = "BTC/USDT") -> list[float | None]:
    return [None if np.isnan(value) else value for value in joined.market["q50"][symbol]]


def test_bar_has_the_forecast_made_on_it_once_that_is_known_and_no_longer_than_its_horizon() -> None:
    joined = with_predictions(market(), records((0, 1, 1, 0.1), (1, 2, 3, 0.2)))
    assert middles(joined) == [0.1, 0.2, 0.2, 0.2, None, None]
    row = joined.report.loc["BTC/USDT"]
    assert row.to_dict() == {
        "bars": 6, "forecast": 4, "stale": 2, "none yet": 0, "records": 2, "used": 2, "too late": 0, "outside": 0,
    }  # fmt: skip


def test_forecast_that_comes_late_is_seen_from_then_on_and_one_past_its_horizon_never() -> None:
    joined = with_predictions(market(), records((0, 2.5, 4, 0.1), (1, 3.5, 1, 0.2)))
    # The second was made on a newer bar, so from 3.5 h on it is the newest word, and has run out by then.
    assert middles(joined) == [None, None, 0.1, None, None, None]
    row = joined.report.loc["BTC/USDT"]
    assert (row["none yet"], row["stale"], row["used"], row["too late"]) == (2, 3, 1, 1)
    assert str(joined).splitlines()[0] == (
        "BTC/USDT: 1 of 6 bars have a forecast, 3 only a stale one, 2 none yet, 1 records came too late"
    )


def test_known_exactly_at_the_close_is_known_and_a_moment_later_is_not() -> None:
    at, after = records((0, 1, 2, 0.1)), records((0, 1 + 1e-6, 2, 0.1))
    assert middles(with_predictions(market(3), at)) == [0.1, 0.1, None]
    assert middles(with_predictions(market(3), after)) == [None, 0.1, None]


def test_later_word_on_a_bar_takes_the_place_of_the_first_from_when_it_is_known() -> None:
    joined = with_predictions(market(4), records((0, 1, 4, 0.1), (0, 2.5, 4, 0.3)))
    assert middles(joined) == [0.1, 0.1, 0.3, 0.3]


def test_word_on_an_older_bar_that_comes_after_one_on_a_newer_is_not_used() -> None:
    joined = with_predictions(market(4), records((1, 2, 4, 0.2), (0, 3, 9, 0.1)))
    assert middles(joined) == [None, 0.2, 0.2, 0.2]


def test_symbol_without_its_bar_has_no_forecast_there_and_one_without_records_none() -> None:
    joined = with_predictions(market(4, ("BTC/USDT", "ETH/USDT"), missing=(1,)), records((0, 1, 9, 0.1)))
    assert middles(joined) == [0.1, None, 0.1, 0.1]
    assert middles(joined, "ETH/USDT") == [None] * 4
    assert joined.report["none yet"].tolist() == [0, 3]
    assert joined.report["bars"].tolist() == [3, 3]


def test_features_and_probabilities_come_along() -> None:
    odds = {"prob_short": [0.2], "prob_neutral": [0.1], "prob_long": [0.7]}
    joined = with_predictions(market(2), records((0, 1, 1, 0.1), mood=[7.0], **odds))
    for name, value in {"mood": 7.0, "prob_short": 0.2, "prob_long": 0.7}.items():
        assert joined.market[name]["BTC/USDT"].tolist() == pytest.approx([value, np.nan], nan_ok=True)


def test_what_does_not_fit_is_refused() -> None:
    good = records((0, 1, 1, 0.1))
    with pytest.raises(ValidationError, match="made on bars of 4h, the market has 1h"):
        with_predictions(market(), Predictions.none("4h"))
    with pytest.raises(ValidationError, match="forecasts of BTC/USDT, the market has XRP/USDT"):
        with_predictions(market(symbols=("XRP/USDT",)), good)
    once = with_predictions(market(), good).market
    with pytest.raises(ValidationError, match="the market has the field q10, q50, q90 already"):
        with_predictions(once, good)
    assert middles(with_predictions(market(2), Predictions.none("1h"))) == [None, None]


moments = st.floats(0, 12, allow_nan=False).map(lambda value: round(value * 4) / 4)


@given(st.lists(st.tuples(st.integers(-2, 9), moments, st.sampled_from([0.5, 1, 2, 5])), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_join_is_what_a_reader_of_the_rule_would_pick_by_hand(rows: list[tuple[int, float, float]]) -> None:
    unique = {(made, made + 1 + wait): horizon for made, wait, horizon in rows}
    given_rows = [
        (made, known, horizon, 0.001 * (at + 1)) for at, ((made, known), horizon) in enumerate(unique.items())
    ]
    joined = with_predictions(market(10), records(*given_rows))
    for bar, shown in enumerate(middles(joined)):
        close = bar + 1
        known = [row for row in given_rows if row[1] <= close]
        newest = max(known, key=lambda row: (row[0], row[1]), default=None)
        wanted = newest[3] if newest is not None and close < newest[0] + 1 + newest[2] else None
        assert shown == wanted, (bar, given_rows)


@given(st.integers(1, 10), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_no_bar_depends_on_a_record_that_is_known_after_it(cut: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = np.arange(10)
    rows = [(int(bar), float(bar + 1 + rng.integers(0, 4)), float(rng.integers(1, 5)), 0.001 * bar) for bar in made]
    whole = with_predictions(market(10), records(*rows))
    known = [row for row in rows if row[1] <= cut]
    part = records(*known) if known else Predictions.none("1h")
    assert middles(whole)[:cut] == middles(with_predictions(market(10), part))[:cut]


# Sources


def test_file_is_read_again_once_it_has_changed(tmp_path) -> None:
    path = tmp_path / "forecasts.csv"
    lines = ["time,q10,q50,q90", "2024-01-01T00:00:00Z,-0.01,0.001,0.01"]
    path.write_text("\n".join(lines))
    source = FilePredictions(path, symbol="BTC/USDT")
    assert middles(with_predictions(market(2), source)) == [0.001, None]
    assert source.read(market(2)) is source.read(market(2))
    path.write_text("\n".join([*lines, "2024-01-01T01:00:00Z,-0.01,0.002,0.01"]))
    os.utime(path, ns=(1, 1))
    assert middles(with_predictions(market(2), source)) == [0.001, 0.002]
    path.unlink()
    with pytest.raises(ValidationError, match=r"forecasts.csv: cannot be read .No such file"):
        source.read(market(2))


def test_model_in_the_process_is_asked_about_the_bars_at_hand() -> None:
    class Drift:
        def predict(self, bars: Market) -> pd.DataFrame:
            rise = bars.close.pct_change()["BTC/USDT"].dropna()
            return pd.DataFrame(
                {"symbol": "BTC/USDT", "made_on": rise.index, "q10": rise - 0.01, "q50": rise, "q90": rise + 0.01}
            )

    assert middles(with_predictions(market(3), ModelPredictions(Drift()))) == [None, 0.0, 0.0]
    assert middles(with_predictions(market(1), ModelPredictions(Drift()))) == [None]
