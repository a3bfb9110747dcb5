"""Train the language model that ships inside busduct, from text to finished files.

Run it in an environment of its own (it needs apt and takes about half an hour on two
cores; nothing at run time depends on these packages)::

    python -m venv /tmp/train && /tmp/train/bin/pip install jax numpy rdata rich \
        safetensors tokenizers
    nice /tmp/train/bin/python tools/train_embedded_model.py --minutes 28

The schedule follows the clock, so two runs differ by their number of steps;
``--steps N`` fixes it, and then the same machine gives the same weights. The files are
written at every checkpoint, so that a run that is killed leaves a usable model.
"""

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from safetensors.numpy import save_file
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)

from austen_corpus import PACKAGE, Corpus, load_corpus
from llama_jax import Parameters, Shape, Trainer, logits, token_losses

ROOT = Path(__file__).resolve().parent.parent
END_OF_TEXT = "<|endoftext|>"
SHAPE = Shape(
    vocab_size=2048,
    hidden_size=160,
    intermediate_size=448,
    num_hidden_layers=6,
    num_attention_heads=5,
    max_position_embeddings=512,
)
TOKENS_PER_STEP = 2048
PEAK_LEARNING_RATE = 3e-3
WARM_UP_STEPS = 100
# Short windows first (cheaper steps), whole contexts at the end.
SHORT_LENGTH, SHORT_SHARE = 256, 0.7
SAMPLE_BYTES = 20_000


@dataclass(slots=True)
class Data:
    """The corpus as tokens."""

    tokenizer: Tokenizer
    train: np.ndarray
    held_out: np.ndarray
    sample_text: str
    sample: np.ndarray


def prepare(corpus: Corpus) -> Data:
    """Make the tokenizer from the training part and encode both parts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SHAPE.vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus.train, trainer)
    # Every text begins as every chapter does.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A",
        special_tokens=[(END_OF_TEXT, tokenizer.token_to_id(END_OF_TEXT))],
    )
    # Whole paragraphs from the start of the held-out part.
    end = corpus.held_out[0].rfind("\n\n", 0, SAMPLE_BYTES)
    sample_text = corpus.held_out[0][: end if end > 0 else None]
    return Data(
        tokenizer,
        _encode(tokenizer, corpus.train),
        _encode(tokenizer, corpus.held_out),
        sample_text,
        _encode(tokenizer, [sample_text]),
    )


def _encode(tokenizer: Tokenizer, chapters: list[str]) -> np.ndarray:
    """Join the chapters, an end-of-text token before each."""
    pieces = [encoding.ids for encoding in tokenizer.encode_batch(chapters)]
    return np.concatenate(pieces).astype(np.int32)


def learning_rate(fraction: float, step: int) -> float:
    """Warm up, then fall by a cosine to a hundredth of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return PEAK_LEARNING_RATE * warm_up * (0.01 + 0.99 * cosine)


_losses = jax.jit(token_losses, static_argnames="shape")


def total_loss(parameters: Parameters, ids: np.ndarray) -> float:
    """Sum the loss in nats of all tokens but the first.

    The text is cut into windows of one context each, without overlap; the model sees
    nothing of the windows before.
    """
    length = SHAPE.max_position_embeddings
    total = 0.0
    for start in range(0, len(ids) - 1, length):
        window = ids[start : start + length + 1]
        padded = np.zeros((1, length + 1), np.int32)
        padded[0, : len(window)] = window
        losses = _losses(parameters, SHAPE, padded)
        total += float(np.asarray(losses)[0, : len(window) - 1].sum(dtype=np.float64))
    return total


def stored(parameters: Parameters) -> dict[str, np.ndarray]:
    """Round to the 16 bits that the file holds."""
    return {name: np.asarray(v, np.float16) for name, v in parameters.items()}


def evaluate(weights: dict[str, np.ndarray], data: Data) -> dict[str, float]:
    """Measure the stored weights on the held-out text and on the shipped sample."""
    parameters = {name: jnp.asarray(v, jnp.float32) for name, v in weights.items()}
    loss = total_loss(parameters, data.held_out)
    text = data.tokenizer.decode(data.held_out.tolist())
    sample_loss = total_loss(parameters, data.sample)
    return {
        "held_out_perplexity": math.exp(loss / (len(data.held_out) - 1)),
        "held_out_bits_per_byte": loss / math.log(2) / len(text.encode()),
        "sample_perplexity": math.exp(sample_loss / (len(data.sample) - 1)),
    }


def continue_text(parameters: Parameters, data: Data, prompt: str, seed: int) -> str:
    """Continue a prompt by 80 tokens at temperature 0.8."""
    random = np.random.default_rng(seed)
    ids = data.tokenizer.encode(prompt).ids
    forward = jax.jit(logits, static_argnames="shape")
    for _ in range(80):
        padded = np.zeros((1, 128), np.int32)
        padded[0, : len(ids)] = ids
        scores = np.asarray(forward(parameters, SHAPE, padded))[0, len(ids) - 1]
        ids.append(int(np.argmax(scores / 0.8 + random.gumbel(size=scores.size))))
    return data.tokenizer.decode(ids)


def config(measured: dict[str, float], run: dict[str, object]) -> dict[str, object]:
    """Make ``config.json``: the Llama keys, and ours under ``busduct``."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        **asdict(SHAPE),
        "num_key_value_heads": SHAPE.num_attention_heads,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "torch_dtype": "float16",
        "busduct": {**run, **measured},
    }


def export(trainer: Trainer, data: Data, run: dict[str, object], args) -> dict:
    """Write all files; return what was measured."""
    weights = stored(trainer.parameters)
    measured = evaluate(weights, data)
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "model.safetensors"
    save_file(weights, path, {"format": "pt"})
    path.chmod(0o644)
    data.tokenizer.save(str(args.output / "tokenizer.json"))
    settings = config(measured, run)
    (args.output / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    card = Template((Path(__file__).parent / "model_card.md.in").read_text())
    num_parameters = sum(value.size for value in weights.values())
    filled = card.substitute(
        {name: f"{value:.3f}" for name, value in measured.items()},
        **{name: f"{value:,}" for name, value in asdict(SHAPE).items()},
        **{name: str(value) for name, value in run.items()},
        num_parameters=f"{num_parameters:,}",
        num_passes=f"{run['num_steps'] * TOKENS_PER_STEP / len(data.train):.1f}",
        num_train_tokens=f"{len(data.train):,}",
        num_held_out_tokens=f"{len(data.held_out):,}",
    )
    (args.output / "MODEL_CARD.md").write_text(filled)
    args.sample_folder.mkdir(parents=True, exist_ok=True)
    (args.sample_folder / "held_out.txt").write_text(data.sample_text + "\n")
    record = {"perplexity": measured["sample_perplexity"]}
    (args.sample_folder / "held_out.json").write_text(json.dumps(record) + "\n")
    return measured


def train(data: Data, corpus: Corpus, args, console: Console) -> None:
    """Train to the end of the budget, writing the files every few minutes."""
    random = np.random.default_rng(args.seed)
    trainer = Trainer.start(SHAPE, args.seed)
    started = checkpoint = time.monotonic()
    columns = ("[progress.description]{task.description}", TimeElapsedColumn())
    with Progress(
        columns[0],
        *Progress.get_default_columns()[1:],
        columns[1],
        TextColumn("{task.fields[note]}"),
        console=console,
    ) as progress:
        task = progress.add_task("training", total=1.0, note="")
        step, note, smooth = 0, "", None
        while True:
            now = time.monotonic()
            fraction = (
                step / args.steps if args.steps else (now - started) / 60 / args.minutes
            )
            run = {
                "source_package": f"{PACKAGE} {corpus.version}",
                "seed": args.seed,
                "num_steps": step,
                "train_minutes": round((now - started) / 60, 1),
            }
            if fraction >= 1.0 or now - checkpoint > 60 * args.checkpoint_minutes:
                measured = export(trainer, data, run, args)
                note = f"held-out perplexity {measured['held_out_perplexity']:.2f}"
                console.log(f"step {step} loss {smooth} {measured}")
                checkpoint = now
            if fraction >= 1.0:
                break
            length = SHORT_LENGTH if fraction < SHORT_SHARE else 2 * SHORT_LENGTH
            starts = random.integers(
                len(data.train) - length, size=TOKENS_PER_STEP // length
            )
            windows = data.train[starts[:, None] + np.arange(length + 1)]
            loss = float(trainer.step(windows, learning_rate(fraction, step)))
            smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            step += 1
            progress.update(
                task, completed=fraction, note=f"step {step} loss {smooth:.3f} {note}"
            )
    for seed, prompt in enumerate(args.prompts):
        console.rule(prompt)
        console.print(continue_text(trainer.parameters, data, prompt, seed))


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    embedded = ROOT / "python" / "busduct" / "pipeline" / "embedded"
    parser.add_argument("--output", type=Path, default=embedded)
    samples = ROOT / "tests" / "pipeline" / "data"
    parser.add_argument("--sample-folder", type=Path, default=samples)
    parser.add_argument("--minutes", type=float, default=28.0)
    parser.add_argument("--steps", type=int, help="fixed number, instead of minutes")
    parser.add_argument("--checkpoint-minutes", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=1775)
    parser.add_argument(
        "--prompts",
        nargs="*",
        default=["It is a truth universally acknowledged", "Emma", "My dear sister,"],
    )
    args = parser.parse_args()
    corpus = load_corpus()
    data = prepare(corpus)
    train(data, corpus, args, Console())


if __name__ == "__main__":
    main()
