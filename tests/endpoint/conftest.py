"""Servers that tests of the client ask."""

from collections.abc import Iterator

import pytest
from tests.endpoint.serving import NEVER, serving

from busduct.endpoint.echo import EchoServer


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    """A server that answers with the prompt."""
    with serving() as server:
        yield server


@pytest.fixture
def silent() -> Iterator[EchoServer]:
    """A server that takes requests and never answers."""
    with serving(ttft=NEVER) as server:
        yield server
