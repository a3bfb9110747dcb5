"""The four standard queues of an inference service, by the roles that its parts have.

======== =========================== =========================
queue    from                        to
======== =========================== =========================
`q_a2e`  API server                  engine
`q_e2w`  engine                      worker
`q_w2e`  worker                      engine
`q_e2a`  engine                      API server
======== =========================== =========================
"""

import os
from collections.abc import Awaitable

from busduct.fmq._class_or_instance import of_class_or_instance
from busduct.fmq._config import Role
from busduct.fmq.fmq import FMQ
from busduct.fmq.queue import Queue

__all__ = ["FMQFactory"]

# What the class itself uses, by process: a forked child makes its own.
_of_process: dict[int, FMQ] = {}


class FMQFactory:
    """Makes standard queues, all of one `FMQ`, and so with one context in each loop.

    Its methods may be called on the class too. They then use an `FMQ` of the process's
    own, which is made when it is first needed, from what ``FMQ_CONFIG_JSON`` says then.

    The optional name tells queues of the same kind apart, such as those of several
    workers: the queue of ``q_e2w_producer("w0")`` is ``q_e2w_w0``.

    Args:
        fmq: Whose queues they are; None for the process's own.
    """

    def __init__(self, fmq: FMQ | None = None) -> None:
        self._fmq = fmq

    @of_class_or_instance
    def q_a2e_producer(self, name: str | None = None) -> Queue:
        """Return the API server's end of a queue to the engine.

        Raises:
            ClosedError: The `FMQ` is closed.
            ConfigError: It cannot be a name; or what the environment says is wrong.
        """
        return self._queue("q_a2e", name, Role.PRODUCER)

    @of_class_or_instance
    def q_a2e_consumer(self, name: str | None = None) -> Queue:
        """Return the engine's end of a queue from the API server; as `q_a2e_producer`.

        Raises:
            ClosedError: As there.
            ConfigError: As there.
        """
        return self._queue("q_a2e", name, Role.CONSUMER)

    @of_class_or_instance
    def q_e2w_producer(self, name: str | None = None) -> Queue:
        """Return the engine's end of a queue to a worker; as `q_a2e_producer`.

        Raises:
            ClosedError: As there.
            ConfigError: As there.
        """
        return self._queue("q_e2w", name, Role.PRODUCER)

    @of_class_or_instance
    def q_e2w_consumer(self, name: str | None = None) -> Queue:
        """Return a worker's end of a queue from the engine; as `q_a2e_producer`.

        Raises:
            ClosedError: As there.
            ConfigError: As there.
        """
        return self._queue("q_e2w", name, Role.CONSUMER)

    @of_class_or_instance
    def q_w2e_producer(self, name: str | None = None) -> Queue:
        """Return a worker's end of a queue to the engine; as `q_a2e_producer`.

        Raises:
            ClosedError: As there.
            ConfigError: As there.
        """
        return self._queue("q_w2e", name, Role.PRODUCER)

    @of_class_or_instance
    def q_w2e_consumer(self, name: str | None = None) -> Queue:
        """Return the engine's end of a queue from a worker; as `q_a2e_producer`.

        Raises:
            ClosedError: As there.
            ConfigError: As there.
        """
        return self._queue("q_w2e", name, Role.CONSUMER)

    @of_class_or_instance
    def q_e2a_producer(self, name: str | None = None) -> Queue:
        """Return the engine's end of a queue to the API server; as `q_a2e_producer`.

        Raises:
            ClosedError: As there.
            ConfigError: As there.
        """
        return self._queue("q_e2a", name, Role.PRODUCER)

    @of_class_or_instance
    def q_e2a_consumer(self, name: str | None = None) -> Queue:
        """Return the API server's end of a queue from the engine; as `q_a2e_producer`.

        Raises:
            ClosedError: As there.
            ConfigError: As there.
        """
        return self._queue("q_e2a", name, Role.CONSUMER)

    @of_class_or_instance
    def destroy(self) -> Awaitable[None]:
        """Close the `FMQ`, as its `close` does. Idempotent.

        On the class, the next call makes a new one.
        """
        if self._fmq is not None:
            return self._fmq.close()
        # One that was just made closes as well as none.
        return (_of_process.pop(os.getpid(), None) or FMQ({})).close()

    def _queue(self, kind: str, name: str | None, role: Role) -> Queue:
        fmq = self._fmq or _fmq_of_process()
        return fmq.queue(kind if name is None else f"{kind}_{name}", role)


def _fmq_of_process() -> FMQ:
    fmq = _of_process.get(os.getpid())
    # Of two threads that come here at once, both get the first one's.
    return fmq or _of_process.setdefault(os.getpid(), FMQ())
