"""A network with nothing in it but a loopback interface."""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: linux/sched.h, linux/sockios.h, linux/if.h
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP_AND_RUNNING = 0x1 | 0x40


@contextmanager
def only_loopback() -> Iterator[None]:
    """Move this thread, and the threads and processes that it starts, into such a network; root's privilege.

    The network goes with the last process in it.

    Raises:
        OSError: when this process may not do that.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def checked(status: int) -> None:
        if status:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    with Path("/proc/thread-self/ns/net").open() as before:
        checked(libc.unshare(CLONE_NEWNET))
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP_AND_RUNNING))
            yield
        finally:
            checked(libc.setns(before.fileno(), CLONE_NEWNET))
