"""The exchange's keys: where they come from, and that they show nowhere.

    keys = load_keys("binance")            # LADDER_BINANCE_KEY and LADDER_BINANCE_SECRET, or the keyring
    guard_output()                         # logs and tracebacks of this process, from here on
    keys.unlock(exchange)                  # a ccxt exchange

A `Keys` object makes its texts known to `redacted`, which takes them out of any text, as they are and as they look in a
URL, in JSON and in a repr. ccxt puts the signed URL into the messages of its errors and the header with the key into
its debug log; both go through `redacted` before they reach a log, the journal or an error of ours.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import traceback
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from data.errors import ValidationError
from data.mqtt_link import Secret

MASK: Final = "***"
SHORTEST: Final = 8  # characters: a shorter key would be found, and masked, in half of all words
_NAME: Final = re.compile(r"[a-z][a-z0-9]*")
# A signature is no key, but it is one's name under a request that may still be on its way.
_SIGNED: Final = re.compile(
    r"((?:signature|api-?key|x-mbx-apikey|api-sign|listenkey)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,})\]]+", re.IGNORECASE
)
_known: set[str] = set()


@dataclass(frozen=True)
class Keys:
    """What lets one into an account; from the moment it exists, `redacted` knows its texts.

    Attributes:
        key: the public half.
        secret: the half that signs.
        password: what some exchanges ask for beside them.

    Raises:
        ValidationError: one of them is shorter than 8 characters, or has spaces round it.
    """

    key: Secret
    secret: Secret
    password: Secret | None = None

    def __post_init__(self) -> None:
        for name, one in (("key", self.key), ("secret", self.secret), ("password", self.password)):
            text = one.reveal() if one is not None else None
            if text is not None and (len(text) < SHORTEST or text != text.strip()):
                raise ValidationError(
                    f"keys: the {name} is shorter than {SHORTEST} characters, or has spaces round it; "
                    "copy it again from the exchange"
                )
            if text is not None:
                remember(text)

    def unlock(self, exchange: Any) -> None:
        """Hand them to a ccxt exchange."""
        exchange.apiKey = self.key.reveal()
        exchange.secret = self.secret.reveal()
        if self.password is not None:
            exchange.password = self.password.reveal()


def load_keys(exchange: str, variables: Mapping[str, str] | None = None) -> Keys:
    """The keys of an exchange: from the environment, or where nothing is set there from the system's keyring.

    The variables are LADDER_<EXCHANGE>_KEY, _SECRET and, where there is one, _PASSWORD. In the keyring (the package
    `keyring`, if it is installed) they are the entries "key", "secret" and "password" of the service
    "ladder-<exchange>". A variable that is empty counts as not set.

    Args:
        exchange: its name in ccxt, "binance".
        variables: instead of the environment; the keyring is then not asked.

    Raises:
        ValidationError: no such keys, or one half without the other.
    """
    if not isinstance(exchange, str) or _NAME.fullmatch(exchange) is None:
        raise ValidationError(f"keys: exchange {exchange!r} must be its name in ccxt, such as 'binance'")
    given = os.environ if variables is None else variables
    names = {part: f"LADDER_{exchange.upper()}_{part.upper()}" for part in ("key", "secret", "password")}
    found: dict[str, Secret] = {part: Secret(given[name]) for part, name in names.items() if given.get(name)}
    if not found and variables is None:
        found = from_keyring(f"ladder-{exchange}", ("key", "secret", "password"), f"keys of {exchange}")
    missing = [names[part] for part in ("key", "secret") if part not in found]
    if missing:
        raise ValidationError(
            f"keys of {exchange}: {' and '.join(missing)} not set; set them, or store them in a keyring"
        )
    return Keys(found["key"], found["secret"], found.get("password"))


def from_keyring(service: str, entries: Iterable[str], what: str) -> dict[str, Secret]:
    """Entries of the system's keyring, those that are there; none where the package `keyring` is not installed.

    Args:
        service: under which they are stored.
        entries: their names.
        what: they are, for the error.

    Raises:
        ValidationError: it cannot be read.
    """
    try:
        import keyring  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return {}
    try:
        told = {entry: keyring.get_password(service, entry) for entry in entries}
    except Exception as error:  # noqa: BLE001  (each backend has its own errors)
        raise ValidationError(
            f"{what}: the keyring cannot be read ({type(error).__name__}); unlock it, or set the variables"
        ) from None
    return {entry: Secret(text) for entry, text in told.items() if text}


def remember(text: str) -> None:
    """Let `redacted` mask this text from now on, in each form that it takes in a message."""
    forms = {text, urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text), json.dumps(text)[1:-1]}
    forms.add(repr(text)[1:-1])
    _known.update(forms)


def redacted(text: str) -> str:
    """The text without any key, secret, password or signature of a request in it."""
    for one in sorted(_known, key=len, reverse=True):  # the longest first: one may be part of another
        text = text.replace(one, MASK)
    low = text.casefold()
    if "sign" not in low and "key" not in low:  # each word that _SIGNED looks for has one of them in it
        return text
    return _SIGNED.sub(rf"\g<1>{MASK}", text)


def redacted_traceback(error: BaseException) -> str:
    """An error with its traceback and its causes, as Python prints them, but for the keys."""
    return redacted("".join(traceback.format_exception(error)))


class RedactingFilter(logging.Filter):
    """Masks what `redacted` masks in a record's message and traceback, before a handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask it; every record passes."""
        mask_record(record)
        return True


def mask_record(record: logging.LogRecord) -> None:
    """Mask one record in place; its traceback becomes text, for the error it came from holds the keys still."""
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001  (a message that does not fit its arguments: logging itself would say so)
        text = f"{record.msg} {record.args!r}"
    record.msg, record.args = redacted(text), None
    if record.exc_info and record.exc_info[1] is not None:
        record.exc_text = redacted_traceback(record.exc_info[1])
        record.exc_info = None
    if record.stack_info:
        record.stack_info = redacted(record.stack_info)


def guard_output() -> None:
    """Mask, in this whole process from now on, every log record and every traceback that ends a program or a thread.

    Log records are masked where they are made, so that a handler added later gets nothing else. Calling it again
    changes nothing.
    """
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, _MaskingFactory):
        logging.setLogRecordFactory(_MaskingFactory(factory))
        sys.excepthook = _print_masked
        threading.excepthook = _print_thread_masked


class _MaskingFactory:
    """Makes log records without keys."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self.inner(*args, **kwargs)
        if _known:
            mask_record(record)
        return record


def _print_masked(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:  # noqa: ARG001
    sys.stderr.write(redacted_traceback(error))


def _print_thread_masked(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and args.exc_type is not SystemExit:
        sys.stderr.write(redacted_traceback(args.exc_value))
