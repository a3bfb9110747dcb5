"""Those who take part in a directory, for its tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from tests.transport.waiting import eventually

from busduct.fmq._directory import Members, Registration, Watcher

NAME = "prompts"


def member_id(number: int) -> bytes:
    """Return the id of a member."""
    return number.to_bytes(16, "big")


def endpoint_of(address: str, number: int) -> str:
    """Return where a member is said to listen; nobody connects there."""
    if address.startswith("ipc"):
        return f"{address}.{number}"
    return f"tcp://127.0.0.1:{1000 + number}"


class Parties:
    """Members and watchers of one directory, which a test makes and closes.

    Attributes:
        seen: What each watcher was told last.
        told: All that each watcher was told.
    """

    def __init__(self, context: Any, address: str, name: str = NAME) -> None:
        self.context = context
        self.address = address
        self.name = name
        self.members: dict[int, Registration] = {}
        self.watchers: list[Watcher] = []
        self.told: list[list[Members]] = []

    def register(self, number: int) -> Registration:
        """Make a member."""
        self.members[number] = Registration(
            self.context,
            self.address,
            self.name,
            member_id(number),
            endpoint_of(self.address, number),
        )
        return self.members[number]

    async def registered(self, *numbers: int) -> None:
        """Make members one after the other."""
        for number in numbers:
            await self.register(number).wait_registered()

    def watch(self) -> Watcher:
        """Make a watcher."""
        told: list[Members] = []
        self.told.append(told)
        watcher = Watcher(self.context, self.address, self.name, told.append)
        self.watchers.append(watcher)
        return watcher

    def leave(self, number: int) -> None:
        """Close a member."""
        self.members.pop(number).close()

    def serving(self) -> list[int]:
        """Return who serves."""
        return [n for n, member in self.members.items() if member.is_serving]

    def expected(self) -> Members:
        """Return the list that watchers should come to have."""
        return {member_id(n): endpoint_of(self.address, n) for n in self.members}

    async def all_told(self) -> None:
        """Wait until every watcher knows exactly the members that there are."""
        await eventually(
            lambda: all(told and told[-1] == self.expected() for told in self.told)
        )

    def close(self) -> None:
        """Close all that are left."""
        for party in (*self.members.values(), *self.watchers):
            party.close()


@asynccontextmanager
async def parties(backend: ModuleType, address: str) -> AsyncIterator[Parties]:
    """Give the parties of a directory, and close them in the end."""
    async with backend.Context() as context:
        those = Parties(context, address)
        try:
            yield those
        finally:
            those.close()
            # Cancelled tasks end in the next turn.
            await asyncio.sleep(0)
