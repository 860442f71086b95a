"""The panel of bars that a strategy sees: every field a wide table, time by symbol.

market = Market.from_frames({"BTC/USDT": btc, "ETH/USDT": eth}, timeframe="1h")
market.close.rolling(20).mean()          # a DataFrame, time by symbol
market["q50"]                            # any further column of the frames, by name
market.loc["2024-01":"2024-06"]          # a shorter Market
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS, clean_candles
from data.errors import ValidationError
from data.timeframe import grid_origin, parse_timeframe, utc_time

# How a bar's field follows from the finer bars within it.
_RESAMPLE_RULES: Final = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


class Market:
    """An immutable panel of bars.

    A bar is labelled by its opening time and known at its close. The index (UTC, strictly increasing, on the
    timeframe's grid) holds each time at which at least one symbol has a bar; a symbol without a bar there has NaN,
    never a filled value. `on_grid()` gives the same market with the times at which no symbol has a bar as well.
    """

    __slots__ = ("_digest", "_fields", "_index", "_symbols", "_timeframe")

    def __init__(self, fields: Mapping[str, pd.DataFrame], timeframe: str) -> None:
        """Use `Market.from_frames`, which validates; this takes fields that are already aligned."""
        self._fields: dict[str, pd.DataFrame] = dict(fields)
        self._timeframe = timeframe
        self._digest: str | None = None
        close = self._fields["close"]
        self._index = pd.DatetimeIndex(close.index)
        self._symbols = tuple(str(symbol) for symbol in close.columns)

    @classmethod
    def from_frames(cls, frames: Mapping[str, pd.DataFrame], timeframe: str, *, drop_invalid: bool = False) -> Market:
        """Align one table of candles per symbol into a panel.

        Args:
            frames: by symbol, a table indexed by the bar's opening time (UTC) with the columns open, high, low, close
                (quote currency per unit) and volume (base currency); any further column becomes a field of its name.
            timeframe: the bars' length, such as "1h".
            drop_invalid: leave bars out that break a rule of `validate_candles`, instead of raising.

        Raises:
            ValidationError: no frame, an empty one, or candles that break a rule; names symbol, bar and rule.
        """
        parse_timeframe(timeframe)
        if not isinstance(frames, Mapping) or not frames:
            raise ValidationError("Market.from_frames: no symbol given; pass {'BTC/USDT': candles, ...}")
        clean = {
            str(symbol): clean_candles(frame, timeframe=timeframe, symbol=str(symbol), drop_invalid=drop_invalid)
            for symbol, frame in frames.items()
        }
        if len(clean) < len(frames):
            raise ValidationError(f"Market.from_frames: two symbols of {list(frames)} are written alike; rename one")
        index = pd.DatetimeIndex(pd.concat([frame.index.to_series() for frame in clean.values()]).unique())
        index = index.sort_values().as_unit("ns").rename("time")
        names = list(dict.fromkeys([*CANDLE_COLUMNS, *(str(column) for f in clean.values() for column in f.columns)]))
        fields = {}
        for name in names:
            columns = {
                symbol: (frame[name] if name in frame else pd.Series(np.nan, index=frame.index)).reindex(index)
                for symbol, frame in clean.items()
            }
            table = pd.DataFrame(columns, index=index)
            table.columns = pd.Index(list(clean), name="symbol")
            fields[name] = table
        return cls(fields, timeframe)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, in the order they were given."""
        return self._symbols

    @property
    def timeframe(self) -> str:
        """The bars' length, such as "1h"."""
        return self._timeframe

    @property
    def index(self) -> pd.DatetimeIndex:
        """Opening times of the bars, UTC, strictly increasing."""
        return self._index

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of all fields: open, high, low, close, volume and any further ones."""
        return tuple(self._fields)

    @property
    def open(self) -> pd.DataFrame:
        """First price of each bar, time by symbol; NaN where the symbol has no bar."""
        return self["open"]

    @property
    def high(self) -> pd.DataFrame:
        """Highest price of each bar, time by symbol."""
        return self["high"]

    @property
    def low(self) -> pd.DataFrame:
        """Lowest price of each bar, time by symbol."""
        return self["low"]

    @property
    def close(self) -> pd.DataFrame:
        """Last price of each bar, time by symbol."""
        return self["close"]

    @property
    def volume(self) -> pd.DataFrame:
        """Amount traded in each bar, in base currency, time by symbol."""
        return self["volume"]

    @property
    def loc(self) -> _TimeSlicer:
        """Slices by time, both ends included: `market.loc["2024-01":"2024-06"]`."""
        return _TimeSlicer(self)

    def __getitem__(self, field: str) -> pd.DataFrame:
        """One field as a table, time by symbol. A change to it does not reach the market.

        Raises:
            KeyError: no such field; the message lists those there are.
        """
        try:
            return self._fields[field].copy(deep=False)
        except KeyError:
            raise KeyError(f"the market has no field {field!r}; it has {', '.join(self._fields)}") from None

    def __contains__(self, field: object) -> bool:
        return field in self._fields

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self, "_symbols"):
            raise AttributeError(f"a Market cannot be changed (tried to set {name}); use with_fields or from_frames")
        object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[type[Market], tuple[dict[str, pd.DataFrame], str]]:
        return Market, (self._fields, self._timeframe)

    def __repr__(self) -> str:
        span = f"{self._index[0]} to {self._index[-1]}" if len(self) else "no bars"
        return f"Market({', '.join(self._symbols)}; {self._timeframe}, {len(self):,} bars, {span})"

    def iloc(self, start: int | None, stop: int | None) -> Market:
        """The bars from position `start` up to, not including, `stop`."""
        return Market({name: table.iloc[start:stop] for name, table in self._fields.items()}, self._timeframe)

    def select(self, symbols: Sequence[str]) -> Market:
        """The same bars for some of the symbols, without times at which none of these has a bar.

        Raises:
            ValidationError: a symbol that the market does not hold.
        """
        if isinstance(symbols, str):
            raise ValidationError(f"Market.select takes a list: select([{symbols!r}])")
        unknown = [symbol for symbol in symbols if symbol not in self._symbols]
        if unknown or not symbols:
            raise ValidationError(f"Market.select: unknown symbol {unknown}; the market holds {list(self._symbols)}")
        chosen = list(dict.fromkeys(symbols))
        present = self._fields["close"][chosen].notna().any(axis=1)
        return Market({name: table.loc[present, chosen] for name, table in self._fields.items()}, self._timeframe)

    def with_fields(self, **fields: pd.DataFrame) -> Market:
        """The market with further fields, or others in place of the old ones; each indexed and labelled as `close` is.

        Raises:
            ValidationError: a field whose index or columns are not the market's.
        """
        close = self._fields["close"]
        for name, table in fields.items():
            if not isinstance(table, pd.DataFrame):
                raise ValidationError(
                    f"field {name!r}: expected a DataFrame, time by symbol, got {type(table).__name__}"
                )
            if list(table.columns) != list(self._symbols):
                raise ValidationError(
                    f"field {name!r}: its columns are {list(table.columns)}; give one for each of {list(self.symbols)}"
                )
            if not table.index.equals(close.index):
                raise ValidationError(
                    f"field {name!r}: its {len(table)} rows are not the market's {len(self)} bars; "
                    "reindex it to market.index first"
                )
        labels = (close.index, close.columns)
        fresh = {name: table.set_axis(labels[0], axis=0).set_axis(labels[1], axis=1) for name, table in fields.items()}
        return Market({**self._fields, **fresh}, self._timeframe)

    def on_grid(self) -> Market:
        """The market with every time of the timeframe's grid: NaN where no symbol has a bar."""
        if not len(self):
            return self
        step = parse_timeframe(self._timeframe)
        index = pd.date_range(self._index[0], self._index[-1], freq=step, name="time").as_unit("ns")
        return Market({name: table.reindex(index) for name, table in self._fields.items()}, self._timeframe)

    def resample(self, timeframe: str) -> Market:
        """Coarser bars, each labelled by its opening time.

        Further fields take what the symbol's last fine bar within the coarse one says, NaN where it says nothing: a
        forecast that had run out by then does not come back. A coarse bar with no fine bar in it is missing; one with
        gaps, or that opens before the market does, is made of those there are. The last one may be incomplete: it is
        left out when its end lies beyond the end of the last fine bar.

        Raises:
            ValidationError: the new timeframe is not a whole multiple of the old one, or on another grid: a fine bar
                that reaches into the next coarse one would be known too early.
        """
        old, new = parse_timeframe(self._timeframe), parse_timeframe(timeframe)
        if new < old or new % old != pd.Timedelta(0):
            raise ValidationError(f"resample: {timeframe} is not a whole multiple of {self._timeframe}")
        if (grid_origin(timeframe) - grid_origin(self._timeframe)) % old != pd.Timedelta(0):
            raise ValidationError(
                f"resample: bars of {timeframe} do not open where bars of {self._timeframe} do (weeks open on Monday, "
                "all else counts from 1970-01-01, a Thursday); give a whole number of weeks as such, '2w'"
            )
        if not len(self):
            return Market(self._fields, timeframe)
        present = self._fields["close"].notna()
        counts = present.resample(new, origin=grid_origin(timeframe)).sum()
        known_until = self._index[-1] + old
        keep = (counts.sum(axis=1) > 0) & (counts.index <= known_until - new)
        rows = pd.DataFrame(np.where(present, np.arange(len(self))[:, None], 0), present.index, present.columns)
        newest = rows.resample(new, origin=grid_origin(timeframe)).max().fillna(0).astype("int64")
        fields = {}
        for name, table in self._fields.items():
            if name in _RESAMPLE_RULES:
                coarse = table.resample(new, origin=grid_origin(timeframe)).agg(_RESAMPLE_RULES[name])
            else:
                coarse = _taken(table, newest)
            fields[name] = coarse.where(counts > 0).loc[keep].rename_axis("time")
        return Market(fields, timeframe)

    def fingerprint(self) -> str:
        """SHA-256 over symbols, timeframe, times and every field: the identity of the data a result came from."""
        if self._digest is not None:
            return self._digest
        digest = hashlib.sha256(repr((self._symbols, self._timeframe, sorted(self._fields))).encode())
        digest.update(self._index.as_unit("ns").asi8.tobytes())
        for name in sorted(self._fields):
            hashed = pd.util.hash_pandas_object(self._fields[name], index=False)
            digest.update(hashed.to_numpy().tobytes())
        # Nothing of a market changes: a sweep's thousand runs hash it once.
        object.__setattr__(self, "_digest", digest.hexdigest())
        return digest.hexdigest()


def _taken(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Of each column the rows of these numbers."""
    taken = {symbol: table[symbol].take(rows[symbol].to_numpy()).set_axis(rows.index) for symbol in rows.columns}
    return pd.DataFrame(taken, index=rows.index, columns=rows.columns)


class _TimeSlicer:
    """`market.loc[start:end]`."""

    __slots__ = ("_market",)

    def __init__(self, market: Market) -> None:
        self._market = market

    def __getitem__(self, key: slice) -> Market:
        if not isinstance(key, slice) or key.step is not None:
            raise ValidationError("market.loc takes a slice of times, such as market.loc['2024-01-01':'2024-03-31']")
        # A text may name a whole month or day, which only pandas knows the end of; what is a moment is put into UTC.
        start, stop = (
            edge if edge is None or isinstance(edge, str) else utc_time(edge, "market.loc")
            for edge in (key.start, key.stop)
        )
        try:
            fields = {name: self._market[name].loc[start:stop] for name in self._market.fields}
        except (KeyError, TypeError, ValueError) as error:
            raise ValidationError(f"market.loc[{start!r}:{stop!r}]: not a span of times ({error})") from error
        return Market(fields, self._market.timeframe)
