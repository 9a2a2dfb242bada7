"""The answers of a profile are made from its cells."""

from dataclasses import replace

import pytest

from tests.report.contrasting import SHAPES, UNCACHED, contrasting, measured_on
from wattshed.domain.measurement import Profile
from wattshed.report.page import Prose, Table
from wattshed.report.profile_words import beside_section


def known(per_output_token_j: float) -> Profile:
    """A peer that ran the published model."""
    peer = replace(UNCACHED, name="peer", model="Llama-2 (7B)", kv_cache=None)
    return Profile("paper", tuple(measured_on(peer, per_output_token_j)))


@pytest.mark.parametrize(
    ("peer_j", "said"), [(24.0, "at 2 of 2 input lengths (m = 8, 512)."), (6.0, "at 0 of 2 input")]
)
def test_the_cheaper_lengths_are_counted(peer_j: float, said: str) -> None:
    """Only what has no cache is compared, length by length, with the least of its peers."""
    section = beside_section(contrasting(), known(peer_j), "total")

    words, table = section.blocks
    assert isinstance(words, Prose)
    assert isinstance(table, Table)
    assert said in words.text
    assert {row[6] for row in table.rows} == {f"{12.0 / peer_j:.2f}"}
    assert {(row[1], row[7]) for row in table.rows} == {(UNCACHED.name, "device")}


def test_other_output_lengths_are_not_set_beside_the_papers() -> None:
    """A system that never made 32 tokens has no row: joules a token at 128 would stand beside those at 32."""
    longer = Profile("longer", tuple(measured_on(UNCACHED, 12.0, shapes=SHAPES[1::2])))

    words, table = beside_section(longer, known(24.0), "total").blocks

    assert words == Prose("")
    assert isinstance(table, Table)
    assert list(table.rows) == []
