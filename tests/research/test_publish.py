"""`ladder publish` as a user has it: a file of predictions, a real broker, a subscriber to Hummingbot's contract."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from data.errors import ValidationError
from data.livestream import LivestreamMessage
from research.cli import _LadderGroup
from research.cli.publish import publish
from research.prediction_messages import Recipe
from research.signals import NeutralWeight, probabilities
from tests.mqtt_broker import Broker, Controller, free_port, wait_until

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "predictions_2024_1h.parquet"
COMMAND = """
import sys, typer
from research.cli import _LadderGroup
from research.cli.publish import publish
app = typer.Typer(cls=_LadderGroup)
app.callback()(lambda: None)
app.command()(publish)
app(["publish", *sys.argv[1:]])
"""

app = typer.Typer(cls=_LadderGroup, rich_markup_mode="markdown")
app.callback()(lambda: None)
app.command()(publish)


def ladder(*arguments, code=0):
    words = ["publish", *(str(argument) for argument in arguments)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result.output


def rows(count, *, last=None, step="1h"):
    """Predictions of the last `count` bars that are over."""
    last = pd.Timestamp.now("UTC").floor(step) - pd.Timedelta(step) if last is None else pd.Timestamp(last, tz="UTC")
    index = pd.date_range(end=last, periods=count, freq=step, name="timestamp")
    middle = np.where(np.arange(count) % 2 == 0, 0.004, -0.004)
    return pd.DataFrame({"q10": middle - 0.006, "q50": middle, "q90": middle + 0.006}, index=index)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("LADDER_MQTT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def controller(broker):
    listening = Controller(broker, "BTC-USDT")
    yield listening
    listening.close()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "lightgbm.parquet"
    rows(5).to_parquet(path)
    return path


def start(*arguments):
    words = [sys.executable, "-c", COMMAND, *(str(argument) for argument in arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_newest_row_is_sent_and_left_in_force(broker, controller, saved):
    text = ladder(saved, "--pair", "BTC/USDT", "--broker", broker.url, "--leave")
    assert "topic hbot/predictions/btc_usdt/ML_SIGNALS" in text
    assert "1 messages confirmed" in text
    (got,) = controller.wait_for(1)
    message = LivestreamMessage.from_json(json.dumps(got))
    last = rows(5).iloc[-1]
    np.testing.assert_allclose(message.probabilities, probabilities(*last))
    assert (message.made_on, message.model, message.kind) == (last.name, "lightgbm", "prediction")
    # It is known an hour after its bar opened, looks an hour ahead, and holds a tenth longer.
    assert message.expires_at == last.name + pd.Timedelta("126min")
    assert controller.signals == [1]


def test_newest_row_is_held_until_it_expires_and_then_taken_back(broker, controller, tmp_path):
    path = tmp_path / "fast.csv"
    rows(3, step="1s").to_csv(path)
    ladder(path, "--pair", "BTC-USDT", "--broker", broker.url, "-t", "1s", "--horizon", "2s")
    got = controller.wait_for(2)
    assert [one["kind"] for one in got] in (["prediction", "expired"], ["prediction", "closed"])


def test_replay_sends_the_past_in_order_at_its_speed(broker, controller, tmp_path):
    path = tmp_path / "past.parquet"
    rows(30, last="2024-03-01T12:00").to_parquet(path)
    began = time.monotonic()
    words = ["--since", "2024-03-01T03:00Z", "--until", "2024-03-01T11:00Z", "--replay-speed", "36000"]
    text = ladder(path, "--pair", "BTC/USDT", "--broker", broker.url, *words)
    assert 0.7 < time.monotonic() - began < 6
    got = controller.wait_for(9)
    hours = [one["made_on"] for one in got[:8]]
    assert hours == [f"2024-03-01T{hour:02d}:00:00+00:00" for hour in range(3, 11)]
    assert {one["kind"] for one in got[:8]} == {"replay"}
    assert [abs(one) for one in controller.signals] == [1] * 8 + [0]
    assert "2024-03-01 10:00Z" in text


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_following_sends_what_is_added_and_takes_it_back_when_stopped(broker, controller, tmp_path, stop):
    path, table = tmp_path / "growing.parquet", rows(4)

    def write(part):
        part.to_parquet(path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    write(table.iloc[:-1])
    process = start(path, "--pair", "BTC/USDT", "--broker", broker.url, "--follow", "--poll", "0.05", "--grace", "2")
    controller.wait_for(1, seconds=30)
    path.write_text("half a file")
    time.sleep(0.2)
    write(table)
    controller.wait_for(2)
    write(table)  # nothing new
    revised = table.copy()
    revised.iloc[-1] = [0.001, 0.002, 0.003]
    write(revised)
    controller.wait_for(3)
    process.send_signal(stop)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 0, told
    assert told.count("cannot be read") == 1
    assert "stopped" in told
    got = controller.wait_for(4)
    assert [one["kind"] for one in got] == ["prediction"] * 3 + ["closed"]
    assert [one["made_on"] for one in got[:3]] == [moment.isoformat() for moment in table.index[[-2, -1, -1]]]
    assert len({one["id"] for one in got}) == 4


def test_following_a_file_whose_newest_row_has_expired_takes_back_what_was_left(broker, controller, tmp_path):
    path = tmp_path / "old.parquet"
    rows(3, last="2024-03-01").to_parquet(path)
    process = start(path, "--pair", "BTC/USDT", "--broker", broker.url, "--follow", "--poll", "0.05")
    assert controller.wait_for(1, seconds=30)[0]["kind"] == "expired"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert (process.returncode, "has expired; waiting for a newer one" in told) == (0, True)


def test_following_survives_the_brokers_end(broker, controller, tmp_path):
    path, table = tmp_path / "growing.parquet", rows(2)
    table.iloc[:-1].to_parquet(path)
    process = start(path, "--pair", "BTC/USDT", "--broker", broker.url, "--follow", "--poll", "0.05", "--grace", "2")
    controller.wait_for(1, seconds=30)
    time.sleep(1.2)  # the broker saves the session
    broker.kill()
    table.to_parquet(path)
    time.sleep(0.2)
    broker.start()
    wait_until(lambda: controller.messages[-1]["made_on"] == table.index[-1].isoformat())
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "trying again" in told and "connected again" in told


def test_dry_run_prints_the_messages_and_needs_no_broker(saved):
    (line,) = ladder(saved, "--pair", "BTC/USDT", "--dry-run").splitlines()
    assert LivestreamMessage.from_json(line).pair == "BTC/USDT"
    lines = ladder(saved, "--pair", "BTC/USDT", "--dry-run", "--replay-speed", "1").splitlines()
    assert len(lines) == 5


def test_options_say_how_a_row_becomes_a_message(tmp_path):
    path, table = tmp_path / "rich.parquet", rows(2)
    table.assign(tier_confidence=7.5, fg_index=np.array([20, 30]), note=["", None]).to_parquet(path)
    words = [path, "--pair", "ETH-USDT", "--dry-run", "--model", "v7", "--neutral", "adaptive", "--target", "spread"]
    message = LivestreamMessage.from_json(ladder(*words, "--feature", "fg_index", "--feature", "note").strip())
    assert (message.pair, message.model, message.confidence) == ("ETH/USDT", "v7", 7.5)
    assert message.features == {"fg_index": 30, "note": None}
    assert message.target_pct == pytest.approx(0.012)
    expected = probabilities(*table.iloc[-1], NeutralWeight(reference=None))
    np.testing.assert_allclose(message.probabilities, expected)
    fixed = LivestreamMessage.from_json(ladder(path, "--pair", "ETH/USDT", "--dry-run", "--target", "0.02").strip())
    assert fixed.target_pct == 0.02


def test_rows_without_a_prediction_are_left_out_and_zones_are_asked_for(tmp_path):
    path, table = tmp_path / "holes.csv", rows(4)
    table.iloc[[0, 3]] = np.nan
    table.to_csv(path)
    recipe = Recipe("BTC/USDT", "1h", horizon=3600.0)
    assert len(recipe.read(path)) == 2
    table.iloc[::-1].to_csv(path)
    assert recipe.read(path).index.is_monotonic_increasing
    both = pd.concat([table.assign(symbol="BTC/USDT:USDT"), (3 * table).assign(symbol="ETH/USDT")])
    both.to_csv(path)
    np.testing.assert_allclose(recipe.read(path)["q50"], table["q50"].dropna())
    with pytest.raises(ValidationError, match=r"no record of XRP/USDT .found: BTC/USDT:USDT, ETH/USDT"):
        Recipe("XRP/USDT", "1h", 3600.0).read(path)
    table.tz_localize(None).to_csv(path)
    with pytest.raises(ValidationError, match="no time zone"):
        recipe.read(path)
    assert len(Recipe("BTC/USDT", "1h", 3600.0, tz="UTC").read(path)) == 2


def save(tmp_path, table):
    path = tmp_path / "given.parquet"
    table.to_parquet(path)
    return path


BAD = {
    "a file that is not there": (lambda: None, [], "no such file"),
    "a column missing": (lambda: rows(2).drop(columns="q90"), [], "no column q90 (found: timestamp, q10, q50"),
    "no time": (lambda: rows(2).reset_index(drop=True), [], "no column a time"),
    "no row": (lambda: rows(2).iloc[:0], [], "holds no record"),
    "no prediction": (lambda: rows(2) * np.nan, [], "none of its 2 records has a forecast"),
    "an infinity": (lambda: rows(2).replace(0.004, np.inf), [], "q10, q50, q90 = -0.002, inf, 0.01: not finite"),
    "half a prediction": (lambda: rows(2).replace(0.004, np.nan), [], "q10, q50, q90 = -0.002, nan, 0.01: not finite"),
    "two of one bar": (lambda: pd.concat([rows(2), rows(2) * 2]), [], "two records, both available at"),
    "an old newest row": (lambda: rows(2, last="2024-01-01"), [], "expired at 2024-01-01 02:06Z"),
    "a row of the future": (lambda: rows(2, last="2099-01-01"), [], "closes at 2099-01-01 01:00Z, and now it is"),
    "a feature missing": (lambda: rows(2), ["--feature", "mood"], "no column mood"),
    "a target that is none": (lambda: rows(2), ["--target", "wide"], "give bridge, spread, or a fraction"),
    "a timeframe that is none": (lambda: rows(2), ["-t", "hour"], "timeframe 'hour'"),
    "two ways at once": (lambda: rows(2), ["--follow", "--replay-speed", "1"], "give one of them"),
    "a speed of 0": (lambda: rows(2), ["--replay-speed", "0"], "must be above 0"),
    "a span without a replay": (lambda: rows(2), ["--since", "2024-01-01"], "give --replay-speed too"),
    "a span without rows": (lambda: rows(2), ["--since", "2099-01-01", "--replay-speed", "1"], "no row from 2099"),
    "a grace below 0": (lambda: rows(2), ["--grace", "-1"], "--grace -1 must be"),
    "no pause at all": (lambda: rows(2), ["--poll", "0"], "--poll 0 must be"),
    "a pair without its parts": (lambda: rows(2), ["--pair", "BTCUSDT"], "where does the base end?"),
    "an address that is none": (lambda: rows(2), ["--broker", "localhost"], "give mqtt://host:1883"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_in_one_message(case, tmp_path):
    table, words, text = BAD[case]
    made = table()
    path = tmp_path / "gone.parquet" if made is None else save(tmp_path, made)
    pair = [] if "--pair" in words else ["--pair", "BTC/USDT"]
    told = ladder(path, *pair, *words, code=1)
    assert text in told.replace("\n", " ")
    assert told.startswith("ladder: ")


def test_absent_broker_ends_the_command_with_a_message(saved):
    words = ["--broker", f"mqtt://127.0.0.1:{free_port()}", "--timeout", "0.3"]
    assert "cannot be reached" in ladder(saved, "--pair", "BTC/USDT", *words, code=1)


def test_help_has_an_example_and_the_variables_of_the_environment():
    text = ladder("--help")
    assert "Example: ladder publish" in text
    assert "LADDER_MQTT_PASSWORD" in text


def test_command_needs_no_main_thread(saved):
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(ladder(saved, "--pair", "BTC/USDT", "--dry-run")))
    thread.start()
    thread.join()
    assert len(outcome) == 1


@pytest.mark.skipif(not SHARED.exists(), reason="the real predictions are not on this machine")
def test_real_predictions_of_2024_are_all_messages():
    recipe = Recipe("BTC/USDT", "1h", horizon=3600.0, speed=3600.0)
    table = recipe.read(SHARED)
    now = pd.Timestamp.now("UTC")
    crossed = (table["q10"] > table["q50"]) | (table["q50"] > table["q90"])
    some = table[crossed | (np.arange(len(table)) % 10 == 0)]
    messages = [recipe.message(moment, row, now) for moment, row in some.iterrows()]
    assert len({one.id for one in messages}) == len(messages)
    assert sum(one.crossed for one in messages) == crossed.sum() > 0
