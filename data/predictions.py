"""A forecast's record and the rules it keeps: quantiles of a return, the bar they were made on, when they were known.

    predictions = read_predictions("predictions.parquet", symbol="BTC/USDT", timeframe="1h", horizon="2h", delay="1h")
    predictions.table, predictions.report         # the records; what was put in order, left out or is missing
    joined = with_predictions(market, predictions)  # `data.prediction_join`: onto the bars, as of when they were known

One record: `symbol`; `made_on`, the opening time of the newest bar that the forecast knew; `available_at`, from when on
one can act on it; `horizon`, how far it looks ahead, counted from that bar's close; `q10`, `q50`, `q90`, fractional
returns; `model`, what made it. There may be `prob_short`, `prob_neutral`, `prob_long`, and features: any further
columns of numbers. A record that was taken back has `ended_at`: no decision from then on sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from data.errors import ValidationError
from data.prediction_rules import (
    ENDED_AT,
    KEYS,
    PROBABILITIES,
    QUANTILES,
    RECORD,
    checked_columns,
    length_of,
    validated,
)
from data.readers import read_table
from data.timeframe import parse_timeframe

__all__ = ["KEYS", "PROBABILITIES", "QUANTILES", "RECORD", "PredictionReport", "Predictions", "read_predictions"]


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
        late: of records that say themselves from when on they are known: later than `grace` after their bar's close.
            Whether a bar saw them all the same, the join tells.
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
        table: the columns of `RECORD`, then probabilities, features and `ended_at` where there are any; one row a
            record, by symbol, bar and time of knowledge. Times in UTC, `horizon` a Timedelta, the rest float64.
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
        return tuple(name for name in self.table.columns if name not in (*RECORD, ENDED_AT))

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
        delay: str | pd.Timedelta | None = None,
        model: str | None = None,
        features: tuple[str, ...] = (),
        tz: str | None = None,
        grace: str | pd.Timedelta = "0s",
        name: str = "predictions",
    ) -> Predictions:
        """Records from a table, checked.

        Args:
            table: q10, q50, q90 and the bar's opening time (`made_on`, `timestamp`, ... or the index). Where it has
                them: `symbol`, `available_at`, `horizon` (Timedelta, or seconds), `model`, `ended_at` (when it was
                taken back), and the probabilities.
            timeframe: of the bars, such as "1h".
            symbol: of a table that has no such column.
            horizon: of a table that has no such column; else one bar.
            delay: from the bar's close to when one can act on it, for a table without `available_at`; else none. A
                model that predicts the return of the hour after next has one bar of it.
            model: of a table that has no such column; one that has it keeps its own.
            features: further columns to keep, numbers.
            tz: the zone of times without one.
            grace: from its bar's close, how long a record that says `available_at` may take until it counts as late.
            name: what errors call the table.

        Raises:
            ValidationError: naming the symbol, bar or row: a time is naive or off the grid, a value is no finite
                number, probabilities do not sum to 1, a record was known before its bar had closed, or two records of
                one bar and time differ. Or `symbol`, `horizon` or `delay` is given, and the table says it as well.
        """
        step = parse_timeframe(timeframe)
        try:
            allowed = length_of(grace, "grace", least=pd.Timedelta(0))
            made = checked_columns(table, step, symbol, horizon, delay, model, features, tz)
            kept, counts = validated(made, timeframe, allowed if "available_at" in table.columns else None)
            return cls(kept, timeframe, PredictionReport(**counts))
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
        """Several tables as one, their reports added up; of tables without a record, one without.

        Raises:
            ValidationError: none is given, they are of different timeframes, some have probabilities and others not,
                or two records contradict each other.
        """
        if not parts or len({part.timeframe for part in parts}) > 1:
            raise ValidationError(f"Predictions.join: {len(parts)} tables; give some, all of one timeframe")
        filled = {number: part for number, part in enumerate(parts, 1) if len(part)}
        if not filled:
            return cls.none(parts[0].timeframe)
        without = [number for number, part in filled.items() if PROBABILITIES[0] not in part.table.columns]
        if 0 < len(without) < len(filled):
            told = ", ".join(f"{number} ({', '.join(filled[number].symbols)})" for number in without)
            raise ValidationError(
                f"Predictions.join: table {told} of {len(parts)} has no {', '.join(PROBABILITIES)}, the others have; "
                "give them for all tables, or drop them from the others"
            )
        table = pd.concat([part.table for part in filled.values()], ignore_index=True)
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
    delay: str | pd.Timedelta | None = None,
    model: str | None = None,
    features: tuple[str, ...] = (),
    tz: str | None = None,
    grace: str | pd.Timedelta = "0s",
) -> Predictions:
    """Records from a Parquet, CSV, Feather or JSON file; see `Predictions.from_table`.

    A file that names no model in a column has `model`, or without it the file's name.

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
        grace=grace,
        name=str(path),
    )


def _extras(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name not in (*RECORD, *PROBABILITIES, ENDED_AT)]
