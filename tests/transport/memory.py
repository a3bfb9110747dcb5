"""How much memory the process takes, for tests that bound it."""

import resource
from pathlib import Path


def resident_nbytes() -> int:
    """Return how much memory of this process is in use at this moment."""
    num_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return num_pages * resource.getpagesize()
