"""What callers may ask for."""

import math

import msgspec
import pytest

from busduct.errors import ConfigError, RequestError
from busduct.pipeline import EngineConfig, SamplingParams


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("max_tokens", 2**63),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "1"),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("top_k", -1),
        ("top_k", None),
        ("seed", 2**63),
        ("seed", 1.0),
        ("stop", ("",)),
        ("stop", "text"),
        ("stop", ["text"]),
        ("stop", (1,)),
        ("stop", ("\ud800",)),
        ("stop", ("x",) * 17),
        ("stop", ("x" * 1025,)),
    ],
)
def test_bad_sampling_parameter_names_itself(param: str, value: object) -> None:
    with pytest.raises(RequestError) as caught:
        SamplingParams(**{param: value})
    assert caught.value.code == "invalid_value"
    assert caught.value.param == param


def test_sampling_parameters_refuse_unknown_fields() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"max_token": 3}, SamplingParams)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_batch_size", 0),
        ("max_batch_tokens", 15),
        ("max_waiting", -1),
        ("max_restarts", -1),
        ("start_timeout", -1.0),
        ("drain_timeout", math.inf),
        ("restart_window", math.nan),
        ("stall_timeout", 0.0),
        ("runner", "module.Class"),
    ],
)
def test_bad_setting_names_itself(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        EngineConfig(**{name: value})
