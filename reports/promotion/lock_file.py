"""What requirements.lock pins, and what is installed of it: a library of another version is another program."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from data.errors import ValidationError
from reports.promotion.source_closure import canonical_name

_NAME: Final = "requirements.lock"
_PIN: Final = re.compile(r"([\w.-]+)==([^\s;\\]+)[ \t]*(;[^\\\n]*)?")


def default_lock() -> Path:
    """The lock of Ladder's checkout, else of the folder one is in.

    Raises:
        ValidationError: neither is there.
    """
    for folder in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (folder / _NAME).is_file():
            return folder / _NAME
    raise ValidationError(
        f"{_NAME}: neither in Ladder's folder nor in {Path.cwd()}; begin where it lies, or name it with lock="
    )


def read_lock(path: Path) -> bytes:
    """Its bytes.

    Raises:
        ValidationError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValidationError(f"{path}: cannot be read ({error}); name the lock with lock=") from error


def pins(content: bytes) -> dict[str, list[str]]:
    """By canonical name the pinned versions, with their markers, and the digest of the lines that pin them."""
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in re.split(r"\n(?=[A-Za-z0-9])", "\n" + content.decode("utf-8", "replace")):
        if pin := _PIN.match(entry):
            version = f"{pin[2]} {pin[3].strip()}" if pin[3] else pin[2]
            found.setdefault(canonical_name(pin[1]), []).append((version, entry))
    return {
        name: [
            " or ".join(version for version, _ in entries),
            sha256("".join(entry for _, entry in entries).encode()).hexdigest()[:16],
        ]
        for name, entries in sorted(found.items())
    }


def installed_versions(names: dict[str, list[str]]) -> dict[str, str]:
    """The installed version of each pinned package that is installed."""
    there = {canonical_name(one.metadata["Name"] or ""): one.version for one in distributions()}
    return {name: there[name] for name in names if name in there}
