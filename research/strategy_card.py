"""A strategy's card: one TOML file that backtest, paper, rehearsal and live session all take, checked before anything.

card = read_card("strategy.toml")
backtest(card.made(), card.bars(), **card.terms())

[strategy]
name = "SmaCross"                 # the library's, module:Class or file.py:Class (beside the card)
[strategy.parameters]
fast = 48
slow = 336
[market]
exchange = "binance"              # where it is to trade
symbols = ["BTC/USDT", "ETH/USDT"]
timeframe = "30m"
data = "sample"                   # what it is tested on: sample, an exchange of the store, a file of candles
[account]
cash = 10000
[costs]
fee = 0.001
[risk]
max_position = 0.5
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from pydantic import ValidationError as SchemaError

from data.errors import ValidationError
from research.forecast_files import ForecastFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from data.market import Market
    from engine.strategy import Strategy

Positive = Field(gt=0.0, allow_inf_nan=False)
Fraction = Field(ge=0.0, lt=1.0, allow_inf_nan=False)


class _Section(BaseModel):
    """Every key is known, and none changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StrategySection(_Section):
    """Which strategy, with which parameters."""

    name: str
    parameters: dict[str, Any] = {}


class MarketSection(_Section):
    """What it trades, and the bars it is tested on."""

    symbols: list[str] = Field(min_length=1)
    timeframe: str
    exchange: str = "binance"
    data: str = "sample"
    since: str | None = None
    until: str | None = None


class AccountSection(_Section):
    """What it begins with, in quote currency."""

    cash: float = Positive
    quote: str | None = None


class CostsSection(_Section):
    """What trading is reckoned to cost; live it costs what the exchange takes."""

    fee: float = Field(default=0.001, gt=-0.01, lt=1.0)
    maker_fee: float | None = Field(default=None, gt=-0.01, lt=1.0)
    slippage: float = Field(default=0.0005, ge=0.0, lt=1.0)
    borrow: float = Field(default=0.0, ge=0.0)
    fee_in: Literal["quote", "bought"] = "quote"


class VenueSection(_Section):
    """Trading rules, of every symbol; live the exchange's own hold."""

    shorts: bool = False
    leverage: float = Field(default=1.0, ge=1.0)
    amount_step: float = Field(default=0.0, ge=0.0)
    price_tick: float = Field(default=0.0, ge=0.0)
    min_notional: float = Field(default=0.0, ge=0.0)
    maintenance_margin: float = Field(default=0.0, ge=0.0, lt=1.0)


class RiskSection(_Section):
    """`engine.RiskLimits`; max_data_age as "90s", "5min"."""

    max_position: float | None = None
    max_gross: float | None = None
    max_net: float | None = None
    max_order_notional: float | None = None
    max_daily_loss: float | None = None
    max_drawdown: float | None = None
    max_orders_per_minute: int | None = None
    max_data_age: str | None = None
    price_collar: float | None = None


class ExitsSection(_Section):
    """`engine.Exits`; trailing as [activation, delta], time_limit as "2D", "36h"."""

    stop_loss: float | None = None
    take_profit: float | None = None
    trailing: tuple[float, float] | None = Field(default=None, strict=False)
    time_limit: str | None = None


class ForecastsSection(_Section):
    """Forecasts and daily values to join; files lie beside the card."""

    predictions: str | None = None
    horizon: str | None = None
    delay: str | None = None
    daily: str | None = None


class Card(_Section):
    """A strategy and all that it runs on.

    Attributes:
        strategy, market, account, costs, venue, risk, exits, forecasts: the file's sections.
    """

    strategy: StrategySection
    market: MarketSection
    account: AccountSection
    costs: CostsSection = CostsSection()
    venue: VenueSection = VenueSection()
    risk: RiskSection | None = None
    exits: ExitsSection | None = None
    forecasts: ForecastsSection | None = None
    _folder: Path = PrivateAttr(default=Path())
    _files: ForecastFiles | None = PrivateAttr(default=None)

    def made(self) -> Strategy:
        """The strategy, with the card's barriers where it has some.

        Raises:
            ValidationError: there is no such strategy or parameter, or the strategy refuses one.
        """
        from dataclasses import fields, replace

        from research.cli.inputs import strategy_class

        name = self.strategy.name
        file, _, kind_name = name.partition(":")
        if file.endswith(".py"):
            name = f"{self._folder / file}:{kind_name}"
        kind = strategy_class(name)
        known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
        unknown = sorted(set(self.strategy.parameters) - set(known))
        if unknown:
            raise ValidationError(f"[strategy.parameters] {', '.join(unknown)}: {kind.__name__} has {', '.join(known)}")
        made = kind(**self.strategy.parameters)
        if self.exits is None:
            return made
        if "exits" not in known:
            raise ValidationError(f"[exits]: {kind.__name__} has no field exits; add exits: Exits | None = None to it")
        changed: Strategy = replace(made, exits=self._exits())  # type: ignore[type-var]
        return changed

    def terms(self) -> dict[str, Any]:
        """What `backtest` and `paper` take beside strategy and market.

        Raises:
            ValidationError: figures that do not go together.
        """
        import pandas as pd

        from engine import Costs, RiskLimits, Venue

        costs = self.costs
        fee = costs.fee if costs.maker_fee is None else (costs.maker_fee, costs.fee)
        terms: dict[str, Any] = {
            "cash": self.account.cash,
            "costs": Costs(fee=fee, slippage=costs.slippage, borrow=costs.borrow, fee_in=costs.fee_in),
            "venue": Venue(**self.venue.model_dump()),
        }
        if self.risk is not None:
            limits = {name: value for name, value in self.risk.model_dump().items() if value is not None}
            if "max_data_age" in limits:
                limits["max_data_age"] = pd.Timedelta(_span("[risk] max_data_age", limits["max_data_age"]))
            terms["risk"] = RiskLimits(**limits)
        return terms

    def bars(self) -> Market:
        """The bars it is tested on, with its forecasts; says on stderr what became of those.

        Raises:
            ValidationError: the source does not hold them.
        """
        import typer

        return self.enriched(self.candles(), lambda told: typer.echo(told, err=True))

    def candles(self) -> Market:
        """The bars it is tested on, as an exchange tells them.

        Raises:
            ValidationError: the source does not hold them.
        """
        from research.cli.inputs import market_from

        given = self.market
        source = given.data
        if Path(source).suffix:
            source = str(self._folder / source)
        return market_from(source, given.symbols, given.timeframe, given.since, given.until, None)

    @property
    def enrich(self) -> Callable[[Market], Market] | None:
        """What adds forecasts and daily values to a session's window; None of a card without them."""
        return None if self.forecasts is None else self.enriched

    def enriched(self, market: Market, say: Callable[[str], None] = lambda _: None) -> Market:
        """A market with the card's forecasts and daily values; files that have not changed are read once.

        Args:
            market: the bars.
            say: told what became of the forecasts.
        """
        if self.forecasts is None:
            return market
        if self._files is None:
            given = self.forecasts
            files = [None if name is None else self._folder / name for name in (given.predictions, given.daily)]
            self._files = ForecastFiles(files[0], given.horizon, given.delay, files[1])
        return self._files.joined(market, say)

    def _exits(self) -> Any:
        import pandas as pd

        from engine import Exits

        given = self.exits
        assert given is not None  # noqa: S101 - for mypy
        limit = None if given.time_limit is None else pd.Timedelta(_span("[exits] time_limit", given.time_limit))
        return Exits(given.stop_loss, given.take_profit, given.trailing, limit)


def read_card(path: str | Path) -> Card:
    """The card of a file.

    Raises:
        ValidationError: naming the file: it is not there, no TOML, or a key is unknown, missing or wrong.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationError(f"{file}: cannot be read ({error})") from error
    try:
        card = Card.model_validate(_floats(tomllib.loads(text)))
    except tomllib.TOMLDecodeError as error:
        raise ValidationError(f"{file}: no TOML ({error})") from error
    except SchemaError as error:
        told = "; ".join(_told(item) for item in error.errors(include_url=False, include_context=False))
        raise ValidationError(f"{file}: {told}") from error
    card._folder = file.parent  # noqa: SLF001 - files that it names lie beside it
    return card


def _told(item: Any) -> str:
    *sections, key = [str(part) for part in item["loc"]] or ["the card"]
    where = f"[{'.'.join(sections)}] {key}" if sections else f"[{key}]"
    given = "" if item["type"] in ("missing", "extra_forbidden") else f" {item['input']!r}"
    words = {"missing": "is missing", "extra_forbidden": "is no key of a card"}.get(item["type"], item["msg"])
    return f"{where}{given}: {words}"


# Keys that are whole numbers by nature: all other numbers of a card may be written without a point.
_WHOLE = ("max_orders_per_minute",)


def _floats(value: Any, path: tuple[str, ...] = ()) -> Any:
    """TOML tells 1 from 1.0; a card's reader does not, but for a strategy's own parameters."""
    if path[:2] == ("strategy", "parameters") or (path and path[-1] in _WHOLE):
        return value
    if isinstance(value, dict):
        return {key: _floats(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_floats(item, path) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _span(where: str, text: str) -> str:
    import pandas as pd

    try:
        pd.Timedelta(text)
    except ValueError as error:
        raise ValidationError(f"{where} {text!r}: write it as 90s, 36h or 2D ({error})") from error
    return text
