"""FMQ: queues and topics between the processes of an inference service."""
