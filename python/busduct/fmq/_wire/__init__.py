"""What producers and consumers of a queue say to each other, as bytes.

docs/wire.md, "FMQ". A producer's DEALER connects to a consumer's ROUTER. Everything
that a peer says is checked here, before anybody acts on it.
"""

from busduct.fmq._wire._control import (
    ID_BYTES,
    VERSION,
    Ack,
    Adopted,
    Goodbye,
    Hello,
    Nack,
    Refusal,
    Welcome,
    encode_control,
    parse_from_consumer,
)
from busduct.fmq._wire._messages import (
    HEADER_BYTES,
    INLINE_BYTES,
    Data,
    Encoded,
    Encoding,
    data_parts,
    pack_data,
)
from busduct.fmq._wire._runs import (
    MAX_RUN_BYTES,
    MAX_RUN_MESSAGES,
    RUN_HEADER_BYTES,
    RUN_MESSAGE_BYTES,
    Run,
    pack_run,
)
from busduct.fmq._wire._said import parse_from_producer

__all__ = [
    "HEADER_BYTES",
    "ID_BYTES",
    "INLINE_BYTES",
    "MAX_RUN_BYTES",
    "MAX_RUN_MESSAGES",
    "RUN_HEADER_BYTES",
    "RUN_MESSAGE_BYTES",
    "VERSION",
    "Ack",
    "Adopted",
    "Data",
    "Encoded",
    "Encoding",
    "Goodbye",
    "Hello",
    "Nack",
    "Refusal",
    "Run",
    "Welcome",
    "data_parts",
    "encode_control",
    "pack_data",
    "pack_run",
    "parse_from_consumer",
    "parse_from_producer",
]
