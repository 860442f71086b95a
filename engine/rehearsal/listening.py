"""Who listens to which stream of the rehearsal exchange; what every dialect's streams have in common."""

from __future__ import annotations

from engine.rehearsal.wire import Connection, to_json


class Listeners:
    """Connections, and the names of streams that they have asked for."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self._listeners: dict[str, set[Connection]] = {}
        self._users: set[Connection] = set()

    def join(self, connection: Connection) -> None:
        """A client has connected."""
        self.connections.add(connection)

    def leave(self, connection: Connection) -> None:
        """A client has gone."""
        self.connections.discard(connection)
        self._users.discard(connection)
        for stream in tuple(connection.streams):
            self._unsubscribe(connection, stream)

    async def end_of_bar(self) -> None:
        """Send what single messages' faults held back."""
        for connection in tuple(self.connections):
            await connection.end_of_bar()

    def drop_all(self) -> int:
        """Break all connections; returns how many there were."""
        found = tuple(self.connections)
        for connection in found:
            connection.abort()
            self.leave(connection)
        return len(found)

    def _subscribe(self, connection: Connection, stream: str) -> None:
        self._listeners.setdefault(stream, set()).add(connection)
        connection.streams.add(stream)

    def _unsubscribe(self, connection: Connection, stream: str) -> None:
        heard = self._listeners.get(stream, set())
        heard.discard(connection)
        connection.streams.discard(stream)
        if not heard:
            self._listeners.pop(stream, None)

    async def _broadcast(self, stream: str, message: object, at: int) -> None:
        text = to_json(message).decode()
        for connection in tuple(self._listeners.get(stream, ())):
            await connection.send(stream, text, at)
