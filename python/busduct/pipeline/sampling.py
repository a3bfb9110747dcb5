"""Choose the next token of each request from the model's logits."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from busduct.pipeline._types import SamplingParams

__all__ = ["make_generator", "sample"]

# Below it, dividing by the temperature leaves one candidate, in floating point too.
GREEDY_TEMPERATURE = 1e-5

FloatArray = npt.NDArray[np.float64]


def make_generator(seed: int | None, fallback: Sequence[int]) -> np.random.Generator:
    """Return the source of one request's random numbers.

    Args:
        seed: The request's own, negative ones included, or None.
        fallback: What makes the source where the request has no seed.
    """
    if seed is not None:
        return np.random.default_rng(seed % 2**64)
    return np.random.default_rng(list(fallback))


def sample(
    logits: npt.NDArray[np.float32],
    params: Sequence[SamplingParams],
    generators: Sequence[np.random.Generator],
) -> npt.NDArray[np.int64]:
    """Return one token id per row.

    A sampled row takes exactly one number from its generator and looks at no other row,
    so a request's tokens do not depend on what shares its batch.

    Args:
        logits: Shape (rows, vocabulary). Not changed. A row without a finite maximum
            gives -1.
        params: One per row.
        generators: One per row; greedy rows leave theirs alone.
    """
    tokens: npt.NDArray[np.int64] = logits.argmax(axis=1)
    usable = np.isfinite(logits.max(axis=1))
    for row, (param, generator) in enumerate(zip(params, generators, strict=True)):
        if usable[row] and param.temperature >= GREEDY_TEMPERATURE:
            tokens[row] = _sample_row(logits[row], param, generator.random())
    tokens[~usable] = -1
    return tokens


def _sample_row(
    logits: npt.NDArray[np.float32], param: SamplingParams, uniform: float
) -> int:
    """Invert the cumulative distribution at `uniform`, a number in [0, 1)."""
    scaled = logits.astype(np.float64)
    scaled -= scaled.max()
    scaled /= param.temperature
    weights = np.exp(scaled)
    candidates = None
    if 0 < param.top_k < weights.size:
        candidates = np.argpartition(-weights, param.top_k - 1)[: param.top_k]
    if param.top_p < 1.0:
        candidates = _nucleus(weights, candidates, param.top_p)
    if candidates is not None:
        candidates = np.sort(candidates)
        weights = weights[candidates]
    cumulative = weights.cumsum()
    # `right` skips candidates of weight zero; the last position guards rounding.
    position = int(cumulative.searchsorted(uniform * cumulative[-1], side="right"))
    position = min(position, cumulative.size - 1)
    return position if candidates is None else int(candidates[position])


def _nucleus(
    weights: FloatArray, candidates: npt.NDArray[np.int64] | None, top_p: float
) -> npt.NDArray[np.int64]:
    """Return the fewest most likely candidates whose weight reaches `top_p` of all."""
    if candidates is None:
        # All below this threshold weigh less than 1 - top_p together, so the nucleus is
        # among the others, and only they need sorting.
        threshold = weights.sum() * (1.0 - top_p) / weights.size
        candidates = np.flatnonzero(weights >= threshold)
        total = weights.sum()
    else:
        total = weights[candidates].sum()
    order = candidates[np.argsort(-weights[candidates], kind="stable")]
    reached = weights[order].cumsum().searchsorted(top_p * total)
    return order[: int(reached) + 1]
