"""Runs jobs in the real Hummingbot: a process of its own, without network, without our environment's secrets."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from data.errors import LadderError
from reports.hummingbot.real.jobs import RealJob, RealRun, read_run
from reports.hummingbot.real.processes import Say, end_session, silent

_START: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from worker.loop import main; sys.exit(main(sys.argv[2:]))"
)
_IMPORT_SECONDS: Final = 300.0
_TAIL: Final = 25


def run_jobs(
    jobs: Sequence[RealJob],
    *,
    say: Say | None = None,
    python: Path | None = None,
    job_seconds: float = 3600.0,
    failures: str = "raise",
) -> list[RealRun]:
    """Run every job, in one process for each `controllers_dir`; Hummingbot is imported once in each.

    Args:
        jobs: what to run.
        say: is told, in words, what goes on.
        python: of an environment that has hummingbot; where None, ladder's own, which is built if it is not there.
        job_seconds: longest time that one job may take.
        failures: "raise" where Hummingbot fails in a job, or "keep": such a run has its `failure` and empty tables.

    Raises:
        LadderError: Python 3.12 or a compiler is missing, the environment cannot be built, the process died or took too
            long, or a job failed; names the job, with the end of what the process wrote.
    """
    speak = say or silent
    if python is None:
        from reports.hummingbot.real.environment import ready_environment

        python = ready_environment(say=speak)
    runs: dict[int, RealRun] = {}
    for folder in dict.fromkeys(job.controllers_dir for job in jobs):
        numbers = [number for number, job in enumerate(jobs) if job.controllers_dir == folder]
        own = _run_process([jobs[number] for number in numbers], python, folder, speak, job_seconds)
        runs |= dict(zip(numbers, own, strict=True))
    ordered = [runs[number] for number in range(len(jobs))]
    for number, run in enumerate(ordered):
        if run.failure and failures == "raise":
            raise LadderError(
                f"{_name(number, run.job)}: Hummingbot's backtester failed: {run.failure} ({run.rows} bars were left "
                f"after those with a NaN were dropped)\n{run.traceback}"
            )
    return ordered


@dataclass
class _Process:
    """What is known of the worker while it runs."""

    events: queue.Queue[dict[str, Any] | None] = field(default_factory=queue.Queue)
    versions: dict[str, str] = field(default_factory=dict)
    network: tuple[str, ...] = ()
    running: int | None = None


def _run_process(
    jobs: Sequence[RealJob], python: Path, controllers: Path | None, say: Say, job_seconds: float
) -> list[RealRun]:
    with tempfile.TemporaryDirectory(prefix="ladder-hummingbot-") as name:
        root = Path(name)
        home, folder = root / "home", root / "jobs"
        home.mkdir()
        folder.mkdir()
        for number, job in enumerate(jobs):
            job.write(folder / f"{number:06d}")
        log = root / "stderr.txt"
        command = [str(python), "-I", "-B", "-c", _START, str(Path(__file__).parent), str(folder)]
        command.append("" if controllers is None else str(_import_root(controllers)))
        state = _Process()
        with log.open("wb") as stderr, _started(command, home, stderr) as process:
            assert process.stdout is not None  # noqa: S101  (it is a pipe)
            threading.Thread(target=_listen, args=(process.stdout, state.events), daemon=True).start()
            _follow(state, jobs, say, job_seconds, log)
            code = process.wait(timeout=60)
        if code != 0:
            raise _broken(f"ended with code {code}", state, jobs, log)
        if any(not (folder / f"{number:06d}.done.json").exists() for number in range(len(jobs))):
            raise _broken("left no result", state, jobs, log)
        return [
            read_run(job, folder / f"{number:06d}", state.versions, state.network) for number, job in enumerate(jobs)
        ]


def clean_environment(home: Path) -> dict[str, str]:
    """All that the worker sees of our environment: where programs are. No key, token or password goes along."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "OMP_NUM_THREADS": "1",
    }


@contextlib.contextmanager
def _started(command: Sequence[str], home: Path, stderr: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The worker in a session of its own, so that Ctrl-C reaches us alone; it ends with the block."""
    process = subprocess.Popen(  # noqa: S603  (our own command)
        command,
        cwd=home,
        env=clean_environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end_session(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _listen(stdout: IO[bytes], events: queue.Queue[dict[str, Any] | None]) -> None:
    with contextlib.suppress(ValueError):  # closed while it is read
        for line in stdout:
            try:
                events.put(json.loads(line))
            except json.JSONDecodeError:
                continue
    events.put(None)


def _follow(state: _Process, jobs: Sequence[RealJob], say: Say, job_seconds: float, log: Path) -> None:
    """Take in what the worker reports until it closes its end."""
    began = time.monotonic()
    while True:
        limit = _IMPORT_SECONDS if state.running is None else job_seconds
        try:
            event = state.events.get(timeout=limit)
        except queue.Empty:
            raise _broken(f"gave no sign of life for {limit:.0f} s and was ended", state, jobs, log) from None
        if event is None:
            return
        match event["event"]:
            case "network":
                state.network = tuple(event["layers"])
            case "importing":
                say("importing hummingbot (some seconds)")
            case "ready":
                state.versions = event["versions"]
                say(f"hummingbot {state.versions['hummingbot']} is ready after {time.monotonic() - began:.1f} s")
            case "job":
                state.running = event["number"]
                say(f"{_name(state.running, jobs[state.running])} of {len(jobs)}")
            case "done":
                state.running = None


def _broken(what: str, state: _Process, jobs: Sequence[RealJob], log: Path) -> LadderError:
    where = "before its first job" if state.running is None else f"in {_name(state.running, jobs[state.running])}"
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
    return LadderError(f"the real Hummingbot {what}, {where}; it wrote last:\n" + "\n".join(tail or ["(nothing)"]))


def _name(number: int, job: RealJob) -> str:
    return f"job {number + 1} ({job.name or job.controller}, {job.symbol} {job.interval})"


def _import_root(controllers: Path) -> Path:
    """The folder that holds the package `controllers`.

    Raises:
        LadderError: it is not there.
    """
    root = controllers.parent if controllers.name == "controllers" else controllers
    if not (root / "controllers").is_dir():
        raise LadderError(
            f"controllers_dir {controllers}: neither a folder named controllers nor one that holds it; name a checkout "
            "of Hummingbot's git repository"
        )
    return root.resolve()
