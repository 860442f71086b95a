"""Processes in a session of their own, and what is said of them.

Ctrl-C reaches ladder alone, which then ends them and what they started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

Say = Callable[[str], None]


def silent(text: str) -> None:
    """Say nothing."""


def end_session(process: subprocess.Popen[Any]) -> None:
    """End a process that was started with `start_new_session`, and its children, if it still runs."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
