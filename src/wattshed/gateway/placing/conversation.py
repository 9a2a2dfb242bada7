"""What the model is to read, as bytes of JSON: how much of it is text, and what other conversations begin like it.

Nothing of it is kept but its length and hashes. The hashes are BLAKE2b's and the same in every process, so that several
gateways can share what they know.
"""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Raw

BLOCK_BYTES: Final = 512
"""Bytes of conversation to a hash: some 128 tokens, so what two conversations share is at most that much too short."""

MOST_BLOCKS: Final = 1024
"""Hashes of one conversation: 512 KiB are some 128,000 tokens, the context of Llama 3.1 (model card, 2024)."""

_MEDIA: Final = (b";base64,", b'"data":"', b'"data": "')
"""What stands before pictures and sound, in the places that OpenAI's API has for them."""

_ELEMENTS: Final = msgspec.json.Decoder(list[Raw])


def prompt_count(prompt: bytes) -> int:
    """How many prompts there are: an array holds several, unless it is one prompt in token numbers."""
    if not prompt.startswith(b"["):
        return 1
    elements = _ELEMENTS.decode(prompt)
    return len(elements) if elements and bytes(elements[0])[:1] in {b'"', b"["} else 1


def text_bytes(prompt: bytes) -> int:
    """Bytes of JSON in the UTF-8 they stand for, roughly, without what is no text."""
    # Six bytes for a character that has two to four; to look for one byte takes a tenth of the time.
    escaped = 3 * prompt.count(b"\\u") if b"\\" in prompt else 0
    media = b"base64," in prompt or b'"input_audio"' in prompt
    return max(len(prompt) - 2 - escaped - (sum(_media_bytes(prompt, mark) for mark in _MEDIA) if media else 0), 0)


def _media_bytes(prompt: bytes, mark: bytes) -> int:
    total, at = 0, prompt.find(mark)
    while at >= 0:
        at += len(mark)
        end = prompt.find(b'"', at)
        total += end - at
        at = prompt.find(mark, end)
    return total


def blocks(tools: bytes, text: bytes) -> tuple[int, ...]:
    """Hashes of the leading parts, each the salt of the next and so of all before; templates put tools first."""
    digest = blake2b(tools, digest_size=8, usedforsecurity=False).digest() if tools else b""
    hashes = []
    for start in range(0, min(len(text), MOST_BLOCKS * BLOCK_BYTES) - BLOCK_BYTES + 1, BLOCK_BYTES):
        block = text[start : start + BLOCK_BYTES]
        digest = blake2b(block, digest_size=8, salt=digest, usedforsecurity=False).digest()
        hashes.append(int.from_bytes(digest, "big"))
    return tuple(hashes)
