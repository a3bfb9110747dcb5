"""No message runs code, whatever it holds."""

import ast
import os
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from tests.transport.rpc_service import calling, serving

import busduct
from busduct.errors import RemoteError, RemoteProtocolError
from busduct.transport import MessageCodec, Receiver

# What can run code while it reads, or hides something that does.
FORBIDDEN = {
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "multiprocessing",
    "pickle",
    "shelve",
    "torch",
    "yaml",
}


class Item(msgspec.Struct):
    """What a codec expects."""

    name: str


def pickle_that_makes(path: Path) -> bytes:
    """Return a pickle that makes a directory when it is loaded, made without pickle."""
    name = str(path).encode()
    return b"cos\nmkdir\n(V" + name + b"\ntR."


def test_nothing_that_runs_what_it_reads_is_imported() -> None:
    sources = list(Path(busduct.__file__).parent.rglob("*.py"))
    assert len(sources) > 100
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found = FORBIDDEN & {name.partition(".")[0] for name in names}
            assert not found, f"{source} imports {found}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile"}, source


async def test_pickle_in_a_message_is_refused_and_runs_nothing(
    backend: ModuleType, tmp_path: Path
) -> None:
    mark = tmp_path / "made"
    codec = MessageCodec(Item, topic=lambda item: item.name)
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        receiver = Receiver(rx, codec)
        await tx.send(pickle_that_makes(mark))
        await tx.send(codec.encode(Item("honest"))[1])
        assert await receiver.recv() == Item("honest")
        (error,) = receiver.recent_errors()
        assert isinstance(error, RemoteProtocolError)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        "hold.__globals__",
        "__init__",
        "add_object",
        "os.system",
        "gate",
        "Add",
        "",
        "\0",
    ],
)
async def test_nothing_can_be_called_that_was_not_added(
    backend: ModuleType, name: str
) -> None:
    async with (
        serving(backend) as (_, _, endpoint),
        calling(backend, endpoint) as client,
    ):
        with pytest.raises(RemoteError, match="UnknownMethodError"):
            await client.call(name)
        assert await client.call("ping") == "pong"


def test_pickle_used_here_is_one() -> None:
    """Keep the attack above an attack: Python's own loader would have run it."""
    script = (
        "import os, pickle, sys; made = []; os.mkdir = made.append;"
        "pickle.loads(bytes.fromhex(sys.argv[1])); assert made == ['/x']"
    )
    arguments = [sys.executable, "-c", script, pickle_that_makes(Path("/x")).hex()]
    assert os.spawnv(os.P_WAIT, sys.executable, arguments) == 0
