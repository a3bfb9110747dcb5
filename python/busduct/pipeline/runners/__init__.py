"""Models that a scheduler can run, and the protocol that they satisfy.

Needs the extra ``model``.
"""

try:
    import numpy as _numpy  # noqa: F401
    import safetensors as _safetensors  # noqa: F401
except ImportError as error:
    msg = "busduct.pipeline.runners needs the extra: pip install 'busduct[model]'"
    raise ImportError(msg) from error

from busduct.pipeline.runners._protocol import ModelRunner, SequenceStep
from busduct.pipeline.runners.numpy_runner import NumpyModelRunner

__all__ = ["ModelRunner", "NumpyModelRunner", "SequenceStep"]
