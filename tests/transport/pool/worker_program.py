"""A worker in a process of its own.

    python -m tests.transport.pool.worker_program CONNECTOR WORKER_ID BEHAVIOUR

CONNECTOR is JSON. It answers each query with its prompt, and each id to give up with an
error; BEHAVIOUR is ``answer``, or ``silent`` to take nothing from its queue.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from busduct.messages import ErrorData, Query, QueryResult, TextModelOutput
from busduct.transport import AnyWorkerConnector

ROOT = Path(__file__).parent.parent.parent.parent


@contextmanager
def worker_process(
    pool: Any, worker_id: int = 0, behaviour: str = "answer"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run this module as a program; end it if it has not ended."""
    connector = msgspec.json.encode(pool.worker_connector).decode()
    command = [sys.executable, "-W", "error", "-m", __name__]
    with subprocess.Popen(
        [*command, connector, str(worker_id), behaviour], cwd=ROOT, env=os.environ
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def answer_of(request: Query | str) -> QueryResult:
    """Return what a worker answers."""
    if isinstance(request, str):
        return QueryResult(id=request, error=ErrorData(error_type="cancelled"))
    output = TextModelOutput(output=request.data["prompt"])
    return QueryResult(id=request.id, response_output=output)


async def main(connector_json: str, worker_id: int, behaviour: str) -> None:
    """Work until killed."""
    connector = msgspec.json.decode(connector_json, type=AnyWorkerConnector)
    async with connector.connect(worker_id) as (receiver, sender):
        if behaviour == "silent":
            await asyncio.Event().wait()
        while (request := await receiver.recv()) is not None:
            await sender.asend(answer_of(request))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
