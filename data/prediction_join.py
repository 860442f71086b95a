"""Forecasts put onto bars as of when they were known: a decision at a bar's close sees what one could act on by then.

    joined = with_predictions(market, predictions)
    joined.market["q50"]        # NaN where there was no forecast, or only one that had run out
    print(joined.report)        # how many bars have one, how many saw a stale one, how many records came too late

A decision on bar t is taken at its close, or `grace` after it: as long as a live session waits for the forecast that is
made on the bar itself. The record in force is, of those with `available_at` at or before the decision, the one made on
the newest bar (of two for one bar, the later word). It says nothing any more once its horizon, counted from the close
of the bar it was made on, has passed by the close of bar t, or by when the record came; nor to a decision at or after
its `ended_at`. That is a stale forecast, and the bar has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.prediction_rules import ENDED_AT, length_of
from data.predictions import QUANTILES, Predictions
from data.timeframe import grid_origin, parse_timeframe

_COLUMNS = ("bars", "forecast", "stale", "none yet", "records", "used", "too late", "outside", "superseded")
_NEVER = np.iinfo(np.int64).max
_AT_ONCE = pd.Timedelta(0)

_MADE_ON = "made_on"


class PredictionSource(Protocol):
    """Where forecasts come from: a file, a model in this process, a topic that one sends them to."""

    def read(self, market: Market) -> Predictions:
        """All records that there are by now for the bars of a market.

        Raises:
            ValidationError: a record that breaks a rule.
        """
        ...


@dataclass(frozen=True, eq=False)
class Joined:
    """A market with forecasts, and what became of them.

    Attributes:
        market: the bars, with the fields q10, q50, q90, the records' probabilities and features, and made_on: the
            opening time (seconds since 1970) of the bar that the record in force was made on.
        report: by symbol: `bars` that it has; of these with a `forecast`, with a `stale` one, and with `none yet`;
            `records`. Of these, each counted once: `used` on at least one bar; `too late` for any decision, on
            whatever bars (by the first one on the grid after they came, they had run out or were taken back);
            `outside`, where the symbol has no bar in the time for which they held; and `superseded`, always behind a
            word on a newer bar, or a later word on the same.
        found: what was found in the records themselves.
        grace: from a bar's close to the decision on it.
    """

    market: Market
    report: pd.DataFrame
    found: Predictions
    grace: pd.Timedelta = _AT_ONCE

    @property
    def unknown(self) -> tuple[str, ...]:
        """Symbols that have records and are not in the market: nothing of them was joined."""
        return tuple(symbol for symbol in self.found.symbols if symbol not in self.market.symbols)

    def __str__(self) -> str:
        lines = []
        for symbol, row in self.report.iterrows():
            told = [f"{int(row['forecast']):,} of {int(row['bars']):,} bars have a forecast"]
            told += [f"{int(row[name]):,} {words}" for name, words in _WORDS.items() if row[name]]
            lines.append(f"{symbol}: {', '.join(told)}")
        if self.grace:
            lines.append(f"decided {self.grace.total_seconds():g} s after each bar's close")
        if self.unknown:
            left = int(self.found.table["symbol"].isin(self.unknown).sum())
            lines.append(f"not in the market: {', '.join(self.unknown)} ({left:,} records)")
        return "\n".join([*lines, f"records: {self.found.report}"])


_WORDS = {
    "stale": "only a stale one",
    "none yet": "none yet",
    "too late": "records came too late",
    "outside": "records lie outside of the bars",
    "superseded": "records were superseded before any bar saw them",
}


def with_predictions(
    market: Market, predictions: Predictions | PredictionSource, *, grace: str | pd.Timedelta = "0s"
) -> Joined:
    """The market with what was forecast for its symbols, each bar as of the decision on it.

    Args:
        market: the bars.
        predictions: the records, or where they come from.
        grace: from a bar's close to the decision on it, shorter than a bar: the time that a live session waits for a
            forecast of that bar, such as "5s". A backtest fills at the next bar's open all the same, so give it none,
            or as much as one is ready to overlook.

    Raises:
        ValidationError: they are of another timeframe, of none of its symbols, or bring a field that it has; `grace` is
            below 0, or not shorter than a bar.
    """
    step, wait = parse_timeframe(market.timeframe), length_of(grace, "with_predictions: grace", least=_AT_ONCE)
    if wait >= step:
        raise ValidationError(
            f"with_predictions: grace {str(grace)!r} must be shorter than a bar of {market.timeframe}: by then the "
            "next decision is due"
        )
    found = predictions if isinstance(predictions, Predictions) else predictions.read(market)
    if found.timeframe != market.timeframe:
        raise ValidationError(
            f"with_predictions: made on bars of {found.timeframe}, the market has {market.timeframe}; resample it"
        )
    there = [symbol for symbol in market.symbols if symbol in found.symbols]
    if not there and len(found):
        raise ValidationError(
            f"with_predictions: forecasts of {', '.join(found.symbols)}, the market has {', '.join(market.symbols)}; "
            "name the symbol as the market does"
        )
    fields = (*QUANTILES, *found.extras, _MADE_ON)
    already = [name for name in fields if name in market]
    if already:
        raise ValidationError(f"with_predictions: the market has the field {', '.join(already)} already; join it once")
    values = {name: np.full((len(market), len(market.symbols)), np.nan) for name in fields}
    rows = {}
    by_symbol = dict(iter(found.table.groupby("symbol", sort=False)))
    bars_there = market.close.notna().to_numpy()
    for column, symbol in enumerate(market.symbols):
        records = by_symbol.get(symbol)
        chosen, row = _in_force(market, bars_there[:, column], records, wait.value)
        rows[symbol] = row
        if records is not None:
            held = np.flatnonzero(chosen >= 0)
            for name in (*QUANTILES, *found.extras):
                values[name][held, column] = records[name].to_numpy()[chosen[held]]
            # Whole seconds: a float holds them exactly, and nanoseconds it does not.
            seconds = records["made_on"].dt.as_unit("ns").astype("int64").to_numpy() // 1_000_000_000
            values[_MADE_ON][held, column] = seconds[chosen[held]]
    index, symbols = market.index, pd.Index(market.symbols, name="symbol")
    with_fields = market.with_fields(
        **{name: pd.DataFrame(table, index=index, columns=symbols) for name, table in values.items()}
    )
    report = pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS))
    return Joined(with_fields, report, found, wait)


def _in_force(
    market: Market, there: np.ndarray, records: pd.DataFrame | None, grace: int
) -> tuple[np.ndarray, list[int]]:
    """Row of the record in force at the decision on each bar, -1 where there is none; and the row of the report."""
    bars = int(there.sum())
    if records is None:
        return np.full(len(market), -1), [bars, 0, 0, bars, 0, 0, 0, 0, 0]
    step = parse_timeframe(market.timeframe).value
    closes = market.index.as_unit("ns").asi8 + step
    made, known, limit = _spans(records, step, grace)
    # As time goes on, the newest bar that a record is known of; a later word on the same bar takes its place.
    arrival = np.lexsort((made, known))
    newest = np.maximum.accumulate(made[arrival])
    leads = made[arrival] == newest
    leader = np.maximum.accumulate(np.where(leads, np.arange(len(arrival)), 0))
    last = np.searchsorted(known[arrival], closes + grace, side="right") - 1
    latest = np.where(last >= 0, arrival[leader[np.maximum(last, 0)]], -1)
    fresh = (latest >= 0) & (closes < limit[np.maximum(latest, 0)])
    chosen = np.where(fresh & there, latest, -1)
    used = np.zeros(len(records), dtype=bool)
    used[chosen[chosen >= 0]] = True
    # The first close of the grid whose decision knows of the record.
    origin = grid_origin(market.timeframe).value
    first = origin - (origin - (known - grace)) // step * step
    late = ~used & (first >= limit)
    own = closes[there]
    seen = np.searchsorted(own, first, side="left") < np.searchsorted(own, limit, side="left")
    row = [
        bars,
        int((chosen >= 0).sum()),
        int((there & (latest >= 0) & ~fresh).sum()),
        int((there & (latest < 0)).sum()),
        len(records),
        int(used.sum()),
        int(late.sum()),
        int((~used & ~late & ~seen).sum()),  # outside
        int((~used & ~late & seen).sum()),  # superseded
    ]
    return chosen, row


def _spans(records: pd.DataFrame, step: int, grace: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bar, time of knowledge, and the first close to which the record says nothing any more; nanoseconds."""
    made, known = (records[name].dt.as_unit("ns").astype("int64").to_numpy() for name in ("made_on", "available_at"))
    lasts = records["horizon"].dt.as_unit("ns").astype("int64").to_numpy()
    expires = made + step + np.minimum(lasts, _NEVER - made - step)
    # What came when it had run out says nothing, though a close before it came may lie within its horizon.
    limit = np.where(known < expires, expires, made)
    if ENDED_AT in records:
        ended = pd.DatetimeIndex(records[ENDED_AT]).as_unit("ns")
        limit = np.minimum(limit, np.where(ended.isna(), _NEVER, ended.asi8 - grace))
    return made, known, limit
