"""The heart of it: `backtest` and `paper` take the same decisions and send the same orders, whatever the bars bring."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings

from engine import Result
from tests.parity.cases import Case, cases

EXACT = ["decided_at", "filled_at", "symbol", "side", "amount", "reason"]


def assert_equal(fast: Result, slow: Result) -> None:
    """Prices and fees are each engine's own: backtrader's are averages of one, x * n / n. What is decided is equal."""
    pd.testing.assert_frame_equal(fast.orders[EXACT], slow.orders[EXACT], check_exact=True)
    np.testing.assert_allclose(fast.orders["price"], slow.orders["price"], rtol=1e-12, atol=0.0)
    np.testing.assert_allclose(fast.orders["fee"], slow.orders["fee"], rtol=1e-12, atol=0.0)
    pd.testing.assert_frame_equal(fast.positions, slow.positions, check_exact=True)
    pd.testing.assert_frame_equal(fast.risk_events, slow.risk_events, check_exact=True)
    pd.testing.assert_frame_equal(fast.charges, slow.charges, check_exact=False, rtol=1e-12, atol=0.0)
    pd.testing.assert_index_equal(fast.equity.index, slow.equity.index)
    # Relative to equity itself; where it crosses zero, to a thousandth of the most that there was.
    larger = np.maximum(fast.equity.abs(), slow.equity.abs())
    scale = np.maximum(larger, 1e-3 * np.maximum.accumulate(np.maximum(larger, fast.cash)))
    apart = (fast.equity - slow.equity).abs() / scale
    assert apart.max() <= 1e-9, f"equity differs by {apart.max():.1e} at {apart.idxmax()}"


@given(case=cases())
@settings(max_examples=560)
def test_both_engines_send_the_same_orders_and_hold_the_same_equity(case: Case) -> None:
    assert_equal(*case.both())
