"""One session on one account, whatever journals they write: two would sell what the other holds.

    with account_lock(exchange, journal=path, run="btc-1", kill_file=path):
        ...

A file in the user's state folder ($XDG_STATE_HOME or ~/.local/state, ladder/accounts), named by the exchange and a hash
of the API key, locked by `flock`: the lock dies with its process, however that ends. What it holds names the session.
It keeps sessions of this user on this machine apart; of those on another machine it cannot know, but the balances that
they move do not explain themselves, and stop the one that was not meant.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from data.errors import ValidationError
from engine.live.permission import is_rehearsal

_SUFFIX: Final = ".lock"
_ATTEMPTS: Final = 20
_LOOKS: Final = 3
_GLANCE: Final = 0.02  # seconds; `holders` holds a lock that nobody has for no longer than it takes to look


@dataclass(frozen=True)
class Holder:
    """The session that has an account.

    Attributes:
        exchange: in ccxt.
        run: its name.
        journal: its file, absolute.
        kill_file: absolute; "" for none.
        pid: of its process.
        host: that it runs on.
        since: when it began, ns.
    """

    exchange: str
    run: str
    journal: str
    kill_file: str
    pid: int
    host: str
    since: int


class AccountTakenError(ValidationError):
    """Another session trades on the account; `holder` says which, None where its file does not tell."""

    def __init__(self, text: str, holder: Holder | None) -> None:
        super().__init__(text)
        self.holder = holder


@contextlib.contextmanager
def account_lock(exchange: Any, *, journal: Path, run: str, kill_file: Path | None = None) -> Iterator[Path]:
    """Hold the account that a ccxt exchange's key is of; the lock's file.

    Raises:
        AccountTakenError: another session has it: its run, journal, process and since when.
        ValidationError: the state folder cannot be written.
    """
    path = accounts_folder() / f"{exchange.id}-{_fingerprint(exchange)}{_SUFFIX}"
    holder = Holder(
        exchange=str(exchange.id),
        run=run,
        journal=str(journal.resolve()),
        kill_file="" if kill_file is None else str(kill_file.resolve()),
        pid=os.getpid(),
        host=socket.gethostname(),
        since=time.time_ns(),
    )
    handle = _taken(path, exchange.id)
    try:
        handle.seek(0)
        handle.truncate()
        handle.write(json.dumps(asdict(holder)))
        handle.flush()
        yield path
    finally:
        path.unlink(
            missing_ok=True
        )  # before the lock is let go: who waits for it looks whether its file is still there
        handle.close()


def holders() -> list[Holder]:
    """The sessions of this user that are running on this machine."""
    import fcntl

    found = []
    for path in sorted(accounts_folder().glob(f"*{_SUFFIX}")):
        with contextlib.suppress(OSError), path.open("r", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                holder = _read(handle)
                if holder is not None:
                    found.append(holder)
    return found


def state_folder() -> Path:
    """Where what Ladder remembers of this user and machine is; perhaps not made yet."""
    state = os.environ.get("XDG_STATE_HOME")
    root = Path(state) if state and Path(state).is_absolute() else Path.home() / ".local" / "state"
    return root / "ladder"


def accounts_folder() -> Path:
    """Where the locks are; made, for this user alone, if it is not there.

    Raises:
        ValidationError: it cannot be made.
    """
    folder = state_folder() / "accounts"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ValidationError(
            f"{folder}: cannot be made ({error.strerror}), and without it nothing keeps two sessions off one account; "
            "name a folder that can be written by XDG_STATE_HOME"
        ) from error
    return folder


def who_says_so() -> str:
    """User and machine, for a statement in the journal."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _taken(path: Path, exchange_id: str) -> IO[str]:
    """The file, open and locked."""
    import fcntl

    for attempt in range(_ATTEMPTS):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        handle = os.fdopen(descriptor, "r+", encoding="utf-8")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _read(handle)
            handle.close()
            if attempt < _LOOKS:
                time.sleep(_GLANCE)
                continue
            raise AccountTakenError(_told(exchange_id, holder), holder) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                return handle
        handle.close()  # who had it before has just taken its file away
    raise AccountTakenError(_told(exchange_id, None), None)


def _told(exchange_id: str, holder: Holder | None) -> str:
    if holder is None:
        return f"{exchange_id}: another session has just taken this account; one session trades on one account"
    since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(holder.since / 1e9))
    return (
        f"{exchange_id}: run {holder.run!r} trades on this account already, process {holder.pid} on {holder.host} "
        f"since {since}, journal {holder.journal}; end it (`ladder kill {holder.run}`), or use another account's key"
    )


def _read(handle: IO[str]) -> Holder | None:
    try:
        handle.seek(0)
        return Holder(**json.loads(handle.read()))
    except (ValueError, TypeError, OSError):
        return None


def _fingerprint(exchange: Any) -> str:
    """Of the account's key; of a rehearsal exchange, where every account has the same one, of its place too."""
    place = ""
    if is_rehearsal(exchange):
        place = next((urlsplit(str(url)).netloc for url in _values(exchange.urls["api"])), "")
    text = "\x1f".join((str(exchange.id), str(exchange.apiKey or ""), place))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _values(urls: Any) -> list[Any]:
    if isinstance(urls, dict):
        return [one for url in urls.values() for one in _values(url)]
    return [urls]


def is_written(journal: Path) -> bool:
    """Whether a process writes a journal now: a session lives."""
    import fcntl

    try:
        with journal.with_name(f"{journal.name}.lock").open("r") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
