"""Records of forecasts: every rule with its message, everything that is put in order counted, and back from a file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.errors import ValidationError
from data.predictions import PredictionReport, Predictions, read_predictions

BAR = pd.Timestamp("2024-01-01", tz="UTC")


def hours(*numbers: float) -> list[pd.Timestamp]:
    return [BAR + pd.Timedelta(hours=number) for number in numbers]


def table(**columns: list) -> pd.DataFrame:
    """Three good records, with columns in place of theirs."""
    good = {"made_on": hours(0, 1, 2), "q10": [-0.01] * 3, "q50": [0.001, 0.002, 0.003], "q90": [0.02] * 3}
    return pd.DataFrame({**good, **columns})


def records(**columns: list) -> Predictions:
    return Predictions.from_table(table(**columns), "1h", symbol=None if "symbol" in columns else "BTC/USDT")


def test_record_has_its_bar_the_time_it_is_known_from_and_its_horizon() -> None:
    made = Predictions.from_table(table(), "1h", symbol="BTC/USDT", horizon="2h", delay="1h", model="m1")
    first = made.table.iloc[0]
    assert (first["symbol"], first["made_on"], first["model"]) == ("BTC/USDT", BAR, "m1")
    assert first["available_at"] == BAR + pd.Timedelta("2h")  # an hour of its bar, an hour of delay
    assert first["horizon"] == pd.Timedelta("2h")
    assert made.report == PredictionReport(3)
    assert str(made) == "BTC/USDT 1h: 3 records"


def test_without_a_horizon_it_is_one_bar_and_without_a_delay_it_is_known_at_the_close() -> None:
    first = records().table.iloc[0]
    assert first["horizon"] == pd.Timedelta("1h")
    assert first["available_at"] == BAR + pd.Timedelta("1h")


def test_crossed_quantiles_are_put_in_order_and_counted() -> None:
    made = records(q10=[-0.01, 0.005, -0.01], q90=[0.02, -0.002, 0.02])
    assert made.report.crossed == 1
    assert made.table.loc[1, ["q10", "q50", "q90"]].tolist() == [-0.002, 0.002, 0.005]


def test_doubles_gaps_empty_and_disordered_records_are_counted() -> None:
    made = records(
        made_on=hours(5, 0, 0, 1, 2)[:5],
        q10=[-0.01] * 4 + [np.nan],
        q50=[0.001] * 4 + [np.nan],
        q90=[0.02] * 4 + [np.nan],
    )
    assert made.report == PredictionReport(records=3, duplicates=1, empty=1, disordered=1, gaps=3)
    assert made.table["made_on"].tolist() == hours(0, 1, 5)
    assert str(made.report) == (
        "3 records; 1 doubles left out; 1 without a forecast left out; 1 out of order, sorted; 3 bars without a record"
    )


def test_a_later_word_on_a_bar_is_a_revision_and_one_after_its_delay_is_late() -> None:
    made = records(made_on=hours(0, 0, 1), available_at=hours(1, 1.5, 2))
    assert (made.report.revisions, made.report.late, made.report.records) == (1, 1, 3)


BAD = {
    "naive": (
        {"made_on": [time.tz_localize(None) for time in hours(0, 1, 2)]},
        r'row 1, column made_on: 2024-01-01 00:00:00 has no time zone; pass tz="UTC"',
    ),
    "off the grid": ({"made_on": hours(0, 1.5, 3)}, "BTC/USDT 2024-01-01 01:30.00:00: made_on is off the grid of 1h"),
    "infinite": ({"q90": [0.02, np.inf, 0.02]}, "01:00.00:00: q10, q50, q90 = -0.01, 0.002, inf: not finite numbers"),
    "half a forecast": ({"q90": [0.02, np.nan, 0.02]}, "01:00.00:00: q10, q50, q90 = .*nan: not finite numbers"),
    "percent": ({"q10": [-2.0, -0.01, -0.01]}, "a return below -1; give fractions, 0.002 for 0.2%"),
    "text": ({"q50": ["up", "0.1", "0.1"]}, "row 1, column q50: 'up' is not a number"),
    "early": ({"available_at": hours(1, 1.5, 3)}, "available_at 2024-01-01 01:30.00:00 is before its bar closes"),
    "contrary": ({"made_on": hours(0, 0, 2)}, "two records, both available at 2024-01-01 01:00.00:00, and they differ"),
    "odds": (
        {"prob_short": [0.2] * 3, "prob_neutral": [0.1] * 3, "prob_long": [0.7, 0.6, 0.7]},
        "01:00.00:00: prob_short, prob_neutral, prob_long = 0.2, 0.1, 0.6: each from 0 to 1, together 1 .sum 0.9",
    ),
    "half the odds": ({"prob_short": [0.2] * 3}, "prob_short without the others"),
    "odds that are none": (
        {"prob_short": [0.2] * 3, "prob_neutral": [0.1] * 3, "prob_long": [np.nan, 0.7, 0.7]},
        "prob_long = 0.2, 0.1, nan: each from 0 to 1",
    ),
    "horizon": ({"horizon": [3600, 0, 3600]}, "row 2, column horizon: 0; give a length of time above 0"),
    "no symbol": ({"symbol": ["BTC/USDT", None, "BTC/USDT"]}, "row 2: no symbol"),
    "all empty": (
        {name: [np.nan] * 3 for name in ("q10", "q50", "q90")},
        "none of its 3 records has a forecast",
    ),
}


@pytest.mark.parametrize(("columns", "message"), BAD.values(), ids=BAD.keys())
def test_record_that_breaks_a_rule_is_refused_by_symbol_bar_and_mend(columns: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        records(**columns)


def test_missing_columns_and_symbols_are_named() -> None:
    with pytest.raises(ValidationError, match=r"no column q90 .found: made_on, q10, q50"):
        Predictions.from_table(table().drop(columns="q90"), "1h", symbol="BTC/USDT")
    with pytest.raises(ValidationError, match="name the symbol"):
        Predictions.from_table(table(), "1h")
    with pytest.raises(ValidationError, match="horizon '-1h'"):
        Predictions.from_table(table(), "1h", symbol="BTC/USDT", horizon="-1h")
    with pytest.raises(ValidationError, match="delay 'soon'"):
        Predictions.from_table(table(), "1h", symbol="BTC/USDT", delay="soon")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_records_come_back_from_a_file_as_they_were(tmp_path, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    made = Predictions.from_table(table(mood=[0.1, 0.2, 0.3]), "1h", symbol="BTC/USDT", features=("mood",), model="m")
    if suffix == "parquet":
        made.to_parquet(path)
    else:
        made.table.assign(horizon=made.table["horizon"].dt.total_seconds()).to_csv(path, index=False)
    again = read_predictions(path, "1h", features=("mood",))
    pd.testing.assert_frame_equal(again.table, made.table, check_dtype=False)
    assert again.report == made.report


def test_error_of_a_file_names_it(tmp_path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("time,q10,q50,q90\n2024-01-01T00:00:00Z,-0.1,0.0,inf\n")
    with pytest.raises(ValidationError, match=r"bad.csv: BTC/USDT 2024-01-01 00:00.*not finite"):
        read_predictions(path, "1h", symbol="BTC/USDT")


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        ({"horizon": [3600] * 3}, {"horizon": "2h"}, "horizon '2h' is given, and the table has a column horizon"),
        (
            {"available_at": hours(1, 2, 3)},
            {"delay": "1h"},
            "delay '1h' is given, and the table has a column av",
        ),
        ({"available_at": hours(1, 2, 3)}, {"delay": "0s"}, "Leave delay out, or drop the column"),
        (
            {"symbol": ["ETH/USDT"] * 3},
            {"symbol": "BTC/USDT"},
            "symbol 'BTC/USDT' is given, and the table has a",
        ),
    ],
)
def test_what_table_and_argument_both_say_is_refused(columns: dict, given: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Predictions.from_table(table(**columns), "1h", **{"symbol": "BTC/USDT", **given})


def test_model_is_only_for_a_table_that_names_none(tmp_path) -> None:
    named = Predictions.from_table(table(model=["a", "b", "c"]), "1h", symbol="BTC/USDT", model="mine")
    assert named.table["model"].tolist() == ["a", "b", "c"]
    table().to_parquet(tmp_path / "night.parquet")
    found = read_predictions(tmp_path / "night.parquet", "1h", symbol="BTC/USDT")
    assert set(found.table["model"]) == {"night"}


def test_late_is_what_says_itself_that_it_was_known_later_than_the_grace() -> None:
    known = {"available_at": hours(1, 2 + 1 / 60, 3 + 2 / 60)}
    for grace, late in (("0s", 2), ("60s", 1), ("2min", 0)):
        given = Predictions.from_table(table(**known), "1h", symbol="BTC/USDT", grace=grace)
        assert given.report.late == late
    # A delay that one chose is none of the records' own.
    assert Predictions.from_table(table(), "1h", symbol="BTC/USDT", delay="1h").report.late == 0
    with pytest.raises(ValidationError, match="grace '-1s'"):
        Predictions.from_table(table(), "1h", symbol="BTC/USDT", grace="-1s")


def test_end_of_a_record_comes_back_from_a_file(tmp_path) -> None:
    made = records(ended_at=[None, BAR + pd.Timedelta("3h"), None], horizon=[36000] * 3)
    made.to_parquet(tmp_path / "mine.parquet")
    again = read_predictions(tmp_path / "mine.parquet", "1h")
    assert again.table["ended_at"].tolist()[1] == BAR + pd.Timedelta("3h")
    assert again.table["ended_at"].isna().tolist() == [True, False, True]
    assert again.extras == ()


def test_tables_with_and_without_odds_do_not_join_and_it_says_which() -> None:
    odds = {"prob_short": [0.2] * 3, "prob_neutral": [0.1] * 3, "prob_long": [0.7] * 3}
    with_odds, without = records(**odds), Predictions.from_table(table(), "1h", symbol="ETH/USDT")
    with pytest.raises(ValidationError, match=r"join: table 2 \(ETH/USDT\) of 2 has no prob_short.*the others have"):
        Predictions.join([with_odds, without])
    assert len(Predictions.join([with_odds, Predictions.none("1h")])) == 3


def test_tables_without_a_record_join_into_one_without() -> None:
    none = Predictions.none("1h")
    whole = Predictions.join([none, none])
    assert (len(whole), whole.timeframe, whole.report) == (0, "1h", PredictionReport(0))


def test_tables_join_into_one_that_keeps_the_rules_and_their_counts() -> None:
    one, other = records(q10=[-0.01, 0.005, -0.01]), Predictions.from_table(table(), "1h", symbol="ETH/USDT")
    whole = Predictions.join([one, other, other])
    assert whole.symbols == ("BTC/USDT", "ETH/USDT")
    assert (whole.report.records, whole.report.crossed, whole.report.duplicates) == (6, 1, 3)
    with pytest.raises(ValidationError, match="all of one timeframe"):
        Predictions.join([one, Predictions.none("4h")])
