"""Fixtures of the tests that kill processes."""

import os
import random
import sys
from types import ModuleType

import pytest

from busduct._backend import load_backend


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """Hold every test of this directory to what `no_leaks` asks."""


@pytest.fixture
def rust() -> ModuleType:
    """Give the native backend: the other one shares no memory."""
    try:
        return load_backend("rust")
    except ModuleNotFoundError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("the extension is not built")


@pytest.fixture
def rng() -> random.Random:
    """Give chance, which BUSDUCT_SEED makes the same again."""
    seed = int(
        os.environ.get("BUSDUCT_SEED") or random.SystemRandom().randrange(1 << 32)
    )
    # A test that fails shows it.
    sys.stdout.write(f"BUSDUCT_SEED={seed}\n")
    return random.Random(seed)
