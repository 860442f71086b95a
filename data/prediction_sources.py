"""Forecasts from a file and from a model in this process; `data.prediction_topic` has those that come over MQTT.

    with_predictions(market, FilePredictions("predictions.parquet", symbol="BTC/USDT", horizon="2h", delay="1h"))
    with_predictions(market, ModelPredictions(FittedModel.load("btc.skops")))

All have one method, `read(market)`, and so serve a backtest over years and a live session's window alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.predictions import Predictions, read_predictions


@dataclass(frozen=True)
class FilePredictions:
    """Records of a Parquet, CSV, Feather or JSON file, which is read again once it has changed.

    Attributes:
        path: the file.
        symbol: of a file without such a column.
        horizon: of a file without such a column; else one bar.
        delay: from a bar's close to when its forecast may be acted on, for a file without `available_at`; else none.
        model: of a file without such a column; else the file's name. One with a column keeps what that says, where
            symbol, horizon and delay are refused beside a column of theirs.
        features: further columns to join.
        tz: the zone of times without one.
    """

    path: str | Path
    symbol: str | None = None
    horizon: str | pd.Timedelta | None = None
    delay: str | pd.Timedelta | None = None
    model: str | None = None
    features: tuple[str, ...] = ()
    tz: str | None = None
    _read: dict[Any, Predictions] = field(default_factory=dict, init=False, repr=False, compare=False)

    def read(self, market: Market) -> Predictions:
        """Every record of the file.

        Raises:
            ValidationError: as `read_predictions`.
        """
        path = Path(self.path)
        try:
            status = path.stat()
        except OSError as error:
            raise ValidationError(f"{path}: cannot be read ({error.strerror})") from error
        key = (market.timeframe, status.st_mtime_ns, status.st_size)
        if key not in self._read:
            found = read_predictions(
                path,
                market.timeframe,
                symbol=self.symbol,
                horizon=self.horizon,
                delay=self.delay,
                model=self.model,
                features=self.features,
                tz=self.tz,
            )
            self._read.clear()
            self._read[key] = found
        return self._read[key]


class Forecaster(Protocol):
    """A model that forecasts from bars alone."""

    def predict(self, market: Market) -> pd.DataFrame:
        """The columns of a record (`data.predictions.RECORD`), a row for each bar and symbol that it can say one of."""
        ...


@dataclass(frozen=True)
class ModelPredictions:
    """What a fitted model says of the bars that it is given.

    Whether it was fitted on bars after those it is asked about is not seen from here: a backtest takes predictions of
    a walk-forward (`research.models`), a live session the newest model.
    """

    model: Forecaster

    @property
    def warmup(self) -> int:
        """Bars that the model needs before it can say anything: a live window takes so many more than the strategy's.

        On a window of the strategy's warm-up alone the newest bar would have a forecast and those before it none, so
        that a strategy that looks back on them decides otherwise than on the whole history. 0 where the model tells
        none.
        """
        return int(getattr(self.model, "warmup", 0))

    def read(self, market: Market) -> Predictions:
        """A record for each bar that the model can say one of; none where there are too few bars.

        Raises:
            ValidationError: what the model said breaks a rule of records.
        """
        table = self.model.predict(market)
        if table.empty:
            return Predictions.none(market.timeframe)
        return Predictions.from_table(table, market.timeframe, name=f"the model {type(self.model).__name__}")
