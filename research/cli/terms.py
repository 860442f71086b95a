"""The options of a run's terms (barriers, order style, risk limits, costs, venue), and what they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from data.errors import ValidationError

if TYPE_CHECKING:
    from engine.costs import Costs, FeeIn
    from engine.exits import Exits
    from engine.limits import RiskLimits
    from engine.order_style import LimitOrders
    from engine.strategy import Strategy
    from engine.venue import Venue

_BARRIERS, _ORDERS, _RISK = "Barriers", "Order style", "Risk limits"


def _option(help_text: str, *names: str, panel: str) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel, show_default=False)


StopLoss = Annotated[float | None, _option("Adverse move that closes a position, such as 0.05.", panel=_BARRIERS)]
TakeProfit = Annotated[float | None, _option("Favourable move that closes it, such as 0.1.", panel=_BARRIERS)]
Trailing = Annotated[str | None, _option("Activation and distance of a trailing stop: 0.03,0.02.", panel=_BARRIERS)]
TimeLimit = Annotated[str | None, _option("Longest time a position is held: 36h, 2D.", panel=_BARRIERS)]
LimitOffset = Annotated[
    float | None, _option("Post-only limit orders this far from the decision's close: 0.001.", panel=_ORDERS)
]
LimitAlive = Annotated[int, _option("Bars for which a limit order rests.", panel=_ORDERS)]
LimitThen = Annotated[Literal["cancel", "market"], _option("What happens after them.", panel=_ORDERS)]
MaxPosition = Annotated[float | None, _option("Largest absolute weight of one symbol.", panel=_RISK)]
MaxGross = Annotated[float | None, _option("Largest sum of absolute weights.", panel=_RISK)]
MaxNet = Annotated[float | None, _option("Largest absolute sum of weights.", panel=_RISK)]
MaxOrder = Annotated[float | None, _option("Largest order, quote currency.", "--max-order-notional", panel=_RISK)]
MaxDailyLoss = Annotated[float | None, _option("Loss of a UTC day that flattens and halts it.", panel=_RISK)]
MaxDrawdown = Annotated[float | None, _option("Fall from the highest equity that flattens and halts.", panel=_RISK)]
Collar = Annotated[
    float | None, _option("Largest distance of a fill from the last close.", "--price-collar", panel=_RISK)
]


def with_exits(
    strategy: Strategy, stop_loss: float | None, take_profit: float | None, trailing: str | None, time_limit: str | None
) -> Strategy:
    """The strategy with the barriers that were given; as it is where none was.

    Raises:
        ValidationError: a barrier that is none, or a strategy without a field `exits`.
    """
    exits = exits_of(stop_loss, take_profit, trailing, time_limit)
    if exits is None:
        return strategy
    from dataclasses import fields, replace

    kind = type(strategy).__name__
    if "exits" not in [item.name for item in fields(strategy)]:  # type: ignore[arg-type]
        raise ValidationError(f"{kind}: has no field exits to set barriers by; add exits: Exits | None = None to it")
    changed: Strategy = replace(strategy, exits=exits)  # type: ignore[type-var]
    return changed


def exits_of(
    stop_loss: float | None, take_profit: float | None, trailing: str | None, time_limit: str | None
) -> Exits | None:
    """The barriers that were given, None where none was.

    Raises:
        ValidationError: a barrier that is none.
    """
    if stop_loss is None and take_profit is None and trailing is None and time_limit is None:
        return None
    import pandas as pd

    from engine.exits import Exits

    try:
        limit = None if time_limit is None else pd.Timedelta(time_limit)
    except ValueError as error:
        raise ValidationError(f"--time-limit {time_limit!r}: write it as 36h or 2D ({error})") from error
    return Exits(stop_loss, take_profit, _pair(trailing), limit)


def _pair(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        activation, delta = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ValidationError(f"--trailing {text!r}: write activation,distance such as 0.03,0.02") from error
    return activation, delta


def costs_of(fee: float, maker_fee: float | None, slippage: float, borrow: float, fee_in: FeeIn) -> Costs:
    """The costs; without a maker fee of its own the taker's holds for both."""
    from engine.costs import Costs

    return Costs(fee=fee if maker_fee is None else (maker_fee, fee), slippage=slippage, borrow=borrow, fee_in=fee_in)


def venue_of(shorts: bool, leverage: float, step: float, tick: float, min_notional: float, maintenance: float) -> Venue:
    """The trading rules, of every symbol."""
    from engine.venue import Venue

    return Venue(
        shorts=shorts,
        leverage=leverage,
        amount_step=step,
        price_tick=tick,
        min_notional=min_notional,
        maintenance_margin=maintenance,
    )


def order_style(offset: float | None, alive: int, then: Literal["cancel", "market"]) -> LimitOrders | None:
    """Limit orders where an offset is given, else None: orders at the market."""
    if offset is None:
        return None
    from engine.order_style import LimitOrders

    return LimitOrders(offset=offset, alive=alive, then=then)


def risk_limits(**limits: float | None) -> RiskLimits | None:
    """The limits that were given, None where none was."""
    given = {name: value for name, value in limits.items() if value is not None}
    if not given:
        return None
    from engine.limits import RiskLimits

    return RiskLimits(**given)  # type: ignore[arg-type]
