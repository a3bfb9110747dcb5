"""The worker pool of busduct in shared memory, which may spin for a millisecond."""

import functools
from pathlib import Path

import pool_driver

from busduct import messages
from busduct.transport import ShmWorkerPoolTransport

SYSTEM = pool_driver.System(
    Path(__file__).stem,
    messages,
    functools.partial(ShmWorkerPoolTransport.create, spin=1e-3),
)

if __name__ == "__main__":
    pool_driver.main(SYSTEM)
