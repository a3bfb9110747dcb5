"""The numpy runner computes what the model's definition says, whatever the batching."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from busduct.errors import ClosedError, LocalProtocolError
from busduct.pipeline.embedded import model_directory, render_chat
from busduct.pipeline.runners import NumpyModelRunner, SequenceStep
from busduct.pipeline.runners._checkpoint import load_config, load_weights

DATA = Path(__file__).parent / "data"
SEQUENCES = [[0, 40, 900, 3, 77, 2047], [512], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 11]]


@pytest.fixture
def runner():
    found = NumpyModelRunner.load(max_batch_size=4)
    yield found
    found.close()


@pytest.fixture(scope="module")
def weights():
    return load_weights(model_directory(), load_config(model_directory()))


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(model_directory() / "tokenizer.json"))


def reference_logits(weights, ids):
    """Score the token after ``ids`` by the textbook: no cache, no batch, float64."""
    config = load_config(model_directory())
    width = config.head_dim

    def get(name):
        return weights[name + ".weight"].astype(np.float64)

    def normalize(x, gain):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config.rms_norm_eps) * gain

    def turn(vector, position):
        pairs = vector[: width // 2] + 1j * vector[width // 2 :]
        rates = config.rope_theta ** (-2 * np.arange(width // 2) / width)
        turned = pairs * np.exp(1j * position * rates)
        return np.concatenate([turned.real, turned.imag])

    x = get("model.embed_tokens")[ids]
    for index in range(config.num_hidden_layers):
        at = f"model.layers.{index}."
        h = normalize(x, get(at + "input_layernorm"))
        q, k, v = (h @ get(f"{at}self_attn.{n}_proj").T for n in "qkv")
        mixed = np.zeros_like(x)
        for head in range(config.num_attention_heads):
            part = slice(head * width, (head + 1) * width)
            for i in range(len(ids)):
                scores = [
                    turn(q[i, part], i) @ turn(k[j, part], j) / math.sqrt(width)
                    for j in range(i + 1)
                ]
                shares = np.exp(np.array(scores) - max(scores))
                mixed[i, part] = shares / shares.sum() @ v[: i + 1, part]
        x = x + mixed @ get(at + "self_attn.o_proj").T
        h = normalize(x, get(at + "post_attention_layernorm"))
        gate = h @ get(at + "mlp.gate_proj").T
        up = h @ get(at + "mlp.up_proj").T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ get(at + "mlp.down_proj").T
    return normalize(x, get("model.norm"))[-1] @ get("model.embed_tokens").T


def close(found, expected):
    return np.allclose(found, expected, rtol=1e-4, atol=1e-3)


def prefill(runner, slot, ids):
    return runner.forward([SequenceStep(slot, ids, 0)])[0]


def test_ragged_mixed_batch_equals_plain_reference(runner, weights):
    first, second, third = SEQUENCES
    prefill(runner, 3, first[:-1])
    logits = runner.forward(
        [
            SequenceStep(0, third, 0),
            SequenceStep(3, first[-1:], len(first) - 1),
            SequenceStep(1, second, 0),
        ]
    )
    assert logits.dtype == np.float32
    assert logits.flags.c_contiguous
    assert logits.shape == (3, runner.vocab_size)
    for row, ids in zip(logits, [third, first, second], strict=True):
        assert close(row, reference_logits(weights, ids))


def test_prefill_in_chunks_equals_prefill_at_once(runner):
    ids = SEQUENCES[2]
    whole = prefill(runner, 0, ids)
    runner.forward([SequenceStep(1, ids[:4], 0)])
    runner.forward([SequenceStep(1, ids[4:5], 4)])
    pieces = runner.forward([SequenceStep(1, ids[5:], 5)])[0]
    assert close(pieces, whole)


def test_batch_order_does_not_matter(runner):
    steps = [SequenceStep(slot, ids, 0) for slot, ids in enumerate(SEQUENCES)]
    forward = runner.forward(steps)
    for slot in range(len(steps)):
        runner.release(slot)
    assert close(runner.forward(steps[::-1])[::-1], forward)


def test_released_slot_holds_nothing_of_its_last_sequence(runner):
    expected = prefill(runner, 0, SEQUENCES[0])
    prefill(runner, 2, SEQUENCES[2])
    runner.release(2)
    runner.release(2)
    with pytest.raises(LocalProtocolError, match=r"position 1 is not in 0\.\.0"):
        runner.forward([SequenceStep(2, [1], 1)])
    assert close(prefill(runner, 2, SEQUENCES[0]), expected)


def test_step_that_starts_earlier_forgets_what_followed(runner):
    ids = SEQUENCES[2]
    expected = prefill(runner, 0, ids)
    prefill(runner, 1, [*ids[:3], 1000, 1001])
    assert close(runner.forward([SequenceStep(1, ids[3:], 3)])[0], expected)
    with pytest.raises(LocalProtocolError, match="position"):
        runner.forward([SequenceStep(1, [5], len(ids) + 1)])


def test_same_steps_give_the_same_bits_and_a_fresh_array(runner):
    first = prefill(runner, 0, SEQUENCES[0])
    kept = first.copy()
    first[:] = 0
    runner.release(0)
    assert np.array_equal(prefill(runner, 0, SEQUENCES[0]), kept)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([SequenceStep(4, [1], 0)], "slot 4"),
        ([SequenceStep(-1, [1], 0)], "slot -1"),
        ([SequenceStep(1, [], 0)], "no tokens"),
        ([SequenceStep(1, [2048], 0)], "token"),
        ([SequenceStep(1, [-1], 0)], "token"),
        ([SequenceStep(1, [1], 1)], "position 1"),
        ([SequenceStep(1, [1], -1)], "position -1"),
        ([SequenceStep(1, [1] * 513, 0)], "limit of 512"),
        ([SequenceStep(1, [1], 0), SequenceStep(1, [2], 0)], "twice"),
    ],
)
def test_misuse_raises_and_changes_nothing(runner, steps, reason):
    expected = prefill(runner, 0, SEQUENCES[0])
    runner.release(0)
    prefill(runner, 0, SEQUENCES[0][:-1])
    with pytest.raises(LocalProtocolError, match=reason):
        runner.forward([SequenceStep(0, [5], 0), *steps])
    last = SequenceStep(0, SEQUENCES[0][-1:], len(SEQUENCES[0]) - 1)
    assert close(runner.forward([last])[0], expected)


def test_release_of_an_unknown_slot_raises(runner):
    with pytest.raises(LocalProtocolError, match="slot 4"):
        runner.release(4)


def test_forward_after_close_raises_closed_error(runner):
    runner.close()
    runner.close()
    with pytest.raises(ClosedError):
        prefill(runner, 0, [1])


def test_empty_batch_gives_no_rows(runner):
    assert runner.forward([]).shape == (0, runner.vocab_size)


# It takes 20 s of a processor, which others may want, too.
@pytest.mark.timeout(600)
def test_perplexity_of_the_held_out_sample_is_the_recorded_one(tokenizer):
    text = (DATA / "held_out.txt").read_text().rstrip("\n")
    recorded = json.loads((DATA / "held_out.json").read_text())["perplexity"]
    ids = tokenizer.encode(text).ids
    runner = NumpyModelRunner.load()
    length = runner.context_length
    windows = [ids[i : i + length + 1] for i in range(0, len(ids) - 1, length)]
    total = 0.0
    for position in range(length):
        live = [i for i, w in enumerate(windows) if position + 1 < len(w)]
        logits = runner.forward(
            [SequenceStep(i, [windows[i][position]], position) for i in live]
        ).astype(np.float64)
        peak = logits.max(-1)
        norms = np.log(np.exp(logits - peak[:, None]).sum(-1)) + peak
        targets = [windows[i][position + 1] for i in live]
        total += (norms - logits[np.arange(len(live)), targets]).sum()
    assert math.exp(total / (len(ids) - 1)) == pytest.approx(recorded, rel=0.02)


def test_generated_text_is_made_of_words(runner, tokenizer):
    """Count words that the held-out text, which the model never saw, uses too.

    About 73 % of the words in the novels are in it, and 25 % of those in random tokens.
    """
    known = set(re.findall(r"[a-z]+", (DATA / "held_out.txt").read_text().lower()))
    ids = tokenizer.encode("It is a truth universally acknowledged").ids
    start, sent = len(ids), 0
    random = np.random.default_rng(5)
    for _ in range(150):
        logits = runner.forward([SequenceStep(0, ids[sent:], sent)])[0]
        sent = len(ids)
        ids.append(int(np.argmax(logits / 0.7 + random.gumbel(size=logits.size))))
    words = re.findall(r"[a-z]+", tokenizer.decode(ids[start:]).lower())
    assert len(words) > 60
    assert sum(word in known for word in words) / len(words) > 0.65


def test_chat_becomes_paragraphs():
    messages = [("system", " Be brief. "), ("user", "\n"), ("user", "Emma was")]
    assert render_chat(messages) == "Be brief.\n\nEmma was"
