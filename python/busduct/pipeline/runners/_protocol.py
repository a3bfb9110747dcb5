"""What a scheduler knows of a model: the ModelRunner protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """Say what one sequence adds to one forward batch.

    Attributes:
        slot: The cache slot that the sequence holds, from 0 to ``max_batch_size - 1``.
        token_ids: Its next tokens, at least one: the prompt or a piece of it at
            prefill, one token at decode.
        position: Position of ``token_ids[0]`` in the sequence, counted from 0.
    """

    slot: int
    token_ids: Sequence[int]
    position: int


class ModelRunner(Protocol):
    """Run one model for a scheduler, one batch at a time.

    A runner keeps what it computed for earlier tokens in slots, one a sequence. Which
    sequence holds which slot is the scheduler's business. A runner belongs to one
    thread.
    """

    @property
    def vocab_size(self) -> int:
        """Number of token ids; valid ones lie below it."""
        ...

    @property
    def context_length(self) -> int:
        """Most tokens of one sequence, prompt and output together."""
        ...

    @property
    def eos_token_id(self) -> int:
        """The token by which the model ends a text."""
        ...

    @property
    def max_batch_size(self) -> int:
        """Number of slots, and so the most sequences in one batch."""
        ...

    def forward(self, steps: Sequence[SequenceStep]) -> "NDArray[numpy.float32]":
        """Run new tokens of some sequences and score what may come next.

        Prefill and decode may be mixed in one call, and a prompt may be cut into pieces
        over several calls. A step starts where its slot ends (0 for a slot that is
        unused or released); one that starts earlier makes the slot forget what it held
        from there on.

        Args:
            steps: One for each sequence, each with a slot of its own. The tokens are
                copied; the objects are not kept.

        Returns:
            float32 logits of shape ``(len(steps), vocab_size)``, C order, after the
            last token of each step, in the order of the steps. The array is fresh and
            the caller's.

        Raises:
            LocalProtocolError: A slot, token or position is out of range, a slot comes
                twice, a step is empty or leaves a gap. Nothing was changed.
            ClosedError: The runner is closed.
        """
        ...

    def release(self, slot: int) -> None:
        """Forget what a slot holds; an unused slot may be released again.

        Raises:
            LocalProtocolError: There is no such slot.
        """
        ...

    def close(self) -> None:
        """Free the model and its cache; a second call does nothing."""
        ...
