"""Calls that wait for others to end: bounded, and clients take turns."""

from collections import OrderedDict

from busduct.transport.rpc._call import Call
from busduct.transport.rpc._limits import RpcLimits

__all__ = ["Backlog"]


class _Queue:
    """The calls of one client that wait, by request id."""

    def __init__(self) -> None:
        self.calls: OrderedDict[int, Call] = OrderedDict()
        self.nbytes = 0


class Backlog:
    """Waiting calls of all clients.

    Attributes:
        num_queued: How many there are.
    """

    def __init__(self, limits: RpcLimits) -> None:
        self._limits = limits
        self._queues: dict[bytes, _Queue] = {}
        self._turns: OrderedDict[bytes, None] = OrderedDict()
        self._paused: set[bytes] = set()
        self._nbytes = 0
        self.num_queued = 0

    def add(self, call: Call) -> bool:
        """Keep a call until it is taken; False if a limit stands in the way."""
        limits = self._limits
        queue = self._queues.get(call.client) or _Queue()
        if (
            self.num_queued >= limits.max_queued
            or len(queue.calls) >= limits.max_queued_per_client
            or self._nbytes + call.nbytes > limits.max_queued_bytes
            or queue.nbytes + call.nbytes > limits.max_queued_bytes_per_client
        ):
            return False
        self._queues[call.client] = queue
        queue.calls[call.request_id] = call
        self._count(queue, call, 1)
        if call.client not in self._paused:
            self._turns[call.client] = None
        return True

    def has(self, client: bytes, request_id: int) -> bool:
        """Tell whether a call waits here."""
        queue = self._queues.get(client)
        return queue is not None and request_id in queue.calls

    def take(self) -> Call | None:
        """Take the oldest call of the client whose turn it is."""
        if not self._turns:
            return None
        client, _ = self._turns.popitem(last=False)
        queue = self._queues[client]
        _, call = queue.calls.popitem(last=False)
        self._count(queue, call, -1)
        if self._forget_if_empty(client, queue):
            return call
        self._turns[client] = None
        return call

    def remove(self, client: bytes, request_id: int) -> Call | None:
        """Take one call out, if it waits here."""
        queue = self._queues.get(client)
        call = queue.calls.pop(request_id, None) if queue else None
        if queue is None or call is None:
            return None
        self._count(queue, call, -1)
        self._forget_if_empty(client, queue)
        return call

    def remove_client(self, client: bytes) -> list[Call]:
        """Take all calls of a client out."""
        self._paused.discard(client)
        queue = self._queues.pop(client, None)
        if queue is None:
            return []
        self._turns.pop(client, None)
        for call in queue.calls.values():
            self._count(queue, call, -1)
        return list(queue.calls.values())

    def remove_all(self) -> list[Call]:
        """Take all calls out."""
        return [call for c in list(self._queues) for call in self.remove_client(c)]

    def pause(self, client: bytes) -> None:
        """Let a client have no turns until `resume`."""
        self._paused.add(client)
        self._turns.pop(client, None)

    def resume(self, client: bytes) -> None:
        """Let a client have turns again."""
        self._paused.discard(client)
        if client in self._queues:
            self._turns[client] = None

    def _count(self, queue: _Queue, call: Call, sign: int) -> None:
        self.num_queued += sign
        self._nbytes += sign * call.nbytes
        queue.nbytes += sign * call.nbytes

    def _forget_if_empty(self, client: bytes, queue: _Queue) -> bool:
        if queue.calls:
            return False
        del self._queues[client]
        self._turns.pop(client, None)
        return True
