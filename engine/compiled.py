"""Where numba keeps what it compiled: a folder of its own for each state of the sources.

Numba checks the file of a cached function, but not the files of the functions it calls: after a change to
`engine.rules` it would go on running the old rules. Here the folder's name is a digest of all of them.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba


def cache_folder(*sources: str) -> Path:
    """The folder for functions compiled from these files, under LADDER_CACHE or the user's cache folder."""
    digest = hashlib.sha256()
    for package in ("numba", "vectorbt", "numpy"):
        digest.update(f"{package} {version(package)}\n".encode())
    for source in sources:
        digest.update(Path(source).read_bytes())
    given = os.environ.get("LADDER_CACHE")
    root = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ladder"
    return root / "numba" / digest.hexdigest()[:16]


@contextmanager
def compile_cached(*sources: str | None) -> Iterator[Path]:
    """Functions jitted with `cache=True` in this block keep their machine code in `cache_folder(*sources)`.

    Gives that folder. Where it cannot be written, numba's own choice of place stands.
    """
    config: Any = numba.config
    before = config.CACHE_DIR
    folder = cache_folder(*(source for source in sources if source is not None))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config.CACHE_DIR = str(folder)
    except OSError:
        pass
    try:
        yield folder
    finally:
        config.CACHE_DIR = before


def announce_compilation(function: Any, folder: Path) -> None:
    """Tell a person at a terminal that the next call compiles a function, for half a minute; once kept, it is not."""
    if function.signatures or not sys.stderr.isatty():
        return
    if not any(folder.rglob(f"*.{function.__name__}-*.nbi")):
        sys.stderr.write(
            "ladder: compiling the execution rules, once for this version; it takes half a minute and is kept in "
            f"{folder}\n"
        )
