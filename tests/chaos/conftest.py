"""Fixtures of the tests that kill processes."""

import os
import random
import sys

import pytest


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """Hold every test of this directory to what `no_leaks` asks."""


@pytest.fixture
def rng() -> random.Random:
    """Give chance, which BUSDUCT_SEED makes the same again."""
    seed = int(
        os.environ.get("BUSDUCT_SEED") or random.SystemRandom().randrange(1 << 32)
    )
    # A test that fails shows it.
    sys.stdout.write(f"BUSDUCT_SEED={seed}\n")
    return random.Random(seed)
