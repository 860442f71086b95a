"""A forecast's record and the rules it keeps: quantiles of a return, the bar they were made on, when they were known.

    predictions = read_predictions("predictions.parquet", symbol="BTC/USDT", timeframe="1h", horizon="2h", delay="1h")
    predictions.table, predictions.report         # the records; what was put in order, left out or is missing
    joined = with_predictions(market, predictions)  # `data.prediction_join`: onto the bars, as of when they were known

One record: `symbol`; `made_on`, the opening time of the newest bar that the forecast knew; `available_at`, from when on
one can act on it; `horizon`, how far it looks ahead, counted from that bar's close; `q10`, `q50`, `q90`, fractional
returns; `model`, what made it. There may be `prob_short`, `prob_neutral`, `prob_long`, and features: any further
columns of numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from data.candles import bar_label
from data.errors import ValidationError
from data.readers import read_table, to_numbers, to_utc, with_time_column
from data.timeframe import grid_origin, parse_timeframe

QUANTILES: Final = ("q10", "q50", "q90")
PROBABILITIES: Final = ("prob_short", "prob_neutral", "prob_long")
KEYS: Final = ("symbol", "made_on", "available_at")
RECORD: Final = (*KEYS, "horizon", *QUANTILES, "model")

_MADE_ON: Final = ("made_on", "timestamp", "time", "date", "datetime", "open_time")
_SUM_TOLERANCE: Final = 1e-9
_LOWEST_RETURN: Final = -1.0  # all is lost; below it a figure is in percent, or wrong
_SHOWN: Final = 3


@dataclass(frozen=True)
class PredictionReport:
    """What was found in a table of records; none of it changes a forecast, and none of it is silent.

    Attributes:
        records: how many are kept.
        crossed: had quantiles out of order, which were put in order.
        duplicates: repeated another to the last value and were left out.
        revisions: are a later word on a bar that has one already; both are kept, each for its time.
        empty: had no quantile at all and were left out.
        disordered: came after one of a later bar, and were sorted.
        gaps: bars within a symbol's span that no record was made on.
        late: could be acted on only later than `delay` after their bar's close.
    """

    records: int
    crossed: int = 0
    duplicates: int = 0
    revisions: int = 0
    empty: int = 0
    disordered: int = 0
    gaps: int = 0
    late: int = 0

    def __str__(self) -> str:
        told = {
            "crossed": "with crossed quantiles, put in order",
            "duplicates": "doubles left out",
            "revisions": "revisions",
            "empty": "without a forecast left out",
            "disordered": "out of order, sorted",
            "gaps": "bars without a record",
            "late": "late",
        }
        found = [f"{getattr(self, name):,} {words}" for name, words in told.items() if getattr(self, name)]
        return "; ".join([f"{self.records:,} records", *found])


@dataclass(frozen=True, eq=False)
class Predictions:
    """Records that keep the rules.

    Attributes:
        table: the columns of `RECORD`, then probabilities and features where there are any; one row a record, by
            symbol, bar and time of knowledge. Times in UTC, `horizon` a Timedelta, the rest float64.
        timeframe: of the bars they were made on.
        report: what was found.
    """

    table: pd.DataFrame
    timeframe: str
    report: PredictionReport = field(default_factory=lambda: PredictionReport(0))

    @property
    def symbols(self) -> tuple[str, ...]:
        """In the order of the alphabet."""
        return tuple(sorted(self.table["symbol"].unique()))

    @property
    def extras(self) -> tuple[str, ...]:
        """Probabilities and features."""
        return tuple(name for name in self.table.columns if name not in RECORD)

    def __len__(self) -> int:
        return len(self.table)

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        timeframe: str,
        *,
        symbol: str | None = None,
        horizon: str | pd.Timedelta | None = None,
        delay: str | pd.Timedelta = "0s",
        model: str | None = None,
        features: tuple[str, ...] = (),
        tz: str | None = None,
        name: str = "predictions",
    ) -> Predictions:
        """Records from a table, checked.

        Args:
            table: q10, q50, q90 and the bar's opening time (`made_on`, `timestamp`, ... or the index). Where it has
                them: `symbol`, `available_at`, `horizon` (Timedelta, or seconds), `model`, and the probabilities.
            timeframe: of the bars, such as "1h".
            symbol: of a table that has no such column.
            horizon: of a table that has no such column; else one bar.
            delay: from the bar's close to when one can act on it, for a table without `available_at`: a model that
                predicts the return of the hour after next has one bar of it.
            model: of a table that has no such column.
            features: further columns to keep, numbers.
            tz: the zone of times without one.
            name: what errors call the table.

        Raises:
            ValidationError: naming the symbol, bar or row: a time is naive or off the grid, a value is no finite
                number, probabilities do not sum to 1, a record was known before its bar had closed, or two records of
                one bar and time differ.
        """
        step = parse_timeframe(timeframe)
        try:
            made = _checked_columns(table, step, symbol, horizon, delay, model, features, tz)
            return _validated(made, timeframe, _length(delay, "delay", least=pd.Timedelta(0)))
        except ValidationError as error:
            raise ValidationError(f"{name}: {error}") from error

    @classmethod
    def none(cls, timeframe: str) -> Predictions:
        """No record yet: a topic that nothing has come from."""
        floats, times = dict.fromkeys(QUANTILES, "float64"), dict.fromkeys(KEYS[1:], "datetime64[ns, UTC]")
        kinds = {"symbol": "object", **times, "horizon": "timedelta64[ns]", **floats, "model": "object"}
        return cls(pd.DataFrame(columns=list(RECORD)).astype(kinds), timeframe)

    @classmethod
    def join(cls, parts: list[Predictions]) -> Predictions:
        """Several tables as one, their reports added up.

        Raises:
            ValidationError: none is given, they are of different timeframes, or two records contradict each other.
        """
        if not parts or len({part.timeframe for part in parts}) > 1:
            raise ValidationError(f"Predictions.join: {len(parts)} tables; give some, all of one timeframe")
        table = pd.concat([part.table for part in parts], ignore_index=True)
        whole = cls.from_table(table, parts[0].timeframe, features=tuple(dict.fromkeys(_extras(table))))
        sums = {
            item: getattr(whole.report, item) + sum(getattr(part.report, item) for part in parts)
            for item in ("crossed", "duplicates", "empty")
        }
        late = sum(part.report.late for part in parts)
        given = {item: getattr(whole.report, item) for item in ("records", "revisions", "gaps")}
        return cls(whole.table, whole.timeframe, PredictionReport(**given, **sums, late=late))

    def to_parquet(self, path: str | Path) -> None:
        """Write the records; `read_predictions` reads them back."""
        from data.atomic import replacing

        with replacing(Path(path)) as temporary:
            self.table.to_parquet(temporary, index=False)

    def __str__(self) -> str:
        return f"{', '.join(self.symbols)} {self.timeframe}: {self.report}"


def read_predictions(
    path: str | Path,
    timeframe: str,
    *,
    symbol: str | None = None,
    horizon: str | pd.Timedelta | None = None,
    delay: str | pd.Timedelta = "0s",
    model: str | None = None,
    features: tuple[str, ...] = (),
    tz: str | None = None,
) -> Predictions:
    """Records from a Parquet, CSV, Feather or JSON file; see `Predictions.from_table`.

    Raises:
        ValidationError: naming the file: it is not there, cannot be read, or breaks a rule.
    """
    file = Path(path)
    return Predictions.from_table(
        read_table(file),
        timeframe,
        symbol=symbol,
        horizon=horizon,
        delay=delay,
        model=model or file.name.partition(".")[0],
        features=features,
        tz=tz,
        name=str(path),
    )


def _extras(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name not in (*RECORD, *PROBABILITIES)]


def _length(value: str | pd.Timedelta, name: str, least: pd.Timedelta | None = None) -> pd.Timedelta:
    try:
        length = pd.Timedelta(value)
    except (ValueError, TypeError) as error:
        raise ValidationError(f"{name} {value!r}: give a length of time such as '1h' ({error})") from error
    if pd.isna(length) or length < (pd.Timedelta(1) if least is None else least):
        raise ValidationError(f"{name} {value!r}: give a length of time such as '1h', not below 0")
    return length


def _checked_columns(
    given: pd.DataFrame,
    step: pd.Timedelta,
    symbol: str | None,
    horizon: str | pd.Timedelta | None,
    delay: str | pd.Timedelta,
    model: str | None,
    features: tuple[str, ...],
    tz: str | None,
) -> pd.DataFrame:
    """The record's columns in their types, whatever they were written as."""
    table = with_time_column(given)
    time = next((name for name in _MADE_ON if name in table.columns), None)
    missing = [name for name in (*QUANTILES, *features) if name not in table.columns] + ["a time"] * (time is None)
    if missing:
        raise ValidationError(f"no column {', '.join(missing)} (found: {', '.join(map(str, table.columns))})")
    if table.empty:
        raise ValidationError("holds no record")
    table = table.reset_index(drop=True)
    made = pd.DataFrame({"made_on": to_utc(table[time], tz)})
    if "symbol" in table.columns:
        made["symbol"] = table["symbol"].astype(object)
        unnamed = made["symbol"].map(lambda value: not isinstance(value, str) or not value)
        if unnamed.any():
            raise ValidationError(f"row {int(unnamed.argmax()) + 1}: no symbol")
    elif symbol is None:
        raise ValidationError('no column symbol; name the symbol, symbol="BTC/USDT"')
    else:
        made["symbol"] = symbol
    closes = made["made_on"] + step
    known = "available_at" in table.columns
    late = _length(delay, "delay", least=pd.Timedelta(0))
    made["available_at"] = pd.Series(to_utc(table["available_at"], tz)) if known else closes + late
    made["horizon"] = _horizons(table, step if horizon is None else _length(horizon, "horizon"))
    for name in QUANTILES:
        made[name] = to_numbers(table[name])
    made["model"] = table["model"].astype(str) if "model" in table.columns else str(model)
    there = [name for name in PROBABILITIES if name in table.columns]
    if there and len(there) < len(PROBABILITIES):
        raise ValidationError(f"{', '.join(there)} without the others; give all of {', '.join(PROBABILITIES)}, or none")
    for name in dict.fromkeys((*there, *features)):
        made[name] = to_numbers(table[name])
    for name in ("made_on", "available_at"):
        made[name] = made[name].dt.as_unit("ns")
    order = [*RECORD, *(name for name in made.columns if name not in RECORD)]
    return made[order]


def _horizons(table: pd.DataFrame, default: pd.Timedelta) -> pd.Series:
    if "horizon" not in table.columns:
        return pd.Series(default, index=table.index, dtype="timedelta64[ns]")
    cells = table["horizon"]
    seconds = pd.api.types.is_numeric_dtype(cells.dtype)
    horizons = pd.to_timedelta(cells, unit="s" if seconds else None, errors="coerce").dt.as_unit("ns")
    wrong = ~(horizons > pd.Timedelta(0))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValidationError(f"row {row + 1}, column horizon: {cells.iloc[row]}; give a length of time above 0")
    return horizons


def _validated(made: pd.DataFrame, timeframe: str, delay: pd.Timedelta) -> Predictions:
    """Every rule that is about single records, then what two of them are to each other."""
    step = parse_timeframe(timeframe)
    quantiles = made[list(QUANTILES)].to_numpy()
    empty = np.isnan(quantiles).all(axis=1)
    made, quantiles = made.loc[~empty].reset_index(drop=True), quantiles[~empty]
    if made.empty:
        raise ValidationError(f"none of its {len(empty):,} records has a forecast (q10, q50, q90 are all missing)")
    since = (made["made_on"] - grid_origin(timeframe)).dt.as_unit("ns").astype("int64")
    off_grid = since % step.value != 0
    _refuse(made, off_grid, lambda _: f"made_on is off the grid of {timeframe}; give the bar's opening time, in UTC")
    _refuse(
        made,
        ~pd.Series(np.isfinite(quantiles).all(axis=1)),
        lambda row: f"q10, q50, q90 = {_listed(quantiles[row])}: not finite numbers; leave the record out",
    )
    _refuse(
        made,
        pd.Series((quantiles < _LOWEST_RETURN).any(axis=1)),
        lambda row: f"q10, q50, q90 = {_listed(quantiles[row])}: a return below -1; give fractions, 0.002 for 0.2%",
    )
    early = made["available_at"] < made["made_on"] + step
    _refuse(
        made,
        early,
        lambda row: (
            f"available_at {bar_label(made['available_at'].iloc[row])} is before its bar closes: it cannot have "
            "known that bar; give the time from which on the forecast could be read"
        ),
    )
    _check_probabilities(made)
    crossed = (quantiles[:, 0] > quantiles[:, 1]) | (quantiles[:, 1] > quantiles[:, 2])
    made[list(QUANTILES)] = np.sort(quantiles, axis=1)
    disordered = int((made.groupby("symbol", sort=False)["made_on"].diff() < pd.Timedelta(0)).sum())
    kept, duplicates, revisions = _without_doubles(made)
    late = int((kept["available_at"] > kept["made_on"] + step + delay).sum())
    report = PredictionReport(
        len(kept), int(crossed.sum()), duplicates, revisions, int(empty.sum()), disordered, _gaps(kept, step), late
    )
    return Predictions(kept, timeframe, report)


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _refuse(made: pd.DataFrame, wrong: pd.Series, describe: Callable[[int], str]) -> None:
    rows, symbols, times = np.flatnonzero(wrong.to_numpy()), made["symbol"], made["made_on"]
    if not rows.size:
        return
    told = [f"{symbols.iloc[row]} {bar_label(times.iloc[row])}: {describe(row)}" for row in rows[:_SHOWN]]
    more = f"; and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    raise ValidationError("; ".join(told) + more)


def _check_probabilities(made: pd.DataFrame) -> None:
    if PROBABILITIES[0] not in made.columns:
        return
    odds = made[list(PROBABILITIES)].to_numpy()
    with np.errstate(invalid="ignore"):
        good = (
            (odds >= 0.0).all(axis=1) & (odds <= 1.0).all(axis=1) & (np.abs(odds.sum(axis=1) - 1.0) <= _SUM_TOLERANCE)
        )
    _refuse(
        made,
        pd.Series(~good),
        lambda row: (
            f"prob_short, prob_neutral, prob_long = {_listed(odds[row])}: each from 0 to 1, together 1 "
            f"(sum {odds[row].sum():.12g})"
        ),
    )


def _without_doubles(made: pd.DataFrame) -> tuple[pd.DataFrame, int, int]:
    """Records by symbol, bar and time of knowledge; how many repeated another, and how many revise one.

    Raises:
        ValidationError: two of one symbol, bar and time differ.
    """
    kept = made.drop_duplicates(keep="first")
    contrary = kept.duplicated(list(KEYS), keep=False)
    if contrary.any():
        first = kept.loc[contrary].iloc[0]
        raise ValidationError(
            f"{first['symbol']} {bar_label(first['made_on'])}: two records, both available at "
            f"{bar_label(first['available_at'])}, and they differ; which one holds? Drop the other "
            f"({int(contrary.sum()):,} such records)"
        )
    kept = kept.sort_values(list(KEYS), ignore_index=True)
    revisions = int(kept.duplicated(["symbol", "made_on"]).sum())
    return kept, len(made) - len(kept), revisions


def _gaps(kept: pd.DataFrame, step: pd.Timedelta) -> int:
    bars = kept.drop_duplicates(["symbol", "made_on"]).groupby("symbol")["made_on"].agg(["min", "max", "size"])
    spans = (bars["max"] - bars["min"]).dt.total_seconds() / step.total_seconds()
    return int((spans + 1 - bars["size"]).sum())
