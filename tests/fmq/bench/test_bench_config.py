"""What a benchmark may be asked for."""

from typing import Any

import pytest

from busduct.errors import ConfigError
from busduct.fmq.bench import BenchConfig, BenchRun
from busduct.fmq.bench import _config as config_module


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"num_producers": 0}, "num_producers is 0; it must be from 1 to 256"),
        ({"num_consumers": 257}, "num_consumers is 257; it must be from 1 to 256"),
        ({"num_messages": 0}, "num_messages is 0; it must be from 1"),
        ({"payload_nbytes": 7}, "payload_nbytes is 7; it must be from 8"),
        ({"payload_nbytes": (1 << 30) + 1}, "it must be from 8 to 1073741824"),
        ({"shm_threshold": -1}, "shm_threshold is -1; it must be from 0"),
        ({"num_warmup": 0}, "num_warmup is 0; it must be from 1"),
        ({"num_rounds": 0}, "num_rounds is 0; it must be from 1"),
        ({"rate": 0.0}, "rate is 0.0; it must be finite and above 0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"timeout": float("inf")}, "timeout is inf"),
        ({"payload": "text"}, "payload is 'text'"),
        ({"modes": ("slow",)}, r"modes is \('slow',\)"),
        ({"modes": ()}, "each is given once, and there is at least one"),
        ({"carriers": ("shm", "shm")}, "each is given once"),
        ({"num_messages": "many"}, "num_messages is 'many': expected `int`"),
        (
            {"num_producers": 10, "num_messages": 10_000_000},
            "100,000,000 messages in a round exceed limit of 50,000,000",
        ),
    ],
)
def test_a_wrong_value_names_its_field(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        BenchConfig(**values)


def test_arrays_without_numpy_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_module, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"busduct\[tensors\]"):
        BenchConfig(payload="array")


def test_shared_memory_needs_the_backend_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", "python")
    with pytest.raises(ConfigError, match="the pure-Python backend does not"):
        BenchRun(BenchConfig())
    BenchRun(BenchConfig(carriers=("kernel",)))
