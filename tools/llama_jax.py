"""Train a small Llama-shaped language model with JAX: forward pass, loss, optimizer.

Parameters are a flat dictionary under the names that Hugging Face gives a
``LlamaForCausalLM`` with tied embeddings; each matrix is ``(out, in)``, as there.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

Parameters = dict[str, jax.Array]

_MOMENTUM = 0.95
_ADAM_BETAS = (0.9, 0.95)
_WEIGHT_DECAY = 0.1


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model; the field names are those of its ``config.json``."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


def initialize(shape: Shape, seed: int) -> Parameters:
    """Draw the starting weights."""
    random = np.random.default_rng(seed)
    d, h = shape.hidden_size, shape.intermediate_size
    residual = 0.02 / math.sqrt(2 * shape.num_hidden_layers)
    layer = {
        "self_attn.q_proj": (d, d, d**-0.5),
        "self_attn.k_proj": (d, d, d**-0.5),
        "self_attn.v_proj": (d, d, d**-0.5),
        "self_attn.o_proj": (d, d, residual),
        "mlp.gate_proj": (h, d, d**-0.5),
        "mlp.up_proj": (h, d, d**-0.5),
        "mlp.down_proj": (d, h, residual),
    }
    found = {
        "model.embed_tokens.weight": 0.02 * random.normal(size=(shape.vocab_size, d)),
        "model.norm.weight": np.ones(d),
    }
    for index in range(shape.num_hidden_layers):
        prefix = f"model.layers.{index}"
        for name, (rows, columns, std) in layer.items():
            weight = std * random.normal(size=(rows, columns))
            found[f"{prefix}.{name}.weight"] = weight
        found[f"{prefix}.input_layernorm.weight"] = np.ones(d)
        found[f"{prefix}.post_attention_layernorm.weight"] = np.ones(d)
    return {name: jnp.asarray(value, jnp.float32) for name, value in found.items()}


def logits(parameters: Parameters, shape: Shape, ids: jax.Array) -> jax.Array:
    """Return ``(batch, length, vocab_size)`` logits of ``(batch, length)`` tokens."""
    embedding = parameters["model.embed_tokens.weight"]
    x = embedding[ids]
    for index in range(shape.num_hidden_layers):
        prefix = f"model.layers.{index}."

        def weight(name: str, prefix: str = prefix) -> jax.Array:
            return parameters[f"{prefix}{name}.weight"]

        normed = _rms_norm(x, weight("input_layernorm"), shape.rms_norm_eps)
        x = x + _attention(normed, weight, shape)
        normed = _rms_norm(x, weight("post_attention_layernorm"), shape.rms_norm_eps)
        gate = jax.nn.silu(normed @ weight("mlp.gate_proj").T)
        up = normed @ weight("mlp.up_proj").T
        x = x + (gate * up) @ weight("mlp.down_proj").T
    x = _rms_norm(x, parameters["model.norm.weight"], shape.rms_norm_eps)
    return x @ embedding.T


def _rms_norm(x: jax.Array, weight: jax.Array, eps: float) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def _attention(x: jax.Array, weight, shape: Shape) -> jax.Array:
    batch, length, d = x.shape
    split = (batch, length, shape.num_attention_heads, shape.head_dim)
    queries = _rotate((x @ weight("self_attn.q_proj").T).reshape(split), shape)
    keys = _rotate((x @ weight("self_attn.k_proj").T).reshape(split), shape)
    values = (x @ weight("self_attn.v_proj").T).reshape(split)
    scores = jnp.einsum("bqhd,bkhd->bhqk", queries, keys) / math.sqrt(shape.head_dim)
    causal = jnp.tril(jnp.ones((length, length), bool))
    shares = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", shares, values)
    return mixed.reshape(batch, length, d) @ weight("self_attn.o_proj").T


def _rotate(x: jax.Array, shape: Shape) -> jax.Array:
    """Turn each head's halves by the position (RoPE, https://arxiv.org/abs/2104.09864)."""
    half = shape.head_dim // 2
    rates = shape.rope_theta ** (-np.arange(half) / half)
    angles = np.arange(x.shape[1])[:, None] * rates
    cos = jnp.asarray(np.cos(angles), x.dtype)[:, None, :]
    sin = jnp.asarray(np.sin(angles), x.dtype)[:, None, :]
    low, high = x[..., :half], x[..., half:]
    return jnp.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1)


def token_losses(parameters: Parameters, shape: Shape, windows: jax.Array) -> jax.Array:
    """Return the loss in nats of each token after the first of each window."""
    scores = jax.nn.log_softmax(logits(parameters, shape, windows[:, :-1]))
    return -jnp.take_along_axis(scores, windows[:, 1:, None], axis=-1)[..., 0]


@dataclass(slots=True)
class Trainer:
    """Weights and optimizer state, moved on one batch at a time.

    Hidden matrices take Muon steps (momentum made orthogonal, then scaled as in
    https://arxiv.org/abs/2502.16982, so that one learning rate serves all); embeddings
    and norms take AdamW steps.
    """

    shape: Shape
    parameters: Parameters
    _state: dict[str, tuple[jax.Array, ...]]
    _num_steps: int = 0

    @classmethod
    def start(cls, shape: Shape, seed: int) -> "Trainer":
        """Begin with fresh weights."""
        parameters = initialize(shape, seed)
        state = {}
        for name, value in parameters.items():
            count = 1 if _is_hidden_matrix(name) else 2
            # Buffers of their own: donating one array twice is an error.
            state[name] = tuple(jnp.zeros_like(value) for _ in range(count))
        return cls(shape, parameters, state)

    def step(self, windows: np.ndarray, learning_rate: float) -> jax.Array:
        """Learn from ``(batch, length + 1)`` tokens; return their mean loss."""
        self._num_steps += 1
        self.parameters, self._state, loss = _step(
            self.parameters,
            self._state,
            self.shape,
            windows,
            jnp.float32(learning_rate),
            jnp.float32(self._num_steps),
        )
        return loss


def _step(parameters, state, shape, windows, learning_rate, count):
    def mean_loss(candidate):
        return token_losses(candidate, shape, windows).mean()

    loss, gradients = jax.value_and_grad(mean_loss)(parameters)
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradients.values()))
    scale = jnp.minimum(1.0, 1.0 / norm)
    moved, kept = {}, {}
    for name, value in parameters.items():
        update, kept[name] = _update(name, gradients[name] * scale, state[name], count)
        decay = _WEIGHT_DECAY if value.ndim == 2 else 0.0
        moved[name] = value - learning_rate * (update + decay * value)
    return moved, kept, loss


_step = jax.jit(_step, static_argnames="shape", donate_argnames=("parameters", "state"))


def _is_hidden_matrix(name: str) -> bool:
    return "_proj." in name


def _update(name: str, gradient: jax.Array, state, count):
    if _is_hidden_matrix(name):
        momentum = _MOMENTUM * state[0] + gradient
        direction = _orthogonalize(gradient + _MOMENTUM * momentum)
        return 0.2 * math.sqrt(max(gradient.shape)) * direction, (momentum,)
    first_beta, second_beta = _ADAM_BETAS
    first = first_beta * state[0] + (1 - first_beta) * gradient
    second = second_beta * state[1] + (1 - second_beta) * gradient**2
    first_mean = first / (1 - first_beta**count)
    second_mean = second / (1 - second_beta**count)
    return first_mean / (jnp.sqrt(second_mean) + 1e-8), (first, second)


def _orthogonalize(matrix: jax.Array) -> jax.Array:
    """Push the singular values towards 1 (quintic Newton-Schulz iteration)."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (jnp.linalg.norm(x) + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if tall else x
