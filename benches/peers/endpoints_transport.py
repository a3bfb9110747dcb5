"""The worker pool of mlcommons/endpoints, as its checkout has it."""

from pathlib import Path

import endpoints_source
import pool_driver

endpoints_source.add_to_path()

from inference_endpoint.async_utils.transport import (  # noqa: E402
    ZmqWorkerPoolTransport,
)
from inference_endpoint.core import types  # noqa: E402

SYSTEM = pool_driver.System(Path(__file__).stem, types, ZmqWorkerPoolTransport.create)

if __name__ == "__main__":
    pool_driver.main(SYSTEM)
