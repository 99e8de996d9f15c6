"""Takes from this process, for good, what the code of a tree does not need: the network, all memory, huge files."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_GIBIBYTE = 2**30
_LARGEST_FILE = _GIBIBYTE
_LEAST_MEMORY = 4 * _GIBIBYTE
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET
_DEATH_SIGNAL, _NO_NEW_PRIVILEGES = 1, 38  # of prctl(2)
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
_CAPABILITIES = 0x20080522  # the version of capset(2)'s arguments


def confine() -> None:
    """Limit memory to three quarters of the machine's, files to 1 GiB, and cut the network off where that can be done.

    To be called before there are threads. What starts from here has the same limits.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _LARGEST_FILE)
    _limit(resource.RLIMIT_DATA, memory_limit())
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None, use_errno=True)
            library.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
            library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
            _cut_network(library)


def memory_limit() -> int:
    """Bytes that a process which runs a tree may have."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(3 * whole // 4, _LEAST_MEMORY)


def _limit(which: int, amount: int) -> None:
    with suppress(OSError, ValueError):
        _, most = resource.getrlimit(which)
        amount = amount if most == resource.RLIM_INFINITY else min(amount, most)
        resource.setrlimit(which, (amount, amount))


def _cut_network(library: ctypes.CDLL) -> None:
    """A network of this process's own, in which there is nothing but itself."""
    user, group = os.geteuid(), os.getegid()
    if user == 0 and library.unshare(_NEW_NETWORK) == 0:
        _loop_back()
        return
    if library.unshare(_NEW_USER | _NEW_NETWORK) != 0:
        return
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")
    _loop_back()
    _drop_capabilities(library)


def _loop_back() -> None:
    """Let the process reach itself."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags: Sequence[int] = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _GET_FLAGS, request))[1:]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags[0] | _UP))


def _drop_capabilities(library: ctypes.CDLL) -> None:
    """Of a user space of its own a process is the master; it need not be."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
    library.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))


def _write(path: str, text: str) -> None:
    with suppress(OSError):
        Path(path).write_text(text)
