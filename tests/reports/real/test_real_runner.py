"""The worker's process: what it sees, what it gives back, how it ends. Fakes stand for Hummingbot."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.errors import LadderError, ValidationError
from reports.hummingbot.real import run_jobs
from reports.hummingbot.real.jobs import RealJob
from reports.hummingbot.real.toolchain import find_python

ROOT = Path(__file__).resolve().parents[3]
REAL = ROOT / "reports" / "hummingbot" / "real"
FACTS = (
    "facts = {'failure': None, 'results': {}, 'seconds': 0.5, 'rows': 1, 'failed_executors': 0, 'created': 0}\n"
    "for number, path in enumerate(sorted(folder.glob('0*.json'))):\n"
    "    say(event='job', number=number)\n"
)
# Gives back the bars as a profit series. An .npz is copied whole: this Python need not have numpy.
ECHO = (
    FACTS + "    import numpy as np\n"
    "    with np.load(path.with_suffix('.npz'), allow_pickle=False) as held:\n"
    "        sent = {name: held[name] for name in held.files}\n"
    "    back = {'pnl_' + name.removeprefix('bar_'): array for name, array in sent.items() if 'bar_' in name}\n"
    "    back['pnl_total_pnl'] = sent['target_pct']\n"
    "    back |= {'feature_timestamp': sent['bar_timestamp'], 'feature_signal': sent['signal']}\n"
    "    with open(folder / (path.stem + '.done.npz'), 'wb') as file:\n        np.savez(file, **back)\n"
    "    facts['results'] = json.loads(path.read_text())\n"
    "    (folder / (path.stem + '.done.json')).write_text(json.dumps(facts))\n"
    "    say(event='done', number=number)\n"
)
SLEEP = "(Path(os.environ['HOME']) / 'x').touch()\nsay(event='job', number=0)\ntime.sleep(600)\n"


def awkward(candles: pd.DataFrame) -> pd.DataFrame:
    """Prices that no short text holds."""
    return candles * (1.0 + 1.0 / 3.0e7) + np.nextafter(0.1, 1.0)


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(holds, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_every_number_comes_back_to_the_last_bit(make_candles, make_job, fake_worker):
    candles = awkward(make_candles(40))
    job = RealJob(
        candles,
        "1h",
        {"stop_loss": "0.03", "trailing_stop": None, "max_executors_per_side": 2},
        signal=pd.Series(1.0, index=candles.index),
        target_pct=pd.Series(np.nextafter(0.1, 1.0) + np.arange(40) / 3.0, index=candles.index),
        symbol="BTC/USDT:USDT",
        trade_cost=0.1 + 0.2,
        name="awkward",
    )
    first, second = run_jobs([job, make_job(30)], python=fake_worker(ECHO))
    assert (first.pnl_table[["open", "high", "low", "close", "volume"]].to_numpy() == candles.to_numpy()).all()
    assert (first.pnl_table.index == candles.index).all()
    assert (first.pnl.to_numpy() == job.target_pct.to_numpy()).all()
    assert first.results["config"] == dict(job.config)
    assert first.results["trade_cost"] == 0.1 + 0.2
    assert first.results["trading_pair"] == "BTC-USDT"
    assert len(second.pnl) == 30
    assert second.executors.empty
    assert second.executors["opened_at"].dt.tz is not None


def test_candles_with_a_nan_are_left_out_and_the_signal_with_them(make_candles, fake_worker):
    candles = make_candles(20)
    candles.iloc[3, 1] = np.nan
    signal = pd.Series(np.arange(20.0), index=candles.index)
    (run,) = run_jobs([RealJob(candles, "1h", signal=signal)], python=fake_worker(ECHO))
    assert run.features["signal"].tolist() == [value for value in range(20) if value != 3]


def test_nothing_of_our_environment_reaches_the_worker(make_job, fake_worker, monkeypatch, tmp_path):
    monkeypatch.setenv("BINANCE_API_SECRET", "canary-value")
    monkeypatch.setenv("AWS_PROFILE", "canary-value")
    seen = tmp_path / "seen.json"
    code = (
        f"Path({str(seen)!r}).write_text(json.dumps([dict(os.environ), os.getcwd(), sys.argv, "
        "Path('/proc/self/environ').read_text() if Path('/proc/self/environ').exists() else '']))\n"
    )
    run_jobs([make_job()], python=fake_worker(code + ECHO))
    assert "canary" not in seen.read_text()
    environment, folder, *_ = json.loads(seen.read_text())
    allowed = {"PATH", "HOME", "TMPDIR", "LANG", "TZ", "OMP_NUM_THREADS"}
    assert set(environment) - {"PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE"} <= allowed
    assert environment["HOME"] != os.environ.get("HOME")
    assert Path(folder).name == "home"
    assert not Path(folder).exists()


def test_process_that_dies_is_an_error_with_the_job_and_its_last_words(make_job, fake_worker):
    code = "say(event='job', number=1)\nsys.stderr.write('Segmentation fault, says the fake\\n')\nos._exit(139)\n"
    with pytest.raises(LadderError) as raised:
        run_jobs([make_job(name="first"), make_job(name="second")], python=fake_worker(code))
    text = str(raised.value)
    assert "ended with code 139, in job 2 (second, BTC/USDT 1h)" in text
    assert "Segmentation fault, says the fake" in text


def test_process_that_cannot_import_hummingbot_is_an_error_before_its_first_job(make_job, fake_worker):
    with pytest.raises(LadderError, match=r"ended with code 1, before its first job.*(?s:.*)ModuleNotFoundError"):
        run_jobs([make_job()], python=fake_worker("import no_such_module\n"))


def test_process_that_ends_well_without_a_result_is_an_error(make_job, fake_worker):
    with pytest.raises(LadderError, match="left no result"):
        run_jobs([make_job()], python=fake_worker("pass\n"))


def test_job_that_fails_in_hummingbot_is_an_error_or_is_kept(make_job, fake_worker):
    code = ECHO.replace("'failure': None", "'failure': 'IndexError: list index out of range', 'traceback': 'where'")
    with pytest.raises(LadderError, match=r"job 1 \(mine, BTC/USDT 1h\).*IndexError: list index"):
        run_jobs([make_job(name="mine")], python=fake_worker(code))
    (run,) = run_jobs([make_job(name="mine")], python=fake_worker(code), failures="keep")
    assert run.failure == "IndexError: list index out of range"
    assert run.traceback == "where"


def test_job_that_takes_too_long_is_ended(make_job, fake_worker):
    began = time.monotonic()
    with pytest.raises(LadderError, match=r"gave no sign of life for 1 s and was ended, in job 1"):
        run_jobs([make_job()], python=fake_worker(SLEEP), job_seconds=1.0)
    assert time.monotonic() - began < 30


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for the process in /proc")
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_ladder(blow, tmp_path):
    # The worker's own loop, but for Hummingbot: it ends when its stdin does.
    place = tmp_path / "number"
    python = tmp_path / "python"
    loop = (
        f"import os, sys, threading, time; sys.path.insert(0, {str(REAL)!r}); from worker import loop; "
        "threading.Thread(target=loop._end_with_parent, daemon=True).start(); "
        f"place = {str(place)!r}; open(place + '.part', 'w').write(str(os.getpid())); "
        "os.rename(place + '.part', place); "
        "time.sleep(600)"
    )
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -c "{loop}"\n')
    python.chmod(0o755)
    code = (
        "import pandas as pd; from pathlib import Path; from reports.hummingbot.real import RealJob, run_jobs\n"
        "index = pd.date_range('2024-01-01', periods=3, freq='1h', tz='UTC')\n"
        "candles = pd.DataFrame(1.0, index=index, columns=['open', 'high', 'low', 'close', 'volume'])\n"
        f"run_jobs([RealJob(candles, '1h', signal=candles['open'])], python=Path({str(python)!r}))\n"
    )
    ladder = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    assert wait_until(place.exists, 60)
    worker = int(place.read_text())
    assert is_running(worker)
    ladder.send_signal(blow)
    assert wait_until(lambda: not is_running(worker))
    ladder.wait(timeout=30)
    assert ladder.returncode != 0


@pytest.fixture(scope="module")
def worker_python():
    """The Python that the worker runs on, where there is one: namespaces need 3.12."""
    try:
        return find_python().path
    except LadderError:
        return Path(sys.executable)


# Each tries to reach a listener of the test's own on this machine: had it come through, it would print "reached".
ATTEMPTS = {
    "tcp": "import socket; socket.create_connection(('127.0.0.1', port), timeout=3)",
    "low level": "import _socket; s = _socket.socket(2, 1); s.connect(('127.0.0.1', port))",
    "udp": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
    "asyncio": "import asyncio; asyncio.run(asyncio.wait_for(asyncio.open_connection('127.0.0.1', port), 3))",
    "name": "import socket; socket.getaddrinfo('localhost', port)",
    "listen": "import socket; socket.socket().bind(('127.0.0.1', 0))",
}
# What compiled code does, which no audit hook sees.
COMPILED = (
    "import ctypes, struct; c = ctypes.CDLL(None, use_errno=True); s = c.socket(2, 1, 0)\n"
    "address = struct.pack('=H', 2) + struct.pack('>H', port) + bytes([127, 0, 0, 1]) + bytes(8)\n"
    "if s < 0 or c.connect(s, address, 16) != 0: raise OSError(ctypes.get_errno())"
)
CHILD = (
    "import subprocess, sys\nsubprocess.run([sys.executable, '-I', '-c', "
    "f'import socket; socket.create_connection((\"127.0.0.1\", {port}), timeout=3)'], check=True)"
)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


def attempt(python: Path, layer: str, code: str, port: int) -> str:
    script = (
        f"import sys; sys.path.insert(0, {str(REAL)!r})\nfrom worker import network\nport = {port}\n"
        f"held = {layer}\nprint('held', held, flush=True)\n{code}\nprint('reached')\n"
    )
    run = subprocess.run(
        [str(python), "-I", "-B", "-c", script], capture_output=True, text=True, timeout=60, check=False, env={}
    )
    if "held False" in run.stdout:
        pytest.skip(f"this system or Python has no such layer: {layer}")
    assert "held" in run.stdout, run.stderr
    return run.stdout + run.stderr


@pytest.mark.parametrize("code", [*ATTEMPTS.values(), COMPILED, CHILD], ids=[*ATTEMPTS, "compiled", "child"])
def test_network_is_refused_whatever_asks_for_it(code, worker_python, listener):
    if code in (COMPILED, CHILD) and not sys.platform.startswith("linux"):
        pytest.skip("outside Linux only Python's own calls are refused")
    said = attempt(worker_python, "network.refuse_network()", code, listener.getsockname()[1])
    assert "reached" not in said
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize("code", [ATTEMPTS["tcp"], COMPILED, CHILD], ids=["tcp", "compiled", "child"])
@pytest.mark.parametrize("layer", ["network._leave_network()", "network._filter_calls()"])
def test_each_layer_of_the_kernel_s_is_enough_alone(layer, code, worker_python, listener):
    said = attempt(worker_python, layer, code, listener.getsockname()[1])
    assert "reached" not in said
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize("code", ATTEMPTS.values(), ids=ATTEMPTS)
def test_audit_hook_is_enough_alone_for_what_python_does(code, worker_python, listener):
    said = attempt(worker_python, "sys.addaudithook(network._refuse)", code, listener.getsockname()[1])
    assert "reached" not in said
    assert "the network is refused here" in said


def test_sockets_within_the_process_are_left_alone(worker_python):
    code = "import asyncio, socket; a, b = socket.socketpair(); a.send(b'x'); asyncio.run(asyncio.sleep(0))"
    assert "reached" in attempt(worker_python, "network.refuse_network()", code, 9)


def test_wrong_job_is_an_error_before_anything_starts(make_candles):
    candles = make_candles(10)
    signal = pd.Series(0.0, index=candles.index)
    with pytest.raises(ValidationError, match="controller 'nope': one of signal, bollinger_v1"):
        RealJob(candles, "1h", controller="nope")
    with pytest.raises(ValidationError, match="a signal belongs to the controller 'signal' alone"):
        RealJob(candles, "1h", controller="bollinger_v1", signal=signal)
    with pytest.raises(ValidationError, match="no column volume"):
        RealJob(candles.drop(columns="volume"), "1h", signal=signal)
    with pytest.raises(ValidationError, match="opening times, UTC"):
        RealJob(candles.tz_localize(None), "1h", signal=signal)
    with pytest.raises(ValidationError, match=r"options \['x'\]"):
        RealJob(candles, "1h", signal=signal, options={"x": True})
    with pytest.raises(ValidationError, match="a backtest needs two"):
        RealJob(candles.iloc[:1], "1h", signal=signal)


def test_folder_without_controllers_is_an_error(make_candles, tmp_path):
    job = RealJob(make_candles(5), "1h", controller="mine", controllers_dir=tmp_path)
    with pytest.raises(LadderError, match="neither a folder named controllers nor one that holds it"):
        run_jobs([job], python=Path(sys.executable))
