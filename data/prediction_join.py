"""Forecasts put onto bars as of when they were known: a decision at a bar's close sees what one could act on by then.

    joined = with_predictions(market, predictions)
    joined.market["q50"]        # NaN where there was no forecast, or only one that had run out
    print(joined.report)        # how many bars have one, how many saw a stale one, how many records came too late

At the close of bar t the record in force is, of those with `available_at` at or before that close, the one made on the
newest bar (of two for one bar, the later word). It says nothing any more once its horizon has passed, counted from the
close of the bar it was made on: that is a stale forecast, and the bar has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.predictions import QUANTILES, Predictions
from data.timeframe import parse_timeframe

_COLUMNS = ("bars", "forecast", "stale", "none yet", "records", "used", "too late", "outside")


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
        market: the bars, with the fields q10, q50, q90, and the records' probabilities and features.
        report: by symbol: `bars` that it has; of these with a `forecast`, with a `stale` one, and with `none yet`;
            `records`; of these `used` on at least one bar, `too late` to be used on any (they could be acted on only
            when their horizon had passed), and `outside` of the bars.
        found: what was found in the records themselves.
    """

    market: Market
    report: pd.DataFrame
    found: Predictions

    def __str__(self) -> str:
        lines = []
        for symbol, row in self.report.iterrows():
            told = [f"{int(row['forecast']):,} of {int(row['bars']):,} bars have a forecast"]
            told += [f"{int(row[name]):,} {words}" for name, words in _WORDS.items() if row[name]]
            lines.append(f"{symbol}: {', '.join(told)}")
        return "\n".join([*lines, f"records: {self.found.report}"])


_WORDS = {
    "stale": "only a stale one",
    "none yet": "none yet",
    "too late": "records came too late",
    "outside": "records lie outside of the bars",
}


def with_predictions(market: Market, predictions: Predictions | PredictionSource) -> Joined:
    """The market with what was forecast for its symbols, each bar as of its close.

    Args:
        market: the bars.
        predictions: the records, or where they come from.

    Raises:
        ValidationError: they are of another timeframe, of none of its symbols, or bring a field that it has.
    """
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
    fields = (*QUANTILES, *found.extras)
    already = [name for name in fields if name in market]
    if already:
        raise ValidationError(f"with_predictions: the market has the field {', '.join(already)} already; join it once")
    values = {name: np.full((len(market), len(market.symbols)), np.nan) for name in fields}
    rows = {}
    by_symbol = dict(iter(found.table.groupby("symbol", sort=False)))
    bars_there = market.close.notna().to_numpy()
    for column, symbol in enumerate(market.symbols):
        records = by_symbol.get(symbol)
        chosen, row = _in_force(market, bars_there[:, column], records)
        rows[symbol] = row
        if records is not None:
            held = np.flatnonzero(chosen >= 0)
            for name in fields:
                values[name][held, column] = records[name].to_numpy()[chosen[held]]
    index, symbols = market.index, pd.Index(market.symbols, name="symbol")
    with_fields = market.with_fields(
        **{name: pd.DataFrame(table, index=index, columns=symbols) for name, table in values.items()}
    )
    report = pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS))
    return Joined(with_fields, report, found)


def _in_force(market: Market, there: np.ndarray, records: pd.DataFrame | None) -> tuple[np.ndarray, list[int]]:
    """Row of the record in force at each bar's close, -1 where there is none; and the row of the report."""
    bars = int(there.sum())
    if records is None:
        return np.full(len(market), -1), [bars, 0, 0, bars, 0, 0, 0, 0]
    step = parse_timeframe(market.timeframe).value
    closes = market.index.as_unit("ns").asi8 + step
    made, known = (records[name].dt.as_unit("ns").astype("int64").to_numpy() for name in ("made_on", "available_at"))
    expires = made + step + records["horizon"].dt.as_unit("ns").astype("int64").to_numpy()
    # As time goes on, the newest bar that a record is known of; a later word on the same bar takes its place.
    arrival = np.lexsort((made, known))
    newest = np.maximum.accumulate(made[arrival])
    leads = made[arrival] == newest
    leader = np.maximum.accumulate(np.where(leads, np.arange(len(arrival)), 0))
    last = np.searchsorted(known[arrival], closes, side="right") - 1
    latest = np.where(last >= 0, arrival[leader[np.maximum(last, 0)]], -1)
    fresh = (latest >= 0) & (closes < expires[np.maximum(latest, 0)])
    chosen = np.where(fresh & there, latest, -1)
    used = len(np.unique(chosen[chosen >= 0]))
    outside = int(((known > closes[-1]) | (expires <= closes[0])).sum()) if len(closes) else len(records)
    row = [
        bars,
        int((chosen >= 0).sum()),
        int((there & (latest >= 0) & ~fresh).sum()),
        int((there & (latest < 0)).sum()),
        len(records),
        used,
        int((known >= expires).sum()),
        outside,
    ]
    return chosen, row
