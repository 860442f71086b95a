"""Daily values and a forecast for a made-up market, some of them missing."""

import numpy as np
import pandas as pd

from data.daily import with_daily


def with_inputs(market, seed=0, missing=0.05):
    """The market with fear_greed, btc_dominance, q10, q50 and q90."""
    rng = np.random.default_rng(seed)
    days = pd.date_range(market.index[0].normalize() - pd.Timedelta("2D"), market.index[-1], freq="D")
    moods = rng.choice([5, 15, 20, 30, 50, 70, 90], len(days))
    daily = pd.DataFrame({"fear_greed": moods, "btc_dominance": rng.uniform(30, 70, len(days))}, index=days)
    shape = market.close.shape
    quantiles = np.sort(rng.normal(0, 0.002, (3, *shape)), axis=0)
    quantiles[:, rng.uniform(size=shape) < missing] = np.nan
    tables = {
        name: pd.DataFrame(table, index=market.index, columns=list(market.symbols))
        for name, table in zip(("q10", "q50", "q90"), quantiles, strict=True)
    }
    return with_daily(market, daily).with_fields(**tables)
