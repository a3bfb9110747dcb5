"""Run a small Llama-shaped model in numpy, with a key-value cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from busduct.errors import ClosedError, LocalProtocolError
from busduct.pipeline.embedded import model_directory
from busduct.pipeline.runners._checkpoint import (
    Array,
    ModelConfig,
    load_config,
    load_weights,
)
from busduct.pipeline.runners._protocol import SequenceStep


@dataclass(frozen=True, slots=True)
class _Layer:
    """One block's weights, transposed to ``(in, out)`` and fused where inputs agree."""

    attention_norm: Array
    query_key_value: Array
    attention_output: Array
    feed_forward_norm: Array
    gate_up: Array
    down: Array


class NumpyModelRunner:
    """Run the embedded model, or another directory of its layout, on the CPU.

    All new tokens of all sequences go through each matrix together; only attention is
    computed sequence by sequence, since lengths differ. The cache is allocated once:
    ``2 * layers * max_batch_size * context_length * hidden_size`` float32 (63 MB for
    the embedded model and 16 slots, of which the system backs only what was written).
    It satisfies ``ModelRunner``. Not for use by two threads at once.
    """

    def __init__(
        self, config: ModelConfig, weights: dict[str, Array], *, max_batch_size: int
    ) -> None:
        if max_batch_size < 1:
            msg = f"max_batch_size is {max_batch_size}; it must be at least 1"
            raise LocalProtocolError(msg)
        self._config = config
        self._max_batch_size = max_batch_size
        self._closed = False
        self._embedding = weights["model.embed_tokens.weight"]
        self._final_norm = weights["model.norm.weight"]
        self._layers = [
            _fuse(weights, index) for index in range(config.num_hidden_layers)
        ]
        self._cos, self._sin = _rotations(config)
        shape = (
            config.num_hidden_layers,
            max_batch_size,
            config.num_attention_heads,
            config.max_position_embeddings,
            config.head_dim,
        )
        self._keys = np.zeros(shape, np.float32)
        self._values = np.zeros(shape, np.float32)
        self._lengths = [0] * max_batch_size

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, max_batch_size: int = 16
    ) -> "NumpyModelRunner":
        """Read a model directory.

        Args:
            path: The directory; None is the model that ships with the package.
            max_batch_size: Number of slots.

        Raises:
            ConfigError: The directory holds no such model; the text says why.
            LocalProtocolError: ``max_batch_size`` is below 1.
        """
        directory = model_directory() if path is None else Path(path)
        config = load_config(directory)
        weights = load_weights(directory, config)
        return cls(config, weights, max_batch_size=max_batch_size)

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self._config.vocab_size

    @property
    def context_length(self) -> int:
        """Most tokens of one sequence."""
        return self._config.max_position_embeddings

    @property
    def eos_token_id(self) -> int:
        """The token by which the model ends a text."""
        return self._config.eos_token_id

    @property
    def max_batch_size(self) -> int:
        """Number of slots."""
        return self._max_batch_size

    def forward(self, steps: Sequence[SequenceStep]) -> Array:
        """Run new tokens of some sequences; see ``ModelRunner.forward``.

        Returns:
            Fresh float32 logits of shape ``(len(steps), vocab_size)``, C order.

        Raises:
            LocalProtocolError: A step is invalid; nothing was changed.
            ClosedError: The runner is closed.
        """
        if self._closed:
            raise ClosedError("model runner")
        self._check(steps)
        if not steps:
            return np.zeros((0, self.vocab_size), np.float32)
        ids = np.concatenate([np.asarray(s.token_ids, np.intp) for s in steps])
        positions = np.concatenate(
            [np.arange(s.position, s.position + len(s.token_ids)) for s in steps]
        )
        x = self._embedding[ids]
        for index in range(len(self._layers)):
            x = self._run_layer(index, x, steps, positions)
        for step in steps:
            self._lengths[step.slot] = step.position + len(step.token_ids)
        last = np.cumsum([len(s.token_ids) for s in steps]) - 1
        x = _rms_norm(x[last], self._final_norm, self._config.rms_norm_eps)
        return np.ascontiguousarray(x @ self._embedding.T)

    def release(self, slot: int) -> None:
        """Forget what a slot holds; see ``ModelRunner.release``.

        Raises:
            LocalProtocolError: There is no such slot.
        """
        if not 0 <= slot < self._max_batch_size:
            msg = f"slot {slot} is not in 0..{self._max_batch_size - 1}"
            raise LocalProtocolError(msg)
        self._lengths[slot] = 0

    def close(self) -> None:
        """Free the model and its cache; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._layers = []
        self._embedding = np.zeros((0, 0), np.float32)
        self._keys = self._values = np.zeros((0, 0, 0, 0, 0), np.float32)

    def _check(self, steps: Sequence[SequenceStep]) -> None:
        slots = set()
        for step in steps:
            problem = self._problem(step)
            if problem is None and step.slot in slots:
                problem = f"slot {step.slot} comes twice in one batch"
            if problem is not None:
                raise LocalProtocolError(problem)
            slots.add(step.slot)

    def _problem(self, step: SequenceStep) -> str | None:
        slot, tokens, position = step.slot, step.token_ids, step.position
        if not 0 <= slot < self._max_batch_size:
            return f"slot {slot} is not in 0..{self._max_batch_size - 1}"
        if len(tokens) == 0:
            return f"step of slot {slot} has no tokens"
        if not 0 <= position <= self._lengths[slot]:
            return (
                f"position {position} is not in 0..{self._lengths[slot]}, slot {slot}"
            )
        end = position + len(tokens)
        if end > self.context_length:
            return f"sequence of {end} tokens exceeds limit of {self.context_length}"
        if min(tokens) < 0 or max(tokens) >= self.vocab_size:
            return f"a token of slot {slot} is not in 0..{self.vocab_size - 1}"
        return None

    def _run_layer(
        self,
        index: int,
        x: Array,
        steps: Sequence[SequenceStep],
        positions: NDArray[np.intp],
    ) -> Array:
        layer, eps = self._layers[index], self._config.rms_norm_eps
        projected = _rms_norm(x, layer.attention_norm, eps) @ layer.query_key_value
        mixed = self._attend(index, projected, steps, positions)
        x = x + mixed @ layer.attention_output
        gate_up = _rms_norm(x, layer.feed_forward_norm, eps) @ layer.gate_up
        width = self._config.intermediate_size
        mixed = _silu(gate_up[:, :width]) * gate_up[:, width:]
        output: Array = x + mixed @ layer.down
        return output

    def _attend(
        self,
        index: int,
        projected: Array,
        steps: Sequence[SequenceStep],
        positions: NDArray[np.intp],
    ) -> Array:
        """Store the new keys and values and mix values, ``(tokens, hidden_size)``."""
        heads, width = self._config.num_attention_heads, self._config.head_dim
        parts = projected.reshape(len(projected), 3, heads, width)
        rotated = self._rotate(parts[:, :2], positions)
        # (heads, tokens, width), so that each head is one matrix.
        queries = rotated[:, 0].transpose(1, 0, 2)
        keys = rotated[:, 1].transpose(1, 0, 2)
        values = parts[:, 2].transpose(1, 0, 2)
        mixed: Array = np.empty((len(projected), heads, width), np.float32)
        start = 0
        for step in steps:
            new = slice(start, start + len(step.token_ids))
            end = step.position + len(step.token_ids)
            cached_keys = self._keys[index, step.slot]
            cached_values = self._values[index, step.slot]
            cached_keys[:, step.position : end] = keys[:, new]
            cached_values[:, step.position : end] = values[:, new]
            shares = _shares(queries[:, new], cached_keys[:, :end])
            mixed[new] = (shares @ cached_values[:, :end]).transpose(1, 0, 2)
            start = new.stop
        return mixed.reshape(len(projected), heads * width)

    def _rotate(self, x: Array, positions: NDArray[np.intp]) -> Array:
        """Turn ``(tokens, 2, heads, width)`` by position (RoPE, arXiv:2104.09864)."""
        half = self._config.head_dim // 2
        cos = self._cos[positions][:, None, None, :]
        sin = self._sin[positions][:, None, None, :]
        low, high = x[..., :half], x[..., half:]
        turned: Array = np.empty(x.shape, np.float32)
        turned[..., :half] = low * cos - high * sin
        turned[..., half:] = high * cos + low * sin
        # Scaled here, on few numbers, and not on the scores.
        turned[:, 0] *= np.float32(self._config.head_dim**-0.5)
        return turned


def _fuse(weights: dict[str, Array], index: int) -> _Layer:
    def weight(name: str) -> Array:
        return weights[f"model.layers.{index}.{name}.weight"]

    def joined(*names: str) -> Array:
        return np.ascontiguousarray(np.concatenate([weight(n) for n in names]).T)

    return _Layer(
        attention_norm=weight("input_layernorm"),
        query_key_value=joined(
            "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"
        ),
        attention_output=joined("self_attn.o_proj"),
        feed_forward_norm=weight("post_attention_layernorm"),
        gate_up=joined("mlp.gate_proj", "mlp.up_proj"),
        down=joined("mlp.down_proj"),
    )


def _rotations(config: ModelConfig) -> tuple[Array, Array]:
    half = config.head_dim // 2
    rates = config.rope_theta ** (-np.arange(half) / half)
    angles = np.arange(config.max_position_embeddings)[:, None] * rates
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rms_norm(x: Array, weight: Array, eps: float) -> Array:
    mean = np.einsum("td,td->t", x, x) / np.float32(x.shape[1])
    scaled: Array = x * (weight / np.sqrt(mean + np.float32(eps))[:, None])
    return scaled


def _silu(x: Array) -> Array:
    # The hyperbolic tangent cannot overflow, which exp(-x) can.
    half = np.float32(0.5)
    activated: Array = x * (half * np.tanh(half * x) + half)
    return activated


def _shares(queries: Array, keys: Array) -> Array:
    """Return ``(heads, new, all)`` attention shares of the newest tokens."""
    scores = queries @ keys.transpose(0, 2, 1)
    num_new, num_all = scores.shape[1:]
    if num_new > 1:
        hidden = np.triu(np.ones((num_new, num_all), bool), num_all - num_new + 1)
        scores[:, hidden] = -np.inf
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores
