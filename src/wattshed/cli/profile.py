"""`wattshed profile`: measure a model on this machine, cell by cell, and leave a bundle that others can check."""

import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from wattshed.cli.frame import JsonFlag, check_seconds, emit, stderr, stopped
from wattshed.cli.meter_choice import named
from wattshed.domain.choices import Configuration, Device, EngineKind, Precision
from wattshed.errors import UsageError

if TYPE_CHECKING:
    from wattshed.cli.profile_outcome import Outcome
    from wattshed.cli.profile_rig import Rig
    from wattshed.profiler.campaign import Campaign, Earlier
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
    device: Annotated[Device | None, typer.Option(help="Where transformers run; cpu, if not given.")] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="How many of it, or how many accelerators behind --url; 1, if not given.")
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(help="Number format of the weights; bf16, if not given, and for a server not known."),
    ] = None,
    kv_cache: Annotated[
        bool | None,
        typer.Option("--kv-cache/--no-kv-cache", help="On, if not given, and for a server not known."),
    ] = None,
    configuration: Annotated[
        Configuration | None,
        typer.Option(help="Plain decoding (eager, if not given), or CUDA graphs that free it from the host's pace."),
    ] = None,
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
    campaign_timeout_s: Annotated[
        float | None,
        typer.Option("--campaign-timeout-s", min=0, help="Time after which no cell begins; go on with --resume."),
    ] = None,
    reference_every: Annotated[int, typer.Option(min=1, help="Cells between two looks for drift.")] = 8,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="M,N[,C]", help="Cell to look for drift in, of the design or not; its middle, if not given."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random order.")] = 0,
    meters: Annotated[str | None, typer.Option(help="Meters, as nvml,rapl; whatever is there, if not given.")] = None,
    licence: Annotated[str, typer.Option(help="Terms under which the bundle may be used.")] = "not stated",
    out: Annotated[Path, typer.Option(help="Directory of the bundle.")] = Path("profile"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the journal in --out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show cells, time and energy; measure nothing.")] = False,
    predictor: Annotated[
        Path | None, typer.Option(readable=False, help="Predictor file of a similar machine, for --dry-run.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Measure energy and runtime of a model on this machine, cell by cell, into a bundle that others can check."""
    from wattshed.cli.engine_choice import EngineChoice
    from wattshed.cli.profile_forecast import show_forecast
    from wattshed.cli.profile_rig import build
    from wattshed.cli.profile_words import design_of, stopping_of, with_reference
    from wattshed.profiler.campaign import Campaign

    if predictor is not None and not dry_run:
        raise UsageError("--predictor is for --dry-run; leave it out")
    check_seconds(window_s=window_s, idle_s=idle_s, settle_s=settle_s)
    check_seconds(cell_timeout_s=cell_timeout_s, campaign_timeout_s=campaign_timeout_s)
    cells = design_of(design, input_tokens=input_tokens, output_tokens=output_tokens, concurrency=concurrency)
    campaign = Campaign(
        with_reference(cells, reference),
        stopping_of(stopping, trials),
        seed=seed,
        window_s=window_s,
        idle_s=idle_s,
        settle_s=settle_s,
        cell_timeout_s=cell_timeout_s,
        timeout_s=math.inf if campaign_timeout_s is None else campaign_timeout_s,
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
        show_forecast(campaign, choice, predictor=predictor, before=out if resume else None, as_json=json_)
        return
    rig = build(choice)
    rig.refuse_names({"--name": name, "--hardware": hardware, "--licence": licence, "--design": campaign.design.name})
    with _told_where_it_is(out):
        outcome = _profile(campaign, rig, out=out, resume=resume, licence=licence)
    emit(outcome.document, as_json=json_, show=outcome.show)
    outcome.tell_what_is_left(campaign)


def _profile(campaign: "Campaign", rig: "Rig", *, out: Path, resume: bool, licence: str) -> "Outcome":
    """Measure what is not measured yet, and make the bundle of all that is."""
    from wattshed.cli.profile_outcome import Outcome
    from wattshed.profiler import journal
    from wattshed.profiler.bundle import Publication, write_bundle
    from wattshed.profiler.checklist import write_validation

    path, settings = out / journal.FILE, campaign.settings | rig.settings
    open_journal = partial(_opened, path, settings, resume=resume)
    before = journal.Record(settings)
    if path.exists() and path.stat().st_size > 0:
        open_journal().close()  # refuses at once what cannot be gone on with
        before = journal.read_journal(path)
    if not before.is_complete(rig.host):
        _measure(campaign, rig, before.earlier(rig.host), open_journal)
    manifest = write_bundle(out, Publication(_slug(rig.settings, campaign), licence))
    over = journal.read_journal(path).earlier(rig.host).over
    return Outcome(out, manifest, write_validation(out, rig.identity), len(campaign.visits) - len(over))


def _opened(path: Path, settings: dict[str, object], *, resume: bool) -> "Journal":
    """The journal, new or to go on with, which keeps names of this machine to itself."""
    from wattshed.profiler.journal import resume_journal, start_journal
    from wattshed.profiler.provenance import identity
    from wattshed.profiler.scrub import scrubbed

    own = identity()  # all of it: a message may lose a product's name and still be understood
    start = resume_journal if resume else start_journal
    return start(path, settings, scrub=lambda text: scrubbed(text, own))


def _measure(campaign: "Campaign", rig: "Rig", earlier: "Earlier", open_journal: Callable[[], "Journal"]) -> None:
    """Run one session, with each event in the journal before the next begins.

    The engine is loaded before anything is written, so that a mistyped one leaves nothing behind. Meters are certified
    with no model in memory; a server has its own there anyway, so whether it answers is asked before.
    """
    from wattshed.cli.profile_display import Display
    from wattshed.profiler.campaign import run

    if rig.bench.meter is None:
        stderr().print(f"No joules will be measured: {rig.no_meter}", style="yellow", markup=False, soft_wrap=True)
    try:
        with Display(stderr(), campaign, earlier) as display:
            if rig.is_served:
                rig.bench.engine.load()
            session = rig.session(earlier.session)
            rig.bench.engine.load()
            with closing(open_journal()) as kept:
                kept.append(session)
                for event in run(campaign, rig.bench, earlier=earlier):
                    kept.append(event)
                    display.update(event)
    finally:
        rig.close()


@contextmanager
def _told_where_it_is(out: Path) -> Iterator[None]:
    """Whoever stops a campaign by hand, once it has a journal, is told where that is and how to go on."""
    from wattshed.profiler.journal import FILE

    try:
        yield
    except KeyboardInterrupt as stop:
        if not (out / FILE).exists():
            raise
        kept = f"what was measured is in {out / FILE}: go on with the same flags and --resume"
        raise stopped("profile", kept) from stop


def _slug(settings: dict[str, object], campaign: "Campaign") -> str:
    """A name for the bundle: model and design, in letters, digits and dashes."""
    words = f"{settings['model']} {campaign.design.name}".lower()
    return "-".join("".join(letter if letter.isalnum() else " " for letter in words).split())
