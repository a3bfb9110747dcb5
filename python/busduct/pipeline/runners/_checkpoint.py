"""Read and check a model directory: ``config.json`` and ``model.safetensors``.

The layout is that of a Hugging Face ``LlamaForCausalLM`` with tied embeddings.
"""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from busduct.errors import ConfigError

Array = NDArray[np.float32]

# The numpy runner is for small models; more than this is a wrong directory.
MAX_WEIGHTS_BYTES = 1 << 30
_MAX_CONFIG_BYTES = 1 << 20
_DTYPES = {"F16", "F32"}


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the keys of ``config.json`` that shape the computation."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int
    eos_token_id: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    tie_word_embeddings: bool = False

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


def load_config(directory: Path) -> ModelConfig:
    """Read ``config.json`` of a model directory.

    Raises:
        ConfigError: The file is missing, malformed, or asks for another kind of model.
    """
    path = directory / "config.json"
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            msg = f"{path} exceeds limit of {_MAX_CONFIG_BYTES} bytes"
            raise ConfigError(msg)
        config = msgspec.json.decode(path.read_bytes(), type=ModelConfig)
    except (OSError, msgspec.MsgspecError) as error:
        msg = f"cannot read {path}: {error}"
        raise ConfigError(msg) from error
    problem = _problem(config)
    if problem:
        msg = f"{path}: {problem}"
        raise ConfigError(msg)
    return config


def _problem(config: ModelConfig) -> str | None:
    for name in _POSITIVE:
        value = getattr(config, name)
        if value <= 0:
            return f"{name} is {value}; it must be above 0"
    heads = config.num_attention_heads
    wanted = {
        "model_type": (config.model_type == "llama", "'llama'"),
        "tie_word_embeddings": (config.tie_word_embeddings, "true"),
        "num_key_value_heads": (
            config.num_key_value_heads == heads,
            f"num_attention_heads, {heads}",
        ),
        "hidden_size": (
            config.hidden_size % (2 * heads) == 0,
            f"a multiple of twice num_attention_heads, {heads}",
        ),
        "eos_token_id": (
            0 <= config.eos_token_id < config.vocab_size,
            f"in 0..{config.vocab_size - 1}",
        ),
    }
    for name, (holds, allowed) in wanted.items():
        if not holds:
            return f"{name} is {getattr(config, name)!r}; it must be {allowed}"
    return None


_POSITIVE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
)


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor that the model needs."""
    d, h = config.hidden_size, config.intermediate_size
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm": (d,),
        "self_attn.q_proj": (d, d),
        "self_attn.k_proj": (d, d),
        "self_attn.v_proj": (d, d),
        "self_attn.o_proj": (d, d),
        "post_attention_layernorm": (d,),
        "mlp.gate_proj": (h, d),
        "mlp.up_proj": (h, d),
        "mlp.down_proj": (d, h),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, d),
        "model.norm.weight": (d,),
    }
    for index in range(config.num_hidden_layers):
        for name, shape in layer.items():
            shapes[f"model.layers.{index}.{name}.weight"] = shape
    return shapes


def load_weights(directory: Path, config: ModelConfig) -> dict[str, Array]:
    """Read the weights of a model directory as float32 copies.

    Raises:
        ConfigError: The file is missing, malformed or over ``MAX_WEIGHTS_BYTES``, or a
            tensor is missing, or has another shape or type than the configuration says.
    """
    path = directory / "model.safetensors"
    try:
        nbytes = path.stat().st_size
        if nbytes > MAX_WEIGHTS_BYTES:
            msg = f"{path} of {nbytes} bytes exceeds limit of {MAX_WEIGHTS_BYTES} bytes"
            raise ConfigError(msg)
        return _read_tensors(path, expected_shapes(config))
    except (OSError, SafetensorError) as error:
        msg = f"cannot read {path}: {error}"
        raise ConfigError(msg) from error


def _read_tensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    weights: dict[str, Array] = {}
    with safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        for name, shape in shapes.items():
            if name not in names:
                msg = f"{path} lacks tensor {name}"
                raise ConfigError(msg)
            # The header tells shape and type before anything is read.
            part = file.get_slice(name)
            if part.get_dtype() not in _DTYPES:
                msg = f"{name} is of type {part.get_dtype()}; it must be F16 or F32"
                raise ConfigError(msg)
            if tuple(part.get_shape()) != shape:
                msg = f"{name} is of shape {part.get_shape()}; it must be {shape}"
                raise ConfigError(msg)
            weights[name] = np.asarray(file.get_tensor(name), np.float32)
    return weights
