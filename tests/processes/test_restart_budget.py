"""How often a process is started again."""

import pytest

from busduct._processes import RestartBudget


def test_first_restart_is_immediate_and_the_next_wait_longer() -> None:
    budget = RestartBudget(8, 60.0)
    delays = [budget.take(0.0) for _ in range(8)]
    assert delays == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0])


def test_budget_ends_and_grows_again_with_time() -> None:
    budget = RestartBudget(2, 10.0)
    assert budget.take(0.0) is not None
    assert budget.take(5.0) is not None
    assert budget.take(9.9) is None
    assert budget.take(10.0) is not None
    assert budget.take(14.9) is None


def test_budget_of_zero_restarts_nothing() -> None:
    assert RestartBudget(0, 10.0).take(0.0) is None
