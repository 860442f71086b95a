"""The record of test alerts: that somebody would be told is evidence, before a strategy trades money.

    last_test()        # AlertTest(at=..., taken=2, of=2, same_addresses=True), or None

`ladder alerts test` adds to it: $XDG_STATE_HOME/ladder/alerts.json. Of the addresses it has a salted hash, no part.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from data.errors import ValidationError
from data.mqtt_link import Secret
from engine.live.account_lock import state_folder
from engine.live.alerts import Delivery, read_addresses

_KEPT: Final = 100  # tests
_WORK: Final = 2**14  # of scrypt: an address that could be guessed costs 50 ms a guess


class AlertTest(NamedTuple):
    """A test alert.

    `at`: when, UTC; `taken`: by how many addresses, `of` how many; `same_addresses`: whether they are those that are
    set now.
    """

    at: datetime
    taken: int
    of: int
    same_addresses: bool


def record_path() -> Path:
    """The record's file; perhaps not there yet."""
    return state_folder() / "alerts.json"


def record_test(delivery: Delivery, addresses: Sequence[Secret]) -> Path:
    """Add a test to the record.

    Args:
        delivery: what became of it.
        addresses: that it went to.

    Raises:
        ValidationError: the record cannot be read or written.
    """
    path, salt = record_path(), secrets.token_hex(16)
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "taken": delivery.taken,
        "of": delivery.of,
        "salt": salt,
        "addresses": _hash(addresses, salt),
    }
    text = json.dumps([*_read(path), entry][-_KEPT:], indent=1)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new.write_text(f"{text}\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise ValidationError(
            f"{path}: cannot be written ({error.strerror}); name a folder that can be by XDG_STATE_HOME"
        ) from error
    return path


def last_test(variables: Mapping[str, str] | None = None) -> AlertTest | None:
    """The latest test alert; None where there was none.

    Args:
        variables: instead of the environment, where the addresses that are set now are looked up.

    Raises:
        ValidationError: the record cannot be read.
    """
    path = record_path()
    entries = _read(path)
    if not entries:
        return None
    last = entries[-1]
    try:
        at, taken, of = datetime.fromisoformat(last["time"]), int(last["taken"]), int(last["of"])
        same = last["addresses"] == _hash(read_addresses(variables), last["salt"])
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path) from error
    return AlertTest(at, taken, of, same)


def _hash(addresses: Sequence[Secret], salt: str) -> str:
    text = "\n".join(sorted(one.reveal() for one in addresses))
    return hashlib.scrypt(text.encode(), salt=bytes.fromhex(salt), n=_WORK, r=8, p=1).hex()


def _read(path: Path) -> list[Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise _broken(path) from error
    if not isinstance(found, list):
        raise _broken(path)
    return found


def _broken(path: Path) -> ValidationError:
    return ValidationError(f"{path}: is no record of test alerts; remove it, then `ladder alerts test`")
