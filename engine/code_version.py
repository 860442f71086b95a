"""Which code ran: the git commit of the checkout that Ladder is run from, for the record of a result."""

from __future__ import annotations

import subprocess
from functools import cache
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
