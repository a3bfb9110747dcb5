"""Requests by aiohttp, on one session, with nothing on that is not needed."""

import asyncio

import http_task
from driver import skip

from busduct.endpoint import SSEParser

try:
    import aiohttp
except ImportError:
    skip("aiohttp is not installed")

HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


async def ask(task: http_task.Task) -> None:
    connector = aiohttp.TCPConnector(
        limit=task.num_connections, keepalive_timeout=60.0, ttl_dns_cache=300
    )
    async with aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        lines = [one_by_one(task, session) for _ in range(task.num_connections)]
        await asyncio.gather(*lines)


async def one_by_one(task: http_task.Task, session: aiohttp.ClientSession) -> None:
    url = f"http://127.0.0.1:{task.port}/v1/chat/completions"
    goes_on = True
    while goes_on:
        async with session.post(url, data=http_task.BODY) as response:
            came: bytes | int
            if task.num_events:
                came = 0
                parser = SSEParser()
                async for chunk in response.content.iter_any():
                    came += len(parser.feed(chunk))
            else:
                came = await response.read()
        goes_on = task.note(came)


if __name__ == "__main__":
    http_task.main(ask)
