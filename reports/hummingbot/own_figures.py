"""The figures that Hummingbot's backtester reports of a run, by its own formulas, odd ones included.

They are here to be recognised, not to judge by: none of them sees a loss before it is realised, and the one it calls
`sharpe_ratio` is the mean over the standard deviation of the profit's level at each bar, which grows with any drift,
shrinks with nothing a trader calls risk and cannot be annualised. It is named for what it is here.
`engine.metrics` has the figures to judge by.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from reports.hummingbot.rules import CLOSE_TYPES


def own_figures(executors: pd.DataFrame, pnl: pd.Series, total_amount_quote: float) -> dict[str, Any]:
    """Hummingbot's figures of one controller, by its own names but for `pnl_level_mean_over_std`, its `sharpe_ratio`.

    Args:
        executors: of one symbol, as `BaselineRun.executors`.
        pnl: profit realised up to each bar that the controller saw, quote currency.
        total_amount_quote: what percentages are of.

    Returns:
        net_pnl, max_drawdown_pct: fractions of total_amount_quote; net_pnl_quote, max_drawdown_usd, total_volume,
        total_fees_quote: quote currency; counts; accuracies: shares of the executors that did not earn exactly 0 which
        earned more; profit_factor: gains over losses, 1 without a loss. Everything is 0 without an executor.
    """
    earned = executors["pnl"].to_numpy(dtype=np.float64)
    counted = earned != 0.0
    won = earned > 0.0
    buys = (executors["side"] == "BUY").to_numpy()
    losses = -math.fsum(earned[earned < 0.0])
    gains = math.fsum(earned[won])
    net = float(earned.sum())
    level = pnl.to_numpy(dtype=np.float64)
    # An executor created on the only bar is in no series, and Hummingbot's figures of one executor are 0 as well.
    drawdown = float((level - np.maximum.accumulate(level)).min()) if len(level) > 1 else 0.0
    deviation = float(np.std(level, ddof=1)) if len(level) > 1 else 0.0
    kinds = executors["close_type"].to_numpy()
    without_loss = 1.0 if len(executors) else 0.0
    return {
        "net_pnl": net / total_amount_quote,
        "net_pnl_quote": net,
        "total_executors": len(executors),
        "total_executors_with_position": int(counted.sum()),
        "total_volume": float(executors["volume"].to_numpy()[counted].sum()),
        "total_long": int((counted & buys).sum()),
        "total_short": int((counted & ~buys).sum()),
        **{f"close_types.{name}": int((kinds == name).sum()) for name in CLOSE_TYPES.values()},
        "accuracy_long": _share(won & buys, counted & buys),
        "accuracy_short": _share(won & ~buys, counted & ~buys),
        "total_positions": int(counted.sum()),
        "accuracy": _share(won, counted),
        "max_drawdown_usd": drawdown,
        "max_drawdown_pct": drawdown / total_amount_quote,
        "pnl_level_mean_over_std": float(level.mean()) / deviation if deviation > 0.0 else 0.0,
        "profit_factor": gains / losses if losses > 0.0 else without_loss,
        "win_signals": int(won.sum()),
        "loss_signals": int((earned < 0.0).sum()),
        "total_fees_quote": float(executors["fees"].sum()),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    count = int(whole.sum())
    return int(part.sum()) / count if count else 0.0
