"""What a child process does about its parent: read what it says, and end with it."""

import ctypes
import os
import signal
import sys

__all__ = ["die_with_parent", "read_settings_line"]

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
