"""Services that the tests of this directory ask."""

from collections.abc import Iterator

import pytest
from tests.server.hosting import Client, hosted
from tests.server.stand_in import StandInEngine


@pytest.fixture
def engine() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def client(engine: StandInEngine) -> Iterator[Client]:
    with hosted(engine) as client:
        yield client
