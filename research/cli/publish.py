"""`ladder publish`: a file of predictions, sent to Hummingbot's `ai_livestream` controller over MQTT.

Only typer is imported at the top: `ladder --help` pays for nothing else.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from data.errors import ValidationError

if TYPE_CHECKING:
    import pandas as pd

    from data.livestream import LivestreamMessage
    from data.publisher import Publisher
    from research.prediction_messages import Recipe

Predictions = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Columns q10, q50, q90, index the bar's opening time, UTC (.parquet, .csv)."),
]
Pair = Annotated[str, typer.Option(help="Such as BTC/USDT; Hummingbot's BTC-USDT is the same.")]
Broker = Annotated[str, typer.Option(help="mqtt://host:1883, or mqtts://host:8883 for TLS.")]
Timeframe = Annotated[str, typer.Option("--timeframe", "-t", help="The bars' length, such as 1h.")]
Horizon = Annotated[
    str | None,
    typer.Option(help="How far a prediction looks ahead from its bar's close; else one bar.", show_default=False),
]
Grace = Annotated[float, typer.Option(help="How much longer it holds while its successor is late, in horizons.")]
Model = Annotated[str | None, typer.Option(help="What made the predictions; else the file's name.", show_default=False)]
Neutral = Annotated[
    Literal["fixed", "adaptive"],
    typer.Option(help="Neutral weight: 0.3 from a spread of 0.02 on, or 0.15 from 0.005 on."),
]
Target = Annotated[str, typer.Option(help="target_pct: `bridge`, `spread` (q90 - q10), or a fraction.")]
Confidence = Annotated[float, typer.Option(help="Where the file has no column tier_confidence; 0 to 10.")]
Feature = Annotated[list[str] | None, typer.Option("--feature", help="A further column to send along; may come again.")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on: send what is added to the file.")]
Speed = Annotated[
    float | None,
    typer.Option("--replay-speed", help="Send the past, so many times faster than it was.", show_default=False),
]
Since = Annotated[str | None, typer.Option(help="First bar to replay, UTC.")]
Until = Annotated[str | None, typer.Option(help="Replay up to, not including, this time, UTC.")]
Zone = Annotated[
    str | None,
    typer.Option("--tz", help="Zone of times that the file has without one, such as UTC.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the messages, send nothing, wait for nothing.")]
Leave = Annotated[
    bool, typer.Option("--leave", help="End at once and leave the last prediction in force: a later run replaces it.")
]
OnExpiry = Annotated[
    bool, typer.Option("--neutral-on-expiry/--no-neutral-on-expiry", help="Take back what expires without a successor.")
]
Plain = Annotated[
    bool, typer.Option("--allow-plain-password", help="Send the password to another machine without TLS.")
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the broker.")]
Poll = Annotated[float, typer.Option(help="Seconds between looks at the file, with --follow.")]


def publish(
    predictions: Predictions,
    pair: Pair,
    broker: Broker = "mqtt://127.0.0.1:1883",
    timeframe: Timeframe = "1h",
    horizon: Horizon = None,
    grace: Grace = 0.1,
    model: Model = None,
    neutral: Neutral = "fixed",
    target: Target = "bridge",
    confidence: Confidence = 5.0,
    feature: Feature = None,
    follow: Follow = False,
    replay_speed: Speed = None,
    since: Since = None,
    until: Until = None,
    tz: Zone = None,
    dry_run: DryRun = False,
    leave: Leave = False,
    neutral_on_expiry: OnExpiry = True,
    allow_plain_password: Plain = False,
    timeout: Timeout = 10.0,
    poll: Poll = 1.0,
) -> None:
    """Send predictions to Hummingbot's `ai_livestream` controller over MQTT.

    The newest row once; with `--follow` each row that is added; with `--replay-speed` the past, at that speed. Goes on
    until the last prediction has expired, and then takes it back: Hummingbot itself would keep it for ever. Ctrl-C
    takes it back at once.

    User, password and TLS files come from the environment: LADDER_MQTT_USERNAME, LADDER_MQTT_PASSWORD, LADDER_MQTT_CA,
    LADDER_MQTT_CERT, LADDER_MQTT_KEY.

    Example: `ladder publish predictions.parquet --pair BTC/USDT --broker mqtts://broker.example:8883 --follow`

    To try it: `ladder publish predictions.parquet --pair BTC/USDT --replay-speed 3600 --since 2024-09-01`
    """
    from data.publisher import Publisher
    from data.timeframe import parse_timeframe
    from research.prediction_messages import Recipe
    from research.signals import NeutralWeight

    _check_options(follow, replay_speed, since, until, grace, poll)
    length = parse_timeframe(timeframe if horizon is None else horizon).total_seconds()
    recipe = Recipe(
        pair=pair,
        timeframe=timeframe,
        horizon=length,
        grace=grace,
        model=model or predictions.name.partition(".")[0],
        neutral=NeutralWeight(reference=None if neutral == "adaptive" else 0.02),
        target=_target_of(target),
        confidence=confidence,
        features=tuple(feature or ()),
        speed=replay_speed,
        tz=tz,
    )
    table = _between(recipe.read(predictions), since, until)
    if replay_speed is None and not follow:
        recipe.require_current(table, _now())
    publisher = Publisher(
        broker,
        pair,
        neutral_on_expiry=neutral_on_expiry,
        neutral_on_close=not leave,
        allow_plain_password=allow_plain_password,
        timeout=timeout,
    )
    with _until_stopped(), nullcontext() if dry_run else publisher:
        if not dry_run:
            typer.echo(f"{publisher.address}, topic {publisher.topic}", err=True)
        desk = Desk(recipe, None if dry_run else publisher)
        if replay_speed is not None:
            desk.replay(table, replay_speed)
        elif follow:
            desk.follow(predictions, table, poll)
        else:
            desk.newest(table)
        if not (dry_run or leave):
            desk.hold()
    if not dry_run:
        done = publisher.counts
        typer.echo(
            f"{done.sent:,} messages confirmed, {done.resent:,} of them again; {done.expired:,} expired before they "
            f"could be sent, {done.crossed:,} had crossed quantiles",
            err=True,
        )


class Desk:
    """Sends rows in one of the three ways; without a publisher it prints them."""

    def __init__(self, recipe: Recipe, publisher: Publisher | None) -> None:
        self.recipe, self.publisher = recipe, publisher
        self.last: LivestreamMessage | None = None

    def newest(self, table: pd.DataFrame) -> None:
        """Send the last row."""
        self._send(table.index[-1], table.iloc[-1])

    def replay(self, table: pd.DataFrame, speed: float) -> None:
        """Send every row, as far apart as they were, divided by `speed`."""
        first, began = table.index[0], time.monotonic()
        for made_on, (_, row) in zip(table.index, table.iterrows(), strict=True):
            due = began + (made_on - first).total_seconds() / speed
            if self.publisher is not None:
                time.sleep(max(due - time.monotonic(), 0.0))
            self._send(made_on, row)

    def follow(self, path: Path, table: pd.DataFrame, poll: float) -> None:
        """Send the last row if it still holds, then each that is added or revised, until stopped."""
        seen, told = (-1, -1), False  # it may have grown since it was read
        self._send_added(table.iloc[-1:])
        if self.last is None:
            typer.echo(
                f"the newest row, of {table.index[-1]:%Y-%m-%d %H:%M}Z, has expired; waiting for a newer one", err=True
            )
            if self.publisher is not None:
                self.publisher.take_back()  # what an earlier run may have left
        while self.publisher is not None:
            time.sleep(poll)
            stamp = _stamp(path)
            if stamp == seen:
                continue
            try:
                table = self.recipe.read(path)
            except ValidationError as error:
                # Being written just now, perhaps: look again, and say so once.
                if not told:
                    typer.echo(f"{error}; looking again", err=True)
                told = True
                continue
            seen, told = stamp, False
            self._send_added(table if self.last is None else table[table.index >= self.last.made_on])

    def hold(self) -> None:
        """Wait until the last prediction has expired; the publisher takes it back then."""
        if self.last is None or self.last.expires_at is None or self.publisher is None:
            return
        left = (self.last.expires_at - _now()).total_seconds()
        if self.recipe.speed is None:
            until = f"{self.last.expires_at:%Y-%m-%d %H:%M:%S}Z"
            typer.echo(
                f"in force until {until}, then taken back; Ctrl-C takes it back now (--leave: neither)", err=True
            )
        time.sleep(max(left, 0.0))
        self.publisher.flush()

    def _send_added(self, table: pd.DataFrame) -> None:
        for made_on, (_, row) in zip(table.index, table.iterrows(), strict=True):
            if self.recipe.holds_until(made_on) > _now():
                self._send(made_on, row)

    def _send(self, made_on: pd.Timestamp, row: pd.Series) -> None:
        message = self.recipe.message(made_on, row, _now())
        if self.last is not None and message.id == self.last.id:
            return  # the file grew, this row did not change
        first, self.last = self.last is None, message
        if self.publisher is None:
            typer.echo(message.to_json())
            return
        self.publisher.publish(message)
        if first:
            self.publisher.flush()  # what is wrong with the broker is best known now
        short, neither, long = message.probabilities
        typer.echo(
            f"{made_on:%Y-%m-%d %H:%M}Z  short {short:.3f}  neutral {neither:.3f}  long {long:.3f}  "
            f"target {message.target_pct:.4f}  {message.id}"
        )


def _check_options(
    follow: bool, speed: float | None, since: str | None, until: str | None, grace: float, poll: float
) -> None:
    if follow and speed is not None:
        raise ValidationError("--follow waits for what is to come, --replay-speed sends what is past; give one of them")
    if speed is not None and not 0.0 < speed < math.inf:
        raise ValidationError(f"--replay-speed {speed:g} must be above 0; 3600 sends an hour a second")
    if speed is None and (since or until):
        raise ValidationError("--since and --until choose what to replay; give --replay-speed too")
    if not 0.0 <= grace < math.inf:
        raise ValidationError(f"--grace {grace:g} must be 0 or more horizons")
    if not 0.0 < poll < math.inf:
        raise ValidationError(f"--poll {poll:g} must be seconds above 0")


def _target_of(text: str) -> str | float:
    if text in ("bridge", "spread"):
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise ValidationError(f"--target {text}: give bridge, spread, or a fraction above 0 such as 0.01")
    return value


def _between(table: pd.DataFrame, since: str | None, until: str | None) -> pd.DataFrame:
    from data.timeframe import utc_time

    first = 0 if since is None else int(table.index.searchsorted(utc_time(since, "--since")))
    last = len(table) if until is None else int(table.index.searchsorted(utc_time(until, "--until")))
    if first >= last:
        raise ValidationError(
            f"no row from {since} to {until}; there are rows from {table.index[0]} to {table.index[-1]}"
        )
    return table.iloc[first:last]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # being replaced
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


def _now() -> pd.Timestamp:
    import pandas as pd

    return pd.Timestamp.now("UTC")


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Ctrl-C, and a service manager's SIGTERM, end the command in good order."""

    def stop(number: int, frame: object) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    before: Callable[..., object] | int | None = signal.signal(signal.SIGTERM, stop) if here else None
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)
