"""`wattshed profile`: measure a model on this machine, cell by cell, and leave a bundle that others can check."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from wattshed.cli.frame import JsonFlag, emit, stderr, table
from wattshed.cli.meter_choice import named
from wattshed.domain.choices import Configuration, Device, EngineKind, Precision
from wattshed.errors import EngineError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.cli.profile_rig import Rig
    from wattshed.datasets.manifest import CellRecord, Manifest
    from wattshed.profiler.campaign import Campaign
    from wattshed.profiler.checklist import Verdict
    from wattshed.profiler.journal import Journal

EXAMPLES: Final = (
    "Examples: [bold]wattshed profile --engine synthetic --design grid --input-tokens 8,32 --output-tokens 8,32[/]  ·  "
    "[bold]wattshed profile --model random:mistral-7b --device cuda --design paper-output --out h100[/]"
    "  ·  [bold]wattshed profile --engine openai --url http://localhost:8000 --model llama --design batch "
    "--input-tokens 256 --output-tokens 128 --concurrency 1,4,16 --resume[/]"
)

StoppingKind = Literal["relative", "paper", "fixed"]


def command(
    engine: Annotated[EngineKind, typer.Option(help="What makes the tokens.")] = "transformers",
    model: Annotated[
        str | None, typer.Option(help="Local path, hub id, random:NAME, or the name that the server knows.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Base URL of an OpenAI-compatible server.")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="OPENAI_API_KEY", show_envvar=True, help="Key of that server; never recorded.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the profile calls this machine; its hardware, if not given.")
    ] = None,
    hardware: Annotated[str | None, typer.Option(help="Accelerator behind --url, which cannot be asked.")] = None,
    device: Annotated[Device, typer.Option(help="Where transformers run.")] = "cpu",
    devices: Annotated[int, typer.Option(min=1, help="How many of it.")] = 1,
    precision: Annotated[
        Precision | None, typer.Option(help="Number format of the weights; bf16, if not given, in transformers.")
    ] = None,
    kv_cache: Annotated[bool, typer.Option("--kv-cache/--no-kv-cache", help="The paper measured without.")] = True,
    configuration: Annotated[
        Configuration, typer.Option(help="Plain decoding, or CUDA graphs that free it from the host's pace.")
    ] = "eager",
    prompts: Annotated[
        Path | None, typer.Option(help="Text file, a prompt a line; random tokens, if not given.")
    ] = None,
    design: Annotated[
        str, typer.Option(help="paper-input, paper-output, grid, batch, or a CSV with your cells.")
    ] = "paper-input",
    input_tokens: Annotated[str | None, typer.Option(help="Input tokens of a grid or batch, as 8,32.")] = None,
    output_tokens: Annotated[str | None, typer.Option(help="Output tokens of a grid or batch, as 8,32.")] = None,
    concurrency: Annotated[str | None, typer.Option(help="Queries at once in a batch, as 1,4.")] = None,
    stopping: Annotated[
        StoppingKind, typer.Option(help="Energy and runtime to 2 %, the paper's rule, or so many windows.")
    ] = "relative",
    trials: Annotated[int | None, typer.Option(min=1, help="Windows a cell with --stopping fixed.")] = None,
    window_s: Annotated[float, typer.Option("--window-s", min=0, help="Least length of a window.")] = 5.0,
    idle_s: Annotated[float, typer.Option("--idle-s", min=0, help="Time at idle, before and after.")] = 10.0,
    settle_s: Annotated[float, typer.Option("--settle-s", min=0, help="Most time to wait for steady heat.")] = 20.0,
    cell_timeout_s: Annotated[float, typer.Option("--cell-timeout-s", min=0, help="Most time for a cell.")] = 1800.0,
    reference_every: Annotated[int, typer.Option(min=1, help="Cells between two looks for drift.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the random order.")] = 0,
    meters: Annotated[str | None, typer.Option(help="Meters, as nvml,rapl; whatever is there, if not given.")] = None,
    licence: Annotated[str, typer.Option(help="Terms under which the bundle may be used.")] = "not stated",
    out: Annotated[Path, typer.Option(help="Directory of the bundle.")] = Path("profile"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the journal in --out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show cells and least time, and measure nothing.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Measure energy and runtime of a model on this machine, cell by cell, into a bundle that others can check."""
    from wattshed.cli.profile_rig import EngineChoice, build
    from wattshed.cli.profile_words import design_of, stopping_of
    from wattshed.profiler.campaign import Campaign

    campaign = Campaign(
        design_of(design, input_tokens=input_tokens, output_tokens=output_tokens, concurrency=concurrency),
        stopping_of(stopping, trials),
        seed=seed,
        window_s=window_s,
        idle_s=idle_s,
        settle_s=settle_s,
        cell_timeout_s=cell_timeout_s,
        reference_every=reference_every,
    )
    choice = EngineChoice(
        kind=engine,
        model=model,
        device=device,
        devices=devices,
        precision=precision,
        kv_cache=kv_cache,
        configuration=configuration,
        prompts=prompts,
        url=url,
        api_key=api_key,
        name=name,
        hardware=hardware,
        timeout_s=cell_timeout_s,
        meters=named(meters or ""),
    )
    choice.check()
    if dry_run:
        emit(_plan(campaign), as_json=json_, show=lambda console: _show_plan(console, campaign))
        return
    manifest, verdicts = _profile(campaign, build(choice), out=out, resume=resume, licence=licence)
    emit(_document(manifest, verdicts, out), as_json=json_, show=lambda c: _show(c, manifest, verdicts, out))
    if manifest.campaign is not None and manifest.campaign.ended == "engine_gone":
        raise EngineError("engine_gone", f"the engine is gone; bring it back and go on with --resume --out {out}")


def _profile(
    campaign: "Campaign", rig: "Rig", *, out: Path, resume: bool, licence: str
) -> "tuple[Manifest, tuple[Verdict, ...]]":
    """Measure what is not measured yet, and make the bundle of all that is."""
    from wattshed.profiler import journal
    from wattshed.profiler.bundle import Publication, write_bundle
    from wattshed.profiler.checklist import write_validation
    from wattshed.profiler.provenance import identity
    from wattshed.profiler.scrub import scrubbed

    own = identity()
    settings = campaign.settings | rig.settings
    start = journal.resume_journal if resume else journal.start_journal
    kept = start(out / journal.FILE, settings, scrub=lambda text: scrubbed(text, own))
    try:
        if not journal.read_journal(kept.path).is_complete(rig.host):
            _measure(campaign, rig, kept)
    except KeyboardInterrupt:
        stderr().print(f"stopped; what was measured is in {kept.path}: go on with --resume", soft_wrap=True)
        raise
    finally:
        kept.close()
    manifest = write_bundle(out, Publication(_slug(rig.settings, campaign), licence))
    return manifest, write_validation(out)


def _measure(campaign: "Campaign", rig: "Rig", kept: "Journal") -> None:
    """Run one session, with each event in the journal before the next begins."""
    from wattshed.cli.profile_display import Display
    from wattshed.profiler.campaign import run
    from wattshed.profiler.journal import read_journal

    if rig.bench.meter is None:
        stderr().print(f"No joules will be measured: {rig.no_meter}", style="yellow", markup=False, soft_wrap=True)
    earlier = read_journal(kept.path).earlier(rig.host)
    try:
        kept.append(rig.session(earlier.session))
        with Display(stderr(), campaign, earlier) as display:
            for event in run(campaign, rig.bench, earlier=earlier):
                kept.append(event)
                display.update(event)
    finally:
        rig.close()


def _slug(settings: dict[str, object], campaign: "Campaign") -> str:
    """A name for the bundle: model and design, in letters, digits and dashes."""
    words = f"{settings['model']} {campaign.design.name}".lower()
    return "-".join("".join(letter if letter.isalnum() else " " for letter in words).split())


def _plan(campaign: "Campaign") -> dict[str, object]:
    return {
        "design": campaign.design.name,
        "cells": [_shape(visit.shape) | {"experiment": visit.experiment} for visit in campaign.visits],
        "stopping": campaign.stopping.rule,
        "least_s": campaign.least_s,
        "energy_j": None,
    }


def _shape(shape: object) -> dict[str, object]:
    return {name: getattr(shape, name) for name in ("input_tokens", "output_tokens", "concurrency")}


def _show_plan(console: "Console", campaign: "Campaign") -> None:
    from wattshed.units import S_PER_H

    console.print(f"{len(campaign.design.shapes)} cells of {campaign.design.name}, in this order:")
    console.print(", ".join(f"reference {v.shape}" if v.is_reference else str(v.shape) for v in campaign.visits))
    console.print(f"Stopping: {campaign.stopping.rule}.", soft_wrap=True)
    console.print(f"Time: at least {campaign.least_s / S_PER_H:.2f} h; a query longer than a window adds to it.")
    console.print("Energy: unknown until the first cells are measured.")


def _document(manifest: "Manifest", verdicts: "tuple[Verdict, ...]", out: Path) -> dict[str, object]:
    from wattshed.profiler.checklist import counts

    campaign = manifest.campaign
    assert campaign is not None  # the profiler writes bundles only
    return {
        "bundle": str(out),
        "name": manifest.name,
        "ended": campaign.ended,
        "meters": [meter.name for meter in campaign.sessions[-1].meters],
        "cells": [cell.model_dump() for cell in campaign.cells],
        "failures": [failure.model_dump() for failure in campaign.failures],
        "points": counts(verdicts),
        "failed_points": [verdict for verdict in verdicts if verdict.status == "failed"],
    }


def _show(console: "Console", manifest: "Manifest", verdicts: "tuple[Verdict, ...]", out: Path) -> None:
    from wattshed.profiler.checklist import counts

    campaign = manifest.campaign
    assert campaign is not None  # the profiler writes bundles only
    cells = table(manifest.title, "cell", "trials", "runtime s", "energy J", "bound", "stopped")
    for cell in campaign.cells:
        cells.add_row(*_cell_row(cell))
    console.print(cells)
    for failure in campaign.failures:
        console.print(f"failed ({failure.input_tokens}, {failure.output_tokens}): {failure.reason}", soft_wrap=True)
    for verdict in verdicts:
        if verdict.status == "failed":
            console.print(str(verdict), markup=False, soft_wrap=True)
    tally = ", ".join(f"{number} {status}" for status, number in sorted(counts(verdicts).items(), reverse=True))
    console.print(f"wrote {out}: {tally}", soft_wrap=True)


def _cell_row(cell: "CellRecord") -> tuple[str, ...]:
    from wattshed.profiler.card import with_half_width

    together = f" x {cell.concurrency}" if cell.concurrency > 1 else ""
    return (
        f"{cell.experiment} ({cell.input_tokens}, {cell.output_tokens}){together}",
        str(cell.trials),
        with_half_width(cell.runtime_s, cell.runtime_half_width_s),
        with_half_width(cell.energy_j, cell.combined_half_width_j),
        cell.bound or "",
        cell.stop_reason,
    )
