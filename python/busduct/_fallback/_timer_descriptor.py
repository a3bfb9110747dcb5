"""A descriptor that is readable from a given time on, where the system has such."""

import ctypes
import os
import sys
from typing import Any, Final

__all__ = ["TimerDescriptor"]

# Of <time.h> and <sys/timerfd.h>; `time.monotonic` reads the same clock.
_CLOCK_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1
_NANOSECONDS: Final = 1_000_000_000
# A timeout may be infinite; a machine that is up for a lifetime may wake early.
_MAX_SECONDS: Final = 2.0**31


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class TimerDescriptor:
    """One timer of the kernel; Python itself offers it from 3.13 on.

    Attributes:
        fd: The descriptor; -1 where there is none, and setting it does nothing.
    """

    def __init__(self) -> None:
        self.fd = -1
        self._due = 0.0
        self._library: Any = None
        if sys.platform == "linux":
            self._library = ctypes.CDLL(None, use_errno=True)
            flags = os.O_NONBLOCK | os.O_CLOEXEC
            self.fd = self._library.timerfd_create(_CLOCK_MONOTONIC, flags)

    def set(self, due: float) -> None:
        """Be readable from a time of `time.monotonic` on; 0 for never."""
        if self.fd < 0 or due == self._due:
            return
        self._due = due
        due = min(due, _MAX_SECONDS)
        setting = _Setting()
        setting.value.seconds = int(due)
        setting.value.nanoseconds = int(due % 1 * _NANOSECONDS)
        # Cannot fail: the descriptor is one, and the numbers are in range.
        self._library.timerfd_settime(self.fd, _ABSOLUTE, ctypes.byref(setting), None)

    def on_events(self, mask: int) -> None:
        """Do nothing: whoever was woken looks at the timers."""

    def close(self) -> None:
        """Close it. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
