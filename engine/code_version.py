"""Which code ran, for the record of a result: the git commit of Ladder's checkout, and the versions of packages."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_version() -> str | None:
    """The commit, with "-dirty" behind where tracked files differ from it; None outside a git checkout.

    Asked once a process: it is the code that was loaded, not what has been edited since.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def package_versions(*packages: str) -> dict[str, str]:
    """The installed version of each, and Python's."""
    return {name: _version(name) for name in packages} | {"python": platform.python_version()}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
