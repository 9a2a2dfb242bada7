"""LiteLLM as a client, through the gateway: URL and key come as arguments, what was said goes out as JSON."""

import json
import sys

import litellm

url, key = sys.argv[1:]
asked = {
    "model": "openai/smollm2",
    "api_base": url,
    "api_key": key,
    "max_tokens": 6,
    "extra_body": {"ignore_eos": True},
    "messages": [{"role": "user", "content": "Say hello."}],
}
whole = litellm.completion(**asked)
chunks = list(litellm.completion(**asked, stream=True, stream_options={"include_usage": True}))
# Unasked, it sends "encoding_format": null, which llama.cpp refuses, behind a gateway or not.
embedded = litellm.embedding("openai/smollm2:fast", input=["a cat"], api_base=url, api_key=key, encoding_format="float")
try:
    litellm.completion(**asked | {"model": "openai/nobody"})
except litellm.NotFoundError as error:
    refused = error.status_code

said = {
    "tokens": whole.usage.completion_tokens,
    "streamed": chunks[-1].usage.completion_tokens,
    "width": len(embedded.data[0]["embedding"]),
    "refused": refused,
}
sys.stdout.write(json.dumps(said))
