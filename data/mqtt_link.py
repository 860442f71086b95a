"""One connection to an MQTT broker (version 5): where it is, how one is let in, and what it confirms.

    link = Link(Address.parse("mqtts://broker.example"), Access.from_environment(), "ladder-1", threading.Condition())
    link.open(timeout=10.0)
    link.send("some/topic", "text", timeout=10.0)
    link.close()

paho-mqtt speaks the protocol. Its own queue and its own reconnecting are not used: it would send again what has expired
in the meantime. A link that is lost stays so; `Publisher` makes the next.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from data.errors import LadderError, ValidationError

if TYPE_CHECKING:
    from paho.mqtt.client import Client

USERNAME: Final = "LADDER_MQTT_USERNAME"
PASSWORD: Final = "LADDER_MQTT_PASSWORD"  # noqa: S105  (the variable's name)
CA: Final = "LADDER_MQTT_CA"
CERT: Final = "LADDER_MQTT_CERT"
KEY: Final = "LADDER_MQTT_KEY"

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_URL: Final = re.compile(r"(mqtts?)://(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?/?")
_GOODBYE: Final = 2.0  # seconds that a broker has to take our leave
# Why a broker does not let one in, in words with a mend, where waiting will not help. Numbers of MQTT 5, 3.2.2.2.
_REFUSALS: Final = {
    132: "it does not speak MQTT 5; use mosquitto 1.6 or later, or another broker of this age",
    133: "it takes no client id of ours; let it take any",
    134: f"wrong user name or password; set {USERNAME} and {PASSWORD} as the broker knows them",
    135: f"not authorised; set {USERNAME} and {PASSWORD} as the broker knows them, and let this user connect",
    138: "this client is banned there",
    140: f"it asks for another way to log in than user name and password ({USERNAME}, {PASSWORD})",
}


class BrokerError(LadderError):
    """An MQTT broker cannot be reached, refuses, or does not confirm; `lasting` where waiting will not mend it."""

    def __init__(self, text: str, *, lasting: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting


class Secret:
    """A text that shows in no repr, log or traceback; `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(***)"

    def reveal(self) -> str:
        """The text itself: hand it on at once, and keep it in no variable."""
        return self._text


@dataclass(frozen=True)
class Address:
    """Where a broker listens."""

    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read "mqtt://host:1883" or "mqtts://host:8883" (TLS); those are the default ports.

        Raises:
            ValidationError: it is no such address, or holds a user name or password.
        """
        if "@" in str(url):  # not shown: what stands before it may be a password
            raise ValidationError(
                f"broker address: it holds a user name or password; set {USERNAME} and {PASSWORD} in the environment, "
                "and give mqtts://host:8883"
            )
        match = _URL.fullmatch(url) if isinstance(url, str) else None
        if match is None or not 0 < int(match[3] or 1) < 65536:
            raise ValidationError(f"broker address {url!r}: give mqtt://host:1883, or mqtts://host:8883 for TLS")
        return cls(match[2].strip("[]"), int(match[3] or _PORTS[match[1]]), match[1] == "mqtts")

    @property
    def is_here(self) -> bool:
        """Whether it is this machine: what is sent there crosses no wire."""
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


@dataclass(frozen=True)
class Access:
    """How one is let in: user name and password, and for TLS whom to trust and who one is."""

    username: str | None = None
    password: Secret | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> Access:
        """What the environment says; a variable that is empty counts as not set.

        Raises:
            ValidationError: a password without a user name, a key without a certificate, or a file that is not there.
        """
        given = os.environ if variables is None else variables
        files = {name: Path(given[name]) for name in (CA, CERT, KEY) if given.get(name)}
        for name, path in files.items():
            if not path.is_file():
                raise ValidationError(f"{name} {path}: no such file; name a PEM file")
        if given.get(PASSWORD) and not given.get(USERNAME):
            raise ValidationError(f"{PASSWORD} is set, but {USERNAME} is not; set both")
        if KEY in files and CERT not in files:
            raise ValidationError(f"{KEY} is set, but {CERT} is not; set both, or a {CERT} that holds the key too")
        password = Secret(given[PASSWORD]) if given.get(PASSWORD) else None
        return cls(given.get(USERNAME) or None, password, files.get(CA), files.get(CERT), files.get(KEY))

    def check(self, address: Address, *, allow_plain_password: bool) -> None:
        """Refuse what would give a password away, or what asks for TLS on an address without.

        Raises:
            ValidationError: a password without TLS to another machine; a CA or certificate for an address without TLS.
        """
        if not address.tls and (self.ca or self.cert):
            raise ValidationError(f"{address} has no TLS, but {CA} or {CERT} is set; write mqtts://, or unset them")
        if self.password is not None and not (address.tls or address.is_here or allow_plain_password):
            raise ValidationError(
                f"{address}: the password would cross the network unencrypted; write mqtts://, or allow it explicitly "
                "(allow_plain_password=True, --allow-plain-password)"
            )

    def context(self) -> ssl.SSLContext:
        """TLS as it should be: the broker's certificate and host name are verified.

        Raises:
            ValidationError: a file holds no PEM certificate or key.
        """
        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        except (OSError, ssl.SSLError) as error:
            raise ValidationError(f"{CA} {self.ca}: cannot be read ({error}); name a PEM file") from error
        if self.cert is not None:
            try:
                # An empty password: a key that needs one fails, where OpenSSL would ask at the terminal.
                context.load_cert_chain(str(self.cert), None if self.key is None else str(self.key), password="")
            except (OSError, ssl.SSLError) as error:
                mend = "name a PEM certificate and its unencrypted key"
                raise ValidationError(f"{CERT} {self.cert}: cannot be read ({error}); {mend}") from error
        return context


class Link:
    """One connection, from its beginning to its end. `changed` is notified of all that happens to it.

    Never call it with `changed` held: paho's thread takes it to report.

    Attributes:
        lost: why it ended; None while it lives.
    """

    def __init__(
        self,
        address: Address,
        access: Access,
        client_id: str,
        changed: threading.Condition,
        keepalive: int = 30,
        will: tuple[str, str] | None = None,
    ) -> None:
        self.lost: BrokerError | None = None
        self._address, self._keepalive = address, keepalive
        self._changed = changed
        self._connected = False
        self._answers: dict[int, Any] = {}  # reason codes by paho's message number
        self._client = self._make_client(address, access, client_id, will)

    def _make_client(self, address: Address, access: Access, client_id: str, will: tuple[str, str] | None) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        if access.username is not None:
            client.username_pw_set(access.username, access.password.reveal() if access.password else None)
        if address.tls:
            client.tls_set_context(access.context())
        if will is not None:
            client.will_set(will[0], will[1], qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def open(self, timeout: float) -> None:
        """Connect, within `timeout` seconds.

        Raises:
            BrokerError: it cannot be reached, or refuses.
        """
        self._client.connect_timeout = timeout
        try:
            self._client.connect(self._address.host, self._address.port, self._keepalive)
        except ssl.SSLCertVerificationError as error:
            mend = f"set {CA} to the CA that signed it, and use the name that it is for"
            text = f"{self._address}: the broker's certificate is not trusted ({error.verify_message}); {mend}"
            raise BrokerError(text, lasting=True) from error
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else str(error)
            mend = "is the address right, and does a broker listen there?"
            raise BrokerError(f"{self._address}: cannot be reached ({why}); {mend}") from error
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._connected or self.lost is not None, timeout)
            if self.lost is None and not self._connected:
                self.lost = BrokerError(f"{self._address}: accepts a connection, but no answer within {timeout:g} s")
        if self.lost is not None:
            self.drop()
            raise self.lost

    @property
    def alive(self) -> bool:
        """Whether it still carries messages, as far as this side knows."""
        return self.lost is None and self._client.is_connected()

    def send(self, topic: str, payload: str, timeout: float, *, keep: int | None = None) -> None:
        """Send one message (QoS 1, retained) and wait for the broker's word that it has it.

        Args:
            topic: where to.
            payload: what.
            timeout: seconds to wait; a broker that does not answer is taken for lost.
            keep: seconds after which the broker may forget it.

        Raises:
            BrokerError: the link is lost; or, `lasting`, the broker does not take this message.
        """
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if keep is not None:
            properties.MessageExpiryInterval = keep
        sent = self._client.publish(topic, payload, qos=1, retain=True, properties=properties)
        with self._changed:
            self._changed.wait_for(lambda: sent.mid in self._answers or self.lost is not None, timeout)
            answer = self._answers.pop(sent.mid, None)
            if answer is None:
                self.lost = self.lost or BrokerError(f"{self._address}: confirmed nothing within {timeout:g} s")
                raise self.lost
        if answer.is_failure:
            mend = "let this user write to the topic"
            raise BrokerError(f"{self._address}: does not take {topic} ({answer}); {mend}", lasting=True)

    def close(self) -> None:
        """Take leave: the broker sends no last will."""
        self._client.disconnect()
        with self._changed:
            self._changed.wait_for(lambda: self.lost is not None, _GOODBYE)
        self.drop()

    def drop(self) -> None:
        """End it without a word: the broker sends the last will."""
        open_socket = self._client.socket()
        if isinstance(open_socket, socket.socket):
            with contextlib.suppress(OSError):  # the other side was quicker
                open_socket.shutdown(socket.SHUT_RDWR)

    def _on_connect(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:  # noqa: ARG002
        with self._changed:
            if reason.is_failure:
                mend = _REFUSALS.get(reason.value)
                text = f"{self._address}: refuses the connection ({reason}): {mend or 'try again later'}"
                self.lost = BrokerError(text, lasting=mend is not None)
            else:
                self._connected = True
            self._changed.notify_all()

    def _on_disconnect(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:  # noqa: ARG002
        with self._changed:
            self.lost = self.lost or BrokerError(f"{self._address}: connection lost ({reason})")
            self._changed.notify_all()

    def _on_publish(self, client: Client, userdata: Any, number: int, reason: Any, properties: Any) -> None:  # noqa: ARG002
        with self._changed:
            self._answers[number] = reason
            self._changed.notify_all()
