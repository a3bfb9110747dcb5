"""How much memory the process takes, for tests that bound it."""

import os
import resource
from pathlib import Path


def resident_nbytes() -> int:
    """Return how much memory of this process is in use at this moment.

    0 under AddressSanitizer, which keeps what is freed to see whether it is used again.
    """
    if "ASAN_OPTIONS" in os.environ:
        return 0
    num_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return num_pages * resource.getpagesize()
