"""Large payloads go through memory that is lent, and what is refused gives it back."""

from typing import Any, NoReturn

import pytest
from tests.transport.pool.conftest import Kind
from tests.transport.pool.test_pool import num_until_full, query

from busduct.errors import FrameTooLargeError, FullError
from busduct.transport.pool._message_sender import send_large


class Unlent:
    """A socket that is not to be asked for memory."""

    def loan(self, nbytes: int) -> NoReturn:
        pytest.fail(f"{nbytes} bytes were asked for")


def test_nothing_is_lent_for_what_is_over_the_limit() -> None:
    socket: Any = Unlent()
    with pytest.raises(FrameTooLargeError, match="20001 bytes exceeds limit of 20000"):
        send_large(socket, bytearray(20_001), 20_000)


async def test_refused_query_gives_its_memory_back(process_kind: Kind) -> None:
    pool = process_kind.create(max_queued_bytes=200_000)
    async with pool.worker_connector.connect(0):
        await pool.wait_for_workers_ready(20.0)
        num_until_full(lambda name: pool.send(0, query(name, 40_000)))
        held = pool._context.statistics().num_shm_slots_held
        # The traceback of an error that is kept holds what was lent.
        errors = []
        for _ in range(5):
            with pytest.raises(FullError) as caught:
                pool.send(0, query("refused", 40_000))
            errors.append(caught.value)
        assert pool._context.statistics().num_shm_slots_held == held
    pool.cleanup()
