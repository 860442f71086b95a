"""What a decision can earn: from the open that it fills at to the open `horizon` bars later.

    forward_returns(market, horizon=1)      # open[t + 2] / open[t + 1] - 1, time by symbol

A decision at the close of bar t fills at the open of bar t + 1 (`Strategy`, rule 1), so its return over h bars is
open[t + 1 + h] / open[t + 1] - 1. Bars count by the clock: where one of the two is missing the return is missing too,
for an order would have waited there and earned over another span. So the label of bar t is known at the open of the
bar that lies 1 + h bar lengths after it, and that bar is never more than 1 + h rows further on.
"""

from __future__ import annotations

from numbers import Integral

import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe


def forward_returns(market: Market, horizon: int = 1, delay: int = 0) -> pd.DataFrame:
    """Return of each decision, a fraction, time by symbol; NaN where it is not known, as in the last 1 + h rows.

    Args:
        market: the bars.
        horizon: bars from the next open to the end of the label, at least 1.
        delay: bars after the next open at which the label begins: a forecast that can be acted on that much later.

    Raises:
        ValidationError: `horizon` is not such a number, or the label begins when it is over.
    """
    check_horizon("forward_returns", horizon)
    if not 0 <= delay < horizon:
        raise ValidationError(
            f"forward_returns: delay {delay!r} must be a number of bars below the horizon {horizon!r}"
        )
    step = parse_timeframe(market.timeframe)
    opens = market.open
    entry = opens.reindex(market.index + (1 + int(delay)) * step).to_numpy()
    leave = opens.reindex(market.index + (1 + int(horizon)) * step).to_numpy()
    present = market.close.notna().to_numpy()
    return pd.DataFrame(leave / entry - 1.0, index=opens.index, columns=opens.columns).where(present)


def check_horizon(who: str, horizon: object) -> None:
    """Refuse what is no whole number of bars, at least 1.

    Raises:
        ValidationError: it is not.
    """
    if isinstance(horizon, bool) or not isinstance(horizon, Integral) or int(horizon) < 1:
        raise ValidationError(f"{who}: horizon {horizon!r} must be a whole number of bars, at least 1")
