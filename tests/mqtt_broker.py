"""A real broker for tests: Debian's mosquitto on a free port of 127.0.0.1, which a test may kill and start again.

And a subscriber that reads as Hummingbot's `ai_livestream` controller does.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])  # where Debian puts it


def require_mosquitto() -> str:
    """Where mosquitto is; without it the test is skipped, in CI it fails."""
    found = shutil.which("mosquitto", path=_PATH)
    if found is None:
        reason = "no mosquitto here: apt-get install mosquitto (2.0 or later)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(truth: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something that another thread or process brings about."""
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@dataclass
class Broker:
    """mosquitto in a folder of its own. It keeps what it confirmed within a second, as its users set it up."""

    folder: Path
    lines: tuple[str, ...] = ()
    users: dict[str, str] = field(default_factory=dict)
    tls: bool = False

    def __post_init__(self) -> None:
        self.program = require_mosquitto()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "max_queued_messages 0",
            f"allow_anonymous {'false' if self.users else 'true'}",
            *self.lines,
        ]
        if os.geteuid() == 0:
            lines.append("user root")
        if self.users:
            passwords = self.folder / "passwords"
            passwords.write_text("".join(f"{name}:{word}\n" for name, word in self.users.items()))
            passwords.chmod(0o600)
            subprocess.run([_tool("mosquitto_passwd"), "-U", str(passwords)], check=True, capture_output=True)
            lines.append(f"password_file {passwords}")
        if self.tls:
            make_certificates(self.folder)
            lines += [f"cafile {self.folder}/ca.pem", f"certfile {self.folder}/broker.pem"]
            lines.append(f"keyfile {self.folder}/broker.key")
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://127.0.0.1:{self.port}"

    def start(self) -> Self:
        with (self.folder / "log").open("ab") as log:
            command = [self.program, "-c", str(self.folder / "mosquitto.conf")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._listens)
        return self

    def _listens(self) -> bool:
        assert self.process is not None and self.process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL: nothing is saved, nobody is told."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


def _tool(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.fail(f"no {name} here, which this test of mosquitto needs")
    return found


def make_certificates(folder: Path, name: str = "ca") -> Path:
    """A CA, `name`.pem, and a certificate for 127.0.0.1 that it signed: broker.pem, broker.key."""
    openssl = _tool("openssl")

    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}",
        "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    run("req", *key, "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=broker")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    run("x509", "-req", "-in", "broker.csr", "-CA", f"{name}.pem", "-CAkey", f"{name}.key", "-CAcreateserial",
        "-out", "broker.pem", "-days", "2", "-extfile", "names")  # fmt: skip
    return folder / f"{name}.pem"


class Controller:
    """A subscriber written to the contract of `ai_livestream`: topic, JSON, probabilities as short, neutral, long.

    With a session that the broker keeps, and QoS 1, which the real one has not: a test wants to see every message.
    """

    def __init__(
        self, broker: Broker, trading_pair: str, threshold: float = 0.5, *, old_protocol: bool = False, **access: Any
    ) -> None:
        self.threshold = threshold
        self.topic = f"hbot/predictions/{trading_pair.lower().replace('-', '_')}/ML_SIGNALS"
        self.messages: list[dict[str, Any]] = []
        self.retained: list[bool] = []
        self.signals: list[int] = []
        self._ready = threading.Event()
        # The real one speaks 3.1.1.
        protocol = MQTTProtocolVersion.MQTTv311 if old_protocol else MQTTProtocolVersion.MQTTv5
        self.client = Client(CallbackAPIVersion.VERSION2, f"controller-{id(self)}", protocol=protocol)
        if "username" in access:
            self.client.username_pw_set(access["username"], access["password"])
        if broker.tls:
            self.client.tls_set(ca_certs=str(access.get("ca", broker.folder / "ca.pem")))
        self.client.reconnect_delay_set(0.05, 0.1)  # type: ignore[arg-type]  # seconds, it takes fractions too
        self.client.on_connect = lambda client, *_: client.subscribe(self.topic, qos=1)
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = self._on_message
        further: dict[str, Any] = {}
        if not old_protocol:
            session = Properties(PacketTypes.CONNECT)
            session.SessionExpiryInterval = 600
            further = {"clean_start": False, "properties": session}
        self.client.connect("127.0.0.1", broker.port, **further)
        self.client.loop_start()
        assert self._ready.wait(10)

    def _on_message(self, client: Client, userdata: Any, message: Any) -> None:
        signal = json.loads(message.payload)
        self.messages.append(signal)
        self.retained.append(message.retain)
        short, _, long = signal["probabilities"]
        self.signals.append(-1 if short > self.threshold else 1 if long > self.threshold else 0)
        assert signal.get("target_pct", 0.01) > 0

    def wait_for(self, count: int, seconds: float = 10.0) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.messages) >= count, seconds)
        return self.messages

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
