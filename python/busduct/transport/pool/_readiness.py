"""Which workers are ready, from what they say; no I/O."""

import msgspec

__all__ = ["WorkerReadiness", "encode_ready"]

_decoder = msgspec.msgpack.Decoder(int | tuple[int, int])


def encode_ready(worker_id: int, generation: int) -> bytes:
    """Return what a worker says when it is ready (docs/wire.md, "Readiness").

    Args:
        worker_id: Which.
        generation: How many lived before it under that id.
    """
    # The first of all says it as workers of mlcommons/endpoints do.
    said = (worker_id, generation) if generation else worker_id
    return msgspec.msgpack.encode(said)


class WorkerReadiness:
    """The set of workers that said that they are ready.

    Args:
        num_workers: Their ids are those below it.

    Attributes:
        num_duplicates: Times that one said so again.
        num_unknown: Messages of workers that there are none of.
        num_stale: Messages of workers that another has taken the place of.
        num_malformed: Messages that say something else.
    """

    def __init__(self, num_workers: int) -> None:
        self._generations = [0] * num_workers
        self._ready: set[int] = set()
        self.num_duplicates = 0
        self.num_unknown = 0
        self.num_stale = 0
        self.num_malformed = 0

    @property
    def generations(self) -> tuple[int, ...]:
        """How many lived before the present one, for each worker."""
        return tuple(self._generations)

    @property
    def ready(self) -> frozenset[int]:
        """The workers that are ready."""
        return frozenset(self._ready)

    @property
    def missing(self) -> tuple[int, ...]:
        """The others, in order."""
        ids = range(len(self._generations))
        return tuple(each for each in ids if each not in self._ready)

    @property
    def is_complete(self) -> bool:
        """Whether all are ready."""
        return len(self._ready) == len(self._generations)

    def is_ready(self, worker_id: int) -> bool:
        """Tell whether one is ready."""
        return worker_id in self._ready

    def note(self, payload: bytes) -> None:
        """Take in what a worker said; what does not count is counted apart."""
        try:
            said = _decoder.decode(payload)
        except (msgspec.DecodeError, RecursionError):
            self.num_malformed += 1
            return
        worker_id, generation = (said, 0) if isinstance(said, int) else said
        is_known = 0 <= worker_id < len(self._generations)
        present = self._generations[worker_id] if is_known else -1
        if not 0 <= generation <= present:
            self.num_unknown += 1
        elif generation < present:
            self.num_stale += 1
        elif worker_id in self._ready:
            self.num_duplicates += 1
        else:
            self._ready.add(worker_id)

    def renew(self, worker_id: int) -> None:
        """Await another in the place of one.

        Raises:
            IndexError: There is no such worker.
        """
        self._generations[worker_id] += 1
        self._ready.discard(worker_id)
