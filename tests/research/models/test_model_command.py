"""`ladder train` and `ladder predict` as a user has them."""

from __future__ import annotations

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from data import ValidationError, load_sample
from data.predictions import read_predictions
from research.cli.model import predict, train
from research.models import FittedModel, QuantileModel, WalkForwardPlan, walk_forward_predictions

app = typer.Typer()
app.command()(train)
app.command()(predict)

MONTHS = ["-s", "BTC/USD", "-s", "ETH/USD", "--since", "2018-03-01", "--until", "2018-05-01"]
SMALL = ["--iterations", "5", "--min-samples", "50", "--train", "1000", "--refit", "15D"]


def ladder(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})


def shown(*arguments):
    result = ladder(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_train_judges_then_saves_and_predict_goes_on_from_there(tmp_path):
    model, walk, page = tmp_path / "m" / "btc.skops", tmp_path / "walk.parquet", tmp_path / "walk.html"
    text = shown("train", *MONTHS, *SMALL, "-o", model, "--predictions", walk, "--report", page)
    market = load_sample(["BTC/USD", "ETH/USD"]).loc["2018-03-01":"2018-04-30"]
    expected = walk_forward_predictions(
        QuantileModel(max_iter=5, min_samples_leaf=50), market, WalkForwardPlan(train=1000, refit="15D")
    )
    assert str(expected).splitlines()[1] in text
    assert "The model's pinball loss is" in text
    pd.testing.assert_frame_equal(pd.read_parquet(walk), expected.table, check_exact=True)
    assert "Quantile forecast against what came" in page.read_text(encoding="utf-8")
    fitted = FittedModel.load(model)
    assert f"wrote {model}: model {fitted.id}, trained on {fitted.training.rows:,} rows" in text

    out = tmp_path / "new.parquet"
    later = ["-s", "BTC/USD", "-s", "ETH/USD", "--until", "2018-06-01"]
    text = shown("predict", model, *later, "-o", out)
    table = pd.read_parquet(out)
    assert f"wrote {out}: {len(table):,} predictions by model {fitted.id}" in text
    assert table["made_on"].min() == fitted.training.known_at
    assert read_predictions(out, "30m").report.records == len(table)
    text = shown("predict", model, *later, "-o", out, "--since", "2018-05-20", "--report", page)
    assert pd.read_parquet(out)["made_on"].min() == pd.Timestamp("2018-05-20", tz="UTC")
    assert "1 model," in text
    result = ladder("predict", model, *later, "-o", out, "--since", "2018-04-01", "--in-sample")
    assert "are in the model's sample: they prove nothing" in result.stderr
    assert pd.read_parquet(out)["made_on"].min() == pd.Timestamp("2018-04-01", tz="UTC")


def test_train_without_walk_forward_only_saves(tmp_path):
    model = tmp_path / "btc.skops"
    text = shown("train", *MONTHS, *SMALL, "-o", model, "--no-walk-forward", "--horizon", "4")
    assert text.startswith(f"wrote {model}")
    assert FittedModel.load(model).model == QuantileModel(max_iter=5, min_samples_leaf=50, horizon=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", *MONTHS, "-o", "{}/m.skops", "--no-walk-forward", "--report", "{}/r.html"],
            "are of the walk-forward",
        ),
        (["train", *MONTHS, "-o", "{}/m.skops", "--train", "soon"], "train 'soon' must be a span"),
        (["train", *MONTHS, "-o", "{}/m.skops", "--leaves", "1"], "max_leaf_nodes 1"),
        (["train", *MONTHS, "-o", "{}/file/m.skops"], "m.skops: cannot be written in"),
        (["predict", "{}/none.skops", "-o", "{}/p.parquet"], "none.skops: cannot be read"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(tmp_path, arguments, message):
    (tmp_path / "file").write_text("no folder")
    result = ladder(*(str(argument).replace("{}", str(tmp_path)) for argument in arguments))
    assert isinstance(result.exception, ValidationError)
    assert message in str(result.exception)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_nothing_left_to_predict_is_said(tmp_path):
    model = tmp_path / "btc.skops"
    shown("train", *MONTHS, *SMALL, "-o", model, "--no-walk-forward")
    result = ladder(
        "predict", model, "-s", "BTC/USD", "-s", "ETH/USD", "--until", "2018-04-01", "-o", tmp_path / "p.parquet"
    )
    assert "nothing to predict from 2018-04-30 23:30" in str(result.exception)


@pytest.mark.parametrize("command", ["train", "predict"])
def test_help_has_an_example(command):
    assert f"Example: `ladder {command} " in shown(command, "--help")
