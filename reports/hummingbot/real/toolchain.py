"""What Hummingbot's environment is built with: a Python 3.12 that runs, and a C++ compiler that compiles.

A program that is there need not work: pyenv puts a `python3.12` on PATH that says "version not selected", macOS a `g++`
that asks to install one. So each is tried, and an error tells what came of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data.errors import LadderError

PYTHON_VARIABLE: Final = "LADDER_PYTHON312"
_NAME: Final = "python3.12"
_PROBE: Final = (
    "import json, sys, sysconfig; "
    "found = {'version': sys.version.split()[0], 'headers': sysconfig.get_path('include'), "
    "'cxx': sysconfig.get_config_var('CXX') or '', 'executable': sys.executable}; "
    "assert sys.version_info[:2] == (3, 12), 'it is Python ' + found['version']; "
    "import ensurepip, venv; print(json.dumps(found))"
)
_SECONDS: Final = 30
_OWN: Final = Path(sys.base_prefix) / "bin" / _NAME if sys.version_info[:2] == (3, 12) else None
_SYSTEM: Final = (
    *("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"),
    *("/opt/homebrew/opt/python@3.12/bin", "/usr/local/opt/python@3.12/bin"),
)
_PROGRAM: Final = "#include <Python.h>\n#include <vector>\nstd::vector<int> probe;\n"


@dataclass(frozen=True)
class Interpreter:
    """A Python 3.12 that runs and can make virtual environments.

    Attributes:
        path: where it was found.
        version: "3.12.x".
        headers: folder of its C headers, which need not be there.
        cxx: the C++ compiler that it was made with, by its own account; "" where it does not say.
    """

    path: Path
    version: str
    headers: Path
    cxx: str


def find_python() -> Interpreter:
    """A Python 3.12: $LADDER_PYTHON312, this process's own, those on PATH, of pyenv, of uv, of the system.

    Raises:
        LadderError: none runs, or $LADDER_PYTHON312 does not; names each that was tried and what it said.
    """
    given = os.environ.get(PYTHON_VARIABLE)
    if given:
        found = probe_python(Path(given).expanduser())
        if isinstance(found, Interpreter):
            return found
        raise LadderError(
            f"{PYTHON_VARIABLE}={given} is of no use: {found}; name a Python 3.12, or leave the variable out"
        )
    tried: list[str] = []
    for where, path in _candidates():
        found = probe_python(path)
        if isinstance(found, Interpreter):
            return found
        tried.append(f"  {path} ({where}): {found}")
    raise LadderError(
        "the real Hummingbot needs Python 3.12, and none was found that runs.\n"
        + ("Tried:\n" + "\n".join(tried) + "\n" if tried else "")
        + "Looked on PATH, in pyenv's and uv's versions, in /usr/bin, /usr/local/bin and Homebrew's folders.\n"
        "Install one (Debian, Ubuntu: apt install python3.12 python3.12-venv python3.12-dev; macOS: brew install "
        f"python@3.12; anywhere: uv python install 3.12, or pyenv install 3.12), or name it: {PYTHON_VARIABLE}="
        "/path/to/python3.12"
    )


def probe_python(path: Path) -> Interpreter | str:
    """The interpreter at a path, or in words why it is of no use."""
    if not path.exists():
        return "there is no such file"
    try:
        run = _quiet([str(path), "-I", "-c", _PROBE])
    except subprocess.TimeoutExpired:
        return f"it did not answer within {_SECONDS} s"
    except OSError as error:
        return f"it cannot be started ({error.strerror})"
    if run.returncode != 0:
        return _reason(run.stderr) or f"it ended with code {run.returncode}"
    try:
        found = json.loads(run.stdout.splitlines()[-1])
    except (json.JSONDecodeError, IndexError):
        return "it does not answer as a Python does"
    return Interpreter(path, found["version"], Path(found["headers"]), found["cxx"])


def _candidates() -> Iterator[tuple[str, Path]]:
    """Where a Python 3.12 may be, the likeliest first; none twice."""
    seen = set()
    for where, path in _places():
        if path not in seen and (path.exists() or path.is_symlink()):
            seen.add(path)
            yield where, path


def _places() -> Iterator[tuple[str, Path]]:
    if _OWN is not None:
        yield "this one", _OWN
    for folder in filter(None, os.environ.get("PATH", "").split(os.pathsep)):
        yield "on PATH", Path(folder) / _NAME
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    for versions in (pyenv / "versions", home / ".local" / "share" / "uv" / "python"):
        for version in sorted(versions.glob("*3.12*"), reverse=True):
            yield f"in {versions}", version / "bin" / _NAME
            yield f"in {versions}", version / "bin" / "python"
    uv = shutil.which("uv")
    if uv is not None:
        try:
            run = _quiet([uv, "python", "find", "--no-python-downloads", "--no-project", "3.12"])
        except (OSError, subprocess.TimeoutExpired):
            run = None
        if run is not None and run.returncode == 0 and run.stdout.strip():
            yield "uv's", Path(run.stdout.strip())
    for system in _SYSTEM:
        yield "the system's", Path(system) / _NAME


def compiler_settings(python: Interpreter) -> dict[str, str]:
    """Environment variables that have a build use a C++ compiler which works: {} where it finds one by itself.

    Raises:
        LadderError: none compiles a program against this Python; names each that was tried and what it said.
    """
    given = os.environ.get("CXX")
    # The interpreter's own may come with options, and is what a build takes when nobody says otherwise.
    choices = [given] if given else [python.cxx.split()[0] if python.cxx else "", "g++", "clang++", "c++"]
    tried: list[str] = []
    for name in dict.fromkeys(filter(None, choices)):
        fault = _compile_fault(name.split(), python)
        if fault is None:
            own = name == (python.cxx.split()[0] if python.cxx else "") or bool(given)
            return {} if own else {"CXX": name, "CC": os.environ.get("CC") or _sibling(name)}
        tried.append(f"  {name}: {fault}")
    headers = (
        ""
        if (python.headers / "Python.h").exists()
        else (
            f"\nThis Python's own headers are missing: {python.headers / 'Python.h'} (Debian, Ubuntu: apt install "
            "python3.12-dev)."
        )
    )
    raise LadderError(
        f"the real Hummingbot is compiled once, and no C++ compiler works here with {python.path}.\nTried:\n"
        + "\n".join(tried)
        + headers
        + "\nInstall one (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)"
        ", or name it: CXX=/path/to/g++"
    )


def _compile_fault(command: list[str], python: Interpreter) -> str | None:
    """Why a compiler cannot compile a small program against this Python; None if it can."""
    if shutil.which(command[0]) is None:
        return "not on PATH"
    arguments = [*command, "-x", "c++", "-std=c++11", "-fsyntax-only", "-I", str(python.headers), "-"]
    try:
        run = _quiet(arguments, _PROGRAM)
    except subprocess.TimeoutExpired:
        return f"it did not answer within {_SECONDS} s"
    except OSError as error:
        return f"it cannot be started ({error.strerror})"
    return None if run.returncode == 0 else _reason(run.stderr, last=False) or f"it ended with code {run.returncode}"


def _sibling(cxx: str) -> str:
    """The C compiler that comes with a C++ one."""
    return {"g++": "gcc", "clang++": "clang", "c++": "cc"}.get(cxx, "cc")


def _quiet(command: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  (a candidate that we found, asked for its version)
        command,
        input=text,
        stdin=None if text is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )


def _reason(stderr: str, *, last: bool = True) -> str:
    """The line of an error output that says most."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if not lines:
        return ""
    if last:
        named = [line for line in lines if "Error" in line]
        # pyenv says what is wrong first, and gives advice after it.
        return (named[-1] if named else lines[0])[:300]
    return next((line for line in lines if "error" in line), lines[0])[:300]
