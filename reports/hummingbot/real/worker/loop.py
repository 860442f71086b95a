"""The worker's main: refuse the network, import Hummingbot once, run every job of a folder, tell the parent of each."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from .network import refuse_network


def main(arguments: list[str]) -> int:
    """Run the jobs of a folder, 000000.json and 000000.npz each; leave 000000.done.json and .done.npz beside them.

    Args:
        arguments: the folder, and where a user's own `controllers` lie, or "".
    """
    folder, controllers = Path(arguments[0]), arguments[1]
    say = _take_stdout()
    say({"event": "network", "layers": refuse_network()})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if controllers:
        sys.path.insert(0, controllers)
    say({"event": "importing"})
    from .running import installed_versions, run_job

    say({"event": "ready", "versions": installed_versions()})
    for path in sorted(folder.glob("[0-9]*.json")):
        if path.name.endswith(".done.json"):
            continue
        say({"event": "job", "number": int(path.stem)})
        facts, arrays = run_job(json.loads(path.read_text(encoding="utf-8")), _load(path.with_suffix(".npz")))
        _save(path.with_suffix(""), facts, arrays)
        say({"event": "done", "number": int(path.stem)})
    return 0


def _take_stdout() -> Any:
    """Keep stdout for the parent; what a library prints goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    return say


def _end_with_parent() -> None:
    """The parent holds the other end of stdin: when it ends, however it ends, so does this process."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def _load(path: Path) -> dict[str, Any]:
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _save(stem: Path, facts: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Both files appear whole; the JSON, written last, says that the job is done."""
    import numpy as np

    temporary = stem.with_name(stem.name + ".part")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    temporary.replace(stem.with_name(stem.name + ".done.npz"))
    temporary.write_text(json.dumps(facts), encoding="utf-8")
    temporary.replace(stem.with_name(stem.name + ".done.json"))
