"""Which requests run in which step."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.pipeline import SamplingParams
from busduct.pipeline._batching import ActiveRequest, Batcher, ScheduledStep
from busduct.pipeline.sampling import make_generator

EOS = 99


def batcher(**changes: int) -> Batcher:
    settings = {
        "max_batch_size": 4,
        "max_batch_tokens": 16,
        "max_waiting": 8,
        "context_length": 64,
        "eos_token_id": EOS,
    }
    return Batcher(**(settings | changes))


def request(rid: str, num_tokens: int = 3, **params: object) -> ActiveRequest:
    return ActiveRequest(
        rid, [1] * num_tokens, SamplingParams(**params), make_generator(0, ())
    )


def run(batch: Batcher, token: int = 5) -> dict[str, int]:
    """Run one step, every complete request getting `token`; return tokens by id."""
    steps = batch.next_batch()
    for step in steps:
        reason = batch.commit(step, token if step.completes else None)
        if reason is not None:
            batch.remove(step.request.rid)
    return {step.request.rid: step.num_tokens for step in steps}


def test_prompt_and_decode_share_a_step() -> None:
    batch = batcher()
    batch.add(request("a", 3))
    assert run(batch) == {"a": 3}
    batch.add(request("b", 5))
    assert run(batch) == {"a": 1, "b": 5}
    assert run(batch) == {"a": 1, "b": 1}


def test_request_leaves_and_the_next_takes_its_place_at_once() -> None:
    batch = batcher(max_batch_size=1)
    batch.add(request("a", 2, max_tokens=2))
    batch.add(request("b", 2))
    assert [run(batch) for _ in range(3)] == [{"a": 2}, {"a": 1}, {"b": 2}]


def test_long_prompt_is_computed_in_pieces_beside_running_requests() -> None:
    batch = batcher()
    batch.add(request("a", 2))
    run(batch)
    batch.add(request("long", 40))
    assert [run(batch) for _ in range(4)] == [
        {"a": 1, "long": 15},
        {"a": 1, "long": 15},
        {"a": 1, "long": 10},
        {"a": 1, "long": 1},
    ]


def test_pieces_of_a_prompt_are_its_tokens_in_order() -> None:
    batch = batcher()
    active = request("a", 40)
    active.token_ids[:] = range(40)
    batch.add(active)
    seen: list[int] = []
    while not seen or len(seen) < 40:
        (step,) = batch.next_batch()
        seen += step.token_ids
        batch.commit(step, None)
    assert seen == list(range(40))


def test_prompts_are_served_in_the_order_they_came() -> None:
    batch = batcher(max_batch_size=4, max_batch_tokens=10)
    for rid in "abc":
        batch.add(request(rid, 6))
    assert run(batch) == {"a": 6, "b": 4}
    assert run(batch) == {"a": 1, "b": 2, "c": 6}


def test_slots_are_distinct_and_given_back() -> None:
    batch = batcher(max_batch_size=2)
    for rid in "abc":
        batch.add(request(rid, 1))
    run(batch)
    assert {r.slot for r in batch.running.values()} == {0, 1}
    gone = batch.remove("a")
    assert gone is not None
    run(batch)
    assert batch.running["c"].slot == gone.slot


@pytest.mark.parametrize(
    ("token", "params", "reason"),
    [
        (EOS, {}, "stop"),
        (EOS, {"ignore_eos": True}, None),
        (EOS, {"max_tokens": 1}, "stop"),
        (5, {"max_tokens": 1}, "length"),
        (5, {"max_tokens": 2}, None),
    ],
)
def test_end_of_a_request(
    token: int, params: dict[str, object], reason: str | None
) -> None:
    batch = batcher()
    batch.add(request("a", 3, **params))
    (step,) = batch.next_batch()
    assert batch.commit(step, token) == reason


def test_context_end_is_a_length() -> None:
    batch = batcher(context_length=5)
    batch.add(request("a", 3))
    reasons = []
    for _ in range(2):
        (step,) = batch.next_batch()
        reasons.append(batch.commit(step, 5))
    assert reasons == [None, "length"]


def test_queue_takes_max_waiting_beyond_the_free_slots() -> None:
    batch = batcher(max_batch_size=2, max_waiting=3)
    accepted = [batch.add(request(str(number))) for number in range(6)]
    assert accepted == [True] * 5 + [False]
    run(batch)
    assert len(batch.waiting) == 3
    assert not batch.add(request("late"))


def test_queue_of_zero_takes_what_runs_at_once() -> None:
    batch = batcher(max_batch_size=1, max_waiting=0)
    assert batch.add(request("a"))
    assert not batch.add(request("b"))


@pytest.mark.parametrize("started", [True, False])
def test_removed_request_is_forgotten(started: bool) -> None:
    batch = batcher()
    batch.add(request("a"))
    if started:
        run(batch)
    assert batch.remove("a") is not None
    assert "a" not in batch
    assert batch.remove("a") is None
    assert batch.next_batch() == []


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=20),
    max_batch_size=st.integers(1, 5),
    extra_tokens=st.integers(0, 20),
)
def test_every_request_ends_within_the_limits_of_each_step(
    lengths: list[int], max_batch_size: int, extra_tokens: int
) -> None:
    max_batch_tokens = max_batch_size + extra_tokens
    batch = batcher(
        max_batch_size=max_batch_size,
        max_batch_tokens=max_batch_tokens,
        max_waiting=len(lengths),
    )
    for number, length in enumerate(lengths):
        assert batch.add(request(str(number), length, max_tokens=3))
    most_steps = sum(lengths) + 3 * len(lengths)
    for _ in range(most_steps):
        steps: list[ScheduledStep] = batch.next_batch()
        assert 0 < len(steps) <= max_batch_size
        assert sum(step.num_tokens for step in steps) <= max_batch_tokens
        slots = [step.request.slot for step in steps]
        assert all(a != b for a, b in itertools.combinations(slots, 2))
        for step in steps:
            if batch.commit(step, 5 if step.completes else None) is not None:
                batch.remove(step.request.rid)
        if not batch:
            break
    assert not batch
