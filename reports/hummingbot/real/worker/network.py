"""The network is refused before Hummingbot is imported, in every way that this system lets a process refuse it.

Three layers, each on its own enough for well-meaning code: a network namespace without interfaces and a system call
filter (Linux; both hold for compiled libraries and child processes too), and an audit hook (everywhere; it sees what
Python code does). `refuse_network` says which hold.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from pathlib import Path
from typing import Final

_LOCAL_SOCKETS: Final = 1  # AF_UNIX, on every system that has it
_ADDRESSED: Final = frozenset({"socket.bind", "socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKUPS: Final = frozenset(
    {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
)
_OFFSET_ARCHITECTURE: Final = 4
_OFFSET_NUMBER: Final = 0
_OFFSET_FIRST_ARGUMENT: Final = 16
# Audit name of the machine, and its numbers of socket(2) and of io_uring_setup(2), which opens sockets by another way.
_MACHINES: Final = {"x86_64": (0xC000003E, 41, 425), "aarch64": (0xC00000B7, 198, 425)}
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000


class NetworkRefusedError(PermissionError):
    """Something in this process asked for the network."""


def refuse_network() -> list[str]:
    """Shut the network off for this process and its children; call it before any thread is started.

    Returns:
        The layers that hold: "namespace", "seccomp", "audit hook"; the last one always.
    """
    layers = [name for name, shut in (("namespace", _leave_network), ("seccomp", _filter_calls)) if shut()]
    sys.addaudithook(_refuse)
    return [*layers, "audit hook"]


def _leave_network() -> bool:
    """Enter a namespace without interfaces: as root at once, else within a user namespace, where those are allowed."""
    unshare = getattr(os, "unshare", None)
    if unshare is None:
        return False
    user, group = os.getuid(), os.getgid()
    try:
        unshare(os.CLONE_NEWNET)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        try:
            unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        # The same user inside as outside; without this every file would belong to nobody.
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            try:
                Path("/proc/self", name).write_text(text, encoding="ascii")
            except OSError:
                break
    return True


def _filter_calls() -> bool:
    """Have the kernel refuse every socket that is not local to this machine's file system."""
    machine = _MACHINES.get(platform.machine())
    if not sys.platform.startswith("linux") or machine is None or sys.maxsize < 2**32:
        return False
    architecture, socket_call, ring_call = machine
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    program = [
        (load, 0, 0, _OFFSET_ARCHITECTURE),
        (equal, 0, 7, architecture),  # another machine's calls: refuse
        (load, 0, 0, _OFFSET_NUMBER),
        (at_least, 5, 0, 0x40000000),  # x86's second table of calls: refuse
        (equal, 4, 0, ring_call),
        (equal, 0, 2, socket_call),
        (load, 0, 0, _OFFSET_FIRST_ARGUMENT),
        (equal, 0, 1, _LOCAL_SOCKETS),
        (give, 0, 0, _ALLOW),
        (give, 0, 0, _REFUSE | errno.EACCES),
    ]
    packed = b"".join(struct.pack("HBBI", *step) for step in program)
    steps = ctypes.create_string_buffer(packed, len(packed))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    filter_ = Program(len(program), ctypes.addressof(steps))
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return False
        return int(prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0)) == 0
    except (AttributeError, OSError):
        return False


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.__new__":
        wanted: object = f"family {arguments[1]!r}"
        local = arguments[1] in (_LOCAL_SOCKETS, -1)  # -1: round a socket that is there, and was let through
    elif event in _ADDRESSED:
        wanted = arguments[1]
        local = not isinstance(wanted, tuple)  # a path, or none: a socket within this machine
    elif event in _LOOKUPS:
        wanted, local = arguments[0], False
    else:
        return
    if not local:
        raise NetworkRefusedError(errno.EACCES, f"the network is refused here ({event}: {wanted})")
