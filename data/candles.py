"""Candles and the rules they keep: what a table of bars must be before anything is computed from it.

    report = validate_candles(frame, "1h", "BTC/USDT")
    report.ok, report.findings, report.gaps     # every broken rule with its bar; missing bars are no fault
    candles = clean_candles(frame, timeframe="1h", symbol="BTC/USDT")

A bar is labelled by its opening time, in UTC, on the timeframe's grid. Its prices are positive, its high is the
highest and its low the lowest of the four, its volume is not negative. Bars that are absent stay absent.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import ValidationError
from data.timeframe import grid_origin, parse_timeframe

CANDLE_COLUMNS: Final = ("open", "high", "low", "close", "volume")
_PRICES: Final = CANDLE_COLUMNS[:4]
_SHOWN: Final = 5  # findings spelled out in a raised or printed text; the rest are counted

_Mask = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule. `bar` is the bar's opening time, or None where the whole table is at fault."""

    symbol: str
    bar: pd.Timestamp | None
    rule: str
    message: str

    def __str__(self) -> str:
        place = self.symbol if self.bar is None else f"{self.symbol} bar {bar_label(self.bar)}"
        return f"{place}: {self.message} (rule: {self.rule})"


@dataclass(frozen=True, slots=True)
class Gap:
    """`missing` bars between the bar `after` which they are missing and the bar `before` which they are missing."""

    symbol: str
    after: pd.Timestamp
    before: pd.Timestamp
    missing: int

    def __str__(self) -> str:
        span = f"{bar_label(self.after)} and {bar_label(self.before)}"
        return f"{self.symbol}: {_count(self.missing, 'bar')} missing between {span}"


@dataclass(frozen=True, slots=True)
class CandleReport:
    """What `validate_candles` found: broken rules (`findings`), and the stretches without bars (`gaps`), no fault."""

    symbol: str
    timeframe: str
    bars: int
    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...]

    @property
    def ok(self) -> bool:
        """True where no rule is broken; gaps do not count."""
        return not self.findings

    @property
    def missing(self) -> int:
        """How many bars the gaps sum up to."""
        return sum(gap.missing for gap in self.gaps)

    def raise_for_findings(self) -> None:
        """Raise what was found.

        Raises:
            ValidationError: at least one finding; the first few in full, the others counted.
        """
        if self.ok:
            return
        mend = "" if any(finding.bar is None for finding in self.findings) else _MEND
        raise ValidationError(listing(self.findings) + mend)

    def to_frame(self) -> pd.DataFrame:
        """The findings as a table: symbol, bar (UTC, NaT where the whole table is at fault), rule, message."""
        rows = [(f.symbol, f.bar, f.rule, f.message) for f in self.findings]
        table = pd.DataFrame(rows, columns=["symbol", "bar", "rule", "message"])
        table["bar"] = pd.to_datetime(table["bar"], utc=True).dt.as_unit("ns")
        return table

    def __str__(self) -> str:
        return self.text(_SHOWN)

    def text(self, most: int | None = None) -> str:
        """Sums in the first line, then the findings and the gaps, a line each: all, or the first `most` of each."""
        head = f"{self.symbol} {self.timeframe}: {_count(self.bars, 'bar')}, "
        head += "no rule broken" if self.ok else _count(len(self.findings), "finding")
        if not self.gaps:
            head += ", no gap"
        else:
            head += f", {_count(self.missing, 'bar')} missing in {_count(len(self.gaps), 'gap')}"
        return "\n  ".join([head, *(listing(entries, most) for entries in (self.findings, self.gaps) if entries)])


_MEND: Final = "; fix the file or pass drop_invalid=True"


def bar_label(bar: pd.Timestamp) -> str:
    """A bar's opening time as messages write it: 2018-03-01 05:30+00:00."""
    whole_minutes = bar.second == 0 and bar.microsecond == 0 and bar.nanosecond == 0
    return bar.isoformat(sep=" ", timespec="minutes" if whole_minutes else "auto")


def validate_candles(candles: pd.DataFrame, timeframe: str, symbol: str = "candles") -> CandleReport:
    """Check a table of candles against every rule; nothing is changed and nothing is raised for what is found.

    Args:
        candles: indexed by the bar's opening time (UTC), with open, high, low, close (quote currency per unit) and
            volume (base currency). Further columns are not looked at.
        timeframe: the bars' length, such as "1h"; bars are to lie on its grid (weeks open on Monday).
        symbol: the name that findings carry.

    Returns:
        A report with one finding per bar and broken rule, in the order of the rules, and the gaps in order of time.

    Raises:
        ValidationError: `timeframe` is not one, or `candles` no DataFrame.
    """
    step = parse_timeframe(timeframe)
    _require_table(candles, symbol)
    findings = list(_table_findings(candles, symbol))
    times = _utc_times(candles.index)
    if times is None or candles.empty:
        return CandleReport(symbol, timeframe, len(candles), tuple(findings), ())
    for check in _bar_checks(candles, times, timeframe):
        for row in np.flatnonzero(check.broken):
            bar = times[int(row)]
            findings.append(Finding(symbol, None if pd.isna(bar) else bar, check.rule, check.describe(int(row))))
    return CandleReport(symbol, timeframe, len(candles), tuple(findings), _gaps(times, timeframe, step, symbol))


def clean_candles(
    frame: pd.DataFrame, *, timeframe: str, symbol: str = "candles", drop_invalid: bool = False
) -> pd.DataFrame:
    """Candles that keep every rule: float64, on a UTC index of nanoseconds named "time"; further columns are kept.

    Args:
        frame: see `validate_candles`.
        timeframe: the bars' length, such as "1h".
        symbol: the name that errors carry.
        drop_invalid: leave out the bars that break a rule. Of identical bars the first stays; of bars that have one
            time and different values none does, for nothing tells which is right. Bars in disorder are sorted.

    Raises:
        ValidationError: a broken rule, naming symbol, bar and rule. With `drop_invalid` only what concerns the whole
            table: an empty one, missing or non-numeric columns, an index that is naive, not UTC or not made of times;
            or no bar that is left.
    """
    parse_timeframe(timeframe)
    _require_table(frame, symbol)
    faults = tuple(_table_findings(frame, symbol))
    times = _utc_times(frame.index)
    if faults or times is None:
        validate_candles(frame, timeframe, symbol).raise_for_findings()
        raise AssertionError("a table at fault has a finding")
    checks = _bar_checks(frame, times, timeframe)
    invalid = np.zeros(len(frame), dtype=np.bool_)
    for check in checks:
        invalid |= check.broken
    if invalid.any() and not drop_invalid:
        validate_candles(frame, timeframe, symbol).raise_for_findings()
    extras = [column for column in frame.columns if column not in CANDLE_COLUMNS]
    candles = frame[[*CANDLE_COLUMNS, *extras]].astype(dict.fromkeys(CANDLE_COLUMNS, "float64"))
    candles = candles.set_axis([str(column) for column in candles.columns], axis=1).set_axis(times, axis=0)
    if invalid.any():
        candles = _without_invalid(candles, checks)
        if candles.empty:
            raise ValidationError(
                f"{symbol}: none of its {len(frame):,} bars keeps the rules; first: "
                f"{validate_candles(frame, timeframe, symbol).findings[0]}"
            )
    return candles


@dataclass(frozen=True, slots=True)
class _Check:
    """One rule applied to all bars: which break it, and how to say so of one row."""

    rule: str
    broken: _Mask
    describe: Callable[[int], str]


_INCREASING: Final = "times increase"
_UNIQUE: Final = "one bar per time"


def _table_findings(frame: pd.DataFrame, symbol: str) -> Iterator[Finding]:
    """Faults of the table as a whole."""
    missing = [column for column in CANDLE_COLUMNS if column not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns)) or "none"
        message = f"missing column {', '.join(missing)} (found: {found}); rename or add it"
        yield Finding(symbol, None, "columns open, high, low, close, volume", message)
    names = frame.columns.map(str)
    repeated = sorted(set(names[names.duplicated()]))
    if repeated:
        yield Finding(symbol, None, "column names are unique", f"column {', '.join(repeated)} appears twice; drop one")
    for column in CANDLE_COLUMNS:
        if column in frame.columns and column not in repeated and not _is_real(frame[column]):
            message = f"column {column} is {frame[column].dtype}, not numbers; convert it with astype(float)"
            yield Finding(symbol, None, "numeric columns", message)
    if not isinstance(frame.index, pd.DatetimeIndex):
        message = f"the index is {type(frame.index).__name__}, not times; set_index() the bars' opening times"
        yield Finding(symbol, None, "indexed by time", message)
    elif frame.index.tz is None:
        message = (
            "the index has no time zone; tz_localize('UTC') it, or the zone it was written in and tz_convert('UTC')"
        )
        yield Finding(symbol, None, "times in UTC", message)
    elif frame.index.tz.utcoffset(None) != dt.timedelta(0):
        yield Finding(symbol, None, "times in UTC", f"the index is in {frame.index.tz}; tz_convert('UTC') it")
    if isinstance(frame.index, pd.DatetimeIndex) and _utc_times(frame.index) is None:
        message = "the index holds times outside 1677 to 2262: was an epoch read in the wrong unit?"
        yield Finding(symbol, None, "indexed by time", message)
    if frame.empty:
        yield Finding(symbol, None, "at least one bar", "the table is empty; leave the symbol out or fetch its candles")


def _require_table(frame: object, symbol: str) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise ValidationError(f"{symbol}: give its candles as a DataFrame, not {type(frame).__name__}")


def _is_real(column: pd.Series) -> bool:
    kind = pd.api.types
    real = kind.is_float_dtype(column.dtype) or kind.is_integer_dtype(column.dtype)
    return bool(real)


def _utc_times(index: pd.Index) -> pd.DatetimeIndex | None:
    """The index in UTC and nanoseconds, a naive one read as UTC; None where it does not hold such times."""
    if not isinstance(index, pd.DatetimeIndex):
        return None
    times = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    try:
        return pd.DatetimeIndex(times.as_unit("ns"), name="time")
    except pd.errors.OutOfBoundsDatetime:
        return None


def _bar_checks(frame: pd.DataFrame, times: pd.DatetimeIndex, timeframe: str) -> list[_Check]:
    """Every rule about single bars whose columns are there."""
    stamps = times.asi8
    timeless = np.asarray(times.isna())
    step, origin = parse_timeframe(timeframe).value, grid_origin(timeframe).value
    latest = np.maximum.accumulate(stamps)
    early = np.zeros(len(stamps), dtype=np.bool_)
    early[1:] = stamps[1:] < latest[:-1]
    repeated = np.asarray(times.duplicated(keep="first")) & ~timeless
    alike = _identical(frame, times) if repeated.any() else repeated

    def late_text(row: int) -> str:
        return f"comes after the bar of {bar_label(pd.Timestamp(latest[row], tz='UTC'))}"

    def off_grid_text(row: int) -> str:
        if not timeframe.endswith("w"):
            return "is off the grid"
        return f"is off the grid: it opens on {times[row]:%A}, weeks on Monday; take 1d candles and resample them"

    checks = [
        _Check("every bar has a time", timeless, lambda row: f"row {row} has no time; fix or drop it"),
        _Check(_INCREASING, early & ~timeless, late_text),
        _Check(_UNIQUE, repeated, lambda row: "a second bar, " + ("identical" if alike[row] else "and it differs")),
        _Check(f"on the grid of {timeframe}", ((stamps - origin) % step != 0) & ~timeless, off_grid_text),
    ]
    raw: dict[str, _Floats] = {}
    for name in CANDLE_COLUMNS:
        if name in frame.columns and isinstance(frame[name], pd.Series) and _is_real(frame[name]):
            raw[name] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    for name, column in raw.items():
        checks.append(_Check("finite numbers", ~np.isfinite(column), _value_text(name, column)))
    # What is not finite has been reported: it is to break no second rule.
    values = {name: np.where(np.isfinite(column), column, np.nan) for name, column in raw.items()}
    for name in _PRICES:
        if name in values:
            checks.append(_Check("prices > 0", values[name] <= 0, _value_text(name, values[name])))
    if "volume" in values:
        checks.append(_Check("volume >= 0", values["volume"] < 0, _value_text("volume", values["volume"])))
    if all(name in values for name in _PRICES):
        checks += _shape_checks(values["open"], values["high"], values["low"], values["close"])
    return checks


def _shape_checks(open_: _Floats, high: _Floats, low: _Floats, close: _Floats) -> list[_Check]:
    def high_text(row: int) -> str:
        name, price = ("open", open_[row]) if open_[row] > close[row] else ("close", close[row])
        return f"high {high[row]} < {name} {price}"

    def low_text(row: int) -> str:
        name, price = ("open", open_[row]) if open_[row] < close[row] else ("close", close[row])
        return f"low {low[row]} > {name} {price}"

    return [
        _Check("high >= low", high < low, lambda row: f"high {high[row]} < low {low[row]}"),
        _Check("high >= max(open, close)", high < np.fmax(open_, close), high_text),
        _Check("low <= min(open, close)", low > np.fmin(open_, close), low_text),
    ]


def _value_text(name: str, column: _Floats) -> Callable[[int], str]:
    return lambda row: f"{name} is {column[row]}"


def _identical(frame: pd.DataFrame, times: pd.DatetimeIndex) -> _Mask:
    """Rows that repeat an earlier one, time and all values."""
    keyed = frame.set_axis([f"{position} {name}" for position, name in enumerate(frame.columns)], axis=1)
    return np.asarray(keyed.assign(time=times.asi8).duplicated(keep="first"), dtype=np.bool_)


def _without_invalid(candles: pd.DataFrame, checks: list[_Check]) -> pd.DataFrame:
    broken = np.zeros(len(candles), dtype=np.bool_)
    for check in checks:
        if check.rule not in (_INCREASING, _UNIQUE):
            broken |= check.broken
    kept = candles.loc[~broken].sort_index(kind="stable")
    times = pd.DatetimeIndex(kept.index)
    if times.has_duplicates:
        kept = kept.loc[~_identical(kept, times)]
        kept = kept.loc[~kept.index.duplicated(keep=False)]
    return kept


def _gaps(times: pd.DatetimeIndex, timeframe: str, step: pd.Timedelta, symbol: str) -> tuple[Gap, ...]:
    """Stretches of the grid without a bar, between the first bar and the last."""
    stamps = np.unique(times.dropna().asi8)
    stamps = stamps[(stamps - grid_origin(timeframe).value) % step.value == 0]
    jumps = np.diff(stamps) // step.value - 1
    return tuple(
        Gap(symbol, pd.Timestamp(stamps[at], tz="UTC"), pd.Timestamp(stamps[at + 1], tz="UTC"), int(jumps[at]))
        for at in np.flatnonzero(jumps)
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listing(entries: Sequence[Finding] | Sequence[Gap], most: int | None = _SHOWN) -> str:
    """A line each; of more than `most` the first ones, and how many more there are."""
    lines = [str(entry) for entry in entries[:most]]
    rest = len(entries) - len(lines)
    return "\n  ".join([*lines, f"... and {rest:,} more"] if rest > 0 else lines)
