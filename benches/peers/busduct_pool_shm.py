"""The worker pool of busduct that requires shared memory."""

from pathlib import Path

import pool_driver

from busduct import messages
from busduct.transport import ShmWorkerPoolTransport

SYSTEM = pool_driver.System(
    Path(__file__).stem, messages, ShmWorkerPoolTransport.create
)

if __name__ == "__main__":
    pool_driver.main(SYSTEM)
