"""How a benchmark is going, at a glance."""

from dataclasses import dataclass, field

from busduct.fmq.bench._config import Carrier, Mode

__all__ = ["BenchProgress"]


@dataclass(frozen=True, kw_only=True)
class BenchProgress:
    """A look at one round.

    Attributes:
        mode: Of the round.
        carrier: Of the round.
        number: Of the round, from 1; each mode and carrier has as many.
        num_rounds: Of each mode and carrier.
        num_put: By each producer.
        num_got: By each consumer.
        rate: Messages a second, once the round is over.
    """

    mode: Mode
    carrier: Carrier
    number: int
    num_rounds: int
    num_put: list[int] = field(default_factory=list)
    num_got: list[int] = field(default_factory=list)
    rate: float | None = None
