"""What a consumer was sent by producers that have ended, and did not get done."""

from collections.abc import Iterable

from busduct.fmq._consumer import Taken
from busduct.fmq._producer import Entry, ProducerState
from busduct.fmq._wire import Encoded

__all__ = ["heirs_of"]


def heirs_of(orphans: Iterable[Taken]) -> list[ProducerState]:
    """Return what producers need that deliver such messages to other consumers.

    They are under the names and numbers of those that put them.
    """
    states: dict[str, ProducerState] = {}
    for link, _, data, nbytes in orphans:
        name = link.origin.producer_id
        if name not in states:
            states[name] = ProducerState(producer_id=bytes.fromhex(name))
        encoded = Encoded(
            data.encoding, data.body, tuple(data.parts), nbytes, data.is_large
        )
        entry = Entry(data.msg_id, encoded, data.timestamp, data.num_deliveries)
        states[name].messages.append(entry)
    for state in states.values():
        state.messages.sort(key=lambda entry: entry.msg_id)
        state.next_msg_id = state.messages[-1].msg_id + 1
    return list(states.values())
