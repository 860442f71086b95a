"""The real Hummingbot's own environment: built once from its source, kept in a cache folder, remade if interrupted.

It is another Python's (3.12), with other releases of our own libraries, so it can be no part of ladder's. Every file
that goes into it is checked against its hash (`requirements.txt` and `build-requirements.txt` beside this module).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from data.atomic import locked, replacing
from data.errors import LadderError
from reports.hummingbot.real.processes import Say, end_session, silent
from reports.hummingbot.real.toolchain import Interpreter, compiler_settings, find_python

HUMMINGBOT: Final = "20260922"
FOLDER_VARIABLE: Final = "LADDER_HUMMINGBOT"
_HERE: Final = Path(__file__).resolve().parent
_PINS: Final = (_HERE / "build-requirements.txt", _HERE / "requirements.txt")
_READY: Final = ".ladder-ready.json"
_NEEDED_BYTES: Final = 2_500_000_000
_TAIL: Final = 20
_SIGN_OF_LIFE: Final = 15.0
# A user's own settings must not lead an install elsewhere, nor let another package in beside it.
_STRAY: Final = (
    *("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_PYTHON"),
    *("PIP_REQUIRE_VIRTUALENV", "PIP_NO_DEPS", "PIP_NO_BINARY", "PIP_ONLY_BINARY"),
)
# What pip says of its work, and on what.
_ACTIONS: Final = re.compile(
    r"^ *(Collecting|Downloading|Building wheel for|Installing) ([A-Za-z][\w.]*(?:-[A-Za-z][\w.]*)*)", re.MULTILINE
)
_PIP_OPTIONS: Final = ("--progress-bar", "off", "--no-input", "--no-compile", "--require-hashes")
# Imports what a job does, and so writes the bytecode of it.
_IMPORTS: Final = (
    "import hummingbot.strategy_v2.backtesting.backtesting_engine_base, "
    "hummingbot.strategy_v2.controllers.directional_trading_controller_base, "
    "hummingbot.strategy_v2.controllers.market_making_controller_base, pandas_ta"
)


def environments_folder() -> Path:
    """Where environments are kept: $LADDER_HUMMINGBOT, or beside the code that ladder has compiled, in its cache."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given).expanduser()
    cache = os.environ.get("LADDER_CACHE")
    root = Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ladder"
    return root / "hummingbot"


def pins_digest() -> str:
    """What an environment's name ends in: it changes with the pins, and with the machine they are installed on."""
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()}\n".encode())
    for path in _PINS:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def installed_python() -> Path | None:
    """The Python of an environment that is complete and whose base interpreter is still there; None without one."""
    for marker in sorted(environments_folder().glob(f"{HUMMINGBOT}-*-{pins_digest()}/{_READY}")):
        python = marker.parent / "bin" / "python"
        if python.exists():
            return python
    return None


def ready_environment(*, say: Say | None = None) -> Path:
    """The Python of Hummingbot's environment; builds it, which takes some minutes, where it is not there.

    Args:
        say: is told, in words, what is being done and how long it has taken.

    Raises:
        LadderError: no Python 3.12 or no compiler works, the disk is full, or a step failed; the message names its log.
    """
    speak = say or silent
    if os.name != "posix":
        raise LadderError("the real Hummingbot is built on Linux and macOS alone; on Windows use WSL")
    python = installed_python()
    if python is not None:
        return python
    interpreter = find_python()
    settings = compiler_settings(interpreter)
    base = environments_folder()
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LadderError(
            f"{base} cannot be made ({error.strerror}); name another folder: {FOLDER_VARIABLE}"
        ) from error
    with _alone(base, speak):
        # Another process may have built it while this one waited.
        python = installed_python()
        if python is None:
            folder = base / f"{HUMMINGBOT}-py{interpreter.version}-{pins_digest()}"
            python = _build(folder, interpreter, settings, speak)
    return python


@contextmanager
def _alone(base: Path, say: Say) -> Iterator[None]:
    """Hold the folder against other builds, and say so where that takes a wait."""
    waiting = threading.Timer(2.0, say, ("another process is building Hummingbot's environment; waiting for it",))
    waiting.daemon = True
    waiting.start()
    try:
        with locked(base):
            waiting.cancel()
            yield
    finally:
        waiting.cancel()


def _build(folder: Path, interpreter: Interpreter, settings: dict[str, str], say: Say) -> Path:
    free = shutil.disk_usage(folder.parent).free
    if free < _NEEDED_BYTES:
        raise LadderError(
            f"Hummingbot's environment needs {_NEEDED_BYTES / 1e9:.1f} GB while it is built, and {folder.parent} has "
            f"{free / 1e9:.1f} GB left; make room, or name another folder: {FOLDER_VARIABLE}=/path"
        )
    if folder.exists():
        say("an earlier build was interrupted; it is removed and made anew")
        shutil.rmtree(folder)
    began = time.monotonic()
    log = folder.with_name(f"{folder.name}.log")
    say(
        f"building Hummingbot {HUMMINGBOT} in {folder}, once, with Python {interpreter.version} ({interpreter.path}): "
        f"about 5 minutes, 0.3 GB to download, 0.8 GB on disk; log: {log}"
    )
    parallel = folder.with_name(f"{folder.name}.cfg")
    parallel.write_text(f"[build_ext]\nparallel = {os.cpu_count() or 1}\n", encoding="utf-8")
    environment = _build_environment(settings, parallel)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", *_PIP_OPTIONS]
    steps: tuple[tuple[str, list[str]], ...] = (
        ("making a virtual environment", [str(interpreter.path), "-m", "venv", str(folder)]),
        ("installing what compiles it", [*pip, "-r", str(_PINS[0])]),
        ("downloading 144 packages and compiling Hummingbot", [*pip, "--no-build-isolation", "-r", str(_PINS[1])]),
        ("importing it for the first time", [str(python), "-I", "-c", _IMPORTS]),
    )
    try:
        with log.open("wb") as output:
            for number, (what, command) in enumerate(steps, start=1):
                _step(f"[{number} of {len(steps)}] {what}", command, environment, output, began, say)
    finally:
        parallel.unlink(missing_ok=True)
    facts = {"hummingbot": HUMMINGBOT, "python": interpreter.version, "seconds": round(time.monotonic() - began, 1)}
    with replacing(folder / _READY) as temporary:
        temporary.write_text(json.dumps(facts), encoding="utf-8")
    say(f"Hummingbot's environment is ready after {_span(time.monotonic() - began)}")
    return python


def _build_environment(settings: dict[str, str], parallel: Path) -> dict[str, str]:
    """The user's environment, proxies and package index among it, less what would lead a build astray."""
    ours = {
        # A constraint of the user's could only contradict the pins.
        "PIP_CONSTRAINT": os.devnull,
        "PIP_BUILD_CONSTRAINT": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # What is compiled, order books and connectors, takes no part in a backtest: optimised it would build four times
        # as long, and run no backtest faster. Hence no pip cache either: such a wheel is for nobody else.
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} -O0 -g0".strip(),
        "PIP_NO_CACHE_DIR": "1",
        "DIST_EXTRA_CONFIG": str(parallel),
    }
    return {name: value for name, value in os.environ.items() if name not in _STRAY} | settings | ours


def _step(
    what: str, command: Sequence[str], environment: dict[str, str], output: IO[bytes], began: float, say: Say
) -> None:
    """Run one step of the build, its output into the log, a sign of life on the way."""
    log = Path(output.name)
    say(f"{what} ({_span(time.monotonic() - began)})")
    process = subprocess.Popen(  # noqa: S603  (our own command)
        command,
        env=environment,
        cwd=log.parent,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    code: int | None = None
    try:
        while code is None:
            try:
                code = process.wait(timeout=_SIGN_OF_LIFE)
            except subprocess.TimeoutExpired:
                say(f"{what}: {_at_work_on(log)} ({_span(time.monotonic() - began)})")
    finally:
        end_session(process)
    if code != 0:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        raise LadderError(
            f"Hummingbot's environment could not be built: {what} ended with code {code}. The whole log: {log}\n"
            "The last lines of it:\n  " + "\n  ".join(tail)
        )


def _at_work_on(log: Path) -> str:
    """What pip does just now, in a few words."""
    with log.open("rb") as written:
        written.seek(max(0, log.stat().st_size - 16_384))
        text = written.read().decode("utf-8", errors="replace")
    told = _ACTIONS.findall(text)
    return f"{told[-1][0].lower()} {told[-1][1]}" if told else "at work"


def _span(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
