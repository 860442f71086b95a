"""What the tests of execution share."""

from __future__ import annotations

from functools import partial

import pytest

from engine import backtest, paper
from tests.engine.worked_bars import Play, play_with


@pytest.fixture(params=[backtest, paper], ids=["backtest", "paper"])
def play(request: pytest.FixtureRequest) -> Play:
    """Worked bars through one engine: a test that asks for it runs through both."""
    return partial(play_with, request.param)
