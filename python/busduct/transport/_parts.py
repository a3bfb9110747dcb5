"""Tell codecs that give several parts, and keep errors from holding such parts."""

from typing import TypeVar, cast

from busduct.codec import Codec, PartsCodec

__all__ = ["drop_frames", "parts_codec_of"]

T = TypeVar("T")


def parts_codec_of(codec: Codec[T]) -> PartsCodec[T] | None:
    """Return the codec if its messages may have several parts, else None."""
    return (
        cast(PartsCodec[T], codec) if getattr(codec, "holds_tensors", False) else None
    )


def drop_frames(error: BaseException | None) -> None:
    """Let go of what the frames of an error hold, as it is to be kept for long."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
