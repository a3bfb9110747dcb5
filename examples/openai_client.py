"""Ask a running ``busduct serve`` with OpenAI's client: once whole, once streamed.

busduct serve
python examples/openai_client.py http://127.0.0.1:8000
"""

import sys

from openai import OpenAI

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
client = OpenAI(base_url=f"{url}/v1", api_key="none")
model = client.models.list().data[0].id

completion = client.completions.create(
    model=model, prompt="Once upon a time", max_tokens=24, temperature=0
)
print(f"{model} goes on: Once upon a time{completion.choices[0].text!r}")

stream = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "Tell me of the sea."}],
    max_completion_tokens=24,
    seed=1,
    stream=True,
)
print("and says: ", end="")
for event in stream:
    print(event.choices[0].delta.content or "", end="", flush=True)
print("\n(the end)")
