"""A model directory that is not right is refused by name."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from busduct.errors import ConfigError
from busduct.pipeline.embedded import model_directory
from busduct.pipeline.runners import NumpyModelRunner, _checkpoint

NORM = "model.norm.weight"


@pytest.fixture
def directory(tmp_path):
    source = model_directory()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    return tmp_path


def change_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensor(directory, value):
    path = directory / "model.safetensors"
    tensors = load_file(path)
    del tensors[NORM]
    if value is not None:
        tensors[NORM] = value
    save_file(tensors, path)


def test_copy_of_the_embedded_model_loads(directory):
    runner = NumpyModelRunner.load(directory, max_batch_size=1)
    assert (runner.vocab_size, runner.context_length) == (2048, 512)
    assert (runner.eos_token_id, runner.max_batch_size) == (0, 1)


def test_embedded_weights_are_at_most_8_mb():
    assert (model_directory() / "model.safetensors").stat().st_size <= 8_000_000


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(directory, name):
    (directory / name).unlink()
    with pytest.raises(ConfigError, match=name):
        NumpyModelRunner.load(directory)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("data", [b"", b"\xff" * 64, b"{}"])
def test_garbage_in_a_file_is_named(directory, name, data):
    (directory / name).write_bytes(data)
    with pytest.raises(ConfigError, match=name):
        NumpyModelRunner.load(directory)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "gpt2"),
        ("tie_word_embeddings", False),
        ("num_key_value_heads", 1),
        ("hidden_size", 161),
        ("vocab_size", 0),
        ("num_hidden_layers", "six"),
        ("eos_token_id", 2048),
    ],
)
def test_bad_setting_is_named(directory, key, value):
    change_config(directory, **{key: value})
    with pytest.raises(ConfigError, match=key):
        NumpyModelRunner.load(directory)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "lacks tensor " + NORM),
        (np.ones(161, np.float16), "shape"),
        (np.ones(160, np.float64), "type F64"),
    ],
)
def test_bad_tensor_is_named(directory, value, reason):
    change_tensor(directory, value)
    with pytest.raises(ConfigError, match=reason) as caught:
        NumpyModelRunner.load(directory)
    assert NORM in str(caught.value)


def test_file_over_the_limit_is_refused_unread(directory, monkeypatch):
    monkeypatch.setattr(_checkpoint, "MAX_WEIGHTS_BYTES", 1000)
    with pytest.raises(ConfigError, match="exceeds limit of 1000 bytes"):
        NumpyModelRunner.load(directory)


@pytest.mark.parametrize("package", ["numpy", "safetensors"])
def test_missing_package_raises_import_error_that_names_the_extra(package):
    code = (
        f"import sys; sys.modules[{package!r}] = None; import busduct.pipeline.runners"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ImportError: busduct.pipeline.runners needs the extra" in done.stderr
    assert "busduct[model]" in done.stderr
