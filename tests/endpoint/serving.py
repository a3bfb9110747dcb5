"""Echo servers in a thread of their own, and clients of them."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from busduct._loop_thread import Job, LoopThread
from busduct.endpoint import HTTPClientConfig
from busduct.endpoint.echo import Delay, EchoConfig, EchoServer
from busduct.messages import Query, QueryResult, StreamChunk

# Longer than any test takes.
NEVER = Delay(mean=3600.0)


@contextmanager
def serving(**settings: Any) -> Iterator[EchoServer]:
    """Serve an echo of each prompt, whatever the test's own thread does."""
    thread = LoopThread("echo-server")
    try:
        server = EchoServer(EchoConfig(**{"mode": "variable", "echo": True} | settings))
        run_in(thread.loop, server.start)
        try:
            yield server
        finally:
            run_in(thread.loop, server.aclose)
    finally:
        thread.stop()
        thread.join()


def run_in(
    loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, Any]]
) -> Any:
    """Run a coroutine in the loop of another thread."""
    return Job(loop, "work of a test", work).wait()


def config_of(*servers: EchoServer, **settings: Any) -> HTTPClientConfig:
    """Return settings that start no more than they must."""
    fewest = {"num_workers": len(servers), "warmup_connections": 0}
    urls = [server.url for server in servers]
    return HTTPClientConfig(endpoint_urls=urls, **(fewest | settings))


def query(prompt: str, **settings: Any) -> Query:
    data = {"prompt": prompt, "max_completion_tokens": len(prompt)}
    return Query(data=data | settings.pop("data", {}), **settings)


def text_of(item: QueryResult | StreamChunk | None) -> str:
    assert isinstance(item, QueryResult)
    assert item.error is None, item.error
    return item.get_response_output_string()


def error_of(item: QueryResult | StreamChunk | None) -> str:
    assert isinstance(item, QueryResult)
    assert item.error is not None, item
    return item.error.error_type


def thread_names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}
