"""Bundles: profiles that anyone can read, check and make again."""

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from tests.profiler.cases import SHAPES, bundle, campaign, journalled, world
from wattshed.datasets.manifest import FILE as MANIFEST_FILE
from wattshed.datasets.manifest import Manifest
from wattshed.datasets.profiles import defects, read_manifest, read_profile
from wattshed.domain.schema import SAMPLE
from wattshed.domain.system import Limits
from wattshed.errors import CheckFailedError
from wattshed.profiler.bundle import CARD_FILE, SAMPLES_FILE, Publication, settings_sum, write_bundle
from wattshed.profiler.design import Shape
from wattshed.profiler.journal import FILE, read_journal
from wattshed.profiler.provenance import identity
from wattshed.profiler.scrub import traces
from wattshed.testing import Failures


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a campaign in which one cell does not fit into memory."""
    directory = tmp_path_factory.mktemp("bundle")
    return bundle(directory, campaign(), world(failures=Failures(max_total_tokens=100)))


def manifest_of(directory: Path) -> Manifest:
    """The manifest, which has a campaign."""
    manifest = read_manifest(directory)
    assert manifest.campaign is not None
    return manifest


def test_a_bundle_is_a_profile(whole: Path) -> None:
    """`read_profile` takes a bundle as it is, with every trial of the journal in it."""
    profile = read_profile(whole)

    assert defects(whole) == []
    assert profile.measurements == tuple(event.trial for event in read_journal(whole / FILE).trials)
    assert profile.validation_experiments == {"reference"}


def test_sums_are_those_of_the_files(whole: Path) -> None:
    """The manifest holds the SHA-256 of every file beside it."""
    campaign_ = manifest_of(whole).campaign
    assert campaign_ is not None

    assert set(campaign_.files) == {"trials.parquet", SAMPLES_FILE, CARD_FILE, FILE}
    for name, stated in campaign_.files.items():
        assert hashlib.sha256((whole / name).read_bytes()).hexdigest() == stated


def test_the_manifest_says_how_it_was_measured(whole: Path) -> None:
    """Settings, sessions with versions and meters, idle, cells with widths, and failures are all there."""
    document = json.loads((whole / MANIFEST_FILE).read_text())["campaigns"][0]

    assert document["settings"]["seed"] == 7
    assert document["settings_sha256"] == settings_sum(campaign().settings)
    assert document["sessions"][0]["versions"]["kernel"] == "Linux 6"
    assert document["sessions"][0]["meters"][0]["channels"][0]["part"] == "gpu"
    assert [one["when"] for one in document["idle"]] == ["before", "after"]
    assert len(document["cells"]) == len(SHAPES)
    assert all(cell["runtime_half_width_s"] > 0 for cell in document["cells"])
    assert document["failures"][0]["reason"] == "out_of_memory"
    assert document["ended"] == "complete"


def test_out_of_memory_is_a_limit(whole: Path) -> None:
    """What did not fit is a limit of the system: it serves what was measured below, and nothing above is promised."""
    limits = read_profile(whole).limits_of("synthetic", "synthetic")

    assert limits == Limits(max_total_tokens=40, reason="out of memory at 128 tokens in all")


def test_cells_that_were_not_reached_are_unmeasured(tmp_path: Path) -> None:
    """A campaign that was broken off lists the cells that it never came to."""
    journalled(tmp_path, campaign(), world(), events=8)

    unmeasured = write_bundle(tmp_path, Publication("small")).unmeasured

    measured = {(t.requested_input_tokens, t.requested_output_tokens) for t in read_profile(tmp_path).measurements}
    missing = {(shape.input_tokens, shape.output_tokens) for shape in SHAPES} - measured
    assert {(cell.input_tokens, cell.output_tokens) for cell in unmeasured} == missing != set()


def test_a_cell_is_missing_at_its_own_concurrency(tmp_path: Path) -> None:
    """A shape that was measured alone and not together is missing together, and a file of old says nothing of one."""
    journalled(tmp_path, campaign([Shape(8, 8), Shape(8, 8, 4)]), world(), events=6)

    [missing] = write_bundle(tmp_path, Publication("small")).unmeasured

    assert (missing.input_tokens, missing.output_tokens, missing.concurrency) == (8, 8, 4)
    assert "concurrency" not in missing.model_copy(update={"concurrency": 1}).model_dump()


def test_samples_are_kept(whole: Path) -> None:
    """Power samples of all trials lie beside them, in the columns of the schema."""
    samples = pl.read_parquet(whole / SAMPLES_FILE)

    assert samples.columns == [column.name for column in SAMPLE]
    assert samples.height == sum(len(event.samples) for event in read_journal(whole / FILE).trials)


def test_making_it_again_gives_the_same_bytes(whole: Path) -> None:
    """A bundle follows from its journal."""
    before = {path.name: path.read_bytes() for path in whole.iterdir()}

    write_bundle(whole, Publication("small"))

    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before


def test_hosts_are_never_pooled(tmp_path: Path) -> None:
    """A campaign that moved to another host has cells of both, apart."""
    journalled(tmp_path, campaign(), world())
    bundle(tmp_path, campaign(), world(host="host-00000002"))

    campaign_ = manifest_of(tmp_path).campaign
    assert campaign_ is not None
    places = [(cell.host, cell.experiment, cell.input_tokens, cell.output_tokens) for cell in campaign_.cells]
    assert len(places) == len(set(places)) == 2 * (len(SHAPES) + 1)


def test_a_campaign_without_trials_is_no_bundle(tmp_path: Path) -> None:
    """Where every cell failed there is nothing to publish, and the reason is said."""
    journalled(tmp_path, campaign(), world(failures=Failures(max_total_tokens=1)))

    with pytest.raises(CheckFailedError, match="no trial was finished \\(out_of_memory\\)"):
        write_bundle(tmp_path, Publication("small"))


def test_nobody_is_named_in_a_bundle(whole: Path) -> None:
    """No file of a bundle holds the name of this machine or its user, an address, a home folder or a serial number."""
    texts = [path.read_text() for path in whole.iterdir() if path.suffix in (".json", ".md", ".jsonl")]
    tables = [pl.read_parquet(path) for path in whole.glob("*.parquet")]
    texts += [str(value) for t in tables for c in t.select(pl.col(pl.String)) for value in c.unique().to_list()]

    assert [kind for text in texts for kind in traces(text, identity())] == []
