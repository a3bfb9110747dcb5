"""Tasks that wait are woken in turn, and a wake-up is never lost."""

import asyncio

from tests.transport.waiting import settle

from busduct.fmq._consumer._waiters import Waiters


class Guests:
    """Tasks that wait, and the order in which they were woken."""

    def __init__(self, count: int) -> None:
        self.waiters = Waiters()
        self.woken: list[int] = []
        self.tasks = [asyncio.create_task(self._wait(n)) for n in range(count)]

    async def _wait(self, number: int) -> None:
        await self.waiters.wait(again=False)
        self.woken.append(number)

    async def cancel(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_so_many_are_woken_in_the_order_of_coming() -> None:
    guests = Guests(3)
    await settle()
    guests.waiters.wake(2)
    await settle()
    assert (guests.woken, len(guests.waiters)) == ([0, 1], 1)
    await guests.cancel()
    assert len(guests.waiters) == 0


async def test_a_wake_up_of_one_who_is_cancelled_goes_to_the_next() -> None:
    guests = Guests(3)
    await settle()
    guests.waiters.wake(1)
    guests.tasks[0].cancel()
    await settle()
    assert guests.woken == [1]
    await guests.cancel()


async def test_one_who_is_cancelled_before_is_not_woken() -> None:
    guests = Guests(3)
    await settle()
    guests.tasks[0].cancel()
    guests.waiters.wake(1)
    await settle()
    assert guests.woken == [1]
    await guests.cancel()


async def test_one_who_was_woken_in_vain_keeps_its_place() -> None:
    guests = Guests(1)
    await settle()
    again = asyncio.create_task(guests.waiters.wait(again=True))
    await settle()
    guests.waiters.wake(1)
    await asyncio.wait_for(again, 10)
    assert guests.woken == []
    await guests.cancel()
