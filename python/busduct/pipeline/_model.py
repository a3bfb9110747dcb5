"""Where a model lies, and what its directory says of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from busduct.errors import ConfigError
from busduct.pipeline._incremental import token_bytes_table
from busduct.pipeline._types import EngineConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["ModelFiles", "find_model"]


class _ModelConfig(msgspec.Struct, frozen=True):
    model_name: str | None = None


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model found on disk.

    Attributes:
        name: What callers know it by.
        path: As configured; None is the embedded one.
        tokenizer_path: Its ``tokenizer.json``.
        tokenizer: Read from there.
    """

    name: str
    path: str | None
    tokenizer_path: str
    tokenizer: "Tokenizer"


def find_model(config: EngineConfig) -> ModelFiles:
    """Find the model and read its tokenizer.

    Raises:
        ConfigError: It is not there, or its tokenizer is not byte-level.
        ImportError: The extra ``busduct[model]`` is not installed.
    """
    directory = _directory(config.model_path)
    tokenizer_path = directory / "tokenizer.json"
    if not tokenizer_path.is_file():
        msg = f"model directory {directory} has no tokenizer.json"
        raise ConfigError(msg)
    return ModelFiles(
        name=config.model_name or _own_name(directory),
        path=config.model_path,
        tokenizer_path=str(tokenizer_path),
        tokenizer=_load_tokenizer(tokenizer_path),
    )


def _directory(configured: str | None) -> Path:
    if configured is not None:
        return Path(configured).absolute()
    from busduct.pipeline.embedded import model_directory

    return model_directory()


def _own_name(directory: Path) -> str:
    path = directory / "config.json"
    if path.is_file():
        try:
            own = msgspec.json.decode(path.read_bytes(), type=_ModelConfig)
        except msgspec.DecodeError as error:
            msg = f"{path} is malformed: {error}"
            raise ConfigError(msg) from error
        if own.model_name:
            return own.model_name
    return directory.name


def _load_tokenizer(path: Path) -> "Tokenizer":
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        msg = "the pipeline needs the extra: pip install 'busduct[model]'"
        raise ImportError(msg) from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises nothing more specific.
        msg = f"{path} is not a tokenizer: {error}"
        raise ConfigError(msg) from error
    # The detokenizer needs it; here the caller gets the error instead of a log line.
    token_bytes_table(tokenizer)
    return tokenizer
