"""LangChain's client, through the gateway: URL and key come as arguments, what was said goes out as JSON."""

import json
import sys

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

url, key = sys.argv[1:]


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


model = ChatOpenAI(model="smollm2", base_url=url, api_key=key, max_tokens=6, extra_body={"ignore_eos": True})
whole = model.invoke("Say hello.")
pieces = list(model.stream("Say hello.", stream_usage=True))
caller = ChatOpenAI(model="tool-caller", base_url=url, api_key=key).bind_tools([weather])
called = caller.invoke("Which weather?").tool_calls[0]

said = {
    "tokens": whole.usage_metadata["output_tokens"],
    "streamed": sum(piece.usage_metadata["output_tokens"] for piece in pieces if piece.usage_metadata),
    "weather": weather.invoke(called["args"]),
}
sys.stdout.write(json.dumps(said))
