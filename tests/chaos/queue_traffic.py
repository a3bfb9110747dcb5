"""The messages of a queue whose ends are killed, which tell when they are torn."""

import struct
from typing import Any

from tests.chaos.ledger import MAX_MESSAGES

from busduct.fmq._producer import Producer
from busduct.fmq._wire import Encoded, Encoding

NAME = "doomed"
MAX_PRODUCERS = 4
# The number of producers whose messages nobody counts.
DOOMED = 1000
MAX_MESSAGES_EACH = MAX_MESSAGES // MAX_PRODUCERS

# Which producer, which of its messages, and how many bytes of filling.
_HEADER = struct.Struct("<HIQ")
# A loan for less is a copy.
_MIN_LOAN_NBYTES = 16 << 10
_EDGE_NBYTES = 4096


def payload(producer: Producer, number: int, count: int, nbytes: int) -> Encoded:
    """Make a message; a large one in shared memory, where there is some."""
    header = _HEADER.pack(number, count, nbytes)
    filling = bytes((_filling(number, count),)) * nbytes
    if nbytes < _MIN_LOAN_NBYTES or count % 2:
        body = header + filling
        return Encoded(Encoding.BYTES, body, (), len(body), False)
    loan = producer.loan(_HEADER.size + nbytes)
    with memoryview(loan) as view:
        view[: _HEADER.size] = header
        view[_HEADER.size :] = filling
    return Encoded(Encoding.BUFFER, loan.freeze(), (), loan_nbytes(nbytes), True)


def loan_nbytes(nbytes: int) -> int:
    """Return how large a message with so much filling is."""
    return _HEADER.size + nbytes


def origin_of(body: Any) -> tuple[int, int]:
    """Return whose message it is, and which."""
    number, count, _ = _HEADER.unpack_from(body)
    return number, count


def index_of(number: int, count: int) -> int:
    """Return where a ledger counts a message."""
    return number * MAX_MESSAGES_EACH + count


def is_whole(body: Any) -> bool:
    """Tell whether a message is as it was made, as far as its ends tell."""
    view = memoryview(body)
    number, count, nbytes = _HEADER.unpack_from(view)
    filling = view[_HEADER.size :]
    expected = bytes((_filling(number, count),)) * min(nbytes, _EDGE_NBYTES)
    return (
        filling.nbytes == nbytes
        and filling[: len(expected)] == expected
        and filling[nbytes - len(expected) :] == expected
    )


def _filling(number: int, count: int) -> int:
    return (count * 7 + number) & 0xFF
