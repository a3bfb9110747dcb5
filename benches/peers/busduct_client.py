"""The HTTPEndpointClient of busduct."""

import asyncio

import client_driver
from client_task import Task

from busduct.endpoint import HTTPClientConfig, HTTPEndpointClient
from busduct.messages import Query


async def make_client(task: Task) -> HTTPEndpointClient:
    """Start the client and its workers on this loop."""
    config = HTTPClientConfig(endpoint_urls=(task.url,), **task.settings)
    return await HTTPEndpointClient.create(config, asyncio.get_running_loop())


if __name__ == "__main__":
    client_driver.main(make_client, Query)
