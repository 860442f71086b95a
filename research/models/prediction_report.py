"""Whether a forecast of quantiles is worth anything: against what came, and against what needs no model.

    report = model_report(predictions, market)
    print(report)                              # the verdict first
    report.write_html("report.html"); report.to_dict()

The pinball loss of a quantile q is (q - [y < f]) x (y - f) (Koenker and Bassett, 1978), in units of the return. Skill
is 1 - loss / loss of a benchmark (`research.models.benchmark_quantiles`), over the mean of the three quantiles.
Intervals are the middle 95% of a stationary bootstrap of whole times (`reports.resampling`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe
from reports.resampling import RankCorrelation, block_length, drawn_weights, interval
from research.models.benchmark_quantiles import BENCHMARKS, LEAST_PAST, past_quantiles
from research.models.features import volatility_scale
from research.models.labels import forward_returns
from research.models.quantile_model import COLUMNS, QUANTILES

# Times below which nothing is judged, and the shortest mean block, in bars.
LEAST_TIMES: Final = 50
LEAST_BLOCK: Final = 24
_NEEDED: Final = ("symbol", "made_on", "horizon", *COLUMNS)


@dataclass(frozen=True, eq=False)
class ModelReport:
    """How a table of predictions did.

    Attributes:
        about: rows judged and left out, span, symbols, horizon, models, rows that came with crossed quantiles, rows in
            the sample of their model, mean block and number of draws.
        losses: mean pinball loss; rows q10, q50, q90, mean; columns model and the benchmarks.
        skill: a row a benchmark: skill, and with low and high the difference model - benchmark of the mean loss.
        coverage: rows q10, q50, q90 and inside (from q10 to q90): nominal and observed share of labels at or below,
            low, high.
        calibration: the same shares for all rows, each symbol and each year: group, rows, q10, q50, q90, inside.
        ranks: Spearman's correlation of q50 with the label, and the hit rate: share of rows in which both have the same
            sign (a return of 0 has none, and is a miss); value, low, high.
        months: a row a UTC month: rows, the mean loss of the model and of the benchmarks, coverage of the interval.
        notes: what a reader must know beside the figures.
    """

    about: Mapping[str, Any]
    losses: pd.DataFrame
    skill: pd.DataFrame
    coverage: pd.DataFrame
    calibration: pd.DataFrame
    ranks: pd.DataFrame
    months: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The outcome in one sentence; what is not shown is said."""
        from research.models.report_page import verdict

        return verdict(self)

    def __str__(self) -> str:
        from research.models.report_page import as_text

        return as_text(self)

    def write_html(self, path: str | Path) -> Path:
        """Write the report as one page that opens without network; the path."""
        from research.models.report_page import write_page

        return write_page(self, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it: texts, numbers, lists; None where a figure is not defined."""
        tables = ("losses", "skill", "coverage", "ranks")
        return {
            "verdict": self.verdict,
            "about": _plain(dict(self.about)),
            **{name: _plain(getattr(self, name).to_dict(orient="index")) for name in tables},
            "calibration": _plain(self.calibration.to_dict(orient="records")),
            "months": _plain(self.months.reset_index().to_dict(orient="records")),
            "notes": list(self.notes),
        }


def model_report(
    predictions: Any,
    market: Market,
    *,
    label: pd.DataFrame | pd.Series | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> ModelReport:
    """Judge predictions by what came.

    Args:
        predictions: a table with symbol, made_on, horizon, q10, q50, q90 (`FittedModel.predict` says what they are), or
            an object that holds one as `table`, such as `WalkForwardPredictions`. Of several records of one bar the
            first counts.
        market: the bars, best from long before the first prediction: the benchmarks learn from them.
        label: realised return by the bar it is predicted on, time by symbol, or a Series where there is one symbol; by
            default what a decision earns (`forward_returns`): from the first open at which they can be acted on
            (available_at) to `horizon` after their bar's close.
        resamples: draws of the bootstrap.
        seed: of the draws; the same call gives the same report.

    Raises:
        ValidationError: a column is missing, a symbol is not in the market, horizons differ or are no whole bars, or
            too few predictions have a label and a benchmark.
    """
    table, horizon = _checked(predictions, market, resamples)
    labels = _labels(label, market, horizon, table)
    return _Judged(table, market, labels, horizon).report(resamples, seed)


class _Judged:
    """Rows with a prediction, a label and both benchmarks."""

    def __init__(self, table: pd.DataFrame, market: Market, labels: pd.DataFrame, horizon: pd.Timedelta) -> None:
        self.market, self.horizon, self.attrs = market, horizon, table.attrs
        rows = market.index.get_indexer(pd.DatetimeIndex(table["made_on"]))
        columns = pd.Index(market.symbols).get_indexer(pd.Index(table["symbol"]))
        found = labels.to_numpy()[rows, columns]
        known = np.isfinite(found) & (rows >= 0)
        past = past_quantiles(labels, volatility_scale(market), horizon)
        compared = known & np.logical_and.reduce([np.isfinite(one[rows, columns]).all(axis=1) for one in past.values()])
        self.given, self.without_label = len(table), int((~known).sum())
        self.without_past = int((known & ~compared).sum())
        self.table = table.loc[compared]
        self.rows, self.columns, self.label = rows[compared], columns[compared], found[compared]
        raw = self.table[list(COLUMNS)].to_numpy(dtype=np.float64)
        ordered = np.sort(raw, axis=1)
        self.crossed = max(int((raw != ordered).any(axis=1).sum()), int(table.attrs.get("crossed", 0)))
        self.forecasts = {"model": ordered, **{name: one[self.rows, self.columns] for name, one in past.items()}}
        self.times, self.time_of_row = np.unique(self.rows, return_inverse=True)
        if len(self.times) < LEAST_TIMES:
            raise ValidationError(
                f"model_report: of {self.given:,} predictions {self.without_label:,} have no label in the market, "
                f"{self.without_past:,} fewer than {LEAST_PAST} labels before them; {len(self.times)} times are left, "
                f"at least {LEAST_TIMES} are needed: give a market that begins earlier and ends later"
            )

    def report(self, resamples: int, seed: int) -> ModelReport:
        losses = {name: _pinball(self.label, forecast) for name, forecast in self.forecasts.items()}
        mean = {name: loss.mean(axis=1) for name, loss in losses.items()}
        gaps = {name: mean["model"] - mean[name] for name in BENCHMARKS}
        below = self.label[:, None] <= self.forecasts["model"]
        inside = (self.label >= self.forecasts["model"][:, 0]) & below[:, 2]
        hits = np.sign(self.forecasts["model"][:, 1]) == np.sign(self.label)
        ranks = RankCorrelation(self.forecasts["model"][:, 1], self.label)
        # Each figure but the correlation is a mean over rows: its sums by time are all that a draw needs.
        figures = {
            **gaps,
            **{name: below[:, place].astype(np.float64) for place, name in enumerate(COLUMNS)},
            "inside": inside.astype(np.float64),
            "hit_rate": hits.astype(np.float64),
        }
        sums = np.column_stack([self._by_time(values) for values in figures.values()])
        count = self._by_time(np.ones(len(self.label)))
        least = max(LEAST_BLOCK, 2 * int(self.horizon // parse_timeframe(self.market.timeframe)))
        together = _ranked(self.forecasts["model"][:, 1]) * _ranked(self.label)
        block = block_length([self._by_time(one) / count for one in (*gaps.values(), together)], least)
        draws, correlations = np.empty((resamples, len(figures))), np.empty(resamples)
        for number, weights in enumerate(drawn_weights(len(self.times), block, resamples, seed)):
            draws[number] = np.einsum("t,tf->f", weights, sums) / (weights * count).sum()
            correlations[number] = ranks.of(weights[self.time_of_row])
        spans = {name: interval(draws[:, place]) for place, name in enumerate(figures)}
        spans["spearman"] = interval(correlations)
        observed = {name: float(values.mean()) for name, values in figures.items()}
        observed["spearman"] = ranks.of(np.ones(len(self.label)))
        return ModelReport(
            about=self._about(block, resamples),
            losses=pd.DataFrame(
                {name: [*loss.mean(axis=0), mean[name].mean()] for name, loss in losses.items()}, [*COLUMNS, "mean"]
            ),
            skill=pd.DataFrame(
                {
                    name: {
                        "skill": 1.0 - mean["model"].mean() / mean[name].mean() if mean[name].mean() else np.nan,
                        "difference": observed[name],
                        "low": spans[name][0],
                        "high": spans[name][1],
                    }
                    for name in BENCHMARKS
                }
            ).T,
            coverage=_with_intervals([*COLUMNS, "inside"], observed, spans, [*QUANTILES, QUANTILES[2] - QUANTILES[0]]),
            calibration=self._calibration(below, inside),
            ranks=_with_intervals(["spearman", "hit_rate"], observed, spans).rename(columns={"observed": "value"}),
            months=self._months(mean, inside),
            notes=self._notes(block),
        )

    def _by_time(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.time_of_row, weights=values, minlength=len(self.times))

    def _made_on(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.market.index[self.rows])

    def _calibration(self, below: np.ndarray, inside: np.ndarray) -> pd.DataFrame:
        symbols, years = np.asarray(self.market.symbols, dtype=object)[self.columns], np.asarray(self._made_on().year)
        groups = [("all", np.ones(len(self.label), dtype=bool))]
        groups += [(symbol, symbols == symbol) for symbol in self.market.symbols if (symbols == symbol).any()]
        groups += [(str(year), years == year) for year in np.unique(years)]
        rows = [[name, int(own.sum()), *below[own].mean(axis=0), inside[own].mean()] for name, own in groups]
        return pd.DataFrame(rows, columns=["group", "rows", *COLUMNS, "inside"])

    def _months(self, mean: Mapping[str, np.ndarray], inside: np.ndarray) -> pd.DataFrame:
        made = self._made_on()
        month = pd.DatetimeIndex(made.normalize() - pd.to_timedelta(made.day - 1, unit="D"), name="month")
        table = pd.DataFrame({**mean, "inside": inside.astype(np.float64)}, index=month)
        means = table.groupby(level=0).mean()
        means.insert(0, "rows", table.groupby(level=0).size())
        return means

    def _about(self, block: float, resamples: int) -> dict[str, Any]:
        made = self._made_on()
        models = self.table["model"].nunique() if "model" in self.table else 0
        return {
            "rows": len(self.label),
            "times": len(self.times),
            "given": self.given,
            "without_label": self.without_label,
            "without_past": self.without_past,
            "first": made.min(),
            "last": made.max(),
            "symbols": [self.market.symbols[place] for place in np.unique(self.columns)],
            "timeframe": self.market.timeframe,
            "horizon": self.horizon,
            "models": int(models),
            "crossed": self.crossed,
            "in_sample": int(self.attrs.get("in_sample", 0)),
            "still": float((self.label == 0.0).mean()),
            "block": block,
            "resamples": resamples,
        }

    def _notes(self, block: float) -> tuple[str, ...]:
        notes = []
        if self.without_label:
            notes.append(
                f"{self.without_label:,} of {self.given:,} predictions have no label: the market ends before it, or "
                "has a gap"
            )
        if self.without_past:
            notes.append(f"{self.without_past:,} predictions come before the benchmarks know {LEAST_PAST} labels")
        if len(self.times) < 20 * block:
            notes.append(
                f"{len(self.times):,} times are about {len(self.times) / block:.0f} blocks: intervals are rough"
            )
        return tuple(notes)


def _checked(predictions: Any, market: Market, resamples: int) -> tuple[pd.DataFrame, pd.Timedelta]:
    """The table, one row a bar and symbol, and its one horizon."""
    table = getattr(predictions, "table", predictions)
    if not isinstance(table, pd.DataFrame) or not isinstance(market, Market):
        raise ValidationError(
            f"model_report(predictions, market): got {type(predictions).__name__} and {type(market).__name__}"
        )
    if isinstance(resamples, bool) or not isinstance(resamples, int) or resamples < 20:
        raise ValidationError(f"model_report: resamples {resamples!r} must be a whole number, at least 20")
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing or table.empty:
        what = f"no column {', '.join(missing)}" if missing else "no row"
        raise ValidationError(f"model_report: the predictions have {what}; `FittedModel.predict` gives such a table")
    unknown = sorted(set(table["symbol"]) - set(market.symbols))
    if unknown:
        raise ValidationError(f"model_report: the market does not hold {unknown}; it holds {list(market.symbols)}")
    made = table["made_on"]
    if not isinstance(made.dtype, pd.DatetimeTZDtype):
        raise ValidationError(f"model_report: made_on is {made.dtype}, not a time in UTC; give opening times of bars")
    horizons, step = pd.to_timedelta(table["horizon"].unique()), parse_timeframe(market.timeframe)
    if len(horizons) != 1 or horizons[0] < step or horizons[0] % step != pd.Timedelta(0):
        raise ValidationError(
            f"model_report: horizons {[str(one) for one in horizons[:3]]}; give predictions of one horizon, a whole "
            f"number of bars of {market.timeframe}"
        )
    if table[list(COLUMNS)].isna().to_numpy().any():
        raise ValidationError("model_report: a quantile is missing; leave out rows without a forecast")
    keys = ["made_on", "symbol"]
    kept = table.sort_values([*keys, *(["available_at"] if "available_at" in table else [])], kind="stable")
    return kept.drop_duplicates(keys), pd.Timedelta(horizons[0])


def _labels(
    label: pd.DataFrame | pd.Series | None, market: Market, horizon: pd.Timedelta, table: pd.DataFrame
) -> pd.DataFrame:
    step = parse_timeframe(market.timeframe)
    if label is None:
        return forward_returns(market, int(horizon // step), _delay(table, step))
    if isinstance(label, pd.Series):
        if len(market.symbols) != 1:
            raise ValidationError(
                f"model_report: label is a Series and the market holds {list(market.symbols)}; give a DataFrame, time "
                "by symbol"
            )
        label = label.to_frame(market.symbols[0])
    if not isinstance(label, pd.DataFrame) or set(map(str, label.columns)) != set(market.symbols):
        found = list(label.columns) if isinstance(label, pd.DataFrame) else type(label).__name__
        raise ValidationError(f"model_report: label has {found}; give a table, time by {list(market.symbols)}")
    if not label.index.isin(market.index).any():
        raise ValidationError("model_report: no time of label is a bar of the market; index it by opening times, UTC")
    return label.reindex(market.index)[list(market.symbols)].astype(np.float64)


def _delay(table: pd.DataFrame, step: pd.Timedelta) -> int:
    """Bars from the next open to the first one at which the predictions can be acted on.

    Raises:
        ValidationError: they differ in it.
    """
    if "available_at" not in table:
        return 0
    late = (table["available_at"] - table["made_on"]).dt.total_seconds().to_numpy() / step.total_seconds() - 1.0
    delays = np.unique(np.ceil(late - 1e-9).clip(min=0.0))
    if len(delays) > 1:
        raise ValidationError(
            f"model_report: predictions are available {delays[0]:g} to {delays[-1]:g} bars after the bar they rest on, "
            "so no one return is what they could earn; give those returns as label=..., or judge them apart"
        )
    return int(delays[0])


def _pinball(label: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    error = label[:, None] - forecast
    quantiles = np.asarray(QUANTILES)
    return np.asarray(np.maximum(quantiles * error, (quantiles - 1.0) * error))


def _ranked(values: np.ndarray) -> np.ndarray:
    """Ranks round their mean."""
    ranks = pd.Series(values).rank().to_numpy()
    return np.asarray(ranks - ranks.mean())


def _with_intervals(
    names: list[str],
    observed: Mapping[str, float],
    spans: Mapping[str, tuple[float, float]],
    nominal: list[float] | None = None,
) -> pd.DataFrame:
    table = pd.DataFrame([[observed[name], *spans[name]] for name in names], names, ["observed", "low", "high"])
    if nominal is not None:
        table.insert(0, "nominal", nominal)
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, pd.Timedelta):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
