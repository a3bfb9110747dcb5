"""What a producer holds: which message waits, and which consumer has which. No I/O."""

from collections.abc import Callable, Iterable, Sequence

from busduct.fmq._options import QueueOptions
from busduct.fmq._producer._backlog import Backlog
from busduct.fmq._producer._marks import Marks
from busduct.fmq._producer._rotation import Rotation
from busduct.fmq._producer._share import Entry, Share
from busduct.fmq._producer._state import ProducerState
from busduct.fmq._wire import Ack, Adopted, Encoded, Nack

__all__ = ["Ledger"]


class Ledger:
    """The messages of one producer that no consumer has acknowledged.

    Those that wait are in the order of their ids. A consumer with room is given the
    oldest that it takes.

    Args:
        options: The marks, and what happens beyond them.
        state: Of a producer that this one goes on for.
        on_unwanted: Called, perhaps repeatedly, with a message that waits though
            consumers have room, and the bytes that any of all consumers takes.

    Attributes:
        marks: As the options say.
        next_msg_id: Of the next message.
        num_put: Messages that `put` gave an id.
        num_acknowledged: Messages that consumers are done with.
        num_adopted: Messages that are the consumers' who have them.
        num_dropped: Messages dropped because `on_full` says so, or that cannot be sent.
        num_redelivered: Times that a message was given to a consumer again.
    """

    def __init__(
        self,
        options: QueueOptions,
        state: ProducerState,
        on_unwanted: Callable[[Entry, int], None],
    ) -> None:
        self.next_msg_id = state.next_msg_id
        self.num_put = state.num_put
        self.num_acknowledged = state.num_acknowledged
        self.num_adopted = state.num_adopted
        self.num_dropped = state.num_dropped
        self.num_redelivered = state.num_redelivered
        self._on_full = options.on_full
        self._is_immediate = options.immediate
        self.marks = Marks(options)
        # NB: copies of the marks, for what is done for every message.
        self._hwm_messages = options.hwm_messages
        self._hwm_bytes = options.hwm_bytes
        self._max_message_bytes = options.max_message_bytes
        self._drops_old = options.on_full == "drop_old"
        self._on_unwanted = on_unwanted
        self._backlog = Backlog()
        self._pending = self._backlog.queue
        self._rotation = Rotation(options.max_message_bytes)
        self._num_held = 0
        self._held_nbytes = 0
        for entry in state.messages:
            self._hold(entry)

    @property
    def num_pending(self) -> int:
        """Messages that no consumer has."""
        return len(self._backlog)

    @property
    def pending_nbytes(self) -> int:
        """Bytes of those."""
        return self._held_nbytes - self._rotation.nbytes

    @property
    def num_unacknowledged(self) -> int:
        """Messages that a consumer was given and has not acknowledged."""
        return self._num_held - len(self._backlog)

    @property
    def num_unwanted(self) -> int:
        """Messages that wait because no consumer there is takes any so large."""
        return self._backlog.num_over(self._rotation.most_bytes)

    @property
    def is_empty(self) -> bool:
        """Whether consumers are done with all that was put."""
        return not self._num_held

    @property
    def num_shares(self) -> int:
        """Consumers that messages are given to."""
        return len(self._rotation.shares)

    @property
    def is_stuck(self) -> bool:
        """Whether messages wait that consumers may take."""
        return bool(self._pending and self._rotation.shares)

    @property
    def has_room_at_consumers(self) -> bool:
        """Whether a consumer may be given something."""
        return bool(self._rotation.candidates)

    def room(self) -> tuple[int, int]:
        """Return how many messages and bytes `put` takes before a mark has effect."""
        if self._is_waiting_for_a_consumer():
            return 0, 0
        if self._on_full in ("drop_new", "drop_old"):
            return self.marks.left(0, 0)
        return self.marks.left(self._num_held, self._held_nbytes)

    def require_room(self, num_messages: int, nbytes: int) -> None:
        """Refuse so many together where `on_full` is "error" and they do not fit.

        Raises:
            FullError: As it says.
        """
        if self._on_full == "error" and not self._fits(num_messages, nbytes):
            raise self.marks.full_error()

    def put(self, encoded: Encoded, timestamp: float) -> int | None:
        """Take a message, or do what is to be done with it at a mark.

        Returns:
            Its id, also where it was dropped; None if its putter has to wait.

        Raises:
            FrameTooLargeError: Over `max_message_bytes`.
            FullError: At a mark, and `on_full` is "error".
        """
        nbytes = encoded.nbytes
        if nbytes > self._max_message_bytes:
            self.marks.check(encoded)
        # NB: `_fits`, written out: this is the way of every message.
        num_held = self._num_held
        if (
            num_held >= self._hwm_messages
            or (num_held and self._held_nbytes + nbytes > self._hwm_bytes)
            or (self._is_immediate and not self._rotation.shares)
        ):
            return self._put_beyond(encoded, timestamp)
        msg_id = self.next_msg_id
        self.next_msg_id = msg_id + 1
        self.num_put += 1
        self._pending.append(Entry(msg_id, encoded, timestamp))
        self._num_held = num_held + 1
        self._held_nbytes += nbytes
        return msg_id

    def put_through(self, encoded: Encoded, timestamp: float) -> Share | None:
        """Take a message and give it to a consumer; None, and not, if either must wait.

        It is what `put` and `assign` do one after the other, in half the time.

        Returns:
            The share that has it in its `outbox`.
        """
        candidates, nbytes = self._rotation.candidates, encoded.nbytes
        num_held = self._num_held
        if (
            not candidates
            or self._pending
            or self._drops_old
            or num_held >= self._hwm_messages
            or (num_held and self._held_nbytes + nbytes > self._hwm_bytes)
            or nbytes > self._rotation.least_bytes
        ):
            return None
        msg_id = self.next_msg_id
        self.next_msg_id = msg_id + 1
        self.num_put += 1
        self._num_held = num_held + 1
        self._held_nbytes += nbytes
        entry = Entry(msg_id, encoded, timestamp, 1)
        share = candidates[0] if len(candidates) == 1 else self._rotation.choose()
        share.outbox.append(entry)
        if not share.give(entry):
            candidates.remove(share)
        return share

    def add(self, share: Share) -> None:
        """Begin to give messages to a consumer."""
        self._rotation.add(share)
        self._backlog.look_again()

    def suspend(self, share: Share) -> None:
        """Give it nothing more before `remove`."""
        self._rotation.suspend(share)

    def remove(self, share: Share) -> None:
        """Take back all that a consumer has not acknowledged."""
        self._rotation.remove(share)
        self._backlog.take_back(share.clear())

    def ignore_windows(self) -> None:
        """Give out all that waits, however little consumers take ahead."""
        self._rotation.ignore_windows()
        self._backlog.look_again()

    def assign(self) -> Sequence[Share]:
        """Give messages that wait to consumers with room, the least busy one first.

        Returns:
            The shares that have something to be sent in their `outbox`.
        """
        pending, rotation = self._pending, self._rotation
        candidates, least_bytes = rotation.candidates, rotation.least_bytes
        filled: list[Share] = []
        while pending and candidates:
            entry = pending[0]
            if entry.encoded.nbytes > least_bytes:
                chosen = rotation.choose_for(entry.encoded.nbytes)
                if chosen is None:
                    self._pass_over()
                    continue
                share = chosen
            else:
                share = candidates[0] if len(candidates) == 1 else rotation.choose()
            if self._drops_old and self._is_kept(entry):
                break
            pending.popleft()
            if not share.outbox:
                filled.append(share)
            if entry.num_deliveries:
                self.num_redelivered += 1
            entry.num_deliveries += 1
            share.outbox.append(entry)
            if not share.give(entry):
                candidates.remove(share)
        return filled

    def acknowledge(self, share: Share, ack: Ack) -> None:
        """Let go of what a consumer is done with; raises as `Share.acknowledge`."""
        num_done, nbytes = share.acknowledge(ack)
        self.num_acknowledged += num_done
        self._num_held -= num_done
        self._held_nbytes -= nbytes
        self._note_room(share)

    def give_back(self, share: Share, nack: Nack) -> None:
        """Let what a consumer does not want wait again, for it or another one.

        Raises:
            RemoteProtocolError: So many were never sent.
        """
        self._backlog.take_back(share.give_back(nack))
        self._note_room(share)

    def give_up(self, share: Share, adopted: Adopted) -> None:
        """Let go of what is the consumer's from now on; raises as `give_back`."""
        for entry in share.give_up(adopted):
            self.num_adopted += 1
            self._forget(entry)
        self._note_room(share)

    def discard(self, share: Share, number: int) -> None:
        """Drop a message that cannot be sent to anybody."""
        self._drop(share.forget(number))

    def state(self, producer_id: bytes, unsent: Iterable[Entry]) -> ProducerState:
        """Return what it holds and counts, for a producer that goes on for this one.

        Args:
            producer_id: Of both.
            unsent: What consumers were given and did not get.
        """
        return ProducerState(
            producer_id=producer_id,
            next_msg_id=self.next_msg_id,
            messages=sorted([*self._backlog, *unsent], key=_msg_id),
            num_put=self.num_put,
            num_acknowledged=self.num_acknowledged,
            num_adopted=self.num_adopted,
            num_dropped=self.num_dropped,
            num_redelivered=self.num_redelivered,
        )

    def _is_waiting_for_a_consumer(self) -> bool:
        return self._is_immediate and not self._rotation.shares

    def _fits(self, num_messages: int, nbytes: int) -> bool:
        return self.marks.permit(
            self._num_held + num_messages, self._held_nbytes + nbytes
        )

    def _put_beyond(self, encoded: Encoded, timestamp: float) -> int | None:
        if self._on_full == "wait" or self._is_waiting_for_a_consumer():
            return None
        if self._on_full == "error":
            raise self.marks.full_error()
        msg_id = self.next_msg_id
        self.next_msg_id = msg_id + 1
        self.num_put += 1
        if not self._drops_old:
            self.num_dropped += 1
            return msg_id
        while self._backlog and not self._fits(1, encoded.nbytes):
            self._drop(self._backlog.pop_oldest())
        # NB: where consumers have all the rest, the newest is taken beyond the mark;
        # `_is_kept` keeps it here until one of them is done.
        self._hold(Entry(msg_id, encoded, timestamp))
        return msg_id

    def _is_kept(self, entry: Entry) -> bool:
        """Tell whether it stays here though a consumer has room.

        Where the oldest goes when there is no room, that must not be what consumers
        have: then nothing would be left to go but the newest.
        """
        if not self.num_unacknowledged:
            return False
        nbytes = self._rotation.nbytes + entry.encoded.nbytes
        return self.num_unacknowledged >= self._hwm_messages or nbytes > self._hwm_bytes

    def _hold(self, entry: Entry) -> None:
        self._pending.append(entry)
        self._num_held += 1
        self._held_nbytes += entry.encoded.nbytes

    def _drop(self, entry: Entry) -> None:
        self.num_dropped += 1
        self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        self._num_held -= 1
        self._held_nbytes -= entry.encoded.nbytes

    def _note_room(self, share: Share) -> None:
        has_room = self._rotation.note_room(share)
        if has_room and share.max_message_bytes >= self._backlog.least_passed_over:
            self._backlog.look_again()

    def _pass_over(self) -> None:
        """Let others go before the first, which no consumer with room takes."""
        entry, limit = self._backlog.pass_over(), self._rotation.most_bytes
        if entry.encoded.nbytes > limit:
            self._on_unwanted(entry, limit)


def _msg_id(entry: Entry) -> int:
    return entry.msg_id
