"""The names of an engine's sockets."""

from pathlib import Path

from busduct.pipeline import EngineConfig, PortArgs


def test_names_of_two_instances_differ_and_nothing_is_made(tmp_path: Path) -> None:
    config = EngineConfig(runtime_dir=str(tmp_path))
    first, second = PortArgs.init_new(config), PortArgs.init_new(config)
    names = {
        name
        for ports in (first, second)
        for name in (
            ports.tokenizer_ipc_name,
            ports.scheduler_input_ipc_name,
            ports.detokenizer_ipc_name,
        )
    }
    assert len(names) == 6
    assert all(name.startswith(f"ipc://{tmp_path}/") for name in names)
    assert list(tmp_path.iterdir()) == []
