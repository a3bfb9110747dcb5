"""The scheduler and the detokenizer, each alone with its sockets."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.pipeline.fake_runner import CONTEXT_LENGTH, AlphabetRunner

from busduct.pipeline import EngineConfig, PortArgs, SamplingParams
from busduct.pipeline.detokenizer import DetokenizerManager
from busduct.pipeline.messages import (
    AbortReq,
    BatchStrOutput,
    BatchTokenIDOutput,
    DetokenizerInput,
    ReadyRes,
    RequestFailed,
    ResetReq,
    StopReq,
    TokenizedGenerateReqInput,
    TokenizerInput,
    decode_detokenizer_input,
    decode_scheduler_input,
    decode_tokenizer_input,
    encode,
)
from busduct.pipeline.scheduler import Scheduler
from busduct.transport import PULL, PUSH, Context, Socket, get_zmq_socket

TIMEOUT = 50.0
BYTES = [bytes([value]) for value in range(256)]


@pytest.fixture
def context(ipc_dir: Path) -> Iterator[Context]:
    # Sockets go before the directory that is looked through for them.
    del ipc_dir
    with Context() as context:
        yield context


@pytest.fixture
def ports(ipc_dir: Path) -> PortArgs:
    names = [f"ipc://{ipc_dir}/{name}" for name in ("t", "s", "d")]
    return PortArgs(str(ipc_dir), *names)


def scheduler(context: Context, ports: PortArgs, **config: int) -> Scheduler:
    settings = EngineConfig(max_batch_size=2, max_waiting=400, **config)
    return Scheduler(settings, ports, AlphabetRunner(2), context)


def bind(context: Context, endpoint: str) -> Socket:
    return get_zmq_socket(context, PULL, endpoint, bind=True)


def connect(context: Context, endpoint: str) -> Socket:
    return get_zmq_socket(context, PUSH, endpoint, bind=False)


def request(rid: str, max_tokens: int = 3, epoch: int = 0) -> TokenizedGenerateReqInput:
    params = SamplingParams(temperature=0.0, max_tokens=max_tokens)
    return TokenizedGenerateReqInput(rid, epoch, list(b"a"), params)


def tokens(
    rid: str, text: bytes, *, epoch: int = 0, first: bool = True, end: bool = False
) -> BatchTokenIDOutput:
    stops: list[tuple[str, ...] | None] = [("STOP",) if first else None]
    reason = "length" if end else None
    return BatchTokenIDOutput([rid], epoch, [list(text)], [reason], [1], [1], stops)


def run(scheduler: Scheduler, *messages: object) -> None:
    scheduler.process_input_requests(messages)
    while scheduler.run_step():
        pass


def take(socket: Socket) -> DetokenizerInput:
    return decode_detokenizer_input(socket.recv_blocking(TIMEOUT))


def take_text(socket: Socket) -> TokenizerInput:
    return decode_tokenizer_input(socket.recv_blocking(TIMEOUT))


def test_ready_is_told_with_the_limits_of_the_model(
    context: Context, ports: PortArgs
) -> None:
    control = bind(context, ports.tokenizer_ipc_name)
    scheduler(context, ports).report_ready(7)
    ready = take_text(control)
    assert ready == ReadyRes("scheduler", 7, AlphabetRunner.vocab_size, CONTEXT_LENGTH)


def test_no_token_is_lost_when_nobody_reads_and_no_step_runs(
    context: Context, ports: PortArgs
) -> None:
    serving = scheduler(context, ports)
    wanted = {f"r{number}": 200 for number in range(12)}
    run(serving, *(request(rid, count) for rid, count in wanted.items()))
    assert serving._output.blocked
    assert not serving.run_step()

    output = bind(context, ports.detokenizer_ipc_name)
    seen = dict.fromkeys(wanted, 0)
    ended: set[str] = set()
    while len(ended) < len(wanted):
        message = take(output)
        if isinstance(message, BatchTokenIDOutput):
            for index, rid in enumerate(message.rids):
                seen[rid] += len(message.output_ids[index])
                if message.finish_reasons[index] is not None:
                    ended.add(rid)
        serving._output.flush()
        serving.run_step()
    assert seen == wanted


def test_one_step_takes_a_bounded_number_of_messages(
    context: Context, ports: PortArgs
) -> None:
    serving = scheduler(context, ports)
    sender = connect(context, ports.scheduler_input_ipc_name)
    for number in range(300):
        sender.send_blocking(encode(StopReq(str(number))), TIMEOUT)
    taken = []
    while sum(taken) < 300:
        context.run_once(0.1)
        taken.append(len(serving.recv_requests()))
    assert max(taken) <= 256


def test_requests_of_an_earlier_epoch_are_ignored(
    context: Context, ports: PortArgs
) -> None:
    serving = scheduler(context, ports)
    output = bind(context, ports.detokenizer_ipc_name)
    run(serving, ResetReq(2), request("old", epoch=1), request("new", epoch=2))
    assert [take(output), take(output)] == [ResetReq(0), ResetReq(2)]
    message = take(output)
    assert isinstance(message, BatchTokenIDOutput)
    assert (message.rids, message.epoch) == (["new"], 2)


def test_reset_forgets_what_runs_and_waits(context: Context, ports: PortArgs) -> None:
    serving = scheduler(context, ports)
    requests = [request(str(number), 200) for number in range(5)]
    serving.process_input_requests(requests)
    serving.run_step()
    serving.process_input_requests([ResetReq(1)])
    assert not serving.run_step()
    run(serving, request("0", epoch=1))


def test_abort_of_a_waiting_request_names_its_end(
    context: Context, ports: PortArgs
) -> None:
    serving = scheduler(context, ports)
    output = bind(context, ports.detokenizer_ipc_name)
    serving.process_input_requests([request("a"), AbortReq("a"), AbortReq("unknown")])
    assert take(output) == ResetReq(0)
    message = take(output)
    assert isinstance(message, BatchTokenIDOutput)
    assert message.finish_reasons == ["abort"]
    assert message.output_ids == [[]]
    assert message.stops == [()]


@pytest.mark.parametrize(
    ("input_ids", "code"),
    [
        ([], "context_length_exceeded"),
        ([1] * CONTEXT_LENGTH, "context_length_exceeded"),
        ([-1], "invalid_value"),
        ([AlphabetRunner.vocab_size], "invalid_value"),
    ],
)
def test_prompt_the_model_cannot_take_is_refused(
    context: Context, ports: PortArgs, input_ids: list[int], code: str
) -> None:
    serving = scheduler(context, ports)
    output = bind(context, ports.detokenizer_ipc_name)
    run(serving, TokenizedGenerateReqInput("a", 0, input_ids, SamplingParams()))
    take(output)
    failure = take(output)
    assert isinstance(failure, RequestFailed)
    assert (failure.rid, failure.code) == ("a", code)


def test_malformed_messages_are_counted_and_logged_once(
    context: Context, ports: PortArgs, caplog: pytest.LogCaptureFixture
) -> None:
    serving = scheduler(context, ports)
    sender = connect(context, ports.scheduler_input_ipc_name)
    for message in (b"", b"\xc1", b"garbage", encode(AbortReq("a"))):
        sender.send_blocking(message, TIMEOUT)
    taken = []
    with caplog.at_level(logging.WARNING):
        while not taken:
            context.run_once(TIMEOUT)
            taken = serving.recv_requests()
    assert taken == [AbortReq("a")]
    assert serving._malformed.count == 3
    assert len(caplog.records) == 1


def test_detokenizer_stops_a_request_at_the_scheduler(
    context: Context, ports: PortArgs
) -> None:
    stops = bind(context, ports.scheduler_input_ipc_name)
    texts = bind(context, ports.tokenizer_ipc_name)
    manager = DetokenizerManager(ports, BYTES, context)
    manager.process_batches(
        [tokens("a", b"one ST"), tokens("a", b"OP two", first=False)]
    )
    # Under way when the stop string was found.
    manager.process_batches([tokens("a", b" three", first=False, end=True)])
    text = take_text(texts)
    assert isinstance(text, BatchStrOutput)
    assert (text.output_strs, text.finish_reasons) == (["one "], ["stop"])
    assert decode_scheduler_input(stops.recv_blocking(TIMEOUT)) == StopReq("a")
    assert texts.recv_nowait() is None
    assert not manager._streams


def test_detokenizer_ignores_an_earlier_epoch_and_forgets_its_requests(
    context: Context, ports: PortArgs
) -> None:
    texts = bind(context, ports.tokenizer_ipc_name)
    manager = DetokenizerManager(ports, BYTES, context)
    manager.process_batches([tokens("old", b"x\xf0")])
    manager.process_batches([ResetReq(1), tokens("old", b"y", end=True)])
    manager.process_batches([RequestFailed("old", 0, "internal_error", "late")])
    manager.process_batches([tokens("new", b"z", epoch=1)])
    seen = [take_text(texts), take_text(texts)]
    assert [text.rids for text in seen if isinstance(text, BatchStrOutput)] == [
        ["old"],
        ["new"],
    ]
    assert list(manager._streams) == ["new"]


def test_detokenizer_joins_what_came_together(
    context: Context, ports: PortArgs
) -> None:
    texts = bind(context, ports.tokenizer_ipc_name)
    manager = DetokenizerManager(ports, BYTES, context)
    manager.process_batches(
        [
            tokens("a", b"one"),
            tokens("b", b"\xf0\x9f"),
            tokens("a", b" two", first=False),
            tokens("b", b"\x9a\x80", first=False),
        ]
    )
    text = take_text(texts)
    assert isinstance(text, BatchStrOutput)
    assert dict(zip(text.rids, text.output_strs, strict=True)) == {
        "a": "one two",
        "b": "🚀",
    }
    assert text.output_ids == [list(b"one two"), list("🚀".encode())]
