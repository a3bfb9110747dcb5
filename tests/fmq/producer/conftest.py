"""Fixtures of the producer's tests."""

import pytest


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """Hold every test of this directory to what `no_leaks` asks."""
