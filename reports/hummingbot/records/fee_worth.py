"""What a bot's fees come to on an account in quote currency.

A fee in quote currency is what it is. One in the coin that was traded comes out of the coins (of a contract, it is
worth the fill's price). One in another token is worth what the candles' close of TOKEN/QUOTE says of the fill's bar;
without such candles, what the bot itself made of it; and where it did not, it is told apart and not counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import numpy as np
import pandas as pd

from data.market import Market
from reports.hummingbot.records.fill import is_spot

_COLUMNS: Final = ("symbol", "price", "fee", "fee_token", "other_fees", "fee_in_quote")


@dataclass(frozen=True, eq=False)
class FeeWorth:
    """Fees of all fills.

    Attributes:
        quote: by fill, quote currency; what was paid in the traded coin is not among it.
        base: by fill, what was paid in the traded coin, as decimals.
        converted: by token, how many fills' fees the candles priced.
        taken: by token, how many fills' fees are as the bot converted them.
        unpriced: by token, the amount that nothing prices.
    """

    quote: np.ndarray
    base: list[Decimal]
    converted: dict[str, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    unpriced: dict[str, Decimal] = field(default_factory=dict)

    def notes(self, quote: str) -> list[str]:
        """What is to be said of them."""
        said = [
            f"fees of {count:,} fills in {token} are counted at the close of {token}/{quote} in the fill's bar"
            for token, count in self.converted.items()
        ]
        said += [
            f"fees of {count:,} fills in {token} are counted as the bot converted them (trade_fee_in_quote), for the "
            f"candles hold no {token}/{quote}"
            for token, count in self.taken.items()
        ]
        if any(self.base):
            said.append(
                f"fees of {sum(map(bool, self.base)):,} fills were paid in the traded coin, out of the position"
            )
        said += [
            f"fees of {amount} {token} are NOT counted: nothing prices them; add candles of {token}/{quote}"
            for token, amount in self.unpriced.items()
        ]
        return said


def fee_worth(fills: pd.DataFrame, bar: np.ndarray, candles: Market, index: pd.DatetimeIndex) -> FeeWorth:
    """Every fill's fees.

    Args:
        fills: as `TradeHistory.fills`.
        bar: of each fill, by position in `index`.
        candles: what prices tokens; a gap is priced by the last close before it.
        index: the account's bars.
    """
    quote, base = np.zeros(len(fills)), [Decimal(0)] * len(fills)
    worth = FeeWorth(quote, base)
    closes: dict[str, np.ndarray] = {}
    columns = (fills[name].tolist() for name in _COLUMNS)
    spot = [is_spot(*facts) for facts in zip(fills["position"], fills["exchange"], strict=True)]
    for number, (symbol, price, fee, token, others, in_quote) in enumerate(zip(*columns, strict=True)):
        coin, money = symbol.split("/")
        paid = {token: decimal(fee)} | {name: Decimal(value) for name, value in json.loads(others or "{}").items()}
        paid = {name: value for name, value in paid.items() if value != 0}
        quote[number] = float(paid.pop(money, Decimal(0)))
        coins = paid.pop(coin, Decimal(0))
        if spot[number]:
            base[number] = coins
        else:  # a contract's fee does not come out of the contract
            quote[number] += float(coins) * price
        left = {}
        for name, value in paid.items():
            if name not in closes:
                closes[name] = _closes(candles, f"{name}/{money}", index)
            close = closes[name][bar[number]]
            if np.isnan(close):
                left[name] = value
                continue
            quote[number] += float(value) * close
            worth.converted[name] = worth.converted.get(name, 0) + 1
        if not left:
            continue
        # The bot's own figure is of all its fees: it stands for these where there are no others.
        if not np.isnan(in_quote) and in_quote != 0 and not base[number] and quote[number] == 0:
            quote[number] = in_quote
            for name in left:
                worth.taken[name] = worth.taken.get(name, 0) + 1
        else:
            for name, value in left.items():
                worth.unpriced[name] = worth.unpriced.get(name, Decimal(0)) + value
    return worth


def decimal(value: float) -> Decimal:
    """The decimal that a float64 of the file stands for: its shortest one."""
    return Decimal(repr(value))


def _closes(candles: Market, symbol: str, index: pd.DatetimeIndex) -> np.ndarray:
    """By bar, the last close known at its end; NaN where there is none."""
    if symbol not in candles.symbols:
        return np.full(len(index), np.nan)
    closes = candles.close[symbol].ffill().reindex(index, method="ffill")
    return closes.to_numpy(dtype=np.float64)
