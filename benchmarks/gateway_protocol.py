"""What reading, rewriting and receipts cost the gateway: a chat body of 1 kB, and a stream of 64 chunks.

Run by `make bench`. Times are CPU time, the best of many short runs: others may keep the machine busy.
"""

import json
import time
from collections.abc import Callable

from wattshed.gateway.openai_body import read_call, rewritten
from wattshed.gateway.receipt import Receipt
from wattshed.gateway.relay import Relay
from wattshed.gateway.usage import usage_of

MOST_US, MOST_CHUNK_US = 30.0, 5.0
"""What a body and a chunk may take."""

RUNS, REPEATS, CHUNKS = 5, 2000, 64
ASKED = {
    "model": "llama-3-8b",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant. " * 8},
        {"role": "user", "content": 'What does "this" mean?\n' + "lorem ipsum dolor sit amet " * 16},
        {"role": "assistant", "content": "x" * 100},
    ],
    "temperature": 0.7,
    "max_tokens": 256,
    "stream": True,
    "user": "someone",
}
USAGE = {"usage": {"prompt_tokens": 250, "completion_tokens": 120, "total_tokens": 370}}


def chunk(**said: object) -> bytes:
    """An event as vLLM sends it."""
    whole = {"id": "chatcmpl-0f3a", "object": "chat.completion.chunk", "created": 1, "model": "m", **said}
    return b"data: " + json.dumps(whole, separators=(",", ":")).encode() + b"\n\n"


BODY = json.dumps(ASKED).encode()
WITH_OPTIONS = json.dumps({**ASKED, "stream_options": {"include_usage": False}}).encode()
ESCAPED = json.dumps({**ASKED, "user": "Zoë"}).encode()
ANSWER = json.dumps({"id": "x", "choices": [{"message": {"content": "y" * 480}}], **USAGE}).encode()
TEXT = chunk(choices=[{"index": 0, "delta": {"content": " word"}, "finish_reason": None}])
NULLS = chunk(choices=[{"index": 0, "delta": {"content": " word"}, "finish_reason": None}], usage=None)
CUT = [TEXT[40:] + TEXT[:40]] * CHUNKS
END = chunk(choices=[], **USAGE) + b"data: [DONE]\n\n"


def receipt() -> Receipt:
    """One with most figures."""
    return Receipt(
        system="mac",
        model="llama-3-8b-q8",
        choice="argmin(lambda=1)",
        energy_j=41.7123456789,
        method="predicted",
        energy_lower_j=38.2123456789,
        energy_upper_j=45.3123456789,
        runtime_s=2.3123456789,
        predicted_energy_j=52.9123456789,
        baseline_energy_j=118.4123456789,
        wasted_energy_j=0.0,
        baseline="a100",
        profile="bundled:wilkins2024",
        lam=1.0,
        predicted_output_tokens=96.4123456789,
    )


def whole(body: bytes) -> None:
    """Everything for an answer in one piece."""
    read_call("chat", body)
    rewritten(body, "m", model="llama-3-8b-q8", include_usage=True)
    usage_of(ANSWER)
    made = receipt()
    made.headers()
    made.in_body(ANSWER)


def streamed(pieces: list[bytes]) -> None:
    """A stream's pieces and its end."""
    relay = Relay(wants_usage=True)
    for piece in pieces:
        relay.take(piece)
    relay.take(END)
    relay.ending(receipt())


def best_us(run: Callable[[], object]) -> float:
    """Microseconds of CPU that one run takes."""
    taken_s = []
    for _ in range(REPEATS):
        started_s = time.process_time()
        for _ in range(RUNS):
            run()
        taken_s.append((time.process_time() - started_s) / RUNS)
    return min(taken_s) * 1e6


def main() -> None:
    """Print the table."""
    for name, body in (("plain", BODY), ("stream options", WITH_OPTIONS), ("escaped letters", ESCAPED)):
        us = best_us(lambda body=body: whole(body))
        print(f"body of {len(body)} bytes, {name:16s}{us:6.1f} us   (at most {MOST_US:g} for a plain one)")
    for name, run in (
        ("  read_call", lambda: read_call("chat", BODY)),
        ("  rewritten", lambda: rewritten(BODY, "m", model="llama-3-8b-q8", include_usage=True)),
        ("  usage_of", lambda: usage_of(ANSWER)),
        ("  receipt, headers, in_body", lambda: (made := receipt(), made.headers(), made.in_body(ANSWER))),
    ):
        print(f"{name:34s}{best_us(run):6.1f} us")
    end_us = best_us(lambda: streamed([]))
    for name, pieces in (("whole", [TEXT] * CHUNKS), ("with null usage", [NULLS] * CHUNKS), ("cut in two", CUT)):
        us = (best_us(lambda pieces=pieces: streamed(pieces)) - end_us) / CHUNKS
        print(f"chunk, {name:27s}{us:6.2f} us   (at most {MOST_CHUNK_US:g})")
    print(f"{'end of a stream, receipt and all':34s}{end_us:6.1f} us")


if __name__ == "__main__":
    main()
