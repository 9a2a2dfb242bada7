"""Conversations as bytes: their length as text, and what they share with others."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.gateway.placing.conversation import BLOCK_BYTES, MOST_BLOCKS, blocks, text_bytes


@settings(deadline=None, max_examples=50)
@given(shared=st.binary(max_size=2000), one=st.binary(max_size=600), other=st.binary(max_size=600))
def test_conversations_share_the_blocks_they_begin_with(shared: bytes, one: bytes, other: bytes) -> None:
    """Two texts have as many leading hashes in common as they have whole leading blocks."""
    first, second = blocks(b"", shared + b"1" + one), blocks(b"", shared + b"2" + other)

    common = sum(ours == theirs for ours, theirs in zip(first, second, strict=False))

    assert common == len(shared) // BLOCK_BYTES
    assert first[:common] == second[:common]
    assert all(0 <= block < 2**64 for block in first)


def test_other_tools_are_another_beginning() -> None:
    """Tools stand before the conversation in what the model reads."""
    text = b"x" * 3 * BLOCK_BYTES

    assert not set(blocks(b"[]", text)) & set(blocks(b"", text))


def test_an_endless_conversation_has_bounded_blocks() -> None:
    """Of a very long one the beginning counts."""
    assert len(blocks(b"", b"x" * (MOST_BLOCKS + 5) * BLOCK_BYTES)) == MOST_BLOCKS


def test_hashes_are_the_same_everywhere() -> None:
    """Several gateways share what they know, so a hash does not depend on the process."""
    assert blocks(b"", b"a" * BLOCK_BYTES) == (6316316909524131681,)


def test_pictures_and_sound_are_no_text() -> None:
    """Inline media, of whatever size, do not count as text."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
    sound = {"type": "input_audio", "input_audio": {"data": "B" * 9000, "format": "wav"}}
    parts = [{"role": "user", "content": [picture, sound, picture]}]

    spread, dense = (json.dumps(parts, separators=marks).encode() for marks in ((", ", ": "), (",", ":")))

    assert 0 < text_bytes(dense) < text_bytes(spread) < 500


def test_escaped_characters_count_as_the_bytes_they_stand_for() -> None:
    """Text that a client escapes is as long as text that it does not."""
    text = "能量" * 50

    assert text_bytes(json.dumps(text).encode()) == text_bytes(json.dumps(text, ensure_ascii=False).encode()) == 300
