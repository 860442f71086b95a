"""No test reaches out: a connection to anything but this machine raises, in pytest and in the Pythons it starts.

An audit hook sees every connection that Python makes, asyncio's and aiohttp's too. tests/conftest.py installs it in
pytest's process and puts this folder on PYTHONPATH, where each Python that a test starts finds it by this file's name.
What is raised is no OSError: a client that retries on network errors must not hide it.
"""

import ipaddress
import sys

# The first argument of these is the socket, the second the address; of the others the first is the host.
_SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname")


class NetworkUseError(RuntimeError):
    """A test, or the code it runs, tried to reach another machine."""


def is_here(host: object) -> bool:
    """Whether a host is this machine: a loopback address, "localhost", or none (any interface)."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(name).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse_outside(event: str, arguments: tuple[object, ...]) -> None:
    if event in _SENDS:
        address = arguments[1]
        # A path, or none at all, is a socket within this machine, or one connected before.
        if not isinstance(address, tuple) or not address:
            return
        host = address[0]
    elif event in _LOOKUPS:
        host = arguments[0]
    else:
        return
    if not is_here(host):
        raise NetworkUseError(f"a test tried to reach {host!r} ({event}); tests may reach 127.0.0.1 and ::1 alone")


sys.addaudithook(_refuse_outside)
