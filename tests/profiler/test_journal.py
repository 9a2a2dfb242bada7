"""The journal keeps every event, loses only a torn last line, and leads to the same end from any break."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.profiler.cases import campaign, journalled, measured, session, world
from wattshed.errors import InputError, MissingError, UsageError
from wattshed.profiler.design import Shape
from wattshed.profiler.events import CellFailed, TrialDone
from wattshed.profiler.journal import FILE, Record, read_journal, resume_journal, start_journal
from wattshed.testing import Failures


def results(record: Record) -> list[tuple[object, ...]]:
    """What was measured, without which session measured it and when."""
    return [
        (e.visit, e.trial.order, e.trial.trial, e.trial.warm_up, e.trial.runtime_s, e.trial.gpu_energy_j)
        for e in record.trials
    ]


def rounded(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The same without the last digits, which differ with the clock's offset."""
    return [tuple(float(f"{v:.9g}") if isinstance(v, float) else v for v in row) for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A campaign that nobody interrupted."""
    directory = tmp_path_factory.mktemp("whole")
    journalled(directory, campaign(), world())
    return read_journal(directory / FILE)


def test_what_happened_is_read_again(tmp_path: Path) -> None:
    """Every event but the start of a cell comes back as it was."""
    events = measured(campaign(), world())
    kept = start_journal(tmp_path / FILE, campaign().settings)
    for event in [session(0, world()), *events]:
        kept.append(event)
    kept.close()

    record = read_journal(tmp_path / FILE)

    assert record.trials == tuple(event for event in events if isinstance(event, TrialDone))
    assert record.sessions == (session(0, world()),)
    assert record.settings == campaign().settings
    assert record.is_complete(world().engine.system.host or "")


@pytest.mark.parametrize(("kept", "asked"), [(None, Shape(8, 8)), (Shape(8, 8), None), (Shape(8, 8), Shape(8, 9))])
def test_another_reference_is_another_campaign(kept: Shape | None, asked: Shape | None, tmp_path: Path) -> None:
    """A journal is resumed with the reference cell that it began with; one that nobody named counts as none."""
    designs = [replace(campaign().design, named_reference=one) for one in (kept, asked)]
    before, now = (campaign(design=design) for design in designs)
    start_journal(tmp_path / FILE, before.settings).close()

    resume_journal(tmp_path / FILE, before.settings).close()
    with pytest.raises(UsageError, match=r"is of another campaign \(reference = "):
        resume_journal(tmp_path / FILE, now.settings)


@settings(deadline=None, max_examples=15)
@given(first=st.integers(0, 40), second=st.integers(0, 40), torn=st.integers(0, 60))
def test_resuming_comes_to_the_same_end(
    first: int, second: int, torn: int, whole: Record, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Broken off anywhere, twice, with the last line torn, a campaign ends with the same trials and cells."""
    directory = tmp_path_factory.mktemp("broken")

    journalled(directory, campaign(), world(), events=first)
    _tear(directory / FILE, torn)
    journalled(directory, campaign(), world(), events=second)
    _tear(directory / FILE, torn)
    journalled(directory, campaign(), world())

    record = read_journal(directory / FILE)
    assert rounded(results(record)) == rounded(results(whole))
    assert sorted({c.visit for c in record.cells}) == [visit.number for visit in campaign().visits]


def test_resuming_a_whole_campaign_measures_nothing(tmp_path: Path) -> None:
    """A second resume adds no trial: resuming is idempotent."""
    journalled(tmp_path, campaign(), world())
    before = read_journal(tmp_path / FILE)
    journalled(tmp_path, campaign(), world())

    assert read_journal(tmp_path / FILE).trials == before.trials


def test_another_host_starts_anew(tmp_path: Path) -> None:
    """On another host every cell is measured again under the new label, and the old trials stay."""
    journalled(tmp_path, campaign(), world(), events=12)
    first = read_journal(tmp_path / FILE)
    journalled(tmp_path, campaign(), world(host="host-00000002"))

    record = read_journal(tmp_path / FILE)
    ours = [event for event in record.trials if event.trial.system.host == "host-00000002"]
    assert record.trials[: len(first.trials)] == first.trials
    assert {event.visit for event in ours} == {visit.number for visit in campaign().visits}
    assert record.is_complete("host-00000002")
    assert not record.is_complete("host-00000001")


def test_a_gone_engine_is_tried_again(tmp_path: Path) -> None:
    """Cells lost to an engine that was gone are measured on resume; those out of memory are not."""
    gone = Failures(max_total_tokens=100, at=dict.fromkeys(range(12, 99), "engine_gone"))
    journalled(tmp_path, campaign(), world(failures=gone))
    journalled(tmp_path, campaign(), world(failures=Failures(max_total_tokens=100)))

    record = read_journal(tmp_path / FILE)
    done, failed = {cell.visit for cell in record.cells}, {one.visit: one.reason for one in record.failures}
    assert "engine_gone" in failed.values()
    assert [reason for visit, reason in failed.items() if visit not in done] == ["out_of_memory"]


def test_messages_are_scrubbed(tmp_path: Path) -> None:
    """What a failure says goes through the scrub before it reaches the disk."""
    kept = start_journal(tmp_path / FILE, {}, scrub=lambda text: text.replace("secret", "<name>"))
    kept.append(CellFailed(0, 0, "refused", "secret said no"))
    kept.close()

    assert "secret" not in (tmp_path / FILE).read_text()
    assert read_journal(tmp_path / FILE).failures[0].message == "<name> said no"


def test_a_second_start_needs_resume(tmp_path: Path) -> None:
    """A journal is never started over by accident."""
    start_journal(tmp_path / FILE, {}).close()

    with pytest.raises(UsageError, match="go on with --resume"):
        start_journal(tmp_path / FILE, {})


def test_other_settings_are_another_campaign(tmp_path: Path) -> None:
    """Resuming with another seed is refused, and the difference is named."""
    start_journal(tmp_path / FILE, campaign().settings).close()

    with pytest.raises(UsageError, match="seed = 7 there, and 8 now"):
        resume_journal(tmp_path / FILE, campaign(seed=8).settings)


def test_damage_in_the_middle_is_an_error(tmp_path: Path) -> None:
    """Only the last line can be torn by a crash; another one that makes no sense is damage, with its row."""
    journalled(tmp_path, campaign(), world(), events=5)
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:20] + b"\n"
    (tmp_path / FILE).write_bytes(b"".join(lines))

    with pytest.raises(InputError, match="row 3: is damaged"):
        read_journal(tmp_path / FILE)


@pytest.mark.parametrize("text", ["", '{"trial": null}\n', "hello\nthere\n"])
def test_what_is_no_journal_is_an_error(text: str, tmp_path: Path) -> None:
    """A file that does not start with a campaign is no journal."""
    (tmp_path / FILE).write_text(text)

    with pytest.raises(InputError):
        read_journal(tmp_path / FILE)


def test_no_journal_is_missing(tmp_path: Path) -> None:
    """A journal that is not there is missing."""
    with pytest.raises(MissingError, match="run wattshed profile first"):
        read_journal(tmp_path / FILE)


def test_every_line_is_one_json_document(tmp_path: Path) -> None:
    """Anyone can read a journal line by line, with any JSON reader."""
    journalled(tmp_path, campaign(), world())

    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]

    assert all(len(line) == 1 for line in lines)
    assert list(lines[0]) == ["campaign"]


def _tear(path: Path, torn: int) -> None:
    """Cut so many bytes off the last line, as a crash in the middle of a write would."""
    content = path.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(content[: max(len(content) - torn, last)])
