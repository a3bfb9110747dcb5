"""A model without weights, and engines on it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from busduct.pipeline import EngineConfig
from busduct.pipeline._incremental import _byte_of_char

MakeConfig = Callable[..., EngineConfig]


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    """A tokenizer whose ids are byte values; 256 ends a text."""
    tokenizer = Tokenizer(models.BPE(vocab=_byte_of_char(), merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True)])
    return tokenizer


@pytest.fixture(scope="session")
def model_path(
    byte_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("model") / "alphabet"
    path.mkdir()
    byte_tokenizer.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture
def make_config(model_path: Path, tmp_path: Path) -> MakeConfig:
    """Make the config of an engine that runs a model of `fake_runner`."""

    def make(runner: str = "AlphabetRunner", **changes: object) -> EngineConfig:
        settings: dict[str, object] = {
            "model_path": str(model_path),
            "runner": f"tests.pipeline.fake_runner:{runner}",
            "runtime_dir": str(tmp_path / "run"),
            "start_timeout": 30.0,
            "drain_timeout": 10.0,
        }
        return EngineConfig(**(settings | changes))

    return make
