"""A file that one process at a time may have: the lock dies with the process, however that ends."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from data.errors import ValidationError


def lock_file(path: Path, taken: str) -> IO[str]:
    """Take it, and hold it until the handle is closed.

    Args:
        path: made where it is not there.
        taken: what is said where another process has it.

    Raises:
        ValidationError: another process has it.
    """
    handle = path.open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise ValidationError(taken) from None
    return handle
