"""Every pair of socket kinds: those that belong together, and those that do not."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from tests.interop.ends import EXCHANGES, End, exchange, foreign_end, our_end
from tests.interop.libzmq import Foreign
from tests.transport.waiting import eventually

from busduct._backend import load_backend
from busduct.errors import RemoteProtocolError

# As (ours, theirs): each pair from both sides.
PAIRS = sorted({*EXCHANGES, *((b, a) for a, b in EXCHANGES)})
KINDS = sorted({kind for kind, _ in PAIRS})
HONEST = dict(reversed(PAIRS))

Opener = Callable[[str, bytes], End]


@pytest.fixture(params=["same backend", "other backend", "pyzmq"])
def other(request: pytest.FixtureRequest) -> str:
    """Name who is on the other side."""
    return str(request.param)


@asynccontextmanager
async def opening_theirs(
    other: str, backend: ModuleType, foreign: Foreign
) -> AsyncIterator[Opener]:
    """Give what opens a socket of the other side."""
    if other == "pyzmq":
        yield partial(foreign_end, foreign)
        return
    module = backend
    if other == "other backend":
        name = "python" if backend.BACKEND == "rust" else "rust"
        try:
            module = load_backend(name)
        except ModuleNotFoundError:
            pytest.skip("the extension is not built")
    async with module.Context() as ctx:
        yield partial(our_end, module, ctx)


def named(kinds: tuple[str, str]) -> list[bytes]:
    """Return routing ids, where peers can only be named by their own."""
    is_routed = kinds == ("ROUTER", "ROUTER")
    return [b"first", b"second"] if is_routed else [b"", b""]


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
async def test_kinds_that_belong_together_exchange_messages(
    backend: ModuleType,
    foreign: Foreign,
    other: str,
    address: str,
    ours_binds: bool,
    kinds: tuple[str, str],
) -> None:
    ids = named(kinds)
    async with (
        opening_theirs(other, backend, foreign) as open_theirs,
        backend.Context() as ctx,
    ):
        ours = our_end(backend, ctx, kinds[0], ids[0])
        theirs = open_theirs(kinds[1], ids[1])
        binder, caller = (ours, theirs) if ours_binds else (theirs, ours)
        caller.connect(binder.bind(address))
        await exchange(ours, theirs)


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
async def test_kinds_that_belong_together_exchange_messages_within_a_context(
    backend: ModuleType, kinds: tuple[str, str]
) -> None:
    async with backend.Context() as ctx:
        binder, caller = (
            our_end(backend, ctx, kind, routing_id)
            for kind, routing_id in zip(kinds, named(kinds), strict=True)
        )
        caller.connect(binder.bind("inproc://a"))
        await exchange(binder, caller)


def wrong_for(kind: str) -> list[str]:
    """Return the kinds that it does not speak with."""
    return [wrong for wrong in KINDS if (kind, wrong) not in PAIRS]


def check_refusals(sock: End, kind: str) -> set[str]:
    """Check that each error names the kinds that are right; return the wrong ones."""
    right = [other for mine, other in PAIRS if mine == kind]
    *others, last = right
    names = f"{', '.join(others)} and {last}" if others else last
    texts = {
        wrong: f"socket type {kind} does not speak with {wrong}; " for wrong in KINDS
    }
    refused: set[str] = set()
    for error in sock.recent_errors():
        assert isinstance(error, RemoteProtocolError)
        text = str(error)
        assert text.endswith(f"it speaks with {names}"), text
        refused.update(wrong for wrong, start in texts.items() if start in text)
    return refused


@pytest.mark.parametrize("kind", KINDS)
async def test_kinds_that_do_not_belong_together_are_told_which_do(
    backend: ModuleType,
    foreign: Foreign,
    other: str,
    ours_binds: bool,
    kind: str,
    ipc_dir: Path,
) -> None:
    wrong_kinds = wrong_for(kind)
    async with (
        opening_theirs(other, backend, foreign) as open_theirs,
        backend.Context() as ctx,
    ):
        ours = our_end(backend, ctx, kind, b"")
        honest = open_theirs(HONEST[kind], b"")
        wrong = [open_theirs(wrong, b"") for wrong in wrong_kinds]
        if ours_binds:
            endpoint = ours.bind(f"ipc://{ipc_dir}/ours")
            honest.connect(endpoint)
            await exchange(ours, honest)
            for theirs in wrong:
                theirs.connect(endpoint)
        else:
            ours.connect(honest.bind(f"ipc://{ipc_dir}/honest"))
            await exchange(ours, honest)
            for theirs in wrong:
                ours.connect(theirs.bind(f"ipc://{ipc_dir}/{theirs.kind}"))
        count = len(wrong_kinds)
        await eventually(lambda: ours.statistics().num_handshakes_failed >= count)
        refused = check_refusals(ours, kind)
        # libzmq may have hung up before it told its kind.
        assert other == "pyzmq" or refused == set(wrong_kinds)
        await exchange(ours, honest)
        assert ours.statistics().num_peers == 1
