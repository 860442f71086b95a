"""The options that bring forecasts and daily values to a run's bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from data.market import Market

_PANEL = "Forecasts"


def _option(help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=_PANEL, show_default=False, **more)


Forecasts = Annotated[
    Path | None,
    _option("A file of forecasts (q10, q50, q90 by bar) to join: .parquet, .csv.", "--predictions", metavar="FILE"),
]
Horizon = Annotated[str | None, _option("How far they look ahead from their bar's close: 2h; else one bar.")]
Delay = Annotated[str | None, _option("From their bar's close to when one may act on them: 1h.")]
Daily = Annotated[
    Path | None,
    _option("Daily values to join a day late: columns fear_greed, btc_dominance, 0 to 100.", metavar="FILE"),
]


def with_forecasts(
    market: Market, predictions: Path | None, horizon: str | None, delay: str | None, daily: Path | None
) -> Market:
    """The market with what was named joined to it; says on stderr what became of the forecasts.

    A file without a column `symbol` is of the market's one symbol.

    Raises:
        ValidationError: a file breaks a rule; `--horizon` or `--delay` without `--predictions`, or for a file that says
            so itself.
    """
    from research.forecast_files import ForecastFiles

    return ForecastFiles(predictions, horizon, delay, daily).joined(market, lambda told: typer.echo(told, err=True))
