"""What a child process does about its parent: read what it says, and end with it."""

import ctypes
import fcntl
import os
import select
import signal
import sys

__all__ = ["die_with_parent", "end_with_stream", "read_settings_line"]

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Make the kernel kill this process when its parent ends.

    Raises:
        SystemExit: The parent has ended already.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
    # The signal is not sent for a parent that ended before the call.
    if os.getppid() != parent_pid:
        raise SystemExit(1)


def end_with_stream(fd: int) -> None:
    """Make the kernel end this process when the other end of a pipe is closed.

    The parent does so when it ends, and when it has done with this process. Whatever is
    written into the pipe ends this process too.

    Raises:
        SystemExit: It is closed already.
    """
    # SIGIO ends a process that does not handle it, so that no thread has to wait here.
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_ASYNC)
    # It may have been closed before.
    if select.select([fd], [], [], 0)[0]:
        raise SystemExit(1)


def read_settings_line(fd: int) -> bytes:
    """Read up to a newline and no further: the end of file comes when the parent ends.

    Returns:
        The line, and its newline.

    Raises:
        SystemExit: The parent ended first.
    """
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(fd, 65536)
        if not piece:
            raise SystemExit(1)
        data += piece
    return data
