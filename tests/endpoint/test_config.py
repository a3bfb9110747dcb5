"""The settings of the HTTP client: what they become, and what they may not be."""

import enum
import math
import os
from pathlib import Path
from typing import Any

import pytest

from busduct.endpoint import HTTPClientConfig
from busduct.endpoint import _capacity as capacity
from busduct.endpoint import config as config_module
from busduct.endpoint.config import load_class
from busduct.errors import ConfigError
from busduct.transport.pool import InprocTransportConfig

URL = "http://127.0.0.1:8000"


def make(*urls: str, **settings: Any) -> HTTPClientConfig:
    return HTTPClientConfig(endpoint_urls=urls or (URL,), **settings)


@pytest.fixture
def hundred_ports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "ip_local_port_range"
    path.write_text("1000\t1099\n")
    monkeypatch.setattr(capacity, "PORT_RANGE", path)


class Adapter:
    """Stands for one of the caller's own."""


class Api(str, enum.Enum):  # noqa: UP042, what callers of mlcommons/endpoints have
    SGLANG = "sglang"


@pytest.mark.parametrize(
    ("api_type", "url", "resolved"),
    [
        ("openai", "http://h:1", "http://h:1/v1/chat/completions"),
        ("openai", "http://h:1/", "http://h:1/v1/chat/completions"),
        ("openai", "http://h:1/v1", "http://h:1/v1/chat/completions"),
        ("openai", "https://h", "https://h/v1/chat/completions"),
        ("openai", "http://[::1]:1?a=b", "http://[::1]:1/v1/chat/completions?a=b"),
        ("openai", "http://h:1/own/route", "http://h:1/own/route"),
        ("openai_completions", "http://h:1", "http://h:1/v1/completions"),
        ("sglang", "http://h:1", "http://h:1/generate"),
        ("sglang", "http://h:1/v1", "http://h:1/v1"),
    ],
)
def test_a_bare_url_gets_the_route_of_its_api(
    api_type: Any, url: str, resolved: str
) -> None:
    assert make(url, api_type=api_type).endpoint_urls == (resolved,)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:8000", "must begin with http:// or https://"),
        ("ftp://h:1", "must begin with http:// or https://"),
        ("h", "must begin with http:// or https://"),
        ("", "must begin with http:// or https://"),
        ("http://", "must name a host"),
        ("http://:80", "must name a host"),
        ("http://h:0", "a port from 1 to 65535"),
        ("http://h:65536", "does not parse"),
        ("http://h:port", "does not parse"),
        ("http://[::1", "does not parse"),
        ("http://h/a#b", "fragment"),
        ("http://h/a b", "percent-encoded"),
        ("http://h/\r\nX: y", "percent-encoded"),
        ("http://h/ä", "percent-encoded"),
        (7, "must be a string"),
    ],
)
def test_a_url_that_cannot_be_posted_to_is_refused(url: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make(url)


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="has a user") as caught:
        make("http://me:secret@h:1")
    assert "secret" not in str(caught.value)


def test_one_string_of_urls_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be a list of strings"):
        HTTPClientConfig(endpoint_urls=URL)  # type: ignore[arg-type]


def test_without_urls_nothing_is_resolved() -> None:
    config = HTTPClientConfig()
    assert (config.num_workers, config.max_connections) == (-1, -1)
    assert config.with_updates(endpoint_urls=[URL]).num_workers >= 2


@pytest.mark.parametrize(
    ("num_cpus", "num_urls", "num_workers"),
    [(1, 1, 2), (2, 1, 2), (4, 1, 3), (4, 2, 4), (64, 1, 24), (64, 5, 25)],
)
def test_workers_are_counted_by_cpus_and_urls(
    num_cpus: int, num_urls: int, num_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "num_cpus", lambda: num_cpus)
    urls = [f"http://h:{port}" for port in range(1, num_urls + 1)]
    assert make(*urls).num_workers == num_workers


def test_a_containers_quota_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    for quota, num_workers in ((6.5, 5), (0.5, 2), (math.inf, 15)):
        monkeypatch.setattr(capacity, "cpu_quota", lambda q=quota: q)
        assert make().num_workers == num_workers


def test_urls_must_divide_the_workers() -> None:
    with pytest.raises(ConfigError, match=r"num_workers is 3.*multiple.*2"):
        make("http://a", "http://b", num_workers=3)


def test_workers_take_the_urls_in_turn() -> None:
    config = make("http://a/x", "http://b/y", num_workers=4)
    urls = [config.url_of(worker_id) for worker_id in range(4)]
    assert urls == ["http://a/x", "http://b/y"] * 2


@pytest.mark.usefixtures("hundred_ports")
def test_connections_are_bounded_by_the_local_ports() -> None:
    assert make(num_workers=1).max_connections == 100
    assert make("http://a", "http://b", num_workers=2).max_connections == 200
    # Two routes of one server share its ports.
    assert make("http://a/x", "http://a/y", num_workers=2).max_connections == 100
    with pytest.raises(ConfigError, match=r"max_connections is 101.*100 local ports"):
        make(num_workers=1, max_connections=101)
    with pytest.raises(ConfigError, match="min_required_connections is 101"):
        make(num_workers=1, min_required_connections=101)


@pytest.mark.usefixtures("hundred_ports")
def test_a_few_connections_are_warmed_up_of_many_and_half_of_a_number_given() -> None:
    automatic = make(num_workers=1, auto_warmup_budget_fraction=0.1)
    assert (automatic.warmup_connections, automatic.min_required_connections) == (
        10,
        10,
    )
    assert make(num_workers=1, max_connections=8).warmup_connections == 4
    assert (
        make(num_workers=1, max_connections=8, warmup_connections=9).warmup_connections
        == 8
    )
    assert make(num_workers=1, warmup_connections=0).warmup_connections == 0


def test_connections_are_shared_out_to_the_last_one() -> None:
    config = make(num_workers=3, max_connections=8, warmup_connections=2)
    assert [config.connections_of(worker_id) for worker_id in range(3)] == [3, 3, 2]
    assert [config.warmups_of(worker_id) for worker_id in range(3)] == [1, 1, 0]


def test_each_worker_needs_a_connection() -> None:
    with pytest.raises(ConfigError, match=r"max_connections is 1.*num_workers, 2"):
        make(num_workers=2, max_connections=1)


def test_a_system_that_does_not_tell_its_ports_has_the_standard_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(capacity, "PORT_RANGE", tmp_path / "missing")
    assert make(num_workers=1).max_connections == 65535 - 49152 + 1


def test_the_key_is_never_shown() -> None:
    config = make(api_key="sk-secret")
    assert "sk-secret" not in repr(config)
    assert "sk-secret" not in f"{config} {config!s} {list(config.__rich_repr__())}"
    for key in ("sk-secret\r\nX: y", "sk-secret "):
        with pytest.raises(ConfigError, match="header") as caught:
            make(api_key=key)
        assert "sk-secret" not in str(caught.value)


def test_a_worker_reads_what_the_parent_wrote() -> None:
    config = make(api_key="sk-secret", num_workers=2, adapter=Adapter, ca_file=__file__)
    line = config.to_worker_settings()
    assert b"\n" not in line
    assert HTTPClientConfig.from_worker_settings(line) == config


def test_worker_settings_that_do_not_parse_are_not_shown() -> None:
    with pytest.raises(ConfigError, match="do not parse") as caught:
        HTTPClientConfig.from_worker_settings(b'{"api_key": "sk-secret')
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("given", ["sglang", Api.SGLANG])
def test_each_api_has_its_adapter_and_accumulator(given: Any) -> None:
    config = make(api_type=given)
    assert type(config.api_type) is str
    assert config.adapter == "busduct.endpoint.adapters:SGLangGenerateAdapter"
    assert config.accumulator == "busduct.endpoint.accumulators:SGLangSSEAccumulator"


def test_a_log_level_may_be_spelled_in_lower_case() -> None:
    assert make(log_level="debug").log_level == "DEBUG"


def test_an_api_may_be_spelled_with_a_dash() -> None:
    assert make(api_type="openai-completions").api_type == "openai_completions"


def test_another_api_brings_its_own_adapter() -> None:
    config = make(api_type="sglang", adapter=Adapter)
    assert config.adapter == f"{__name__}:Adapter"
    assert "OpenAIChat" in config.with_updates(api_type="openai").adapter
    kept = config.with_updates(api_type="openai", adapter=Adapter)
    assert kept.adapter == f"{__name__}:Adapter"


def test_a_class_that_workers_cannot_import_is_refused() -> None:
    class Inner:
        pass

    main = type("Main", (), {"__module__": "__main__"})
    for given in (Inner, main):
        with pytest.raises(ConfigError, match="worker processes cannot import"):
            make(adapter=given)
    for given in ("busduct.endpoint", "a:", ":b", 7):
        with pytest.raises(ConfigError, match="module:Class"):
            make(accumulator=given)


def test_a_class_is_found_by_its_path() -> None:
    assert load_class("busduct.messages:Query").__name__ == "Query"
    for path in ("busduct.no_such_module:Query", "busduct.messages:NoSuchClass"):
        with pytest.raises(ConfigError, match="cannot be imported"):
            load_class(path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"num_workers": 0}, "num_workers is 0"),
        ({"num_workers": -2}, "num_workers is -2"),
        ({"num_workers": "4"}, "num_workers is '4'; it must be an integer"),
        ({"num_workers": True}, "num_workers is True"),
        ({"max_connections": 0}, "max_connections is 0"),
        ({"warmup_connections": -2}, "warmup_connections is -2"),
        ({"max_concurrent_warmup_connects": 0}, "max_concurrent_warmup_connects is 0"),
        ({"auto_warmup_budget_fraction": 0.0}, "auto_warmup_budget_fraction is 0.0"),
        ({"auto_warmup_budget_fraction": 1.1}, "auto_warmup_budget_fraction is 1.1"),
        ({"request_timeout": 0}, "request_timeout is 0"),
        ({"request_timeout": float("inf")}, "request_timeout is inf"),
        ({"connect_timeout": -1.0}, "connect_timeout is -1.0"),
        ({"max_idle_time": "4"}, "max_idle_time is '4'"),
        ({"max_restarts": -1}, "max_restarts is -1"),
        ({"max_queued": 0}, "max_queued is 0"),
        ({"max_header_bytes": 1}, "max_header_bytes is 1"),
        ({"routing": "random"}, "routing is 'random'; it must be one of round_robin"),
        ({"worker_gc_mode": "off"}, "worker_gc_mode is 'off'"),
        ({"api_type": "grpc"}, "api_type is 'grpc'"),
        ({"api_type": None}, "api_type is None"),
        ({"log_level": "LOUD"}, "log_level is 'LOUD'"),
        ({"insecure": 1}, "insecure is 1"),
        ({"ca_file": "/no/such/file"}, "there is no such file"),
        ({"api_key": ""}, "api_key must be a string that is not empty"),
        ({"cpu_affinity": (0, 1)}, r"cpu_affinity is \(0, 1\)"),
        ({"transport": "zmq"}, "transport is 'zmq'"),
        ({"transport": InprocTransportConfig()}, "no other process can use"),
    ],
)
def test_a_value_out_of_its_range_is_refused(
    settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        make(**settings)
