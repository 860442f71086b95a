"""`ladder train` and `ladder predict`: a quantile model from bars to a file, and from the file to predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import ValidationError
from research.cli import run as options
from research.cli.inputs import SAMPLE, market_from, require_writable
from research.cli.tables import say_while_waiting

if TYPE_CHECKING:
    import pandas as pd

    from data.market import Market
    from research.models import QuantileModel, WalkForwardPlan, WalkForwardPredictions

Table = Annotated[
    Path | None,
    typer.Option("--predictions", help="Write the predictions here (.parquet).", show_default=False, dir_okay=False),
]
Page = Annotated[
    Path | None, typer.Option("--report", help="Write the report here (.html).", show_default=False, dir_okay=False)
]
Span = Annotated[str, typer.Option("--train", metavar="SPAN", help="What each model is trained on: 365D, or bars.")]
Refit = Annotated[
    str, typer.Option("--refit", metavar="SPAN", help="How long it predicts before the next: 90D, or bars.")
]


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="The model's file (.skops).", dir_okay=False)],
    data: options.Data = SAMPLE,
    symbol: options.Symbols = None,
    timeframe: options.Timeframe = None,
    since: options.Since = None,
    until: options.Until = None,
    store: options.Root = None,
    horizon: Annotated[int, typer.Option(help="Bars from the fill to the end of what is predicted.")] = 1,
    iterations: Annotated[int, typer.Option(help="Trees of each quantile.")] = 100,
    learning_rate: Annotated[float, typer.Option(help="What each tree adds.")] = 0.05,
    leaves: Annotated[int, typer.Option(help="Leaves of a tree.")] = 15,
    min_samples: Annotated[int, typer.Option(help="Training rows in a leaf, at least.")] = 100,
    l2: Annotated[float, typer.Option(help="L2 penalty on the leaves.")] = 1.0,
    rows: Annotated[
        int, typer.Option(help="About how many rows a model is trained on; of more, every n-th time.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    walk_forward: Annotated[bool, typer.Option(help="First judge such models on what they had not seen.")] = True,
    train_span: Span = "365D",
    refit: Refit = "90D",
    anchored: Annotated[bool, typer.Option("--anchored", help="Train each on all that came before it.")] = False,
    embargo: Annotated[int, typer.Option(help="Bars left out between training and test, beside the label's.")] = 0,
    predictions: Table = None,
    report: Page = None,
) -> None:
    """Train a quantile model: judge such models by walk-forward, then train one on all bars and save it.

    Example: `ladder train -s BTC/USD -s ETH/USD -o btc.skops --predictions walk.parquet --report walk.html`
    """
    from research.models import QuantileModel, WalkForwardPlan

    for option, path in (("--out", out), ("--predictions", predictions), ("--report", report)):
        require_writable(option, path)
    if not walk_forward and (predictions is not None or report is not None):
        raise ValidationError("--predictions and --report are of the walk-forward; leave --no-walk-forward out")
    model = QuantileModel(
        horizon=horizon,
        max_iter=iterations,
        learning_rate=learning_rate,
        max_leaf_nodes=leaves,
        min_samples_leaf=min_samples,
        l2=l2,
        max_rows=rows,
        seed=seed,
    )
    plan = WalkForwardPlan(train=_span(train_span), refit=_span(refit), anchored=anchored, embargo=embargo)
    market = market_from(data, symbol or [], timeframe, since, until, store)
    if walk_forward:
        _judge(model, market, plan, predictions, report)
    say_while_waiting(f"train: {len(market):,} bars of {', '.join(market.symbols)}")
    fitted = model.fit(market)
    fitted.save(out)
    told = fitted.training
    typer.echo(
        f"wrote {out}: model {fitted.id}, trained on {told.rows:,} rows, {told.first:%Y-%m-%d %H:%M} to "
        f"{told.last:%Y-%m-%d %H:%M} UTC"
    )


def predict(
    model: Annotated[Path, typer.Argument(help="A file that `ladder train` wrote.", dir_okay=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Write the predictions here (.parquet).", dir_okay=False)],
    data: options.Data = SAMPLE,
    symbol: options.Symbols = None,
    timeframe: options.Timeframe = None,
    since: options.Since = None,
    until: options.Until = None,
    store: options.Root = None,
    in_sample: Annotated[
        bool, typer.Option("--in-sample", help="Also predict bars that the model was trained on.")
    ] = False,
    report: Page = None,
) -> None:
    """Predict with a saved model, for the bars after those that it was trained on.

    `--since` is the first bar that is predicted; earlier ones give the windows that its features need.

    Example: `ladder predict btc.skops -s BTC/USD -s ETH/USD --since 2019-07-01 -o predictions.parquet`
    """
    from data.timeframe import utc_time
    from research.models import FittedModel

    require_writable("--out", out)
    require_writable("--report", report)
    fitted = FittedModel.load(model)
    market = market_from(data, symbol or [], timeframe, None, until, store)
    known_at = fitted.training.known_at
    wanted = None if since is None else utc_time(since, "--since")
    first = wanted if in_sample else max(known_at, wanted) if wanted is not None else known_at
    if wanted is not None and first != wanted:
        typer.echo(
            f"the model was trained on bars up to {known_at:%Y-%m-%d %H:%M}Z: it predicts those after, and not from "
            f"--since {wanted:%Y-%m-%d %H:%M}Z on (--in-sample for all)",
            err=True,
        )
    table = fitted.predict(market, since=first)
    if table.empty:
        raise ValidationError(
            f"{model}: nothing to predict from {first} on: it was trained on bars up to {known_at}, the market ends "
            f"with {market.index[-1]}; bring later bars, or ask for --in-sample"
        )
    if table.attrs["in_sample"]:
        typer.echo(f"{table.attrs['in_sample']:,} rows are in the model's sample: they prove nothing", err=True)
    _write(table, out)
    typer.echo(f"wrote {out}: {len(table):,} predictions by model {fitted.id}")
    if report is not None:
        _report(table, market, report)


def _judge(
    model: QuantileModel, market: Market, plan: WalkForwardPlan, predictions: Path | None, report: Path | None
) -> WalkForwardPredictions:
    from engine.progress import bar_progress
    from research.models import walk_forward_predictions

    folds = len(plan.folds(market, model.horizon))
    with bar_progress("walk-forward", folds, show=True, unit="models") as advance:
        walk = walk_forward_predictions(
            model, market, plan, progress=None if advance is None else lambda done, _: advance(done)
        )
    typer.echo(walk)
    if predictions is not None:
        _write(walk.table, predictions)
        typer.echo(f"wrote {predictions}")
    _report(walk, market, report)
    return walk


def _report(predictions: Any, market: Market, path: Path | None) -> None:
    from research.models import model_report

    say_while_waiting("report: figures and their intervals")
    judged = model_report(predictions, market)
    typer.echo(judged)
    if path is not None:
        typer.echo(f"wrote {judged.write_html(path)}")


def _write(table: pd.DataFrame, path: Path) -> None:
    from data.atomic import replacing

    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def _span(text: str) -> int | str:
    """A number of bars, or a span of time as it was typed."""
    return int(text) if text.isdigit() else text
