"""The message that Hummingbot reads: what goes in comes out, and what is wrong is named with its mend."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ValidationError
from data.livestream import CLOSED, EXPIRED, LOST, LivestreamMessage, pair_of, topic_of

NOW = dt.datetime(2026, 1, 1, 10, 0, 5, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
GIVEN = {
    "pair": "BTC/USDT",
    "timestamp": NOW,
    "probabilities": (0.2, 0.1, 0.7),
    "target_pct": 0.012,
    "raw_quantiles": (-0.01, 0.002, 0.02),
    "made_on": NOW.replace(hour=9, second=0),
    "horizon": 3600.0,
    "expires_at": NOW + HOUR,
    "model": "lightgbm",
    "features": {"momentum_5": 0.01},
}


def message(**changed):
    return LivestreamMessage(**{**GIVEN, **changed})


def sent(**changed):
    """The JSON of a good message with some fields set, or left out where they are ...."""
    fields = {**json.loads(message().to_json()), **changed}
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


@pytest.mark.parametrize("pair", ["BTC/USDT", "BTC-USDT", "btc-usdt", "BTC/USDT:USDT"])
def test_every_way_to_write_a_pair_leads_to_hummingbots_topic(pair):
    assert topic_of(pair) == "hbot/predictions/btc_usdt/ML_SIGNALS"
    assert pair_of(pair) == pair_of(topic_of(pair)) == "BTC/USDT"


@pytest.mark.parametrize(
    ("pair", "text"),
    [
        (
            "BTCUSDT",
            "pair 'BTCUSDT': where does the base end? Hummingbot listens for base and quote apart; write BTC/USDT",
        ),
        ("+/USDT", "pair '+/USDT': + and # are wildcards of MQTT"),
        ("BTC/#", "pair 'BTC/#': + and # are wildcards of MQTT"),
        ("BTC/USDT/x", "pair 'BTC/USDT/x': write it as BTC/USDT, BTC-USDT or BTC/USDT:USDT"),
        ("", "pair '': write it as BTC/USDT"),
        ("BTC/US DT", "write it as BTC/USDT"),
        ("BTC/USDT\n", "write it as BTC/USDT"),
        (None, "pair None: give text"),
    ],
)
def test_pair_that_hummingbot_would_not_meet_is_refused(pair, text):
    with pytest.raises(ValidationError) as caught:
        topic_of(pair)
    assert text in str(caught.value)


def test_json_is_what_the_controller_unpacks():
    fields = json.loads(message().to_json())
    short, neutral, long = fields["probabilities"]
    assert (short, neutral, long, fields["target_pct"]) == (0.2, 0.1, 0.7, 0.012)
    assert fields["raw_quantiles"] == {"q10": -0.01, "q50": 0.002, "q90": 0.02}
    assert fields["features"] == {"momentum_5": 0.01}
    assert fields["timestamp"] == "2026-01-01T10:00:05+00:00"
    assert fields["expires_at"] == "2026-01-01T11:00:05+00:00"
    assert (fields["horizon"], fields["version"], fields["kind"]) == (3600.0, 1, "prediction")


def test_numpy_and_pandas_types_become_plain_ones():
    plain = message(features={"fg": 3, "flag": True, "half": 0.5, "word": "up", "none": None})
    numpy = message(
        timestamp=pd.Timestamp(NOW),
        probabilities=np.array(GIVEN["probabilities"]),
        target_pct=np.float64(0.012),
        raw_quantiles=np.array(GIVEN["raw_quantiles"]),
        made_on=pd.Timestamp(GIVEN["made_on"]).tz_convert("Asia/Tokyo"),
        horizon=np.int64(3600),
        expires_at=pd.Timestamp(NOW + HOUR),
        model=np.str_("lightgbm"),
        features={
            "fg": np.int64(3), "flag": np.bool_(True), "half": np.float32(0.5), "word": np.str_("up"), "none": None,
        },
    )  # fmt: skip
    assert numpy == plain
    assert numpy.to_json() == plain.to_json()
    assert type(numpy.timestamp) is dt.datetime
    assert {type(value) for value in numpy.features.values()} == {int, bool, float, str, type(None)}


def test_id_is_of_the_prediction_not_of_when_it_was_sent():
    first = message()
    assert message(timestamp=NOW + HOUR / 2).id == first.id
    assert len(first.id) == 16
    others = [
        message(pair="ETH/USDT"),
        message(made_on=GIVEN["made_on"] - HOUR),
        message(raw_quantiles=(-0.01, 0.002, 0.021)),
        message(probabilities=(0.2, 0.2, 0.6)),
        message(model="v2"),
        message(kind="replay"),
    ]
    assert len({first.id, *(one.id for one in others)}) == 7
    assert message(id="mine").id == "mine"
    assert {message(), message()} == {message()}


def test_crossed_quantiles_are_put_in_order_and_flagged():
    crossed = message(raw_quantiles=(0.002, -0.01, 0.02))
    assert (crossed.raw_quantiles, crossed.crossed) == (GIVEN["raw_quantiles"], True)
    assert LivestreamMessage.from_json(crossed.to_json()) == crossed
    assert message().crossed is False


@pytest.mark.parametrize("kind", [EXPIRED, CLOSED, LOST])
def test_neutral_message_takes_every_side_back_and_never_expires(kind):
    neutral = LivestreamMessage.neutral("BTC-USDT", kind, NOW)
    assert (neutral.probabilities, neutral.is_neutral, neutral.target_pct > 0) == ((0.0, 1.0, 0.0), True, True)
    assert not neutral.expired(NOW + 1000 * HOUR)
    assert LivestreamMessage.from_json(neutral.to_json()) == neutral


def test_prediction_expires_at_its_time():
    assert not message().expired(NOW + HOUR - dt.timedelta(microseconds=1))
    assert message().expired(NOW + HOUR)


moments = st.integers(0, 9 * 10**7).map(lambda minutes: NOW + dt.timedelta(minutes=minutes))
numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain_values = st.none() | st.booleans() | numbers | words | st.integers(-(2**63) + 1, 2**63 - 1)


@st.composite
def messages(draw):
    short = draw(st.floats(0.0, 1.0))
    long = draw(st.floats(0.0, 1.0 - short))
    made_on = draw(moments)
    return LivestreamMessage(
        draw(st.sampled_from(["BTC/USDT", "ETH-USDC", "SOL/USDT:USDT", "1INCH/USD"])),
        made_on + dt.timedelta(seconds=draw(st.integers(0, 10**6))),
        (short, max(1.0 - short - long, 0.0), long),
        target_pct=draw(st.floats(1e-9, 1.0)),
        confidence=draw(st.floats(0.0, 10.0)),
        raw_quantiles=draw(st.none() | st.tuples(numbers, numbers, numbers)),
        features=draw(st.dictionaries(words, plain_values, max_size=4)),
        kind=draw(st.sampled_from(["prediction", "replay"])),
        made_on=made_on,
        horizon=draw(st.floats(1e-3, 1e9)),
        expires_at=made_on + dt.timedelta(days=20, microseconds=draw(st.integers(0, 10**12))),
        model=draw(st.none() | words),
    )


@given(messages())
def test_what_goes_in_comes_out(one):
    text = one.to_json()
    again = LivestreamMessage.from_json(text, pair=one.topic)
    assert again == one
    assert again.to_json() == text
    assert LivestreamMessage.from_json(text.encode()) == one


@given(st.text() | st.binary() | st.recursive(st.none() | st.integers() | words, st.lists).map(json.dumps))
def test_what_is_no_message_is_refused_in_our_words(text):
    with pytest.raises(ValidationError, match="livestream message: "):
        LivestreamMessage.from_json(text)


@given(st.sampled_from(list(json.loads(message().to_json()))), st.recursive(plain_values, st.lists, max_leaves=4))
def test_a_field_of_any_content_is_read_or_refused_in_our_words(name, value):
    try:
        LivestreamMessage.from_json(sent(**{name: value}), pair="BTC/USDT", assume_utc=True)
    except ValidationError as error:
        assert "livestream message: " in str(error)


SUM = "send [short, neutral, long], each from 0 to 1, together 1"
BAD = {
    "no JSON": ("{", "no JSON (Expecting property name"),
    "nothing": ("", "no JSON (Expecting value"),
    "no UTF-8": (b"\xff{}", "no JSON ("),
    "no text": (None, "no JSON ("),
    "a list": ("[1]", "a JSON list; send one JSON object"),
    "NaN": ('{"target_pct": NaN}', "NaN is no JSON; send a finite number, or leave the field out"),
    "an infinity": ('{"target_pct": -Infinity}', "-Infinity is no JSON"),
    "a field twice": ('{"id": "a", "id": "b"}', "field 'id' is there twice; which one holds? Send it once"),
    "lists too deep": ("[" * 100_000, "no JSON ("),
    "the old system's": (sent(version=...), "version None: a message of the old system? Read it with assume_utc=True"),
    "a version to come": (sent(version=2), "version 2: this Ladder reads 0 to 1; update it"),
    "a version that is none": (sent(version="1"), "version '1': give 1"),
    "no pair": (sent(pair=...), "pair None: the message has none; pass pair=, or the topic it came on"),
    "a pair in one word": (sent(pair="BTCUSDT"), "pair 'BTCUSDT': where does the base end?"),
    "no time": (sent(timestamp=...), "timestamp None: it is missing; it must be there"),
    "a null time": (sent(timestamp=None), "timestamp None: give an ISO time"),
    "a time that is none": (
        sent(timestamp="soon"),
        "timestamp 'soon': give an ISO time such as 2024-01-01T00:00:00+00:00",
    ),
    "an epoch": (sent(timestamp=1704067200), "timestamp 1704067200: give an ISO time"),
    "a time without a zone": (
        sent(timestamp="2026-01-01T10:00:05"),
        "timestamp '2026-01-01T10:00:05': it has no zone; write its offset, +00:00 for UTC, or pass assume_utc=True",
    ),
    "a time out of reach": (sent(made_on="0001-01-01T00:00:00+14:00"), "it is out of reach in UTC"),
    "no probabilities": (sent(probabilities=...), "probabilities None: it is missing"),
    "two probabilities": (sent(probabilities=[0.5, 0.5]), f"probabilities [0.5, 0.5]: three numbers; {SUM}"),
    "a text for three": (sent(probabilities="abc"), "probabilities 'abc': three numbers; "),
    "named probabilities": (sent(probabilities={"short": 1, "neutral": 0, "long": 0}), "three numbers; "),
    "a probability in words": (sent(probabilities=["0.2", 0.1, 0.7]), "probabilities '0.2': it is no number; "),
    "a truth for a number": (sent(probabilities=[True, 0, 0]), "probabilities True: it is no number; "),
    "a probability above 1": (sent(probabilities=[-0.2, 0.1, 1.1]), f"probabilities [-0.2, 0.1, 1.1]: {SUM}"),
    "a sum of 1.2": (sent(probabilities=[0.4, 0.1, 0.7]), f"probabilities [0.4, 0.1, 0.7]: their sum is 1.2; {SUM}"),
    "a sum just off": (sent(probabilities=[0.2, 0.1, 0.700001]), "their sum is 1.000001; "),
    "a number too large": (sent().replace("0.012", "1e999"), "target_pct inf: give a fraction above 0"),
    "no width": (sent(target_pct=0), "target_pct 0.0: give a fraction above 0, such as 0.01"),
    "a width below 0": (sent(target_pct=-0.01), "target_pct -0.01: give a fraction above 0"),
    "a width in words": (sent(target_pct="wide"), "target_pct 'wide': it is no number"),
    "a confidence above 10": (sent(confidence=11), "confidence 11.0: give 0 to 10"),
    "a quantile missing": (sent(raw_quantiles={"q10": 0, "q50": 0}), 'give {"q10": ..., "q50": ..., "q90": ...}'),
    "quantiles as a list": (sent(raw_quantiles=[1, 2, 3]), 'raw_quantiles [1, 2, 3]: give {"q10"'),
    "a quantile in words": (sent(raw_quantiles={"q10": "low", "q50": 0, "q90": 0}), "raw_quantiles 'low': it is no"),
    "features in a list": (sent(features=[1]), "features [1]: give names and values"),
    "a feature of many": (
        sent(features={"mood": [1]}),
        "features.mood [1]: it is no number; give a finite number, text",
    ),
    "a kind unknown": (sent(kind="guess"), "kind 'guess': give one of prediction, replay, expired, closed, lost"),
    "a neutral kind with an opinion": (sent(kind="expired"), "a message of kind 'expired' has [0, 1, 0]"),
    "no bar": (sent(made_on=...), "made_on None: say which bar it was made on"),
    "no horizon": (sent(horizon=...), "horizon None: say how far it looks ahead, in seconds"),
    "a horizon of ages": (sent(horizon=1e12), "horizon 1000000000000.0: give seconds, 1e9 at most"),
    "a bar long ago": (
        sent(made_on="0001-01-01T00:00:00+00:00"),
        "made_on '0001-01-01T00:00:00+00:00': give a time from 1970 to 2199",
    ),
    "an expiry in ages": (
        sent(expires_at="9999-01-01T00:00:00+00:00"),
        "expires_at '9999-01-01T00:00:00+00:00': give a time from 1970 to 2199",
    ),
    "a horizon of 0": (sent(horizon=0), "horizon 0.0: give seconds"),
    "no expiry": (sent(expires_at=...), "expires_at None: say until when it holds: Hummingbot would keep it for ever"),
    "expired when made": (
        sent(expires_at="2026-01-01T10:00:05+00:00"),
        "expires_at '2026-01-01T10:00:05+00:00': it must be after the timestamp 2026-01-01T10:00:05+00:00",
    ),
    "a bar to come": (
        sent(made_on="2026-01-01T11:00:00+00:00"),
        "made_on '2026-01-01T11:00:00+00:00': it is after the",
    ),
    "crossed in words": (sent(crossed="no"), "crossed 'no': give true or false"),
    "an id of a number": (sent(id=7), "id 7: give text"),
    "a model of a number": (sent(model=7), "model 7: give text"),
    "half a character": (sent(model="\ud800"), "model '\\ud800': it holds half a character"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_message_is_told_by_field_value_and_mend(case):
    text, told = BAD[case]
    with pytest.raises(ValidationError) as caught:
        LivestreamMessage.from_json(text)
    assert str(caught.value).startswith("livestream message: ")
    assert told in str(caught.value)
    assert len(str(caught.value)) < 400


def test_message_on_another_pairs_topic_is_refused():
    with pytest.raises(
        ValidationError, match=r"pair 'BTC/USDT': it came as one of ETH/USDT; send it on hbot/predictions/btc"
    ):
        LivestreamMessage.from_json(sent(), pair="hbot/predictions/eth_usdt/ML_SIGNALS")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"timestamp": NOW.replace(tzinfo=None)}, "it has no zone"),
        ({"timestamp": pd.NaT}, "timestamp NaT: give a datetime with a zone"),
        ({"timestamp": "2026-01-01T10:00:05+00:00"}, "give a datetime with a zone"),
        ({"timestamp": np.datetime64("2026-01-01")}, "give a datetime with a zone"),
        ({"probabilities": (np.nan, 0.3, 0.7)}, "probabilities nan: finite numbers; "),
        ({"raw_quantiles": (-np.inf, 0.0, 0.1)}, "raw_quantiles -inf: finite numbers; "),
        ({"features": {"mood": np.nan}}, "features.mood nan: give a finite number"),
        ({"features": {"mood": np.array([1.0, 2.0])}}, "features.mood"),
        ({"features": {7: 1.0}}, "features 7: give text"),
        ({"features": None}, "features None: give names and values"),
        ({"probabilities": None}, "probabilities None: three numbers"),
    ],
)
def test_wrong_values_are_refused_where_a_message_is_made(changed, text):
    with pytest.raises(ValidationError) as caught:
        message(**changed)
    assert text in str(caught.value)


OLD = (
    '{"timestamp": "2025-03-01T09:30:00.123456", "probabilities": [0.378, 0.14, 0.482], "target_pct": 0.0125, '
    '"confidence": 7.5, "raw_quantiles": {"q10": -0.0013, "q50": 0.0002, "q90": 0.0034}, "features": {"fg_index": 55}}'
)


def test_message_of_the_old_system_is_read_when_asked_for():
    old = LivestreamMessage.from_json(OLD, pair="BTC-USDT", assume_utc=True)
    assert old.timestamp == dt.datetime(2025, 3, 1, 9, 30, 0, 123456, tzinfo=dt.UTC)
    assert (old.version, old.made_on, old.horizon, old.expires_at) == (0, None, None, None)
    assert not old.expired(NOW)
    assert (old.confidence, old.features, len(old.id)) == (7.5, {"fg_index": 55}, 16)
    with pytest.raises(ValidationError, match="assume_utc=True"):
        LivestreamMessage.from_json(OLD, pair="BTC-USDT")
    with pytest.raises(ValidationError, match="pass pair="):
        LivestreamMessage.from_json(OLD, assume_utc=True)
    assert LivestreamMessage.from_json(old.to_json(), assume_utc=True) == old


def test_unknown_fields_are_passed_over():
    assert LivestreamMessage.from_json(sent(mood="good")) == message()


def test_message_alone_loads_neither_pandas_nor_numpy_nor_paho():
    import subprocess
    import sys

    code = (
        "import sys, data.livestream, data.publisher; print({'pandas', 'numpy', 'paho', 'pydantic'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
