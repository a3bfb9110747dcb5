"""The HTTPEndpointClient of mlcommons/endpoints, as its checkout has it."""

import asyncio
from typing import Any

import client_driver
import endpoints_source
from client_task import Task

endpoints_source.add_to_path()

from inference_endpoint.core.types import Query  # noqa: E402
from inference_endpoint.endpoint_client.config import HTTPClientConfig  # noqa: E402
from inference_endpoint.endpoint_client.http_client import (  # noqa: E402
    HTTPEndpointClient,
)


async def make_client(task: Task) -> Any:
    """Start the client and its workers on this loop."""
    config = HTTPClientConfig(endpoint_urls=[task.url], **task.settings)
    return await HTTPEndpointClient.create(config, asyncio.get_running_loop())


if __name__ == "__main__":
    client_driver.main(make_client, Query)
