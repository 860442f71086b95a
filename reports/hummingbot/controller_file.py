"""A bot's own configuration: Hummingbot's controller YAML, as it lies in `conf/controllers/`.

    bot = read_controller("conf/controllers/bollinger_btc.yml")
    bot.baseline(trade_cost=0.0006).run(market)

Every key of the file is accounted for: used, without effect in a backtest, or refused. What would make the baseline
another than the bot is refused, not approximated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError as SchemaError

from data.errors import ValidationError
from reports.hummingbot.baseline import ControllerBaseline
from reports.hummingbot.config import ControllerConfig
from reports.hummingbot.controller_schema import SCHEMAS, DirectionalFile, MarketMakingFile
from reports.hummingbot.controllers import SignalController
from reports.hummingbot.dca import DManV3
from reports.hummingbot.market_making import PmmSimple

Controller = SignalController | DManV3 | PmmSimple

# Keys that a bot needs and a backtest does not look at.
_SILENT: Final = ("leverage", "position_mode", "take_profit_order_type", "activation_bounds")


@dataclass(frozen=True, eq=False)
class ControllerFile:
    """What a controller's file says.

    Attributes:
        path: the file.
        id: the controller's id.
        controller_name: such as "bollinger_v1".
        connector: where it trades, such as "binance_perpetual".
        symbol: what it trades, in Ladder's notation: "BTC/USDT".
        interval: its candles' length, such as "3m"; None where it needs none.
        controller: when it trades.
        config: barriers, slots and size; trade_cost is Hummingbot's default, as no file has it.
        settings: the file's keys and values, for a run of the real engine.
        notes: what a reader of a baseline must know, such as keys without effect in Hummingbot's backtest.
    """

    path: Path
    id: str
    controller_name: str
    connector: str
    symbol: str
    interval: str | None
    controller: Controller
    config: ControllerConfig
    settings: Mapping[str, Any]
    notes: tuple[str, ...]

    def baseline(self, *, trade_cost: float | None = None, name: str | None = None) -> ControllerBaseline:
        """The controller as a baseline.

        Args:
            trade_cost: cost of one leg, a fraction of notional; Hummingbot's 0.0002 where None.
            name: what reports call it; the controller's name where None.
        """
        from dataclasses import replace

        config = self.config if trade_cost is None else replace(self.config, trade_cost=trade_cost)
        return ControllerBaseline(self.controller, config=config, name=name or self.controller_name)

    def check_timeframe(self, timeframe: str) -> None:
        """Refuse bars that are not the controller's own.

        Raises:
            ValidationError: its interval is another than the bars'.
        """
        if self.interval is not None and self.interval != timeframe:
            raise ValidationError(
                f"{self.path}: interval {self.interval!r}, the bars are of {timeframe!r}. Hummingbot would merge its "
                "indicators onto other bars by their opening times, a look into the future; give bars of "
                f"{self.interval}, or set the file's interval"
            )


def read_controller(path: str | Path) -> ControllerFile:
    """Read the file that configures a controller.

    Raises:
        ValidationError: the file cannot be read, is no YAML mapping, has a key or value that its controller does not
            know, or asks for something that no backtest of Hummingbot's does; names the file, the key and the mend.
    """
    target = Path(path)
    content = _load(target)
    name = content.get("controller_name")
    if not isinstance(name, str) or name not in SCHEMAS:
        known = ", ".join(sorted(SCHEMAS))
        raise ValidationError(
            f"{target}: controller_name {name!r}: there are native versions of {known}; run another one with the real "
            "engine, from the folder that holds it (docs/hummingbot-real.md)"
        )
    try:
        file = SCHEMAS[name].model_validate(content)
    except SchemaError as error:
        raise ValidationError(f"{target}: {_told(error)}") from None
    _refuse(target, file)
    try:
        controller, config = file.controller(), file.config()
    except ValidationError as error:
        raise ValidationError(f"{target}: {error}") from None
    return ControllerFile(
        path=target,
        id=file.id,
        controller_name=name,
        connector=file.connector_name,
        symbol=file.trading_pair.replace("-", "/"),
        interval=file.interval if isinstance(file, DirectionalFile) else None,
        controller=controller,
        config=config,
        settings=content,
        notes=_notes(file, content),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationError(f"{path}: cannot be read: {error}") from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = "" if place is None else f" at line {place.line + 1}, column {place.column + 1}"
        raise ValidationError(f"{path}: no YAML{where}: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValidationError(f"{path}: expected the keys and values of a controller, got {type(content).__name__}")
    return content


def _told(error: SchemaError) -> str:
    """Each fault of a file in a line: the key, what is wrong, what it holds."""
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join(map(str, fault["loc"])) or "the file"
        if fault["type"] == "extra_forbidden":
            lines.append(f"{key}: the controller knows no such key; correct its name or remove it")
        elif fault["type"] == "missing":
            lines.append(f"{key}: missing; add it")
        else:
            lines.append(f"{key} {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)


def _refuse(path: Path, file: DirectionalFile | MarketMakingFile) -> None:
    def no(key: str, why: str) -> ValidationError:
        return ValidationError(f"{path}: {key} {getattr(file, key)!r}: {why}")

    if file.manual_kill_switch:
        raise no("manual_kill_switch", "the controller is switched off; set it to false to see what it would do")
    if file.initial_positions:
        raise no("initial_positions", "Hummingbot's backtest begins with nothing; remove them")
    if isinstance(file, DirectionalFile):
        if file.candles_connector and file.candles_connector != file.connector_name:
            raise no(
                "candles_connector", f"its candles are another exchange's than its trades' ({file.connector_name})"
            )
        if file.candles_trading_pair and file.candles_trading_pair != file.trading_pair:
            raise no(
                "candles_trading_pair", f"it decides by the candles of another pair than it trades, {file.trading_pair}"
            )
    elif not file.connector_name.endswith("_perpetual") and not file.skip_rebalance:
        raise no(
            "connector_name",
            "on a spot exchange the controller buys the coins that its sell orders need, which Hummingbot's backtester "
            "sees a bar late and repeats; set skip_rebalance: true, or run the real engine",
        )


def _notes(file: DirectionalFile | MarketMakingFile, content: Mapping[str, Any]) -> tuple[str, ...]:
    silent = [key for key in _SILENT if content.get(key) not in (None, "")]
    notes = []
    if silent:
        notes.append(f"Without effect in Hummingbot's backtest: {', '.join(silent)}.")
    if isinstance(file, DirectionalFile) and getattr(file, "dynamic_order_spread", False):
        notes.append(
            "dynamic_order_spread: Hummingbot's backtester takes the bands' width of the last bar of its data for "
            "every executor, which looks into the future."
        )
    return tuple(notes)
