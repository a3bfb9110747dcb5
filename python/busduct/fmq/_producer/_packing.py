"""Which messages of a producer go out together. No I/O."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from busduct.fmq._producer._share import Entry
from busduct.fmq._wire import (
    MAX_RUN_MESSAGES,
    RUN_HEADER_BYTES,
    RUN_MESSAGE_BYTES,
    pack_data,
    pack_run,
)

__all__ = ["Packed", "pack_entries"]

# The parts of a message of the socket, or its only one; and how many messages it is.
Packed: TypeAlias = tuple[bytes | list[Any], int]


def pack_entries(
    entries: Sequence[Entry], num_skipped: int, run_bytes: int
) -> list[Packed]:
    """Return what is to be sent, in order: small messages in runs.

    Those that were given to a consumer before, or are large to their sender, go alone.

    Args:
        entries: The messages.
        num_skipped: As of `pack_data`.
        run_bytes: Of a run at most.
    """
    if len(entries) == 1:
        return [(_pack_alone(entries[0], num_skipped), 1)]
    packed: list[Packed] = []
    run: list[Entry] = []
    first_room = room = run_bytes - RUN_HEADER_BYTES
    encoding = None
    for entry in entries:
        encoded = entry.encoded
        takes = encoded.nbytes + RUN_MESSAGE_BYTES
        if (
            takes > first_room
            or encoded.is_large
            or encoded.parts
            or entry.num_deliveries != 1
            or type(encoded.body) is not bytes
        ):
            _end_run(run, num_skipped, packed)
            packed.append((_pack_alone(entry, num_skipped), 1))
            continue
        if (
            takes > room
            or encoded.encoding is not encoding
            or len(run) == MAX_RUN_MESSAGES
        ):
            _end_run(run, num_skipped, packed)
        if not run:
            encoding, room = encoded.encoding, first_room
        run.append(entry)
        room -= takes
    _end_run(run, num_skipped, packed)
    return packed


def _end_run(run: list[Entry], num_skipped: int, packed: list[Packed]) -> None:
    count = len(run)
    if count > 1:
        message = pack_run(
            run[0].encoded.encoding,
            [entry.encoded.body for entry in run],
            [entry.msg_id for entry in run],
            [entry.timestamp for entry in run],
            num_skipped,
        )
        packed.append((message, count))
    elif run:
        packed.append((_pack_alone(run[0], num_skipped), 1))
    run.clear()


def _pack_alone(entry: Entry, num_skipped: int) -> bytes | list[Any]:
    return pack_data(
        entry.encoded,
        entry.msg_id,
        entry.timestamp,
        entry.num_deliveries,
        num_skipped,
    )
