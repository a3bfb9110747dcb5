"""The choice of tokens."""

import numpy as np
import pytest

from busduct.pipeline import SamplingParams
from busduct.pipeline.sampling import make_generator, sample

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.07, 0.03])).astype(np.float32)
NUM_DRAWS = 20_000


def draw(params: SamplingParams, count: int = NUM_DRAWS) -> np.ndarray:
    generator = make_generator(1, ())
    logits = np.tile(LOGITS, (count, 1))
    return sample(logits, [params] * count, [generator] * count)


def frequencies(params: SamplingParams) -> np.ndarray:
    return np.bincount(draw(params), minlength=LOGITS.size) / NUM_DRAWS


def test_temperature_zero_takes_the_most_likely() -> None:
    assert set(draw(SamplingParams(temperature=0.0), 50)) == {0}


def test_temperature_one_samples_the_distribution_itself() -> None:
    expected = np.array([0.5, 0.25, 0.15, 0.07, 0.03])
    # 5 standard deviations of a binomial.
    bound = 5 * np.sqrt(expected * (1 - expected) / NUM_DRAWS)
    assert (abs(frequencies(SamplingParams()) - expected) < bound).all()


def test_high_temperature_flattens_the_distribution() -> None:
    expected = np.array([0.5, 0.25, 0.15, 0.07, 0.03]) ** 0.25
    expected /= expected.sum()
    bound = 5 * np.sqrt(expected * (1 - expected) / NUM_DRAWS)
    seen = frequencies(SamplingParams(temperature=4.0))
    assert (abs(seen - expected) < bound).all()


def test_smallest_temperature_does_not_overflow() -> None:
    with np.errstate(all="raise"):
        assert set(draw(SamplingParams(temperature=1e-300), 5)) == {0}


@pytest.mark.parametrize(("top_k", "num_kept"), [(1, 1), (2, 2), (5, 5), (9, 5)])
def test_top_k_keeps_that_many_of_the_best(top_k: int, num_kept: int) -> None:
    assert set(draw(SamplingParams(top_k=top_k)).tolist()) == set(range(num_kept))


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.01, {0}), (0.49, {0}), (0.6, {0, 1}), (0.8, {0, 1, 2}), (0.96, {0, 1, 2, 3})],
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(
    top_p: float, expected: set[int]
) -> None:
    assert set(draw(SamplingParams(top_p=top_p)).tolist()) == expected


def test_top_p_agrees_with_a_full_sort_on_random_logits() -> None:
    random = np.random.default_rng(5)
    for _ in range(200):
        logits = random.normal(scale=3.0, size=64).astype(np.float32)
        top_p = float(random.uniform(0.05, 0.99))
        weights = np.exp(logits.astype(np.float64))
        weights /= weights.sum()
        order = np.argsort(-weights)
        needed = int((weights[order].cumsum() < top_p).sum()) + 1
        allowed = set(order[:needed].tolist())
        rows = np.tile(logits, (50, 1))
        params = [SamplingParams(top_p=top_p)] * 50
        assert set(sample(rows, params, [random] * 50).tolist()) <= allowed


def test_top_k_and_top_p_apply_together() -> None:
    # Of the two best, renormalised to 0.67 and 0.33, the first alone reaches 0.6.
    assert set(draw(SamplingParams(top_k=2, top_p=0.6)).tolist()) == {0}


@pytest.mark.parametrize("seed", [0, 7, -1, 2**63 - 1, -(2**63)])
def test_same_seed_gives_the_same_tokens_in_any_batch(seed: int) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(40, 300)).astype(np.float32)
    params = SamplingParams(seed=seed, top_p=0.9)
    alone = make_generator(seed, ())
    expected = [int(sample(row[None], [params], [alone])[0]) for row in rows]

    mine, other = make_generator(seed, ()), make_generator(99, ())
    batched = [
        int(sample(np.stack([row, row]), [params] * 2, [other, mine])[1])
        for row in rows
    ]
    assert batched == expected


def test_greedy_rows_leave_their_generator_alone() -> None:
    generator, untouched = make_generator(3, ()), make_generator(3, ())
    sample(LOGITS[None], [SamplingParams(temperature=0.0)], [generator])
    assert generator.random() == untouched.random()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_row_without_finite_maximum_gives_minus_one_and_spares_others(
    bad: float,
) -> None:
    rows = np.stack([LOGITS, LOGITS])
    rows[0, 3] = bad
    params = [SamplingParams(seed=1)] * 2
    generators = [make_generator(1, ()), make_generator(1, ())]
    first, second = sample(rows, params, generators)
    assert first == -1
    assert second >= 0


def test_row_of_minus_infinity_only_gives_minus_one() -> None:
    row = np.full((1, 5), -np.inf, dtype=np.float32)
    assert sample(row, [SamplingParams()], [make_generator(0, ())])[0] == -1


def test_excluded_tokens_are_never_chosen() -> None:
    row = np.full((1, 300), -np.inf, dtype=np.float32)
    row[0, [5, 77]] = 0.0
    generator = make_generator(0, ())
    seen = {int(sample(row, [SamplingParams()], [generator])[0]) for _ in range(200)}
    assert seen == {5, 77}
