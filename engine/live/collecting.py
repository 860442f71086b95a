"""Garbage collection while orders wait.

A session's process holds some hundred thousand objects before its first turn: modules, markets, bars. Looking through
them all takes Python's collector about 0.1 s, at a moment of its own choosing. What is there when the session begins is
kept out of its sight until the session ends; what turns leave behind is collected as ever.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def what_is_there_is_left_alone() -> Iterator[None]:
    """Within it the collector looks only at what was made within it."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
