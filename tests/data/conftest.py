"""An exchange with 496 bars, the last one open, and an empty store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from data import Store
from tests.data.exchange import Exchange
from tests.data.fetching import BARS


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(BARS, now=BARS.index[-1] + pd.Timedelta("20min"), page=100) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
