"""The engine on the model that ships with the package."""

import asyncio
from pathlib import Path

from busduct.pipeline import Engine, EngineConfig, SamplingParams

PROMPT = "It is a truth universally acknowledged, that"


async def test_embedded_model_writes_english(tmp_path: Path) -> None:
    config = EngineConfig(runtime_dir=str(tmp_path / "run"))
    greedy = SamplingParams(temperature=0.0, max_tokens=40)
    seeded = SamplingParams(seed=7, max_tokens=30, top_p=0.9)
    async with Engine(config) as engine:
        assert engine.model_name == "busduct-austen"
        alone = await engine.complete(PROMPT, greedy)
        together = await asyncio.gather(
            *(engine.complete(PROMPT[: 10 + n], seeded) for n in range(20)),
        )
        streamed = [piece.text async for piece in engine.generate(PROMPT, greedy)]
    assert alone.text == "".join(streamed)
    assert all(output.completion_tokens > 0 for output in together)
    words = alone.text.lower().split()
    common = {"the", "of", "to", "and", "a", "in", "was", "it", "her", "he", "she", "i"}
    assert len(words) > 10
    assert common & set(words)
    assert not any("\ufffd" in output.text for output in together)
