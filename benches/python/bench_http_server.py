"""Server-sent events per second: uvicorn against granian, in the frontend's process.

Each case starts one server process whose loop (uvloop) also makes the events, as the
frontend's does, and one client process that reads 1 or 64 streams to their end. Servers
take turns, so that a slow minute of the machine hits both. Afterwards four facts are
checked per server: a client that leaves is reported to the application, a stop request
lets a running stream finish, a client that stops reading stops the application too, and
a port in use is refused.

    python benches/python/bench_http_server.py [--runs 5] [--events 40000]
"""

import argparse
import asyncio
import importlib.metadata
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

SERVERS = ("uvicorn", "granian")
EVENT = (
    b'data: {"id":"cmpl-0123456789abcdef","object":"text_completion",'
    b'"created":1760000000,"model":"embedded","choices":[{"index":0,"text":" word",'
    b'"logprobs":null,"finish_reason":null}]}\n\n'
)
STARTUP_S = 10.0


def make_app(stop: asyncio.Event) -> Starlette:
    """Return an application whose streams suspend once per event, as a token's do."""
    departed = asyncio.Event()

    async def events(count: int, pause: float) -> AsyncIterator[bytes]:
        try:
            for _ in range(count):
                await asyncio.sleep(pause)
                yield EVENT
        except (asyncio.CancelledError, GeneratorExit):
            departed.set()
            raise

    async def stream(request: Request) -> Response:
        query = request.query_params
        return StreamingResponse(
            events(int(query["count"]), float(query.get("pause", "0"))),
            media_type="text/event-stream",
        )

    async def gone(_: Request) -> Response:
        try:
            await asyncio.wait_for(departed.wait(), 2.0)
        except TimeoutError:
            return Response("no")
        return Response("yes")

    async def halt(_: Request) -> Response:
        stop.set()
        return Response("stopping")

    return Starlette(
        routes=[
            Route("/stream", stream),
            Route("/gone", gone),
            Route("/halt", halt),
        ]
    )


async def serve(name: str, port: int) -> None:
    stop = asyncio.Event()
    app = make_app(stop)
    if name == "uvicorn":
        import uvicorn

        config = uvicorn.Config(
            app, port=port, http="httptools", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve())
        await stop.wait()
        server.should_exit = True
    else:
        from granian.constants import Interfaces
        from granian.server.embed import Server

        embedded = Server(
            app, port=port, interface=Interfaces.ASGI, log_enabled=False, backlog=128
        )
        running = asyncio.create_task(embedded.serve())
        await stop.wait()
        embedded.stop()
    await running


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(20.0)
        client.sendall(
            f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()
        )
        body = b""
        while chunk := client.recv(65536):
            body += chunk
        return body


def start(name: str) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", name, "--port", str(port)]
    )
    deadline = time.monotonic() + STARTUP_S
    while True:
        try:
            get(port, "/stream?count=1")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return process, port


def read_streams(port: int, streams: int, count: int, pause: float) -> float:
    """Return events per second over `streams` connections of `count` events each."""
    with selectors.DefaultSelector() as selector:
        path = f"/stream?count={count}&pause={pause}"
        request = f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
        clients = []
        for _ in range(streams):
            client = socket.create_connection(("127.0.0.1", port))
            selector.register(client, selectors.EVENT_READ, [0, b""])
            clients.append(client)
        begin = time.perf_counter()
        for client in clients:
            client.sendall(request)
        seen = pending = 0
        pending = streams
        while pending:
            for key, _ in selector.select(20.0):
                chunk = key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
                tail = key.data[1] + chunk
                key.data[0] += chunk.count(b"data: ")
                key.data[1] = tail[-5:]
                if tail.endswith(b"0\r\n\r\n") or not chunk:
                    selector.unregister(key.fileobj)
                    seen += key.data[0]
                    pending -= 1
        elapsed = time.perf_counter() - begin
        for client in clients:
            client.close()
    # A header split between two reads would be missed; at most a handful may be.
    if seen < 0.999 * streams * count:
        msg = f"{seen} events arrived of {streams * count}"
        raise RuntimeError(msg)
    return seen / elapsed


def notices_departure(port: int) -> str:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET /stream?count=1000&pause=0.01 HTTP/1.1\r\nhost: x\r\n\r\n")
    client.recv(1024)
    client.close()
    return "yes" if get(port, "/gone").endswith(b"yes") else "no"


def drains(process: subprocess.Popen[bytes], port: int) -> str:
    """Say how a stop request treats a stream of 50 events that takes half a second."""
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(10.0)
    client.sendall(b"GET /stream?count=50&pause=0.01 HTTP/1.1\r\nhost: x\r\n\r\n")
    body = client.recv(65536)
    get(port, "/halt")
    try:
        while chunk := client.recv(65536):
            body += chunk
    except OSError as error:
        return f"stream broken: {error!r}"
    try:
        code = process.wait(10.0)
    except subprocess.TimeoutExpired:
        return "did not exit"
    whole = body.endswith(b"0\r\n\r\n") and body.count(b"data: ") == 50
    return f"{'stream finished' if whole else 'stream cut'}, exit code {code}"


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def growth_under_stall(pid: int, port: int) -> int:
    """Return bytes by which the server grows for a client that asks and never reads."""
    before = resident_bytes(pid)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /stream?count=1000000 HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(3.0)
        return resident_bytes(pid) - before


def second_server(name: str, port: int) -> str:
    try:
        subprocess.run(
            [sys.executable, __file__, "--serve", name, "--port", str(port)],
            stderr=subprocess.DEVNULL,
            timeout=3.0,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "starts"
    return "refused"


def measure(runs: int, events: int) -> None:
    names = ("starlette", "uvicorn", "httptools", "uvloop", "granian")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))
    print(f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, {events} events")
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    cases = {
        "1 stream": (1, events, 0.0),
        "64 streams": (64, events // 64, 0.0),
        "64 streams, 100 events/s each": (64, 200, 0.01),
    }
    for _ in range(runs):
        for case, (streams, count, pause) in cases.items():
            for name in SERVERS:
                process, port = start(name)
                try:
                    used = cpu_seconds(process.pid)
                    rate = read_streams(port, streams, count, pause)
                    used = (cpu_seconds(process.pid) - used) / (streams * count)
                    rates.setdefault((name, case), []).append(rate)
                    costs.setdefault((name, case), []).append(1e6 * used)
                finally:
                    process.kill()
                    process.wait()
    for (name, case), found in rates.items():
        print(
            f"{name:8} {case:30} median {statistics.median(found):8.0f}"
            f"  min {min(found):8.0f}  max {max(found):8.0f} events/s"
            f"  {statistics.median(costs[name, case]):5.1f} us of CPU an event"
        )
    for name in SERVERS:
        process, port = start(name)
        try:
            print(f"{name:8} client that leaves is noticed: {notices_departure(port)}")
            print(f"{name:8} stop under a stream: {drains(process, port)}")
            stalled, port = start(name)
            print(f"{name:8} a second server at its port: {second_server(name, port)}")
            grown = growth_under_stall(stalled.pid, port)
            stalled.kill()
            stalled.wait()
            print(f"{name:8} grows for a stalled reader: {grown / 1e6:.1f} MB")
        finally:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        import uvloop

        uvloop.run(serve(args.serve, args.port))
    else:
        measure(args.runs, args.events)


if __name__ == "__main__":
    main()
