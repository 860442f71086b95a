"""A real Chromium, headless: what it shows of a page, what it says about it, and what it asks the network for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_ITS_OWN = re.compile(r"(^|\.)(google\.com|googleapis\.com|gvt1\.com)$")  # what a Chromium asks for by itself


def chromium(*arguments: str, profile: Path, patience: int = 15_000) -> subprocess.CompletedProcess[str]:
    """Chromium on its own profile, for so many milliseconds of its own time; skips where there is none."""
    browser = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if browser is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    command = [browser, *_FLAGS, f"--virtual-time-budget={patience}", f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def asked_of_the_network(page: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Addresses that a page makes a browser ask for, and the lines of its console."""
    log = folder / "net.json"
    shown = chromium(
        *(f"--log-net-log={log}", "--enable-logging=stderr", "--dump-dom", page.as_uri()),
        profile=folder / "profile",
        patience=3_000,
    )
    asked = set(re.findall(r'"url":\s*"(https?://[^"]*)"', log.read_text(encoding="utf-8")))
    said = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    return sorted(one for one in asked if not _ITS_OWN.search(urlsplit(one).hostname or "")), said


def width_in_frame(page: Path, width: int, folder: Path, wait: int = 3_000) -> tuple[int, int, int]:
    """How wide a page is, how wide its window, and how many tables in it scroll sideways.

    The window is a frame of that width, as a browser's own has a least width.
    """
    frame = folder / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="{page.as_uri()}" style="width:{width}px;height:900px;border:0"></iframe><p id="o">-</p>'
        "<script>f.onload=()=>setTimeout(()=>{const d=f.contentDocument.documentElement;"
        "const wide=[...d.querySelectorAll('.scroll')].filter(one=>one.scrollWidth>one.clientWidth).length;"
        f'o.textContent="width "+d.scrollWidth+" of "+d.clientWidth+", "+wide+" scroll"}},{wait})</script>'
    )
    shown = chromium("--allow-file-access-from-files", "--dump-dom", frame.as_uri(), profile=folder / "profile")
    found = re.search(r"width (\d+) of (\d+), (\d+) scroll", shown.stdout)
    assert found, shown.stdout[-300:]
    return int(found[1]), int(found[2]), int(found[3])
