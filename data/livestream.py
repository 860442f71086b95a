"""A prediction as Hummingbot's `ai_livestream` controller takes it: one JSON message on one MQTT topic a pair.

    message = LivestreamMessage("BTC/USDT", now, (0.2, 0.1, 0.7), made_on=bar, horizon=3600, expires_at=now + hour)
    message.topic                                              # hbot/predictions/btc_usdt/ML_SIGNALS
    LivestreamMessage.from_json(message.to_json()) == message  # True

The controller reads `probabilities` (short, neutral, long: this order) and `target_pct`, which scales its barriers, and
keeps a message until the next one comes. The other fields are for whoever asks what a message is, of when, until when.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Final, NoReturn

from data.errors import ValidationError

VERSION: Final = 1
OLD_VERSION: Final = 0  # of messages without id, bar, horizon and expiry, as the system before Ladder wrote them
# What a message is: a model's word, the same of a time long past, or the neutral one that ends it and why.
PREDICTION: Final = "prediction"
REPLAY: Final = "replay"
EXPIRED: Final = "expired"
CLOSED: Final = "closed"
LOST: Final = "lost"
KINDS: Final = (PREDICTION, REPLAY, EXPIRED, CLOSED, LOST)
NEUTRAL: Final = (0.0, 1.0, 0.0)
DEFAULT_TARGET: Final = 0.01  # what the controller takes where a message has none

_TOPIC: Final = "hbot/predictions/{}/ML_SIGNALS"
_TOPIC_PATTERN: Final = re.compile(r"hbot/predictions/([a-z0-9.]+)_([a-z0-9.]+)/ML_SIGNALS")
_PAIR: Final = re.compile(r"([A-Za-z0-9.]+)[/-]([A-Za-z0-9.]+)(?::[A-Za-z0-9.]+)?")
_SUM_TOLERANCE: Final = 1e-9
_SHOWN: Final = 60  # characters of a bad value that an error quotes
_QUANTILES: Final = ("q10", "q50", "q90")
_NEEDED: Final = {  # by every prediction of Ladder
    "made_on": "say which bar it was made on, by its opening time: a resend is known by it",
    "horizon": "say how far it looks ahead, in seconds",
    "expires_at": "say until when it holds: Hummingbot would keep it for ever",
}
_HORIZONS: Final = (1e-6, 1e9)  # seconds
_YEARS: Final = range(1970, 2200)
_LONGEST_INTEGER: Final = 63  # bits; what Hummingbot's JSON reader takes
_PLAIN: Final = (str, bool, int, float, type(None))


def pair_of(name: str) -> str:
    """A pair's one name, such as "BTC/USDT".

    Args:
        name: "BTC/USDT", Hummingbot's "BTC-USDT", a perpetual's "BTC/USDT:USDT", or a topic of `topic_of`.

    Raises:
        ValidationError: base and quote cannot be told apart, or the name holds what a topic or a pair may not.
    """
    if not isinstance(name, str):
        _refuse("pair", name, "give text such as BTC/USDT")
    if any(sign in name for sign in "+#"):
        _refuse("pair", name, "+ and # are wildcards of MQTT; give one pair, such as BTC/USDT")
    match = _TOPIC_PATTERN.fullmatch(name) or _PAIR.fullmatch(name)
    if match is None and re.fullmatch(r"[A-Za-z0-9.]+", name):
        mend = "where does the base end? Hummingbot listens for base and quote apart; write BTC/USDT or BTC-USDT"
        _refuse("pair", name, mend)
    if match is None:
        _refuse("pair", name, "write it as BTC/USDT, BTC-USDT or BTC/USDT:USDT")
    return f"{match[1]}/{match[2]}".upper()


def topic_of(pair: str) -> str:
    """The topic that Hummingbot's controller of this pair listens to: hbot/predictions/btc_usdt/ML_SIGNALS.

    A perpetual and its spot pair have one name in Hummingbot, hence one topic.

    Raises:
        ValidationError: as `pair_of`.
    """
    return _TOPIC.format(pair_of(pair).lower().replace("/", "_"))


@dataclass(frozen=True)
class LivestreamMessage:
    """One message, checked and in plain types; times are brought to UTC, numpy's numbers to Python's.

    Attributes:
        pair: such as "BTC/USDT"; see `pair_of`.
        timestamp: when the message was made, with a zone.
        probabilities: short, neutral, long; each in [0, 1], together 1 (within 1e-9).
        target_pct: what Hummingbot multiplies its barriers by, > 0.
        confidence: 0 to 10, for information.
        raw_quantiles: q10, q50, q90 of the return, fractions; out of order they are put in order, and `crossed` is set.
        features: further plain values, for information.
        kind: "prediction"; "replay", of a past bar; or a neutral message that ends the last prediction: "expired",
            "closed" (the publisher ended) or "lost" (it vanished; sent by the broker).
        made_on: opening time of the bar that the prediction was made on.
        horizon: how far it looks ahead, seconds.
        expires_at: from when on it says nothing any more; a prediction of Ladder has one, a neutral message has none.
        model: what made it.
        crossed: the quantiles came out of order.
        id: the same for the same prediction, whenever it is sent; made from the content where none is given.
        version: of this format; 0 is the old system's.

    Times lie in the years from 1970 to 2199, and a horizon from 1e-6 to 1e9 seconds (31 years): what reads a message
    reckons in nanoseconds, which end in 2262.

    Raises:
        ValidationError: naming the field, its value and the mend.
    """

    pair: str
    timestamp: dt.datetime
    probabilities: tuple[float, float, float]
    target_pct: float = DEFAULT_TARGET
    confidence: float = 5.0
    raw_quantiles: tuple[float, float, float] | None = None
    features: Mapping[str, str | float | bool | None] = field(default_factory=dict, hash=False)
    kind: str = PREDICTION
    made_on: dt.datetime | None = None
    horizon: float | None = None
    expires_at: dt.datetime | None = None
    model: str | None = None
    crossed: bool = False
    id: str = ""
    version: int = VERSION

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("pair", pair_of(self.pair))
        put("timestamp", _utc("timestamp", self.timestamp))
        put("made_on", None if self.made_on is None else _utc("made_on", self.made_on))
        put("expires_at", None if self.expires_at is None else _utc("expires_at", self.expires_at))
        put("probabilities", _probabilities(self.probabilities))
        put(
            "target_pct",
            _number("target_pct", self.target_pct, above=0.0, mend="give a fraction above 0, such as 0.01"),
        )
        put("confidence", _number("confidence", self.confidence, 0.0, 10.0, mend="give 0 to 10"))
        mend = "give seconds, 1e9 at most"
        put("horizon", None if self.horizon is None else _number("horizon", self.horizon, *_HORIZONS, mend=mend))
        if self.raw_quantiles is not None:
            given = _numbers("raw_quantiles", self.raw_quantiles, "give q10, q50, q90")
            put("raw_quantiles", tuple(sorted(given)))
            put("crossed", bool(self.crossed) or given != self.raw_quantiles)
        put("features", _features(self.features))
        self._check_words()
        self._check_times()
        put("id", self.id or self._digest())

    def _check_words(self) -> None:
        if self.kind not in KINDS:
            _refuse("kind", self.kind, f"give one of {', '.join(KINDS)}")
        object.__setattr__(self, "model", None if self.model is None else _text("model", self.model))
        object.__setattr__(self, "id", _text("id", self.id))
        if isinstance(self.version, bool) or not isinstance(self.version, int):
            _refuse("version", self.version, f"give {VERSION}")
        if not OLD_VERSION <= self.version <= VERSION:
            _refuse("version", self.version, f"this Ladder reads {OLD_VERSION} to {VERSION}; update it")
        if self.is_neutral and self.probabilities != NEUTRAL:
            _refuse("probabilities", list(self.probabilities), f"a message of kind {self.kind!r} has [0, 1, 0]")

    def _check_times(self) -> None:
        if self.expires_at is not None and self.expires_at <= self.timestamp:
            mend = f"it must be after the timestamp {self.timestamp.isoformat()}"
            _refuse("expires_at", self.expires_at.isoformat(), mend)
        if self.version != OLD_VERSION and not self.is_neutral:
            for name, mend in _NEEDED.items():
                if getattr(self, name) is None:
                    _refuse(name, None, mend)
        if self.made_on is not None and self.made_on > self.timestamp:
            mend = f"it is after the timestamp {self.timestamp.isoformat()}; give the bar's opening time, in UTC"
            _refuse("made_on", self.made_on.isoformat(), mend)

    @classmethod
    def neutral(cls, pair: str, kind: str, timestamp: dt.datetime) -> LivestreamMessage:
        """The message that takes a prediction back: no side is likely. `kind` says why: EXPIRED, CLOSED or LOST."""
        return cls(pair, timestamp, NEUTRAL, confidence=0.0, kind=kind)

    @property
    def topic(self) -> str:
        """Where it is sent."""
        return topic_of(self.pair)

    @property
    def is_neutral(self) -> bool:
        """Whether it only ends another; a model's own neutral opinion does not count."""
        return self.kind in (EXPIRED, CLOSED, LOST)

    def expired(self, now: dt.datetime) -> bool:
        """Whether it says nothing any more at `now`."""
        return self.expires_at is not None and self.expires_at <= now

    def _digest(self) -> str:
        # Not of when it was sent: a resend is the same prediction. A neutral message, or an old one, has no bar.
        moment = self.made_on or self.timestamp
        content = (
            self.kind, self.pair, moment.isoformat(), self.horizon, self.model, self.probabilities, self.target_pct,
            self.raw_quantiles,
        )  # fmt: skip
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """One line of strict JSON: no NaN, plain types, times in ISO with their offset."""
        fields = {
            "version": self.version,
            "id": self.id,
            "kind": self.kind,
            "pair": self.pair,
            "timestamp": self.timestamp.isoformat(),
            "probabilities": list(self.probabilities),
            "target_pct": self.target_pct,
            "confidence": self.confidence,
            "raw_quantiles": self.raw_quantiles and dict(zip(_QUANTILES, self.raw_quantiles, strict=True)),
            "crossed": self.crossed,
            "features": dict(self.features),
            "made_on": self.made_on and self.made_on.isoformat(),
            "horizon": self.horizon,
            "expires_at": self.expires_at and self.expires_at.isoformat(),
            "model": self.model,
        }
        # Left out, not null: a reader of the old format asks whether a field is there.
        return json.dumps({name: value for name, value in fields.items() if value is not None}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes, *, pair: str | None = None, assume_utc: bool = False) -> LivestreamMessage:
        """The message that a text holds.

        Args:
            text: JSON, as `to_json` writes it; further fields are passed over.
            pair: whose topic it came on, or the topic itself; a message of another pair is refused.
            assume_utc: read the old system's messages too. They have no zone (taken for UTC; its writer's clock may
                have been another), no id, bar, horizon nor expiry, and no pair: give `pair`.

        Raises:
            ValidationError: no JSON, or a field is missing or wrong: named with its value and the mend.
        """
        fields = _parsed(text)
        version = fields.get("version", OLD_VERSION)
        if version == OLD_VERSION and not assume_utc:
            _refuse("version", fields.get("version"), "a message of the old system? Read it with assume_utc=True")
        named = fields.get("pair", pair)
        if named is None:
            _refuse("pair", None, "the message has none; pass pair=, or the topic it came on")
        if pair is not None and pair_of(named) != pair_of(pair):
            _refuse("pair", named, f"it came as one of {pair_of(pair)}; send it on {topic_of(named)}")
        for name in ("timestamp", "probabilities"):
            if name not in fields:
                _refuse(name, None, "it is missing; it must be there")
        quantiles = fields.get("raw_quantiles")
        if quantiles is not None:
            if not isinstance(quantiles, dict) or not set(_QUANTILES) <= set(quantiles):
                _refuse("raw_quantiles", quantiles, 'give {"q10": ..., "q50": ..., "q90": ...}')
            quantiles = tuple(quantiles[name] for name in _QUANTILES)
        times = {name: _moment(name, fields.get(name), assume_utc) for name in ("timestamp", "made_on", "expires_at")}
        if times["timestamp"] is None:
            _refuse("timestamp", None, "give an ISO time such as 2024-01-01T00:00:00+00:00")
        told = ("target_pct", "confidence", "features", "kind", "horizon", "model", "crossed", "id")
        further = {name: fields[name] for name in told if name in fields}
        if not isinstance(further.get("crossed", False), bool):
            _refuse("crossed", further["crossed"], "give true or false")
        further |= times | {"probabilities": fields["probabilities"], "raw_quantiles": quantiles, "version": version}
        return cls(pair=named, **further)


def _refuse(name: str, value: object, mend: str) -> NoReturn:
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
    raise ValidationError(f"livestream message: {name} {shown}: {mend}")


def _parsed(text: str | bytes) -> dict[str, Any]:
    def no_number(word: str) -> NoReturn:
        raise ValidationError(f"livestream message: {word} is no JSON; send a finite number, or leave the field out")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValidationError(f"livestream message: field {twice!r} is there twice; which one holds? Send it once")
        return fields

    try:
        content = text.decode() if isinstance(text, bytes | bytearray) else text
        fields = json.loads(content, parse_constant=no_number, object_pairs_hook=once)
    except ValidationError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        shown = repr(text[:_SHOWN]) if isinstance(text, str | bytes | bytearray) else type(text).__name__
        raise ValidationError(f"livestream message: no JSON ({error}): {shown}; send one JSON object") from None
    if not isinstance(fields, dict):
        raise ValidationError(f"livestream message: a JSON {type(fields).__name__}; send one JSON object")
    return fields


def _moment(name: str, text: object, assume_utc: bool) -> dt.datetime | None:
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)  # type: ignore[arg-type]  # what is no text raises TypeError
    except (TypeError, ValueError):
        _refuse(name, text, "give an ISO time such as 2024-01-01T00:00:00+00:00")
    if moment.tzinfo is None and assume_utc:
        return moment.replace(tzinfo=dt.UTC)
    return moment


def _utc(name: str, moment: object) -> dt.datetime:
    if not isinstance(moment, dt.datetime) or moment != moment:  # pandas' NaT is a datetime
        _refuse(name, moment, "give a datetime with a zone")
    if moment.utcoffset() is None:
        mend = "it has no zone; write its offset, +00:00 for UTC, or pass assume_utc=True for the old system's"
        _refuse(name, moment.isoformat(), mend)
    try:
        utc = moment.astimezone(dt.UTC)
    except OverflowError:
        _refuse(name, moment.isoformat(), "it is out of reach in UTC")
    if utc.year not in _YEARS:
        _refuse(name, moment.isoformat(), f"give a time from {_YEARS[0]} to {_YEARS[-1]}")
    # A plain datetime, in whole microseconds, of whatever subclass it was.
    return dt.datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, tzinfo=dt.UTC)


def _number(
    name: str, value: object, low: float = -math.inf, high: float = math.inf, above: float = -math.inf, *, mend: str
) -> float:
    # numpy's numbers register as Real; True is an int to Python, but no number to anyone who reads a message.
    if isinstance(value, bool) or not isinstance(value, Real):
        _refuse(name, value, f"it is no number; {mend}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not low <= number <= high or number <= above:
        _refuse(name, number, mend)
    return number + 0.0  # -0.0 becomes 0.0


def _numbers(name: str, values: object, mend: str) -> tuple[float, float, float]:
    try:
        listed = list(values) if not isinstance(values, str | bytes | Mapping) else []  # type: ignore[call-overload]
    except TypeError:
        listed = []
    if len(listed) != 3:
        _refuse(name, values, f"three numbers; {mend}")
    one, two, three = (_number(name, value, mend=f"finite numbers; {mend}") for value in listed)
    return one, two, three


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        _refuse(name, value, "give text")
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse(name, value, "it holds half a character (a lone surrogate); give text that UTF-8 can hold")
    return str(value)  # numpy's str_ is a str of its own


def _probabilities(values: object) -> tuple[float, float, float]:
    mend = "send [short, neutral, long], each from 0 to 1, together 1"
    three = _numbers("probabilities", values, mend)
    if not all(0.0 <= one <= 1.0 for one in three):
        _refuse("probabilities", list(three), mend)
    if abs(sum(three) - 1.0) > _SUM_TOLERANCE:
        _refuse("probabilities", list(three), f"their sum is {sum(three):.12g}; {mend}")
    return three


def _features(values: object) -> dict[str, str | float | bool | None]:
    if not isinstance(values, Mapping):
        _refuse("features", values, 'give names and values, such as {"momentum_5": 0.01}')
    plain: dict[str, str | float | bool | None] = {}
    for name, value in values.items():
        _text("features", name)
        # numpy's bool, too, gives the plain value by item().
        scalar = not isinstance(value, _PLAIN) and hasattr(value, "item") and getattr(value, "ndim", 0) == 0
        given = value.item() if scalar else value
        if given is None or isinstance(given, bool):
            plain[name] = given
        elif isinstance(given, str):
            plain[name] = _text(f"features.{name}", given)
        elif isinstance(given, Integral) and int(given).bit_length() <= _LONGEST_INTEGER:
            plain[name] = int(given)
        else:
            plain[name] = _number(f"features.{name}", given, mend="give a finite number, text, true, false or null")
    return plain
