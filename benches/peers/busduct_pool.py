"""The worker pool of busduct over ZeroMQ sockets, which move into shared memory."""

from pathlib import Path

import pool_driver

from busduct import messages
from busduct.transport import ZmqWorkerPoolTransport

SYSTEM = pool_driver.System(
    Path(__file__).stem, messages, ZmqWorkerPoolTransport.create
)

if __name__ == "__main__":
    pool_driver.main(SYSTEM)
