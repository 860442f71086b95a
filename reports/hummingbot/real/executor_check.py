"""A simulation beside the real engine: executor by executor, and the profit at every bar.

check = compare_executors(simulated.executors, real.executors, simulated_pnl=simulated.pnl, real_pnl=real.pnl)
print(check)            # whether they agree, the largest differences, the first that does not
check.table             # every executor, every figure: simulated, real, difference
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.errors import ValidationError

TOLERANCE: Final = 1e-9
_NAMED: Final = ("closed_at", "side", "close_type")
_FIGURES: Final = ("amount", "entry_price", "close_price", "pnl_pct", "pnl", "fees", "volume")
# A figure that both sides form from the same notional: a difference is relative to that, not to a profit near 0.
_OF_NOTIONAL: Final = ("pnl", "fees", "volume")
_SHOWN: Final = 10


@dataclass(frozen=True, eq=False)
class BaselineCheck:
    """What came of a comparison.

    Attributes:
        table: one row per executor of either side: symbol, opened_at, level_id; `only` ("simulated", "real", or ""
            where both have it); for each of closed_at, side, close_type: `<name>_simulated`, `<name>_real`; for each
            figure also `<name>_difference`, simulated less real. A figure that Hummingbot does not report is NaN, and
            not compared.
        pnl: profit at each bar: simulated, real, difference; quote currency.
        worst: by figure, the largest absolute and relative difference and the row of `table` that has it.
        tolerance: largest relative difference that counts as none.
        differences: in words, each executor or bar that differs, in order of time.
        rows: rows of `table` that differ.
    """

    table: pd.DataFrame
    pnl: pd.DataFrame
    worst: pd.DataFrame
    tolerance: float
    differences: tuple[str, ...]
    rows: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing differs by more than the tolerance."""
        return not self.differences

    @property
    def largest(self) -> float:
        """The largest relative difference of any figure, the profit series among them; 0 without a figure."""
        return float(self.worst["relative"].max()) if len(self.worst) else 0.0

    def __str__(self) -> str:
        both = int((self.table["only"] == "").sum())
        head = (
            f"simulated and real agree: {both:,} executors and {len(self.pnl):,} points of the profit series within "
            f"{self.tolerance:g} (largest relative difference {self.largest:.1e})"
            if self.ok
            else f"simulated and real differ: {len(self.rows):,} of {len(self.table):,} executors, "
            f"{len(self.differences) - len(self.rows):,} of {len(self.pnl):,} points of the profit series"
        )
        lines = [head, *(f"  {text}" for text in self.differences[:_SHOWN])]
        if len(self.differences) > _SHOWN:
            lines.append(f"  and {len(self.differences) - _SHOWN:,} more")
        return "\n".join(lines)

    def side_by_side(self, limit: int = 20) -> pd.DataFrame:
        """Text for a terminal, "simulated | real" where they differ: `limit` of the rows that do, or else of all."""
        rows = list(self.rows) or list(range(len(self.table)))
        shown = self.table.iloc[rows[:limit]]
        cells = {
            "opened": shown["opened_at"].dt.strftime("%Y-%m-%d %H:%M"),
            "symbol": shown["symbol"],
            "level": shown["level_id"],
        }
        for name in (*_NAMED, *_FIGURES):
            pairs = zip(shown[f"{name}_simulated"], shown[f"{name}_real"], strict=True)
            cells[name] = pd.Series([_cell(mine, real, self.tolerance) for mine, real in pairs], index=shown.index)
        return pd.DataFrame(cells).drop(columns=[] if (shown["level_id"] != "").any() else ["level"])


def compare_executors(
    simulated: pd.DataFrame,
    real: pd.DataFrame,
    *,
    simulated_pnl: pd.Series | None = None,
    real_pnl: pd.Series | None = None,
    tolerance: float = TOLERANCE,
) -> BaselineCheck:
    """Compare two tables of executors, and two profit series.

    Executors belong together by symbol, bar of creation, level, and their order among those. Relative differences are
    of the larger figure; of profit and fees, of the notional; of the profit series, of its largest level.

    Args:
        simulated: `BaselineRun.executors`.
        real: `RealRun.executors`.
        simulated_pnl: profit at each bar, NaN on bars that were not seen.
        real_pnl: the real engine's; bars that only one of the two has are a difference.
        tolerance: largest relative difference that counts as none.

    Raises:
        ValidationError: a table lacks a column.
    """
    pairs = _paired(_prepared(simulated, "simulated"), _prepared(real, "real"))
    wrong = pairs["only"] != ""
    reasons: dict[int, list[str]] = {
        row: [f"only {pairs['only'].iloc[row]} has it"] for row in np.flatnonzero(wrong).tolist()
    }
    for name in _NAMED:
        mine, theirs = pairs[f"{name}_simulated"], pairs[f"{name}_real"]
        for row in np.flatnonzero((mine != theirs) & ~(mine.isna() & theirs.isna()) & ~wrong).tolist():
            reasons.setdefault(row, []).append(f"{name} {_text(mine.iloc[row])} | {_text(theirs.iloc[row])}")
    worst: list[tuple[str, float, float, int]] = []
    scale = np.fmax(np.abs(pairs["volume_simulated"]), np.abs(pairs["volume_real"])).to_numpy() / 2.0
    for name in _FIGURES:
        ours, real_ones = (pairs[f"{name}_{side}"].to_numpy(dtype=np.float64) for side in ("simulated", "real"))
        away = np.where(np.isnan(real_ones), np.nan, ours - real_ones)
        pairs[f"{name}_difference"] = away
        size = np.fmax(np.abs(ours), np.abs(real_ones))
        if name in _OF_NOTIONAL:
            size = np.fmax(size, scale)
        elif name == "pnl_pct":
            size = np.fmax(size, 1.0)
        relative = np.divide(np.abs(away), size, out=np.where(away == 0.0, 0.0, np.abs(away)), where=size > 0.0)
        # A figure that only Hummingbot has is missing here; one that it does not report is not asked for.
        relative[np.isnan(ours) & ~np.isnan(real_ones)] = np.inf
        relative[wrong.to_numpy()] = np.nan
        for row in np.flatnonzero(relative > tolerance).tolist():
            reasons.setdefault(row, []).append(f"{name} {_text(float(ours[row]))} | {_text(float(real_ones[row]))}")
        if not np.isnan(relative).all():
            row = int(np.nanargmax(relative))
            worst.append((name, float(abs(away[row])), float(relative[row]), row))
    texts = [(pairs["opened_at"].iloc[row], _named(pairs.iloc[row], reasons[row])) for row in sorted(reasons)]
    points, bars, series_worst = _series(simulated_pnl, real_pnl, tolerance)
    figures = pd.DataFrame([*worst, *series_worst], columns=["figure", "absolute", "relative", "row"]).set_index(
        "figure"
    )
    return BaselineCheck(
        table=pairs,
        pnl=points,
        worst=figures,
        tolerance=tolerance,
        differences=tuple(text for _, text in sorted([*texts, *bars], key=lambda pair: pair[0])),
        rows=tuple(sorted(reasons)),
    )


def _prepared(table: pd.DataFrame, side: str) -> pd.DataFrame:
    missing = [name for name in ("symbol", "opened_at", *_NAMED, *_FIGURES) if name not in table.columns]
    if missing:
        raise ValidationError(f"{side}: the table of executors has no column {', '.join(missing)}")
    own = table.reset_index(drop=True)
    if "level_id" not in own.columns:
        own = own.assign(level_id="")
    for name in ("opened_at", "closed_at"):
        own[name] = pd.DatetimeIndex(own[name]).as_unit("ns")
    keys = ["symbol", "opened_at", "level_id"]
    own["turn"] = own.groupby(keys, sort=False).cumcount() if len(own) else np.empty(0, dtype=np.int64)
    return own[[*keys, "turn", *_NAMED, *_FIGURES]]


def _paired(simulated: pd.DataFrame, real: pd.DataFrame) -> pd.DataFrame:
    keys = ["symbol", "opened_at", "level_id", "turn"]
    texts = dict.fromkeys(("symbol", "level_id"), object)
    left, right = simulated.astype(texts), real.astype(texts)
    left["place"], right["place"] = np.arange(len(left)), np.arange(len(right))
    both = left.merge(right, on=keys, how="outer", suffixes=("_simulated", "_real"), indicator="only")
    both["only"] = both["only"].map({"both": "", "left_only": "simulated", "right_only": "real"}).astype("str")
    # In the order of creation, which the simulated table has; what it lacks goes to its bar's end.
    both = both.sort_values(["opened_at", "place_simulated", "place_real"], ignore_index=True)
    return both.drop(columns=["turn", "place_simulated", "place_real"])


def _series(
    simulated: pd.Series | None, real: pd.Series | None, tolerance: float
) -> tuple[pd.DataFrame, list[tuple[pd.Timestamp, str]], list[tuple[str, float, float, int]]]:
    """The profit at each bar of either, what differs in words, and the worst of it."""
    if simulated is None or real is None:
        return pd.DataFrame({"simulated": [], "real": [], "difference": []}, dtype=np.float64), [], []
    mine, theirs = (
        series.set_axis(pd.DatetimeIndex(series.index).as_unit("ns")).dropna() for series in (simulated, real)
    )
    points = pd.DataFrame({"simulated": mine, "real": theirs})
    points["difference"] = points["simulated"] - points["real"]
    away = points["difference"].abs().to_numpy()
    size = float(np.nanmax(np.abs(points[["simulated", "real"]].to_numpy()), initial=0.0))
    relative = away / size if size > 0.0 else away
    lone = np.isnan(away)
    texts: list[tuple[pd.Timestamp, str]] = []
    for row in np.flatnonzero(lone | (relative > tolerance)).tolist():
        pair = points.iloc[row]
        told = f"profit series {_text(pair['simulated'])} | {_text(pair['real'])}"
        texts.append((points.index[row], f"{_text(points.index[row])}: {told}"))
    worst: list[tuple[str, float, float, int]] = []
    if not lone.all():
        row = int(np.nanargmax(relative))
        worst.append(("profit series", float(away[row]), float(relative[row]), row))
    return points, texts, worst


def _named(row: pd.Series, reasons: list[str]) -> str:
    side = row["side_simulated"] if isinstance(row["side_simulated"], str) else row["side_real"]
    level = f" {row['level_id']}" if row["level_id"] else ""
    return f"{_text(row['opened_at'])}: {row['symbol']} {side}{level}: " + "; ".join(reasons)


def _text(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return "nothing"
    return repr(float(value)) if isinstance(value, float) else str(value)


def _cell(mine: object, real: object, tolerance: float) -> str:
    if isinstance(mine, float) and isinstance(real, float):
        if np.isnan(real) or abs(mine - real) <= tolerance * max(abs(mine), abs(real)):
            return f"{mine:,.6g}"
        return f"{mine:,.10g} | {real:,.10g}"
    return _text(mine) if mine == real else f"{_text(mine)} | {_text(real)}"
