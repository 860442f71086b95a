"""A strategy whose decisions a test writes down itself."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from data import Market
from engine import Strategy


@dataclass(frozen=True, eq=False)
class Given(Strategy):
    """Targets from a table, as a test wants them."""

    table: pd.DataFrame
    warmup: int = 0

    def targets(self, market: Market) -> pd.DataFrame:
        return self.table
