"""What the server asks of a dialect: how one exchange's requests are read and answered, and its streams spoken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from engine.rehearsal.orders import Bar, Event, Tick
from engine.rehearsal.wire import Connection


class Call(NamedTuple):
    """A request: the query and the body are the text as it was sent."""

    method: str
    path: str
    query: str
    body: str
    headers: Mapping[str, str]

    @property
    def label(self) -> str:
        """How faults and counts name it: "POST /api/v3/order"."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `body` becomes JSON, unless it is text."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Streams(Protocol):
    """Who listens to what."""

    connections: set[Connection]

    def join(self, connection: Connection) -> None:
        """A client has connected."""
        ...

    def leave(self, connection: Connection) -> None:
        """A client has gone."""
        ...

    async def hear(self, connection: Connection, path: str, text: str) -> None:
        """A message of a client."""
        ...

    async def tell(self, events: Iterable[Event]) -> None:
        """Tell the account's listeners what has happened to it."""
        ...

    async def tell_close(self, bars: Mapping[str, Bar]) -> None:
        """Tell the markets' listeners that these bars have closed."""
        ...

    async def tell_open(self, bars: Mapping[str, Bar]) -> None:
        """Tell the markets' listeners that these bars have opened."""
        ...

    async def tell_trades(self, ticks: Mapping[str, Tick]) -> None:
        """Tell the markets' listeners of trades within the open bars."""
        ...

    async def end_of_bar(self) -> None:
        """Send what single messages' faults held back."""
        ...

    def drop_all(self) -> int:
        """Break all connections; returns how many there were."""
        ...


class Dialect(Protocol):
    """One exchange's interface."""

    streams: Streams

    def respond(self, call: Call) -> Answer:
        """Answer a request; a refusal is an answer too."""
        ...

    def fault(self, kind: str, retry_after: int) -> Answer:
        """How a fault looks that comes in place of the answer."""
        ...

    def barred(self, call: Call) -> Iterable[str]:
        """Kinds of faults that cannot befall this request."""
        ...

    def named(self, call: Call) -> dict[str, str]:
        """The client's order id and the symbol of a request, for the record."""
        ...

    def is_stream(self, path: str) -> bool:
        """Whether WebSockets connect at this path."""
        ...

    def url(self, real: str, host: str) -> str:
        """The URL here that stands for a real one; `host` is "127.0.0.1:8080"."""
        ...
