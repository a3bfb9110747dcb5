"""Turn what users put into a queue into bytes and parts, and back.

docs/wire.md, "Payloads of queues".
"""

from busduct.fmq._payload._decode import PayloadDecoder
from busduct.fmq._payload._encode import encode, encode_bytes

__all__ = ["PayloadDecoder", "encode", "encode_bytes"]
