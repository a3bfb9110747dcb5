"""Which requests run in the next step, and with how many tokens; no I/O.

Continuous batching: requests join and leave between any two steps, and a step holds the
next token of running requests and pieces of prompts alike (Orca,
https://www.usenix.org/conference/osdi22/presentation/yu).
"""

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from busduct.pipeline._types import FinishReason, SamplingParams

__all__ = ["ActiveRequest", "Batcher", "ScheduledStep"]


@dataclass(slots=True, eq=False)
class ActiveRequest:
    """One request as the scheduler holds it.

    Attributes:
        token_ids: The prompt, then what was generated.
        num_computed: How many of them the model has seen.
        slot: Its place in the model's cache, or -1 while it waits.
        announced: The detokenizer has heard of it.
    """

    rid: str
    token_ids: list[int]
    params: SamplingParams
    generator: np.random.Generator
    prompt_tokens: int = 0
    num_computed: int = 0
    slot: int = -1
    announced: bool = False

    def __post_init__(self) -> None:
        self.prompt_tokens = len(self.token_ids)

    @property
    def completion_tokens(self) -> int:
        """Tokens generated so far."""
        return len(self.token_ids) - self.prompt_tokens


@dataclass(slots=True, frozen=True)
class ScheduledStep:
    """Part of a step: the next `num_tokens` uncomputed tokens of a request."""

    request: ActiveRequest
    num_tokens: int

    @property
    def token_ids(self) -> list[int]:
        """The tokens to compute."""
        start = self.request.num_computed
        return self.request.token_ids[start : start + self.num_tokens]

    @property
    def completes(self) -> bool:
        """Whether the model then knows the whole request, so a token can be sampled."""
        request = self.request
        return request.num_computed + self.num_tokens == len(request.token_ids)


@dataclass(slots=True)
class Batcher:
    """The waiting and running requests of one scheduler.

    Running requests advance first, so that a long prompt delays nobody by more than a
    step; prompts share what is left of `max_batch_tokens`, first come first served.
    """

    max_batch_size: int
    max_batch_tokens: int
    max_waiting: int
    context_length: int
    eos_token_id: int
    waiting: dict[str, ActiveRequest] = field(default_factory=dict)
    running: dict[str, ActiveRequest] = field(default_factory=dict)
    _free_slots: deque[int] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._free_slots.extend(range(self.max_batch_size))

    def __contains__(self, rid: object) -> bool:
        return rid in self.waiting or rid in self.running

    def __len__(self) -> int:
        return len(self.waiting) + len(self.running)

    def add(self, request: ActiveRequest) -> bool:
        """Queue a request; return False, and do nothing, if there is no room for it."""
        # A free slot is taken at the next step, so it is room as good as the queue's.
        if len(self.waiting) >= self.max_waiting + len(self._free_slots):
            return False
        self.waiting[request.rid] = request
        return True

    def remove(self, rid: str) -> ActiveRequest | None:
        """Forget a request and free its slot; None if it is not here."""
        request = self.waiting.pop(rid, None)
        if request is None:
            request = self.running.pop(rid, None)
            if request is not None:
                self._free_slots.appendleft(request.slot)
        return request

    def next_batch(self) -> list[ScheduledStep]:
        """Return the parts of the next step; empty if there is nothing to do."""
        steps = []
        budget = self.max_batch_tokens
        prompts = []
        for request in self.running.values():
            if len(request.token_ids) - request.num_computed == 1:
                steps.append(ScheduledStep(request, 1))
                budget -= 1
            else:
                prompts.append(request)
        for request in self._in_order(prompts):
            if budget <= 0:
                break
            self._admit(request)
            missing = len(request.token_ids) - request.num_computed
            steps.append(ScheduledStep(request, min(missing, budget)))
            budget -= steps[-1].num_tokens
        return steps

    def commit(self, step: ScheduledStep, token: int | None) -> FinishReason | None:
        """Note that a part was computed and, if it was complete, the token it gave.

        Returns:
            Why the request has ended, or None if it goes on.
        """
        request = step.request
        request.num_computed += step.num_tokens
        if token is None:
            return None
        request.token_ids.append(token)
        if token == self.eos_token_id and not request.params.ignore_eos:
            return "stop"
        if request.completion_tokens >= request.params.max_tokens:
            return "length"
        return "length" if len(request.token_ids) >= self.context_length else None

    def _in_order(self, prompts: list[ActiveRequest]) -> Iterable[ActiveRequest]:
        yield from prompts
        # A copy: admitting changes the queue.
        yield from list(itertools.islice(self.waiting.values(), len(self._free_slots)))

    def _admit(self, request: ActiveRequest) -> None:
        if request.slot < 0:
            del self.waiting[request.rid]
            request.slot = self._free_slots.popleft()
            self.running[request.rid] = request
