"""Services that the tests of this directory ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.hosting import Client, hosted
from tests.server.live import SLOW, Service, save_alphabet_model, serving
from tests.server.stand_in import StandInEngine


@pytest.fixture
def engine() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def client(engine: StandInEngine) -> Iterator[Client]:
    with hosted(engine) as client:
        yield client


@pytest.fixture(scope="session")
def alphabet_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory for the runners of `tests.pipeline.fake_runner`."""
    return save_alphabet_model(tmp_path_factory.mktemp("model") / "alphabet")


@pytest.fixture
def slow_service(alphabet_model: Path) -> Iterator[Service]:
    """A service of its own for one test, which gives 10 tokens a second."""
    with serving(
        "--model", str(alphabet_model), "--runner", SLOW, "--max-batch-size", "32"
    ) as service:
        yield service
