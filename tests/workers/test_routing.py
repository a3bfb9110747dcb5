"""Which worker is chosen."""

import random

import pytest

from busduct.errors import ConfigError
from busduct.workers._routing import LeastLoaded, RoundRobin, Router, new_router


@pytest.fixture(params=["round_robin", "least_loaded"])
def router(request: pytest.FixtureRequest) -> Router:
    return new_router(request.param, 4)


def test_nobody_is_chosen_before_somebody_is_ready(router: Router) -> None:
    assert router.choose() is None
    router.add(2)
    assert router.choose() == 2
    router.remove(2)
    assert router.choose() is None
    assert list(router.ready) == []


def test_all_that_are_ready_get_their_share(router: Router) -> None:
    for worker_id in (3, 0, 1):
        router.add(worker_id)
        router.add(worker_id)
    chosen = [router.choose() for _ in range(300)]
    assert [chosen.count(worker_id) for worker_id in range(4)] == [100, 100, 0, 100]


def test_who_left_is_chosen_no_more_and_who_came_back_is(router: Router) -> None:
    for worker_id in range(3):
        router.add(worker_id)
    for _ in range(10):
        router.choose()
    router.remove(1)
    router.remove(1)
    assert {router.choose() for _ in range(10)} == {0, 2}
    router.add(1)
    assert 1 in {router.choose() for _ in range(10)}


def test_round_robin_takes_turns() -> None:
    router = RoundRobin(3)
    for worker_id in (2, 0, 1):
        router.add(worker_id)
    assert [router.choose() for _ in range(5)] == [0, 1, 2, 0, 1]


def test_least_loaded_takes_who_has_fewest_and_waited_longest() -> None:
    router = LeastLoaded(3)
    for worker_id in range(3):
        router.add(worker_id)
    assert [router.choose() for _ in range(4)] == [0, 1, 2, 0]
    router.note_ended(2)
    assert router.choose() == 2
    router.note_ended(1)
    router.note_ended(2)
    assert [router.choose(), router.choose()] == [1, 2]


def test_query_that_moved_counts_where_it_went() -> None:
    router = LeastLoaded(3)
    for worker_id in range(3):
        router.add(worker_id)
    chosen = router.choose()
    assert chosen == 0
    router.move(0, 1)
    assert [router.choose(), router.choose()] == [2, 0]
    chosen = router.choose()
    assert chosen is not None
    router.move(chosen, None)
    assert router.choose() is not None


def test_least_loaded_keeps_to_the_minimum_whatever_happens() -> None:
    rng = random.Random(7)
    router = LeastLoaded(6)
    loads: dict[int, int] = {}
    for _ in range(20_000):
        worker_id = rng.randrange(6)
        match rng.choice(["add", "remove", "choose", "choose", "end", "end"]):
            case "add":
                router.add(worker_id)
                loads.setdefault(worker_id, 0)
            case "remove" if rng.random() < 0.1:
                router.remove(worker_id)
                loads.pop(worker_id, None)
            case "choose":
                chosen = router.choose()
                assert (chosen is None) == (not loads)
                if chosen is not None:
                    assert loads[chosen] == min(loads.values())
                    loads[chosen] += 1
            case "end" if loads.get(worker_id):
                router.note_ended(worker_id)
                loads[worker_id] -= 1


def test_end_of_a_query_whose_worker_is_gone_changes_nothing(router: Router) -> None:
    router.add(0)
    router.choose()
    router.remove(0)
    router.note_ended(0)
    router.add(0)
    assert router.choose() == 0


def test_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="'random'"):
        new_router("random", 1)  # type: ignore[arg-type]
