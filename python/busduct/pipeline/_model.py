"""Where a model lies, and what its directory says of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from busduct.errors import ConfigError
from busduct.pipeline._incremental import token_bytes_table
from busduct.pipeline._types import EngineConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["ModelFiles", "find_model"]


# What `EngineConfig.model_path` of None is known by.
EMBEDDED_MODEL_NAME = "busduct-austen"


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
    if config.model_path is None:
        from busduct.pipeline.embedded import model_directory

        directory, own_name = model_directory(), EMBEDDED_MODEL_NAME
    else:
        directory = Path(config.model_path).absolute()
        own_name = directory.name
    tokenizer_path = directory / "tokenizer.json"
    if not tokenizer_path.is_file():
        msg = f"model directory {directory} has no tokenizer.json"
        raise ConfigError(msg)
    return ModelFiles(
        name=config.model_name or own_name,
        path=config.model_path,
        tokenizer_path=str(tokenizer_path),
        tokenizer=_load_tokenizer(tokenizer_path),
    )


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
