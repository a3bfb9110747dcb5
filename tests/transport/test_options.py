"""Options out of their range, or of another kind, are refused by name."""

import math
from types import ModuleType
from typing import Any

import pytest

from busduct.errors import ConfigError

KINDS = [
    "PAIR",
    "PUB",
    "SUB",
    "REQ",
    "REP",
    "DEALER",
    "ROUTER",
    "PULL",
    "PUSH",
    "XPUB",
    "XSUB",
]
OUT_OF_RANGE: list[tuple[str, Any]] = [
    ("backlog", 0),
    ("tcp_keepalive_count", 0),
    ("tcp_keepalive_idle", 0.9),
    ("tcp_keepalive_interval", 0),
    ("tcp_keepalive_interval", math.nan),
    ("send_buffer_bytes", -1),
    ("recv_buffer_bytes", -1),
    ("heartbeat_interval", 0),
    ("heartbeat_interval", math.nan),
    ("heartbeat_timeout", -1),
    ("heartbeat_ttl", 0),
    ("heartbeat_ttl", 6553.6),
    ("on_full", "block"),
    ("on_full", ""),
]
OF_KINDS: list[tuple[str, Any, set[str]]] = [
    ("immediate", True, {"DEALER", "PAIR", "PUSH", "REQ"}),
    ("probe_router", True, {"DEALER", "REQ", "ROUTER"}),
    ("router_mandatory", False, {"ROUTER"}),
    ("router_handover", True, {"ROUTER"}),
    ("req_correlate", True, {"REQ"}),
    ("req_relaxed", True, {"REQ"}),
    ("xpub_verbose", True, {"XPUB"}),
    ("max_subscriptions", 5, {"PUB", "XPUB"}),
]
FLAGS = ["isolate", *(name for name, value, _ in OF_KINDS if value in {True, False})]
SENDING = {"PAIR", "PUB", "REQ", "REP", "DEALER", "ROUTER", "PUSH", "XPUB"}
POLICIES: list[tuple[str, set[str]]] = [
    ("wait", set(KINDS)),
    ("error", SENDING),
    ("drop_new", set(KINDS) - {"REQ", "REP"}),
    ("drop_old", set(KINDS) - {"REQ", "REP"}),
    ("conflate", set(KINDS) - {"REQ", "REP", "ROUTER"}),
]


def is_allowed(backend: ModuleType, kind: str, **options: Any) -> bool:
    """Open a socket with these options; tell whether they are allowed to it."""
    with backend.Context() as ctx:
        try:
            ctx.socket(getattr(backend, kind), **options)
        except ConfigError as error:
            return not any(name in str(error) for name in options)
        return True


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_value_out_of_range_is_refused_by_name(
    backend: ModuleType, name: str, value: Any
) -> None:
    assert not is_allowed(backend, "DEALER", **{name: value})


def test_no_subscriptions_at_all_is_refused(backend: ModuleType) -> None:
    assert not is_allowed(backend, "PUB", max_subscriptions=0)


def test_every_kind_takes_values_within_range(backend: ModuleType) -> None:
    for kind in KINDS:
        assert is_allowed(
            backend,
            kind,
            backlog=1,
            tcp_keepalive_idle=1,
            tcp_keepalive_interval=1,
            tcp_keepalive_count=1,
            send_buffer_bytes=0,
            recv_buffer_bytes=1 << 16,
            heartbeat_timeout=0.5,
            heartbeat_ttl=6553.5,
            routing_id=b"me",
        )


@pytest.mark.parametrize(("name", "value", "kinds"), OF_KINDS)
def test_option_of_other_kinds_is_refused_by_name(
    backend: ModuleType, name: str, value: Any, kinds: set[str]
) -> None:
    allowed = {kind for kind in KINDS if is_allowed(backend, kind, **{name: value})}
    assert allowed == kinds


@pytest.mark.parametrize(("policy", "kinds"), POLICIES)
def test_policy_that_a_kind_cannot_follow_is_refused(
    backend: ModuleType, policy: str, kinds: set[str]
) -> None:
    allowed = {kind for kind in KINDS if is_allowed(backend, kind, on_full=policy)}
    assert allowed == kinds


@pytest.mark.parametrize("name", ["backlog", "max_subscriptions", "send_buffer_bytes"])
def test_count_that_is_no_integer_is_a_type_error(
    backend: ModuleType, name: str
) -> None:
    with backend.Context() as ctx, pytest.raises(TypeError):
        ctx.socket(backend.PUB, **{name: "1"})


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [1, None, "yes"])
def test_flag_that_is_no_bool_is_a_type_error(
    backend: ModuleType, name: str, value: Any
) -> None:
    with backend.Context() as ctx, pytest.raises(TypeError):
        ctx.socket(backend.PUB, **{name: value})


def test_policy_that_is_no_text_is_a_type_error(backend: ModuleType) -> None:
    with backend.Context() as ctx, pytest.raises(TypeError):
        ctx.socket(backend.PUSH, on_full=1)
