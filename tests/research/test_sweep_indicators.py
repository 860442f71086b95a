"""Indicators that are remembered: the same bits as computed anew, once per distinct value, within the memory given."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from data import ValidationError, load_sample
from research import indicator, sweep
from research.indicators import remembering
from research.strategies import BollingerReversion, SmaCross
from research.strategies.windows import rolling_deviation, rolling_mean

LIMIT = 10**8
INDEX = pd.date_range("2024-01-01", periods=6, freq="1h", tz="UTC", name="time")
PRICES = pd.Series([1.0, 2.0, 3.0, 5.0, 4.0, -0.0], index=INDEX, name="A")


class Counted:
    """An indicator that counts how often it is computed."""

    def __init__(self, answer: Any = lambda *given, **named: PRICES * 2.0) -> None:
        self.calls = 0

        @indicator
        def compute(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return answer(*args, **kwargs)

        self.compute = compute


def anew(values: np.ndarray, bars: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation by their rule: each window summed on its own, oldest value first."""
    means, deviations = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for end in range(bars - 1, len(values)):
        window, newest = values[end - bars + 1 : end + 1], values[end]
        total = np.float64(0.0)
        for value in window[:-1]:
            total += value - newest
        means[end] = newest + total / bars
        squares = np.float64(0.0)
        for value in window:
            squares += (value - means[end]) * (value - means[end])
        deviations[end] = np.sqrt(squares / bars)
    return means, deviations


# What is asked for again is there


def test_outside_of_a_sweep_nothing_is_kept():
    counted = Counted()
    counted.compute(PRICES, 3)
    counted.compute(PRICES, 3)
    assert counted.calls == 2


def test_same_content_is_computed_once_whatever_object_it_comes_in():
    counted = Counted()
    with remembering(LIMIT) as memory:
        first = counted.compute(PRICES, 3, side="up")
        again = counted.compute(PRICES.copy(), 3, side="up")
    assert counted.calls == 1
    assert (memory.hits, memory.misses) == (1, 1)
    pd.testing.assert_series_equal(first, again, check_exact=True, check_freq=True)
    counted.compute(PRICES, 3, side="up")
    assert counted.calls == 2


@pytest.mark.parametrize(
    "other",
    [
        (PRICES, 4),
        (PRICES, 3.0),
        (PRICES, np.int64(3)),
        (PRICES, True),
        (PRICES.rename("B"), 3),
        (PRICES.set_axis(INDEX + pd.Timedelta("1h")), 3),
        (PRICES.set_axis(INDEX.rename("at")), 3),
        (PRICES.set_axis(pd.DatetimeIndex(INDEX, freq=None)), 3),
        (PRICES.set_axis(range(6)), 3),
        (PRICES.mask(PRICES == 0.0, 0.0), 3),  # it was -0.0
        (PRICES.astype("float32"), 3),
        (PRICES.to_numpy(), 3),
        (PRICES.to_frame(), 3),
        (PRICES,),
        (PRICES, 3, None),
        ((PRICES, 3),),
    ],
    ids=str,
)
def test_anything_else_is_another_question(other):
    counted = Counted()
    with remembering(LIMIT):
        for given_arguments in ((PRICES, 3), other, (PRICES, 3), other):
            counted.compute(*given_arguments)
    assert counted.calls == 2


def test_layout_of_an_array_is_part_of_the_question():
    # numpy adds up an array in the order of its memory.
    counted = Counted()
    table = np.arange(6.0).reshape(2, 3)
    with remembering(LIMIT):
        counted.compute(table)
        counted.compute(np.asfortranarray(table))
        counted.compute(table.copy())
    assert counted.calls == 2


@pytest.mark.parametrize(
    "answer",
    [
        PRICES * 2.0,
        pd.DataFrame({"A": PRICES, "B": PRICES * 3.0}),
        PRICES.to_numpy() * 2.0,
        (PRICES * 2.0, np.arange(3), 4.0),
        PRICES.iloc[2:] * 2.0,
        np.float64(3.0),
        5,
        None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_answer_from_memory_is_the_answer(answer):
    counted = Counted(lambda *_: answer)
    with remembering(LIMIT):
        first, again = counted.compute(PRICES), counted.compute(PRICES)
    assert counted.calls == 1
    for one, other in zip(*(value if isinstance(value, tuple) else (value,) for value in (first, again)), strict=True):
        assert type(one) is type(other)
        if isinstance(one, pd.Series):
            pd.testing.assert_series_equal(one, other, check_exact=True, check_freq=True)
        elif isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other, check_exact=True, check_freq=True)
        else:
            assert np.array_equal(np.asarray(one), np.asarray(other)) or one is other


def test_what_an_asker_does_to_an_answer_reaches_nobody_else():
    for answer in (PRICES.to_numpy() * 2.0, PRICES * 2.0, pd.DataFrame({"A": PRICES * 2.0})):
        counted = Counted(lambda *_, answer=answer: answer.copy())
        with remembering(LIMIT):
            for _ in range(3):
                got = counted.compute(PRICES)
                assert np.array_equal(np.asarray(got).ravel(), PRICES.to_numpy() * 2.0)
                if isinstance(got, np.ndarray):
                    got[:] = 7.0
                else:
                    got.iloc[:] = 7.0
        assert counted.calls == 1


@pytest.mark.parametrize(
    "argument",
    [[1.0, 2.0], {"a": 1}, PRICES.astype("object"), np.array(["a", None], dtype=object), lambda: 1],
    ids=["list", "dict", "objects", "object array", "function"],
)
def test_arguments_whose_content_is_not_known_are_not_remembered(argument):
    counted = Counted()
    with remembering(LIMIT) as memory:
        counted.compute(argument)
        counted.compute(argument)
    assert counted.calls == 2
    assert memory.used == 0


def test_answers_of_an_unknown_kind_are_not_remembered():
    counted = Counted(lambda *_: [1.0])
    with remembering(LIMIT):
        assert counted.compute(PRICES) == counted.compute(PRICES) == [1.0]
    assert counted.calls == 2


def test_an_indicator_may_ask_another_one():
    inner = Counted(lambda values, bars: values * bars)
    outer = Counted(lambda values, bars: inner.compute(values, bars) + 1.0)
    with remembering(LIMIT):
        for _ in range(3):
            outer.compute(PRICES, 2)
            inner.compute(PRICES, 2)
    assert (outer.calls, inner.calls) == (1, 1)


def test_error_is_raised_each_time():
    def refuse(*_: Any) -> None:
        raise ValueError("no")

    counted = Counted(refuse)
    with remembering(LIMIT):
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                counted.compute(PRICES)
    assert counted.calls == 2


# Within the memory given


@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=40), limit=st.integers(0, 20_000))
@settings(max_examples=50)
def test_memory_is_never_exceeded_and_comes_back(sizes, limit):
    counted = Counted(lambda values, number: values * number)
    with remembering(limit) as memory:
        for number, size in enumerate(sizes):
            values = np.arange(size, dtype=np.float64)
            assert np.array_equal(counted.compute(values, number), values * number)
            assert 0 <= memory.used <= limit
            assert sum(one.content.nbytes for alike in memory._inputs.values() for one in alike) <= limit
        if not memory._answers:
            assert memory.used == 0
            assert not memory._inputs


def test_least_recently_asked_goes_first():
    counted = Counted(lambda values, number: values * number)
    values = np.zeros(100)
    with remembering(4_500) as memory:  # an input and two answers
        for number in (1, 2, 1, 3):
            counted.compute(values, number)
        assert counted.calls == 3
        counted.compute(values, 1)
        assert counted.calls == 3
        counted.compute(values, 2)
        assert counted.calls == 4
        assert memory.used <= 4_500


# Windows


@given(
    values=st.lists(
        st.floats(-1e9, 1e9) | st.sampled_from([0.1, 0.3, 1.0, -0.0, float("nan"), float("inf")]), max_size=60
    ),
    bars=st.integers(1, 70),
)
@settings(max_examples=200)
def test_windows_are_summed_by_their_rule_to_the_last_bit(values, bars):
    series = pd.Series(values, dtype=np.float64)
    with np.errstate(all="ignore"):
        mean, deviation = anew(series.to_numpy(), bars)
    assert np.array_equal(rolling_mean(series, bars).to_numpy(), mean, equal_nan=True)
    assert np.array_equal(rolling_deviation(series, bars).to_numpy(), deviation, equal_nan=True)


@pytest.mark.parametrize("bars", [1, 2, 7, 511, 512, 513, 700])
def test_windows_longer_than_what_advances_together_are_the_same(bars):
    close = load_sample(["BTC/USD"]).close["BTC/USD"].dropna().iloc[:1_600]
    mean, deviation = anew(close.to_numpy(), bars)
    assert np.array_equal(rolling_mean(close, bars).to_numpy(), mean, equal_nan=True)
    assert np.array_equal(rolling_deviation(close, bars).to_numpy(), deviation, equal_nan=True)
    with remembering(LIMIT) as memory:
        for _ in range(2):
            assert rolling_mean(close, bars).equals(pd.Series(mean, index=close.index))
            assert rolling_deviation(close, bars).equals(pd.Series(deviation, index=close.index))
        assert memory.hits == 3  # the deviation asks for its mean


@pytest.mark.parametrize("bars", [0, -1, 2.0, True, "3", None])
def test_window_of_no_whole_number_of_bars_is_refused(bars):
    for function in (rolling_mean, rolling_deviation):
        with pytest.raises(ValidationError, match="must be a whole number, at least 1"):
            function(PRICES, bars)


def test_sweep_computes_each_average_once(monkeypatch):
    from research.strategies import window_kernel

    asked = []
    means = window_kernel.means
    monkeypatch.setattr(window_kernel, "means", lambda series, bars: (asked.append(bars), means(series, bars))[1])
    month = load_sample(["BTC/USD"]).loc["2018-03-01":"2018-03-31"]
    sweep(SmaCross, {"fast": [5, 10, 15], "slow": [40, 50, 60, 70]}, month)
    assert sorted(asked) == [5, 10, 15, 40, 50, 60, 70]
    asked.clear()
    sweep(BollingerReversion, {"window": [20, 30], "width": [1.0, 1.5, 2.0]}, month)
    assert sorted(asked) == [20, 30]
    SmaCross(5, 40).targets(month)
    assert sorted(asked) == [5, 20, 30, 40]
