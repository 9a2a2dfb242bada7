"""What the page says of predictors is what the checks found."""

from dataclasses import replace

from tests.predictors.cases import SYSTEM, profile, summed
from wattshed.domain.measurement import Profile
from wattshed.report.checks_page import check_words, checks_section
from wattshed.report.page import Prose, Table

TRUTH = summed(1.0, lambda length: 2 + length / 100)


def test_forms_go_by_the_cache() -> None:
    """Systems without a KV cache are checked under the prefix form, the others under the batch form."""
    plain = profile(TRUTH, system=replace(SYSTEM, kv_cache=False))
    cached = profile(lambda m, n: 1 + 0.01 * m + 0.5 * n, system=replace(SYSTEM, kv_cache=True))

    section = checks_section(Profile("both", plain.measurements + cached.measurements), "total")

    prefix, batch = (block for block in section.blocks if isinstance(block, Table))
    assert {row[0] for row in prefix.rows} == {"bench (no cache), toy"}
    assert {row[0] for row in batch.rows} == {"bench (KV cache), toy"}


def test_host_bound_cells_stand_apart() -> None:
    """Where the host paced the short half of the cells, words and table give both means."""
    trials = profile(TRUTH, system=replace(SYSTEM, kv_cache=False)).measurements
    paced = tuple(replace(t, bound="host" if t.requested_input_tokens <= 64 else "device") for t in trials)

    section = checks_section(Profile("paced", paced), "total")

    words, table = section.blocks
    assert isinstance(words, Prose)
    assert "where the host did not set the pace and" in words.text
    assert isinstance(table, Table)
    assert all("–" not in row for row in table.rows)


def test_nothing_to_check_is_said() -> None:
    """Without predictors there is a sentence and no table."""
    assert check_words([]) == "No system has cells enough for a predictor."
