"""Settings of an echo server, and its delays."""

import random
import statistics

import msgspec
import pytest

from busduct.endpoint.echo import Delay, EchoConfig
from busduct.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"port": 65536}, "port is 65536; it must be from 0 to 65535"),
        ({"output_length": 0}, "output_length is 0; it must be from 1"),
        ({"stream_interval": 0}, "stream_interval is 0"),
        ({"num_processes": -1}, "num_processes is -1"),
        ({"error_rate": 1.5}, "error_rate is 1.5; it must be from 0 to 1"),
        ({"error_rate": float("nan")}, "error_rate is nan"),
        ({"error_status": 200}, "error_status is 200; it must be from 400 to 599"),
        ({"cert_file": "a"}, "both cert_file and key_file"),
        ({"tpot": Delay(mean=1.0)}, "tpot has no effect in the mode 'max'"),
        ({"echo": True}, "echo has no effect"),
    ],
)
def test_wrong_value_is_told(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EchoConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("mean", [-1.0, float("inf"), float("nan")])
def test_delay_out_of_range_is_told(mean: float) -> None:
    with pytest.raises(ConfigError, match="mean of a delay"):
        Delay(mean=mean)
    with pytest.raises(ConfigError, match="spread of a delay"):
        Delay(mean=1.0, spread=mean)


def test_uniform_delay_is_never_negative() -> None:
    with pytest.raises(ConfigError, match="must be at most 1"):
        Delay(mean=1.0, distribution="uniform", spread=1.1)


def samples(delay: Delay) -> list[float]:
    source = random.Random(7)
    return [delay.sample(source) for _ in range(20_000)]


def test_fixed_delay_is_its_mean() -> None:
    assert set(samples(Delay(mean=0.2, spread=0.5))) == {0.2}


def test_uniform_delay_fills_its_width() -> None:
    found = samples(Delay(mean=0.2, distribution="uniform", spread=0.5))
    assert min(found) >= 0.1
    assert max(found) <= 0.3
    assert statistics.fmean(found) == pytest.approx(0.2, rel=0.01)
    # A uniform distribution's standard deviation is its width over the root of 12.
    assert statistics.stdev(found) == pytest.approx(0.2 / 12**0.5, rel=0.02)


def test_lognormal_delay_has_the_mean_and_the_spread_that_were_asked_for() -> None:
    found = samples(Delay(mean=0.2, distribution="lognormal", spread=0.5))
    assert min(found) > 0
    assert statistics.fmean(found) == pytest.approx(0.2, rel=0.01)
    assert statistics.stdev(found) == pytest.approx(0.1, rel=0.03)


def test_config_survives_json() -> None:
    config = EchoConfig(mode="variable", ttft=Delay(mean=0.1), seed=3)
    assert msgspec.json.decode(msgspec.json.encode(config), type=EchoConfig) == config
