"""The answers of a profile are made from its cells."""

from dataclasses import replace

import pytest

from tests.report.contrasting import UNCACHED, contrasting, measured_on
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
    assert {row[5] for row in table.rows} == {f"{12.0 / peer_j:.2f}"}
    assert {row[6] for row in table.rows} == {"device"}
