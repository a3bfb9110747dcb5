"""The language model that ships inside the package: its files and its chat format."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

__all__ = ["model_directory", "render_chat"]


def model_directory() -> Path:
    """Return the directory that holds the model.

    It holds ``model.safetensors``, ``tokenizer.json`` and ``config.json``;
    ``MODEL_CARD.md`` beside them tells source, licence and held-out perplexity.
    """
    return Path(str(files(__name__)))


def render_chat(messages: Sequence[tuple[str, str]]) -> str:
    """Turn a conversation into the text that the model is to continue.

    The model has seen novels and knows no roles: each message becomes a paragraph, and
    what it writes continues the last one.

    Args:
        messages: Pairs of role and content, oldest first. Roles are not rendered.

    Returns:
        The contents without surrounding white space, an empty line between
        two; messages of white space alone are left out.
    """
    contents = (content.strip() for _, content in messages)
    return "\n\n".join(content for content in contents if content)
