"""How a row of a file of predictions becomes a message for Hummingbot: its bar, its odds, until when it holds.

recipe = Recipe("BTC/USDT", "1h", horizon=3600.0)
table = recipe.read(Path("predictions.parquet"))
message = recipe.message(table.index[-1], table.iloc[-1], pd.Timestamp.now("UTC"))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pandas as pd

from data.errors import ValidationError
from data.livestream import PREDICTION, REPLAY, LivestreamMessage, pair_of
from data.predictions import QUANTILES, Predictions
from data.readers import read_table, to_numbers, with_time_column
from data.timeframe import parse_timeframe
from research.signals import NeutralWeight, bridge_target, probabilities, spread_target

_EARLY: Final = 5.0  # seconds by which the clock of whoever wrote the file may be ahead
_SHORTEST: Final = 1.0  # seconds that a replayed prediction holds at least: a shorter one would expire on its way


@dataclass(frozen=True)
class Recipe:
    """What all rows of one file have in common.

    Attributes:
        pair: such as "BTC/USDT".
        timeframe: of the bars, such as "1h".
        horizon: how far a prediction looks ahead from its bar's close, seconds.
        grace: how much longer it holds, while its successor is late; in horizons.
        model: what made the predictions.
        neutral: how much of the probability goes to neither side.
        target: what `target_pct` is: "bridge" or "spread" (see `research.signals`), or a fraction.
        confidence: that of a file without a column tier_confidence, 0 to 10.
        features: further columns to send along.
        speed: of a replay, as a multiple of time's own; None where rows are sent as they are made.
        tz: the zone of times that the file has without one, such as "UTC".
    """

    pair: str
    timeframe: str
    horizon: float
    grace: float = 0.1
    model: str | None = None
    neutral: NeutralWeight = field(default_factory=NeutralWeight)
    target: str | float = "bridge"
    confidence: float = 5.0
    features: tuple[str, ...] = ()
    speed: float | None = None
    tz: str | None = None

    def read(self, path: Path) -> pd.DataFrame:
        """The file's records in order, by the bar they were made on; of two for one bar the later word.

        Raises:
            ValidationError: naming the file: it is not there, cannot be read, or a record breaks a rule of
                `data.predictions`.
        """
        table = read_table(path)
        try:
            table = with_time_column(table)
            missing = [name for name in self.features if name not in table.columns]
            if missing:
                raise ValidationError(f"no column {', '.join(missing)} (found: {', '.join(map(str, table.columns))})")
            table = self._of_pair(table)
            sure = ("tier_confidence",) if "tier_confidence" in table.columns else ()
            # Features are for whoever reads the message: text among them is no fault, so they are looked up by row.
            numbered = table.drop(columns="symbol", errors="ignore").assign(_row=range(len(table)))
            records = Predictions.from_table(
                numbered, self.timeframe, symbol=self.pair, features=(*sure, "_row"), tz=self.tz, name=str(path)
            ).table
        except ValidationError as error:
            told = str(error)
            raise ValidationError(told if told.startswith(str(path)) else f"{path}: {told}") from error
        records = records.drop_duplicates("made_on", keep="last").set_index("made_on")
        rows = records["_row"].to_numpy(dtype="int64")
        for name in QUANTILES:
            records[name] = to_numbers(table[name]).to_numpy()[rows]  # as they came: a message tells that they cross
        for name in self.features:
            records[name] = table[name].to_numpy()[rows]
        return records[[*QUANTILES, *sure, *self.features]]

    def _of_pair(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of this pair, of a file that names symbols."""
        if "symbol" not in table.columns:
            return table
        wanted = pair_of(self.pair)
        mine = table["symbol"].map(lambda symbol: isinstance(symbol, str) and pair_of(symbol) == wanted)
        if not mine.any():
            found = ", ".join(sorted({str(symbol) for symbol in table["symbol"]}))
            raise ValidationError(f"no record of {wanted} (found: {found})")
        return table.loc[mine].reset_index(drop=True)

    @property
    def bar(self) -> pd.Timedelta:
        """Length of one bar."""
        return parse_timeframe(self.timeframe)

    def holds_until(self, made_on: pd.Timestamp) -> pd.Timestamp:
        """When the prediction of a bar expires: counted from the bar's close, when it could be known."""
        return made_on + self.bar + pd.Timedelta(seconds=self.horizon * (1.0 + self.grace))

    def require_current(self, table: pd.DataFrame, now: pd.Timestamp) -> None:
        """Refuse a table whose last row says nothing any more, or nothing yet.

        Raises:
            ValidationError: the row has expired, or as `message`.
        """
        made_on = table.index[-1]
        expired = self.holds_until(made_on)
        if expired <= now:
            raise ValidationError(
                f"the newest row, of {made_on:%Y-%m-%d %H:%M}Z, expired at {expired:%Y-%m-%d %H:%M}Z; add a newer one, "
                "wait for it with --follow, or replay the past with --replay-speed"
            )
        self.message(made_on, table.iloc[-1], now)

    def message(self, made_on: pd.Timestamp, row: pd.Series, now: pd.Timestamp) -> LivestreamMessage:
        """The message of one row, made `now`.

        Raises:
            ValidationError: the row is of a bar that is not over yet, or holds what a message may not.
        """
        closes = made_on + self.bar
        if closes > now + pd.Timedelta(seconds=_EARLY):
            raise ValidationError(
                f"the bar {made_on:%Y-%m-%d %H:%M}Z closes at {closes:%Y-%m-%d %H:%M}Z, and now it is "
                f"{now:%Y-%m-%d %H:%M}Z; is the index the bar's opening time, in UTC, and --timeframe its length?"
            )
        quantiles = (float(row["q10"]), float(row["q50"]), float(row["q90"]))
        confidence = float(row.get("tier_confidence", self.confidence))
        expires = self.holds_until(made_on)
        if self.speed is not None:
            lasts = max(self.horizon * (1.0 + self.grace) / self.speed, _SHORTEST)
            expires = now + pd.Timedelta(seconds=lasts)
        if self.target == "spread":
            target = float(spread_target(*quantiles))
        elif isinstance(self.target, float):
            target = self.target
        else:
            target = float(bridge_target(*quantiles, confidence=confidence))
        short, neither, long = (float(one) for one in probabilities(*quantiles, self.neutral))
        return LivestreamMessage(
            self.pair,
            now,
            (short, neither, long),
            target_pct=target,
            confidence=confidence,
            raw_quantiles=quantiles,
            features={name: None if pd.isna(row[name]) else row[name] for name in self.features},
            kind=PREDICTION if self.speed is None else REPLAY,
            made_on=made_on,
            horizon=self.horizon,
            expires_at=expires,
            model=self.model,
        )
