"""Either side of a worker pool on pyzmq and bare msgpack, as a process of its own.

    python tests/interop/pool_program.py worker REQUEST RESPONSE READINESS
    python tests/interop/pool_program.py pool REQUEST RESPONSE READINESS

The worker answers each query with a chunk and a result, and ends after one whose prompt
is ``stop``. The pool sends three queries and prints what comes, as JSON.
"""

import json
import sys
from typing import Any

import msgspec
import zmq

TIMEOUT_MS = 20_000
WORKER_ID = 0


def opened(context: Any, kind: int) -> Any:
    sock = context.socket(kind)
    sock.rcvtimeo = sock.sndtimeo = sock.linger = TIMEOUT_MS
    return sock


def work(context: Any, request: str, response: str, readiness: str) -> None:
    requests, responses = opened(context, zmq.PULL), opened(context, zmq.PUSH)
    requests.connect(request)
    responses.connect(response)
    ready = opened(context, zmq.PUSH)
    ready.connect(readiness)
    ready.send(msgspec.msgpack.encode(WORKER_ID))
    while True:
        query_id, data, *_ = msgspec.msgpack.decode(requests.recv())
        prompt = data["prompt"]
        output = ["TextModelOutput", prompt.upper()]
        for message in (
            ["stream_chunk", query_id, prompt[:1], {"first_chunk": True}],
            ["query_result", query_id, output, {"worker_id": WORKER_ID}],
        ):
            responses.send(msgspec.msgpack.encode(message))
        if prompt == "stop":
            return


def drive(context: Any, request: str, response: str, readiness: str) -> None:
    requests, responses = opened(context, zmq.PUSH), opened(context, zmq.PULL)
    ready = opened(context, zmq.PULL)
    requests.bind(request)
    responses.bind(response)
    ready.bind(readiness)
    said = [msgspec.msgpack.decode(ready.recv())]
    for name in "abc":
        query = [name, {"prompt": f"about {name}"}, {"x": "y"}, 12.5]
        requests.send(msgspec.msgpack.encode(query))
        said += [msgspec.msgpack.decode(responses.recv()) for _ in range(2)]
    print(json.dumps(said))  # noqa: T201


if __name__ == "__main__":
    side, *endpoints = sys.argv[1:]
    with zmq.Context() as zmq_context:
        {"worker": work, "pool": drive}[side](zmq_context, *endpoints)
