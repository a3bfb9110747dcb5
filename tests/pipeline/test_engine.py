"""The engine as its callers see it, on a model without weights."""

import asyncio
import glob
import random
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.pipeline.conditions import (
    alphabet,
    collect,
    pid_of,
    until,
    until_running,
    wait_gone,
)
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.fake_runner import CONTEXT_LENGTH, EMOJI_TEXT

from busduct.errors import (
    ClosedError,
    ConfigError,
    RequestError,
    WorkerError,
    WorkerStartError,
)
from busduct.pipeline import Engine, SamplingParams

GREEDY = SamplingParams(temperature=0.0, max_tokens=10)


def greedy(max_tokens: int, **params: object) -> SamplingParams:
    return SamplingParams(temperature=0.0, max_tokens=max_tokens, **params)


async def test_text_streams_piece_by_piece(
    make_config: MakeConfig, any_loop: str
) -> None:
    async with Engine(make_config("SlowRunner")) as engine:
        # NB: pieces that come while this process is held up are one. It would have to
        # be for nearly two seconds.
        outputs = await collect(engine.generate("abc", greedy(100), rid="mine"))
    assert len(outputs) > 3
    expected = alphabet("c", 100)
    assert "".join(output.text for output in outputs) == expected
    token_ids = [token for output in outputs for token in output.token_ids]
    assert bytes(token_ids) == expected.encode()
    assert [output.finish_reason for output in outputs[:-1]] == [None] * (
        len(outputs) - 1
    )
    last = outputs[-1]
    assert (last.finish_reason, last.rid) == ("length", "mine")
    assert (last.prompt_tokens, last.completion_tokens) == (3, 100)


async def test_complete_returns_the_whole_text(make_config: MakeConfig) -> None:
    async with Engine(make_config()) as engine:
        output = await engine.complete("abc", GREEDY)
    assert output.text == "defghijklm"
    assert output.completion_tokens == len(output.token_ids) == 10


async def test_a_prompt_may_be_tokens(make_config: MakeConfig) -> None:
    async with Engine(make_config()) as engine:
        assert (await engine.complete(list(b"abc"), greedy(2))).text == "de"


async def test_engine_tells_its_model(
    make_config: MakeConfig, model_path: Path
) -> None:
    async with Engine(make_config()) as engine:
        assert engine.model_name == model_path.name
        assert engine.context_length == CONTEXT_LENGTH
        assert engine.tokenizer.decode([104, 105]) == "hi"
        health = engine.health()
        assert health.status == "ok"
        assert [process.name for process in health.processes] == [
            "scheduler",
            "detokenizer",
        ]
        assert all(process.alive for process in health.processes)


async def test_end_of_sequence_stops_unless_ignored(make_config: MakeConfig) -> None:
    async with Engine(make_config()) as engine:
        stopped = await engine.complete("end.", GREEDY)
        ignored = await engine.complete("end.", greedy(4, ignore_eos=True))
    assert (stopped.text, stopped.finish_reason) == ("", "stop")
    assert (ignored.text, ignored.finish_reason) == ("abc", "length")


async def test_end_of_context_is_a_length(make_config: MakeConfig) -> None:
    async with Engine(make_config()) as engine:
        output = await engine.complete("a" * 200, greedy(1000))
    assert output.finish_reason == "length"
    assert output.prompt_tokens + output.completion_tokens == CONTEXT_LENGTH


async def test_stop_string_ends_the_text_before_it_and_frees_the_slot(
    make_config: MakeConfig,
) -> None:
    async with Engine(make_config("CrawlingRunner", max_batch_size=1)) as engine:
        stopped = await engine.complete("a", greedy(200, stop=("zzz", "fgh")))
        assert (stopped.text, stopped.finish_reason) == ("bcde", "stop")
        assert stopped.completion_tokens == 7
        # 200 steps of 100 ms would go by if the scheduler had not been told.
        async with asyncio.timeout(15.0):
            assert (await engine.complete("a", greedy(2))).text == "bc"


async def test_beginning_of_a_stop_string_at_the_end_is_text(
    make_config: MakeConfig,
) -> None:
    async with Engine(make_config()) as engine:
        output = await engine.complete("abc", greedy(3, stop=("fgX",)))
    assert (output.text, output.finish_reason) == ("def", "length")


async def test_no_piece_splits_a_character(make_config: MakeConfig) -> None:
    count = len(EMOJI_TEXT.encode())
    async with Engine(make_config("EmojiRunner")) as engine:
        outputs = await collect(engine.generate("a", greedy(2 * count)))
        cut = await engine.complete("a", greedy(EMOJI_TEXT.encode().index(0xF0) + 2))
    assert "".join(output.text for output in outputs) == EMOJI_TEXT * 2
    assert cut.text.count("\ufffd") == 1
    assert cut.text.endswith("\ufffd")


async def test_many_requests_share_the_batch_and_keep_apart(
    make_config: MakeConfig,
) -> None:
    config = make_config(max_batch_size=8, max_batch_tokens=20)
    prompts = [
        "abcdefghijklmnopqrstuvwxyz"[: 1 + n % 26] * (n % 5 + 1) for n in range(100)
    ]
    async with Engine(config) as engine:
        outputs = await asyncio.gather(
            *(
                engine.complete(prompt, greedy(1 + n % 40))
                for n, prompt in enumerate(prompts)
            )
        )
    for number, (prompt, output) in enumerate(zip(prompts, outputs, strict=True)):
        assert output.text == alphabet(prompt, 1 + number % 40)
        assert output.prompt_tokens == len(prompt)


async def test_same_seed_gives_the_same_text_whatever_runs_beside(
    make_config: MakeConfig,
) -> None:
    params = SamplingParams(seed=11, max_tokens=30)
    async with Engine(make_config("UniformRunner")) as engine:
        alone = await engine.complete("a", params)
        crowd = await asyncio.gather(
            *(engine.complete("b", SamplingParams(max_tokens=40)) for _ in range(10)),
            engine.complete("a", params),
        )
    assert crowd[-1].text == alone.text
    assert len({output.text for output in crowd}) == len(crowd)


async def test_slow_reader_gets_all_in_fewer_pieces(make_config: MakeConfig) -> None:
    async with Engine(make_config()) as engine:
        outputs = engine.generate("a", greedy(100))
        pieces = [await anext(outputs)]
        await until(lambda: engine.health().num_running == 0)
        pieces += await collect(outputs)
    assert "".join(piece.text for piece in pieces) == alphabet("a", 100)
    assert len(pieces) <= 2
    assert pieces[-1].finish_reason == "length"


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("a" * CONTEXT_LENGTH, "context_length_exceeded"),
        ([97] * CONTEXT_LENGTH, "context_length_exceeded"),
        ("a" * 10_000_000, "context_length_exceeded"),
        ("", "invalid_value"),
        ([], "invalid_value"),
        ([257], "invalid_value"),
        ([-1], "invalid_value"),
        ([True], "invalid_value"),
        (["a"], "invalid_value"),
        ("\ud800", "invalid_value"),
    ],
    ids=lambda value: ascii(value)[:12],
)
async def test_bad_prompt_is_refused_and_the_next_served(
    make_config: MakeConfig, prompt: str, code: str
) -> None:
    async with Engine(make_config()) as engine:
        with pytest.raises(RequestError) as caught:
            await engine.complete(prompt, GREEDY)
        assert caught.value.code == code
        assert caught.value.param == "prompt"
        assert (await engine.complete("a", greedy(1))).text == "b"


async def test_longest_prompt_gives_one_token(make_config: MakeConfig) -> None:
    async with Engine(make_config()) as engine:
        output = await engine.complete("a" * (CONTEXT_LENGTH - 1), GREEDY)
    assert (output.text, output.finish_reason) == ("b", "length")


@pytest.mark.parametrize("rid", ["", "x" * 129, "\ud800", "a\nb"])
async def test_bad_id_is_refused(make_config: MakeConfig, rid: str) -> None:
    async with Engine(make_config()) as engine:
        with pytest.raises(RequestError) as caught:
            await engine.complete("a", GREEDY, rid=rid)
        assert (caught.value.code, caught.value.param) == ("invalid_value", "rid")


async def test_id_of_a_running_request_is_refused(make_config: MakeConfig) -> None:
    async with Engine(make_config("CrawlingRunner")) as engine:
        # It still runs however late the second one comes.
        first = engine.generate("a", greedy(200), rid="same")
        await anext(first)
        with pytest.raises(RequestError) as caught:
            await engine.complete("a", GREEDY, rid="same")
        assert caught.value.code == "duplicate_rid"
        assert (await anext(first)).finish_reason is None
        await first.aclose()
        assert (await engine.complete("a", greedy(1), rid="same")).text == "b"


async def test_closing_the_generator_frees_the_slot(make_config: MakeConfig) -> None:
    async with Engine(make_config("CrawlingRunner", max_batch_size=1)) as engine:
        outputs = engine.generate("a", greedy(200), rid="same")
        await anext(outputs)
        await outputs.aclose()
        assert engine.health().num_running == 0
        async with asyncio.timeout(15.0):
            again = await engine.complete("x", greedy(2), rid="same")
    assert again.text == "yz"


async def test_cancelling_frees_the_slot(make_config: MakeConfig) -> None:
    async with Engine(make_config("CrawlingRunner", max_batch_size=1)) as engine:
        running = asyncio.create_task(engine.complete("a", greedy(200)))
        waiting = asyncio.create_task(engine.complete("a", greedy(200)))
        await until_running(engine, 2)
        for task in (running, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with asyncio.timeout(15.0):
            assert (await engine.complete("x", greedy(2))).text == "yz"


async def test_requests_given_up_at_any_time_leave_the_others_right(
    make_config: MakeConfig,
) -> None:
    rng = random.Random(3)

    async def read(engine: Engine, prompt: str, pieces: int) -> str:
        text = ""
        async with aclosing(engine.generate(prompt, greedy(60))) as outputs:
            async for output in outputs:
                text += output.text
                pieces -= 1
                if not pieces:
                    break
        return text

    async with Engine(make_config(max_batch_size=4, max_batch_tokens=8)) as engine:
        wanted = [
            ("abcdefgh"[: rng.randint(1, 8)], rng.randint(0, 60)) for _ in range(150)
        ]
        tasks = [asyncio.create_task(read(engine, *pair)) for pair in wanted]
        for task in rng.sample(tasks, 40):
            await asyncio.sleep(0)
            task.cancel()
        texts = await asyncio.gather(*tasks, return_exceptions=True)
        assert engine.health().num_running == 0
        for (prompt, _), text in zip(wanted, texts, strict=True):
            if isinstance(text, str):
                assert alphabet(prompt, 60).startswith(text)
            else:
                assert isinstance(text, asyncio.CancelledError)
        # Of the model's slots, none is left in use.
        after = await asyncio.gather(
            *(engine.complete("a", greedy(20)) for _ in range(8))
        )
        assert {output.text for output in after} == {alphabet("a", 20)}


async def test_abort_ends_running_and_waiting_requests(make_config: MakeConfig) -> None:
    async with Engine(make_config("CrawlingRunner", max_batch_size=1)) as engine:
        running = engine.generate("a", greedy(200), rid="running")
        await anext(running)
        waiting = asyncio.create_task(engine.complete("a", greedy(200), rid="waiting"))
        await until_running(engine, 2)
        for rid in ("running", "waiting", "unknown"):
            await engine.abort(rid)
        assert (await collect(running))[-1].finish_reason == "abort"
        assert (await waiting).finish_reason == "abort"


async def test_request_beyond_the_queue_is_overload(make_config: MakeConfig) -> None:
    config = make_config("CrawlingRunner", max_batch_size=1, max_waiting=2)
    async with Engine(config) as engine:
        # The first of them lasts so long that none leaves its place to the two others.
        first = [
            asyncio.create_task(engine.complete("a", greedy(count)))
            for count in (30, 1, 1)
        ]
        await until_running(engine, 3)
        failures = await asyncio.gather(
            *(engine.complete("a", greedy(5)) for _ in range(2)),
            return_exceptions=True,
        )
        assert [getattr(each, "code", each) for each in failures] == ["overloaded"] * 2
        assert failures[0] is not failures[1]
        assert [len((await task).text) for task in first] == [30, 1, 1]
        assert (await engine.complete("a", greedy(1))).text == "b"


async def test_two_engines_do_not_meet(make_config: MakeConfig) -> None:
    async with (
        Engine(make_config()) as first,
        Engine(make_config("EmojiRunner")) as second,
    ):
        one, two = await asyncio.gather(
            first.complete("a", greedy(50)), second.complete("a", greedy(4))
        )
    assert one.text == alphabet("a", 50)
    assert two.text == EMOJI_TEXT[:3]


async def test_model_that_fails_ends_only_the_batch_it_failed_on(
    make_config: MakeConfig,
) -> None:
    async with Engine(make_config("FailingRunner")) as engine:
        with pytest.raises(WorkerError, match="model failed"):
            await engine.complete("!", GREEDY)
        with pytest.raises(WorkerError, match="no number"):
            await engine.complete("?", GREEDY)
        assert (await engine.complete("a", greedy(1))).text == "b"
        assert engine.health().status == "ok"


async def test_stop_lets_requests_finish_and_refuses_new_ones(
    make_config: MakeConfig,
) -> None:
    engine = Engine(make_config("SlowRunner"))
    await engine.start()
    running = [asyncio.create_task(engine.complete("a", greedy(20))) for _ in range(3)]
    await until_running(engine, 3)
    stopping = asyncio.create_task(engine.stop())
    await until(lambda: engine.health().status == "stopped")
    with pytest.raises(ClosedError):
        await engine.complete("a", GREEDY)
    await stopping
    assert [(await task).text for task in running] == [alphabet("a", 20)] * 3


async def test_stop_without_drain_ends_requests_with_closed_error(
    make_config: MakeConfig,
) -> None:
    engine = Engine(make_config("CrawlingRunner"))
    await engine.start()
    running = asyncio.create_task(engine.complete("a", greedy(200)))
    await until_running(engine, 1)
    await engine.stop(drain=False)
    with pytest.raises(ClosedError):
        await running


async def test_drain_is_bounded(make_config: MakeConfig) -> None:
    engine = Engine(make_config("CrawlingRunner", drain_timeout=0.1))
    await engine.start()
    running = asyncio.create_task(engine.complete("a", greedy(200)))
    await until_running(engine, 1)
    async with asyncio.timeout(15.0):
        await engine.stop()
    with pytest.raises(ClosedError):
        await running


async def test_second_stop_without_drain_cuts_the_first_short(
    make_config: MakeConfig,
) -> None:
    engine = Engine(make_config("CrawlingRunner", drain_timeout=60.0))
    await engine.start()
    running = asyncio.create_task(engine.complete("a", greedy(200)))
    await until_running(engine, 1)
    patient = asyncio.create_task(engine.stop())
    await until(lambda: engine.health().status == "stopped")
    async with asyncio.timeout(15.0):
        await engine.stop(drain=False)
        await patient
    with pytest.raises(ClosedError):
        await running


async def test_stop_leaves_no_process_and_no_file(make_config: MakeConfig) -> None:
    config = make_config()
    async with Engine(config) as engine:
        pids = [pid_of(engine, name) for name in ("scheduler", "detokenizer")]
        directory = engine.port_args.directory
        assert_private(Path(directory))
    wait_gone(pids, timeout=0.0)
    assert not glob.glob(directory)


async def test_start_and_stop_are_idempotent_and_repeatable(
    make_config: MakeConfig,
) -> None:
    engine = Engine(make_config())
    await engine.stop()
    for _ in range(2):
        await asyncio.gather(engine.start(), engine.start())
        await engine.start()
        assert (await engine.complete("a", greedy(1))).text == "b"
        await asyncio.gather(engine.stop(), engine.stop())
        await engine.stop()


async def test_engine_that_is_not_started_is_closed(make_config: MakeConfig) -> None:
    engine = Engine(make_config())
    assert engine.health().status == "stopped"
    with pytest.raises(ClosedError):
        await engine.complete("a", GREEDY)
    with pytest.raises(ClosedError):
        engine.tokenizer  # noqa: B018


async def test_model_that_does_not_load_fails_the_start_with_its_words(
    make_config: MakeConfig, no_leaks: None
) -> None:
    config = make_config("BrokenRunner")
    with pytest.raises(WorkerStartError, match="weights are missing") as caught:
        await Engine(config).start()
    assert caught.value.worker_id == "scheduler"
    assert_nothing_left(config.runtime_dir)


async def test_process_that_does_not_report_fails_the_start(
    make_config: MakeConfig, no_leaks: None
) -> None:
    config = make_config("SilentRunner", start_timeout=0.5)
    with pytest.raises(WorkerStartError, match=r"not ready after 0\.5 s"):
        await Engine(config).start()
    assert_nothing_left(config.runtime_dir)


async def test_cancelled_start_leaves_nothing(
    make_config: MakeConfig, no_leaks: None
) -> None:
    config = make_config("SilentRunner")
    engine = Engine(config)
    starting = asyncio.create_task(engine.start())
    await until(lambda: engine.health().status == "starting")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert engine.health().status == "stopped"
    assert_nothing_left(config.runtime_dir)


async def test_missing_model_is_a_config_error(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        await Engine(make_config(model_path=str(tmp_path))).start()


async def test_runtime_directory_too_long_for_sockets_is_a_config_error(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="limit is 107"):
        await Engine(make_config(runtime_dir=str(tmp_path / ("x" * 120)))).start()


async def test_cancelled_stop_kills_and_ends_what_runs(
    make_config: MakeConfig, no_leaks: None
) -> None:
    config = make_config("CrawlingRunner")
    engine = Engine(config)
    await engine.start()
    running = asyncio.create_task(engine.complete("a", greedy(200)))
    await until_running(engine, 1)
    stopping = asyncio.create_task(engine.stop())
    await until(lambda: engine.health().status == "stopped")
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    with pytest.raises(ClosedError):
        await running
    assert_nothing_left(config.runtime_dir)


async def test_unclosed_engine_warns(make_config: MakeConfig) -> None:
    engine = Engine(make_config())
    await engine.start()
    runtime = engine._runtime
    assert runtime is not None
    with pytest.warns(ResourceWarning, match="unclosed"):
        engine.__del__()
    await engine.stop()


def assert_nothing_left(runtime_dir: str | None) -> None:
    assert runtime_dir is not None
    left = [path for path in Path(runtime_dir).iterdir() if path.name != ".lock"]
    assert left == []


def assert_private(directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())
