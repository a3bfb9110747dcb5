"""What clients see when a process dies, and when they leave."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.processes.conditions import wait_gone
from tests.server.hosting import Reply
from tests.server.live import SLOW, Service, serving

COMPLETIONS = "/v1/completions"
NUM_STREAMS = 20
# By itself a request goes on until the end of the context, for 25 seconds.
ERROR_WITHIN = 15.0


def ask(**fields: object) -> dict[str, object]:
    return {"model": "alphabet", "prompt": "a", "max_tokens": 10**6, **fields}


def num_restarts_of(health: dict[str, Any], name: str) -> int:
    (number,) = (p["num_restarts"] for p in health["processes"] if p["name"] == name)
    return int(number)


class Streams:
    """Many streams, each read to its end in a thread of its own."""

    def __init__(
        self, service: Service, count: int = NUM_STREAMS, max_tokens: int = 10**6
    ) -> None:
        self._service = service
        self._body = ask(stream=True, max_tokens=max_tokens)
        self._pool = ThreadPoolExecutor(count)
        self._ends = [self._pool.submit(self._read) for _ in range(count)]

    def _read(self) -> tuple[Reply, float]:
        reply = self._service.post(COMPLETIONS, self._body)
        return reply, time.monotonic()

    def ends(self) -> list[tuple[Reply, float]]:
        """Return each stream's reply, and when it ended."""
        found = [end.result(50) for end in self._ends]
        self._pool.shutdown()
        return found


@pytest.mark.parametrize("name", ["scheduler", "detokenizer"])
def test_streams_end_with_an_error_when_a_process_dies(
    slow_service: Service, name: str
) -> None:
    service = slow_service
    pid = service.pid_of(name)
    streams = Streams(service)
    service.until(lambda health: health["num_running"] == NUM_STREAMS)
    killed = time.monotonic()
    _kill(pid)
    # It may be back before anybody asks.
    service.until(
        lambda health: health["status"] == "degraded" or num_restarts_of(health, name)
    )
    for reply, ended in streams.ends():
        assert ended - killed < ERROR_WITHIN
        if reply.status == 200:
            assert reply.events[-1]["error"]["code"] == "worker_died"
        else:
            assert (reply.status, reply.error["code"]) == (503, "worker_died")
    health = service.until(lambda health: health["status"] == "ok")
    assert health["num_running"] == 0
    assert num_restarts_of(health, name) == 1
    assert service.pid_of(name) != pid
    again = service.post(COMPLETIONS, ask(max_tokens=3))
    assert again.json["choices"][0]["text"] == "bcd"


def test_a_whole_reply_ends_with_an_error_too(slow_service: Service) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(slow_service.post, COMPLETIONS, ask())
        slow_service.until(lambda health: health["num_running"] == 1)
        _kill(slow_service.pid_of("scheduler"))
        reply = asked.result(50)
    assert (reply.status, reply.error["code"]) == (503, "worker_died")


@pytest.mark.parametrize("stream", [False, True])
def test_leaving_aborts_the_request_in_the_scheduler(
    slow_service: Service, stream: bool
) -> None:
    with slow_service.open(COMPLETIONS, ask(stream=stream)) as peer:
        slow_service.until(lambda health: health["num_running"] == 1)
        if stream:
            assert peer.recv(1000)
    left = time.monotonic()
    slow_service.until(lambda health: health["num_running"] == 0)
    assert time.monotonic() - left < ERROR_WITHIN


def test_nothing_outlives_a_killed_service(slow_service: Service) -> None:
    pids = slow_service.pids()
    with slow_service.open(COMPLETIONS, ask(stream=True)) as peer:
        assert peer.recv(1000)
        slow_service.process.kill()
        slow_service.process.wait(20)
        wait_gone(pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_streams_finish(
    slow_service: Service, number: signal.Signals
) -> None:
    service = slow_service
    pids = service.pids()
    streams = Streams(service, max_tokens=60)
    service.until(lambda health: health["num_running"] == NUM_STREAMS)
    if number == signal.SIGINT:
        _signal_group(service, number)
    else:
        service.signal(number)
    for reply, _ in streams.ends():
        assert reply.events[-1] == "[DONE]"
        assert reply.events[-2]["choices"][0]["finish_reason"] == "length"
    assert service.process.wait(20) == 0
    wait_gone(pids, timeout=0)


def test_an_idle_service_ends_at_once(slow_service: Service) -> None:
    slow_service.signal(signal.SIGTERM)
    # Before the drain timeout, of 30 seconds.
    assert slow_service.process.wait(20) == 0


def test_a_second_signal_ends_it_at_once(slow_service: Service) -> None:
    pids = slow_service.pids()
    with slow_service.open(COMPLETIONS, ask(stream=True)) as peer:
        assert peer.recv(1000)
        _signal_group(slow_service, signal.SIGINT)
        _until_refused(slow_service)
        _signal_group(slow_service, signal.SIGINT)
        # With the status of one that was cut short: the request did not end by itself.
        assert slow_service.process.wait(20) == 130
    wait_gone(pids, timeout=0)


def test_streams_over_the_drain_timeout_end_with_an_error(
    alphabet_model: Path,
) -> None:
    settings = ("--model", str(alphabet_model), "--runner", SLOW)
    with serving(*settings, "--drain-timeout", "0.2") as service:
        streams = Streams(service, 3)
        service.until(lambda health: health["num_running"] == 3)
        service.signal(signal.SIGTERM)
        for reply, _ in streams.ends():
            # One whose stream had not begun gets the error as its whole reply.
            error = reply.events[-1]["error"] if reply.status == 200 else reply.error
            assert error["code"] == "shutting_down"
        assert service.process.wait(20) == 1


def test_a_service_whose_restarts_are_used_up_says_so(slow_service: Service) -> None:
    service = slow_service
    for restarts in (1, 2, 3):
        _kill(service.pid_of("scheduler"))
        service.until(
            lambda health, restarts=restarts: (
                health["status"] == "ok"
                and health["processes"][0]["num_restarts"] == restarts
            )
        )
    _kill(service.pid_of("scheduler"))
    service.until(lambda health: health["status"] == "dead")
    assert service.get("/health").status == 503
    assert "scheduler" in service.health["last_error"]
    reply = service.post(COMPLETIONS, ask())
    assert (reply.status, reply.error["code"]) == (503, "engine_dead")
    service.signal(signal.SIGTERM)
    assert service.process.wait(20) == 0


def test_a_request_over_the_limit_is_told_to_come_later(alphabet_model: Path) -> None:
    settings = ("--model", str(alphabet_model), "--runner", SLOW)
    limits = ("--max-batch-size", "1", "--max-waiting", "1")
    with serving(*settings, *limits) as service:
        streams = Streams(service, 2, max_tokens=40)
        service.until(lambda health: health["num_running"] == 2)
        reply = service.post(COMPLETIONS, ask())
        assert (reply.status, reply.error["code"]) == (429, "overloaded")
        assert [reply.status for reply, _ in streams.ends()] == [200, 200]


def test_a_key_from_the_environment_is_asked_for(alphabet_model: Path) -> None:
    settings = ("--model", str(alphabet_model), "--runner", SLOW)
    with serving(*settings, "--host", "0.0.0.0", BUSDUCT_API_KEY="k3y") as service:
        assert service.get("/v1/models").status == 401
        headers = {"authorization": "Bearer k3y"}
        assert service.get("/v1/models", headers).status == 200
        # Everybody may read the arguments of a process.
        command = Path(f"/proc/{service.process.pid}/cmdline").read_bytes()
        assert b"k3y" not in command


def _until_refused(service: Service) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", service.port), 5).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            # It was in the queue of the listener when that was closed.
            continue
    pytest.fail("it still listens")


def _kill(pid: int) -> None:
    # Through a descriptor: the number itself may belong to another process by then.
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    finally:
        os.close(fd)


def _signal_group(service: Service, number: signal.Signals) -> None:
    """Signal all processes of the service, as a terminal does at Ctrl-C."""
    os.killpg(service.process.pid, number)
