"""The rules that a table of forecasts keeps; `data.predictions` has the records themselves.

First the columns in their types, then what a single record may say, then what two of them are to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd

from data.candles import bar_label
from data.errors import ValidationError
from data.readers import to_numbers, to_utc, with_time_column
from data.timeframe import grid_origin, parse_timeframe

QUANTILES: Final = ("q10", "q50", "q90")
PROBABILITIES: Final = ("prob_short", "prob_neutral", "prob_long")
KEYS: Final = ("symbol", "made_on", "available_at")
RECORD: Final = (*KEYS, "horizon", *QUANTILES, "model")
ENDED_AT: Final = "ended_at"  # of records that were taken back

_MADE_ON: Final = ("made_on", "timestamp", "time", "date", "datetime", "open_time")
_SUM_TOLERANCE: Final = 1e-9
_LOWEST_RETURN: Final = -1.0  # all is lost; below it a figure is in percent, or wrong
_SHOWN: Final = 3


def length_of(value: str | pd.Timedelta, name: str, least: pd.Timedelta | None = None) -> pd.Timedelta:
    """A length of time as one gives it; `least` is the shortest, else it must be above 0."""
    try:
        length = pd.Timedelta(value)
    except (ValueError, TypeError) as error:
        raise ValidationError(f"{name} {value!r}: give a length of time such as '1h' ({error})") from error
    if pd.isna(length) or length < (pd.Timedelta(1) if least is None else least):
        raise ValidationError(f"{name} {value!r}: give a length of time such as '1h', not below 0")
    return length


def checked_columns(
    given: pd.DataFrame,
    step: pd.Timedelta,
    symbol: str | None,
    horizon: str | pd.Timedelta | None,
    delay: str | pd.Timedelta | None,
    model: str | None,
    features: tuple[str, ...],
    tz: str | None,
) -> pd.DataFrame:
    """The record's columns in their types, whatever they were written as.

    Raises:
        ValidationError: a column is missing, is said twice (by the table and by an argument), or is of a wrong kind.
    """
    table = with_time_column(given)
    _refuse_twofold(table, symbol=symbol, horizon=horizon, available_at=delay)
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
    late = pd.Timedelta(0) if delay is None else length_of(delay, "delay", least=pd.Timedelta(0))
    known = "available_at" in table.columns
    made["available_at"] = pd.Series(to_utc(table["available_at"], tz)) if known else closes + late
    made["horizon"] = _horizons(table, step if horizon is None else length_of(horizon, "horizon"))
    for name in QUANTILES:
        made[name] = to_numbers(table[name])
    made["model"] = table["model"].astype(str) if "model" in table.columns else str(model)
    there = [name for name in PROBABILITIES if name in table.columns]
    if there and len(there) < len(PROBABILITIES):
        raise ValidationError(f"{', '.join(there)} without the others; give all of {', '.join(PROBABILITIES)}, or none")
    for name in dict.fromkeys((*there, *features)):
        made[name] = to_numbers(table[name])
    if ENDED_AT in table.columns and (ended := table[ENDED_AT].notna()).any():
        made[ENDED_AT] = pd.Series(to_utc(table.loc[ended, ENDED_AT], tz), index=table.index[ended])
    for name in made.columns.intersection(["made_on", "available_at", ENDED_AT]):
        made[name] = made[name].dt.as_unit("ns")
    order = [*RECORD, *(name for name in made.columns if name not in RECORD)]
    return made[order]


def _refuse_twofold(table: pd.DataFrame, **given: object) -> None:
    """An argument for what the table says in a column of this name would have to be passed over."""
    for column, value in given.items():
        argument = "delay" if column == "available_at" else column
        if value is not None and column in table.columns:
            raise ValidationError(
                f"{argument} {str(value)!r} is given, and the table has a column {column}: which one holds? "
                f"Leave {argument} out, or drop the column"
            )


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


def validated(
    made: pd.DataFrame, timeframe: str, late_after: pd.Timedelta | None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Every rule that is about single records, then what two of them are to each other.

    Args:
        made: from `checked_columns`.
        timeframe: of the bars.
        late_after: a record that is known longer than this after its bar's close is late; None counts none.

    Returns:
        The records by symbol, bar and time of knowledge, and what a `PredictionReport` says of them.

    Raises:
        ValidationError: naming symbol and bar.
    """
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
    latest = None if late_after is None else kept["made_on"] + step + late_after
    counts = {
        "records": len(kept),
        "crossed": int(crossed.sum()),
        "duplicates": duplicates,
        "revisions": revisions,
        "empty": int(empty.sum()),
        "disordered": disordered,
        "gaps": _gaps(kept, step),
        "late": 0 if latest is None else int((kept["available_at"] > latest).sum()),
    }
    return kept, counts


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
