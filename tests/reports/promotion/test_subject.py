"""What is judged, as hashes: one text for one value, and every change named."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import Market, ValidationError
from engine import Costs, Exits, RiskLimits
from reports.promotion.policy import PaperPolicy, Policy
from reports.promotion.subject import as_judged, canonical, differences, digest_of, line_of, line_of_run, subject_of
from research.strategies import SmaCross
from tests.reports.promotion.on_record import TERMS, bars, hold_engine, strategy_of, subject_on, write_desk

FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def exact(value):
    """A value that equals another one only where their JSON has to: 1 is not 1.0, nor True, and 0.0 is not -0.0."""
    if isinstance(value, dict):
        return {name: exact(one) for name, one in value.items()}
    if isinstance(value, list):
        return [exact(one) for one in value]
    return (type(value).__name__, value.hex() if isinstance(value, float) else value)


@given(VALUES)
def test_canonical_text_is_read_back_to_the_last_bit(value):
    assert exact(json.loads(canonical(value))) == exact(value)


@given(st.dictionaries(st.text(), VALUES, min_size=2), st.randoms())
def test_order_of_keys_changes_no_hash(value, chance):
    names = list(value)
    chance.shuffle(names)
    assert digest_of(canonical({name: value[name] for name in names})) == digest_of(canonical(value))


@given(VALUES, VALUES)
def test_two_values_have_one_hash_only_where_they_are_the_same(one, other):
    assert (digest_of(canonical(one)) == digest_of(canonical(other))) == (exact(one) == exact(other))


@given(FINITE)
def test_the_next_float_is_another(value):
    beside = math.nextafter(value, math.inf)
    if math.isfinite(beside):
        assert canonical(value) != canonical(beside)


def test_a_number_that_is_not_finite_has_no_canonical_text():
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": math.nan})


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    hold_engine(monkeypatch)
    write_desk(tmp_path)
    return tmp_path


@pytest.fixture
def judged(desk):
    return subject_on(strategy_of(desk / "breakout.py"), bars(), desk)


def changes(desk, judged, market=None, terms=TERMS, exchange="binance", **parameters):
    strategy = strategy_of(desk / "breakout.py", **parameters)
    now = subject_of(
        strategy, bars() if market is None else market, exchange=exchange, terms=terms, lock=desk / "requirements.lock"
    )
    return differences(judged, now)


def edited(path, old, new):
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


def test_the_same_again_has_no_difference(desk, judged):
    assert changes(desk, judged) == []


def test_every_hash_stands_for_the_text_beside_it(judged):
    for name in ("source", "parameters", "terms", "engine"):
        assert digest_of(judged[f"{name}_text"]) == judged[name]


@pytest.mark.parametrize("name", ["breakout.py", "desk/levels.py", "desk/__init__.py"])
def test_one_byte_of_a_source_is_named_by_file(desk, judged, name):
    path = desk / name
    path.write_bytes(path.read_bytes() + b"#")
    assert changes(desk, judged) == [f"source: {name} has changed"]


def test_a_module_that_is_new_or_gone_is_named(desk, judged):
    (desk / "desk" / "depth.py").write_text("")
    edited(desk / "desk" / "levels.py", "def", "from desk import depth\n\n\ndef")
    assert changes(desk, judged) == ["source: desk/depth.py is new", "source: desk/levels.py has changed"]
    now = subject_on(strategy_of(desk / "breakout.py"), bars(), desk)
    assert "source: desk/depth.py is gone" in differences(now, judged)


def test_parameters_and_barriers_are_named_with_both_values(desk, judged):
    assert changes(desk, judged, window=25) == ["parameter window: was 24, is 25"]
    barriers = Exits(stop_loss=0.05, time_limit=pd.Timedelta("2D"))
    told = changes(desk, judged, exits=barriers)
    assert told == [
        "parameter exits: was null, is not there",
        "parameter exits.stop_loss: was not there, is 0.05",
        "parameter exits.take_profit: was not there, is null",
        "parameter exits.time_limit: was not there, is '2 days 00:00:00'",
        "parameter exits.trailing: was not there, is null",
    ]


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_parameter_that_is_another_by_its_last_bit_is_another(one, other):
    lines = [
        line_of_run(SmaCross(5, 20, weight=weight), exchange="x", symbols=["A/B"], timeframe="1h")
        for weight in (one, other)
    ]
    assert (lines[0] == lines[1]) == (one == other)


def test_what_an_order_is_worth_is_a_parameter_wherever_the_class_has_it(desk):
    file = desk / "breakout.py"
    edited(file, "    exits: Exits", "    order_notional = 250.0\n    exits: Exits")
    assert '"order_notional":250.0' in subject_on(strategy_of(file), bars(), desk)["parameters_text"]


def test_terms_are_named(desk, judged):
    dearer = {**TERMS, "costs": Costs(0.002), "risk": RiskLimits(max_position=0.6)}
    assert changes(desk, judged, terms=dearer) == [
        "terms: costs.fee: was 0.001, is 0.002",
        "terms: risk.max_position: was 0.5, is 0.6",
    ]
    assert changes(desk, judged, terms={**TERMS, "cash": 1.0}) == ["terms: cash: was 10000.0, is 1.0"]


def test_a_bar_that_changed_is_named_by_symbol_and_field(desk, judged):
    market = bars()
    volume = market.volume.copy()
    volume.iloc[7, 1] += 1e-12
    told = changes(desk, judged, market.with_fields(volume=volume))
    assert told == ["data: the bars that were judged have changed: ETH/USDT volume"]


def test_bars_that_came_since_are_no_difference_and_one_that_is_gone_is(desk, judged):
    longer = bars(400)
    assert len(as_judged(longer, judged)) == 200
    assert changes(desk, judged, as_judged(longer, judged)) == []
    kept = [at for at in range(200) if at != 100]
    frames = {name: longer[name].iloc[kept] for name in longer}
    short = Market.from_frames(
        {symbol: pd.DataFrame({name: table[symbol] for name, table in frames.items()}) for symbol in longer.symbols},
        timeframe="1h",
    )
    assert "times" in changes(desk, judged, as_judged(short, judged))[0]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("numpy==2.4.0", "numpy==2.4.1", "requirements.lock: numpy was 2.4.0, is 2.4.1"),
        ("sha256:cc", "sha256:cd", "requirements.lock: the lines of pandas 3.0.1 ; python_version >= '3.11' have"),
        ("# pinned by hand", "# pinned by hanD", "requirements.lock: its head, or the order of its lines"),
        ("pandas==3.0.1", "polars==3.0.1", "requirements.lock: pandas 3.0.1 ; python_version >= '3.11' is gone"),
    ],
)
def test_one_line_of_the_lock_is_named_by_package(desk, judged, old, new, told):
    edited(desk / "requirements.lock", old, new)
    assert changes(desk, judged)[0].startswith(told)


def test_a_package_of_another_version_than_then_is_named_though_the_lock_is_the_same(judged):
    there = json.loads(judged["installed_text"])
    assert set(there) == {"numpy", "pandas"}
    now = {**judged, "installed_text": canonical({**there, "numpy": "1.0"})}
    assert differences(judged, now) == [
        f"installed numpy: was {there['numpy']}, is 1.0; install what requirements.lock pins"
    ]
    assert differences(judged, {**judged, "installed_text": canonical({"pandas": there["pandas"]})}) == []


def test_a_file_of_the_engine_is_named(judged):
    files = json.loads(judged["engine_text"])
    text = canonical({**files, "engine/rules.py": "0" * 64})
    now = {**judged, "engine": digest_of(text), "engine_text": text}
    assert differences(judged, now) == ["engine: engine/rules.py has changed"]


def test_policy_is_named_by_threshold_and_may_be_left_out(judged):
    def with_policy(policy):
        return {**judged, "policy": policy.digest, "policy_text": canonical(policy.model_dump())}

    one, other = Policy(), Policy(paper=PaperPolicy(trades=60))
    assert differences(with_policy(one), with_policy(other)) == ["policy paper.trades: was 50, is 60"]
    assert differences(with_policy(one), judged) == []


def test_what_nobody_looks_at_now_is_a_difference(judged):
    blind = {name: value for name, value in judged.items() if name not in ("data", "data_text")}
    assert differences(judged, blind) == ["data: was not looked at"]
    assert differences(blind, judged) == ["data: was not judged"]


def test_a_hash_alone_still_tells_that_it_is_another(judged):
    recorded = {name: value for name, value in judged.items() if not name.endswith("_text")}
    assert differences(recorded, {**recorded, "engine": "f" * 64}) == [
        f"engine: another hash, {judged['engine'][:12]} was judged, {'f' * 12} is there"
    ]


def test_line_is_of_what_is_traded_and_not_of_its_bytes(desk, judged):
    strategy = strategy_of(desk / "breakout.py")
    same = {**judged, "source": "other", "data": "other", "lock": "other", "engine": "other"}
    told = line_of_run(strategy, exchange="binance", symbols=["BTC/USDT", "ETH/USDT"], timeframe="1h")
    assert line_of(judged) == line_of(same) == told
    for name in ("strategy", "parameters", "exchange", "symbols", "timeframe"):
        assert line_of({**judged, name: "other"}) != line_of(judged)


def test_a_parameter_that_no_text_tells_is_refused(desk):
    strategy = strategy_of(desk / "breakout.py", weight=object())
    with pytest.raises(ValidationError, match="parameter weight is told by where it lies in memory"):
        subject_on(strategy, bars(), desk)


def test_no_bars_and_no_lock_are_refused(desk):
    strategy = strategy_of(desk / "breakout.py")
    with pytest.raises(ValidationError, match="no bars"):
        subject_on(strategy, bars().iloc(0, 0), desk)
    with pytest.raises(ValidationError, match="cannot be read"):
        subject_of(strategy, bars(), exchange="binance", lock=desk / "none.lock")
