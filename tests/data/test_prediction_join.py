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
        "superseded": 0,
    }  # fmt: skip


def test_market_tells_which_bar_each_forecast_was_made_on() -> None:
    made = with_predictions(market(4), records((0, 1, 3, 0.1), (2, 3, 1, 0.2))).market["made_on"]["BTC/USDT"]
    hours = (made - BAR.timestamp()) / 3600.0
    assert hours.tolist() == pytest.approx([0.0, 0.0, 2.0, np.nan], nan_ok=True)


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
    with pytest.raises(ValidationError, match="the market has the field q10, q50, q90, made_on already"):
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


def test_decision_that_waits_sees_the_forecast_of_its_own_bar() -> None:
    """A model that takes a second: each forecast, of one bar, is known a second after the bar's close."""
    second = 1 / 3600
    live = records(*((bar, bar + 1 + second, 1, 0.1 + bar / 100) for bar in range(4)))
    at_once = with_predictions(market(4), live)
    assert middles(at_once) == [None] * 4
    assert at_once.report.loc["BTC/USDT", ["used", "too late", "outside", "superseded"]].tolist() == [0, 4, 0, 0]
    waiting = with_predictions(market(4), live, grace="1s")
    assert middles(waiting) == pytest.approx([0.1, 0.11, 0.12, 0.13])
    assert waiting.report.loc["BTC/USDT", ["used", "too late"]].tolist() == [4, 0]
    assert str(waiting).splitlines()[1] == "decided 1 s after each bar's close"
    assert "decided" not in str(at_once)
    assert middles(with_predictions(market(4), live, grace="999ms")) == [None] * 4


def test_grace_of_a_source_is_the_same() -> None:
    live = records((0, 1.1, 1, 0.1))

    class Source:
        def read(self, bars: Market) -> Predictions:
            return live

    assert middles(with_predictions(market(2), Source(), grace="30min")) == [0.1, None]


@pytest.mark.parametrize(
    ("grace", "message"),
    [("-1s", "grace '-1s'"), ("1h", "grace '1h' must be shorter than a bar of 1h"), ("soon", "grace 'soon'")],
)
def test_grace_is_a_part_of_a_bar(grace: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        with_predictions(market(), records((0, 1, 1, 0.1)), grace=grace)


def test_horizon_is_judged_at_the_close_and_what_came_after_it_is_over_is_not_taken() -> None:
    half = records((0, 1.25, 0.5, 0.1))
    assert middles(with_predictions(market(2), half, grace="45min")) == [0.1, None]
    over = with_predictions(market(2), records((0, 1.5, 0.5, 0.1)), grace="45min")
    assert middles(over) == [None, None]
    assert over.report["too late"].tolist() == [1]


def test_no_decision_sees_a_record_from_when_it_was_taken_back() -> None:
    ended = [BAR + 3.25 * HOUR, None]
    plain = records((0, 1, 9, 0.1), (7, 8, 9, 0.2)).table
    kept = Predictions.from_table(plain.assign(ended_at=pd.to_datetime(ended, utc=True)), "1h")
    assert middles(with_predictions(market(5), kept)) == [0.1, 0.1, 0.1, None, None]
    assert middles(with_predictions(market(5), kept, grace="15min")) == [0.1, 0.1, None, None, None]


def test_record_that_no_bar_saw_is_told_by_why() -> None:
    rows = {
        "used": (0, 1, 9, 0.1),
        "too late": (0, 3.5, 1, 0.2),
        "revised before a decision": (1, 2.25, 9, 0.3),
        "revision": (1, 2.5, 9, 0.4),
        "behind a newer": (0, 3, 9, 0.5),
        "after the last": (1, 5.5, 9, 0.6),
        "before the first": (-5, -4, 2, 0.7),
    }
    joined = with_predictions(market(5), records(*rows.values()))
    assert middles(joined) == [0.1, 0.1, 0.4, 0.4, 0.4]
    row = joined.report.loc["BTC/USDT"]
    assert row[["records", "used", "too late", "outside", "superseded"]].tolist() == [7, 2, 1, 2, 2]
    assert "2 records were superseded before any bar saw them" in str(joined)


def test_record_of_a_bar_that_the_symbol_lacks_lies_outside() -> None:
    joined = with_predictions(market(4, missing=(1,)), records((0, 1, 1, 0.1), (1, 2, 1, 0.2)))
    assert joined.report[["used", "outside"]].to_numpy().tolist() == [[1, 1]]


def test_symbols_that_the_market_lacks_are_listed() -> None:
    both = Predictions.join([records((0, 1, 1, 0.1)), records((0, 1, 1, 0.2), (1, 2, 1, 0.2), symbol="ETH/USDT")])
    joined = with_predictions(market(2), both)
    assert joined.unknown == ("ETH/USDT",)
    assert "not in the market: ETH/USDT (2 records)" in str(joined).splitlines()
    whole = with_predictions(market(2, ("BTC/USDT", "ETH/USDT")), both)
    assert whole.unknown == ()
    assert "not in the market" not in str(whole)


waits = st.integers(0, 16).map(lambda quarters: quarters / 4)


@given(
    st.lists(
        st.tuples(st.integers(-3, 9), waits, st.sampled_from([0.25, 0.5, 1, 2, 5]), st.none() | waits),
        min_size=1,
        max_size=12,
    ),
    st.sets(st.integers(1, 6), max_size=4),
    st.sampled_from([0, 0.25, 0.75]),
)
@settings(max_examples=100, deadline=None)
def test_each_record_is_used_too_late_outside_or_superseded(
    rows: list[tuple[int, float, float, float | None]], missing: set[int], grace: float
) -> None:
    unique = {(made, made + 1 + wait): (horizon, end) for made, wait, horizon, end in rows}
    made_rows = [(*keys, horizon, 0.001 * (at + 1)) for at, (keys, (horizon, _)) in enumerate(unique.items())]
    ends = {row[3]: row[1] + end for row, (_, end) in zip(made_rows, unique.values(), strict=True) if end is not None}
    table = records(*made_rows).table
    ended = [BAR + ends[value] * HOUR if value in ends else None for value in table["q50"]]
    found = Predictions.from_table(table.assign(ended_at=pd.to_datetime(ended, utc=True)), "1h")
    joined = with_predictions(market(8, missing=tuple(missing)), found, grace=grace * HOUR)

    def sees(close: float, row: tuple[int, float, float, float]) -> bool:
        made, known, horizon, value = row
        alive = close < made + 1 + horizon and known < made + 1 + horizon
        return known <= close + grace and alive and close + grace < ends.get(value, np.inf)

    bars = [bar for bar in range(8) if bar not in missing]
    used = {value for value in middles(joined) if value is not None}
    wanted = dict.fromkeys(("used", "too late", "outside", "superseded"), 0)
    for row in made_rows:
        if row[3] in used:
            wanted["used"] += 1
        elif not any(sees(close, row) for close in range(-3, 30)):
            wanted["too late"] += 1
        elif not any(sees(bar + 1, row) for bar in bars):
            wanted["outside"] += 1
        else:
            wanted["superseded"] += 1
    told = joined.report.loc["BTC/USDT"]
    assert told[list(wanted)].to_dict() == wanted
    assert sum(wanted.values()) == told["records"] == len(made_rows)
    for bar, shown in enumerate(middles(joined)):
        known = [row for row in made_rows if row[1] <= bar + 1 + grace]
        newest = max(known, key=lambda row: (row[0], row[1]), default=None)
        held = newest is not None and bar in bars and sees(bar + 1, newest)
        assert shown == (newest[3] if newest is not None and held else None), (bar, made_rows)


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


def test_file_that_says_itself_what_is_given_is_refused(tmp_path) -> None:
    path = tmp_path / "full.parquet"
    records((0, 1, 1, 0.1)).to_parquet(path)
    assert middles(with_predictions(market(1), FilePredictions(path))) == [0.1]
    for name, value in {"symbol": "BTC/USDT", "horizon": "2h", "delay": "1h"}.items():
        with pytest.raises(ValidationError, match=f"full.parquet: {name} '{value}' is given, and the table has"):
            FilePredictions(path, **{name: value}).read(market(1))


def test_model_in_the_process_is_asked_about_the_bars_at_hand() -> None:
    class Drift:
        def predict(self, bars: Market) -> pd.DataFrame:
            rise = bars.close.pct_change()["BTC/USDT"].dropna()
            return pd.DataFrame(
                {"symbol": "BTC/USDT", "made_on": rise.index, "q10": rise - 0.01, "q50": rise, "q90": rise + 0.01}
            )

    assert middles(with_predictions(market(3), ModelPredictions(Drift()))) == [None, 0.0, 0.0]
    assert middles(with_predictions(market(1), ModelPredictions(Drift()))) == [None]
