"""A strategy whose decisions a test writes down itself."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from data import Market
from engine import Exits, Strategy


@dataclass(frozen=True, eq=False)
class Given(Strategy):
    """Targets from a table, barriers and their scale as a test wants them."""

    table: pd.DataFrame
    warmup: int = 0
    exits: Exits | None = None
    scales: pd.DataFrame | None = None

    def targets(self, market: Market) -> pd.DataFrame:
        return self.table

    def scale(self, market: Market) -> pd.DataFrame | None:
        return self.scales
