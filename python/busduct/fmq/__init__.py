"""FMQ: queues and topics between the processes of an inference service."""

from busduct.fmq._config import Config, Endpoint, EndpointType, Role, SocketOptions
from busduct.fmq._descriptor import Descriptor
from busduct.fmq._endpoint_manager import EndpointManager
from busduct.fmq._message import Message
from busduct.fmq._options import AckMode, OnFull, QueueOptions
from busduct.fmq._topic._message import TopicMessage
from busduct.fmq._topic._options import TopicOptions
from busduct.fmq._topic._statistics import (
    TopicStatistics,
    TopicSubscriptionStatistics,
)
from busduct.fmq._topic._subscription import TopicSubscription
from busduct.fmq.factory import FMQFactory
from busduct.fmq.fmq import FMQ
from busduct.fmq.queue import Queue
from busduct.fmq.topic import Topic

__all__ = [
    "FMQ",
    "AckMode",
    "Config",
    "Descriptor",
    "Endpoint",
    "EndpointManager",
    "EndpointType",
    "FMQFactory",
    "Message",
    "OnFull",
    "Queue",
    "QueueOptions",
    "Role",
    "SocketOptions",
    "Topic",
    "TopicMessage",
    "TopicOptions",
    "TopicStatistics",
    "TopicSubscription",
    "TopicSubscriptionStatistics",
]
