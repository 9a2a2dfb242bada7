"""`wattshed serve`: the gateway, from a file or in front of a demo fleet."""

import os
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit, stderr
from wattshed.errors import CheckFailedError, InputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.gateway.settings.assembly import Overrides
    from wattshed.gateway.settings.settings import Settings

EXAMPLES: Final = (
    "Examples: [bold]wattshed serve --demo[/]  ·  [bold]wattshed serve --config gateway.yaml[/]  ·  "
    "[bold]wattshed serve --config gateway.yaml --validate[/]"
)


def command(
    config: Annotated[
        Path | None, typer.Option(readable=False, help="Gateway file (YAML), like examples/gateway.yaml.")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Serve a synthetic fleet instead: no hardware needed.")] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of the file's.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port, likewise; 0 takes any free one.")] = None,
    validate: Annotated[bool, typer.Option("--validate", help="Check the file, list every defect, and exit.")] = False,
    show_settings: Annotated[
        bool, typer.Option("--show-settings", help="Print every setting, without secrets, and exit.")
    ] = False,
    speed_up: Annotated[
        float, typer.Option(min=0.001, max=1e6, help="How many times faster the demo fleet is than the real machines.")
    ] = 1.0,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Let the demo fleet be real: SmolLM2 on llama.cpp, in two sizes.")
    ] = False,
    assumed_core_w: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Watts to assume for a busy core of the whole and of the quarter engine. [default: 12 3]"),
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Serve one OpenAI-compatible API over many machines, each request where it costs least.

    Stops at once at Ctrl-C or SIGTERM for new requests, and when open streams have ended.
    """
    _keep_blas_single()
    from wattshed.gateway.settings.assembly import Overrides

    if demo == (config is not None):
        raise UsageError("give either --config FILE or --demo")
    if speed_up != 1.0 and not demo:
        raise UsageError("--speed-up is for --demo: real machines are as fast as they are")
    _require_demo(demo=demo, embedded=embedded, speed_up=speed_up, core_w=assumed_core_w)
    overrides = Overrides(host, port)
    if embedded:
        _embedded(overrides, assumed_core_w, only_show=validate or show_settings, as_json=json_)
        return
    if config is None:
        _demo(overrides, speed_up, only_show=validate or show_settings, as_json=json_)
        return
    settings = _read(config, overrides, validate=validate, as_json=json_)
    if show_settings:
        _show(settings, as_json=json_)
    elif validate:
        _report(config, settings, as_json=json_)
    else:
        from wattshed.gateway.app import serve
        from wattshed.gateway.settings.checks import doubts
        from wattshed.gateway.telemetry.logs import start_logs

        def again() -> "Settings":
            read = _read(config, overrides, validate=False, as_json=False)
            start_logs(read.log)
            return read

        start_logs(settings.log)
        for doubt in doubts(settings):
            typer.echo(f"wattshed: {doubt}", err=True)
        _run(serve(settings, ready=partial(_listening, settings), reread=again))


def _keep_blas_single() -> None:
    """Let NumPy, which is not loaded yet, start no threads for its matrices, unless somebody has said how many.

    Ours have at most some dozen numbers, and a second thread only spins: 0.2 of 0.93 s of CPU of a start on two cores.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _read(config: Path, overrides: "Overrides", *, validate: bool, as_json: bool) -> "Settings":
    """The settings; all defects are listed before the error that says how many there are."""
    from wattshed.gateway.settings.file import parse_settings

    settings, defects = parse_settings(config, os.environ, overrides)
    if settings is not None:
        return settings
    summary = f"{config}: {_count(len(defects), 'defect')}"
    if not validate:
        for defect in defects[:-1]:
            stderr().print(str(defect), markup=False, soft_wrap=True)
        raise defects[-1]
    document = {"config": str(config), "valid": False, "defects": [_plain(one) for one in defects]}
    emit(document, as_json=as_json, show=lambda console: _list(console, defects))
    raise CheckFailedError(summary)


def _report(config: Path, settings: "Settings", *, as_json: bool) -> None:
    """That the file is sound, in a line, and what is doubtful all the same."""
    from wattshed.gateway.settings.checks import doubts

    found = doubts(settings)
    names, systems = [model.name for model in settings.models], [system.name for system in settings.systems]
    document: dict[str, object] = {"config": str(config), "valid": True, "defects": [], "doubts": list(found)}
    summary = f"{config}: {', '.join(names)} on {', '.join(systems)}, by {settings.policy.name}"
    text = "\n".join([summary, *found])
    emit(
        document | {"models": names, "systems": systems},
        as_json=as_json,
        show=lambda console: console.print(text, markup=False, soft_wrap=True),
    )


def _show(settings: "Settings", *, as_json: bool) -> None:
    """Every setting, defaults included; as YAML for people."""
    import yaml

    from wattshed.gateway.settings.file import shown

    document = shown(settings)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120).rstrip()
    emit(document, as_json=as_json, show=lambda console: console.print(text, markup=False, soft_wrap=True))


def _demo(overrides: "Overrides", speed_up: float, *, only_show: bool, as_json: bool) -> None:
    from wattshed.gateway.demo.demo import demo_fleet

    async def run() -> None:
        async with demo_fleet(speed_up=speed_up) as fleet:
            settings = fleet.settings(overrides)
            if only_show:
                _show(settings, as_json=as_json)
                return
            from wattshed.gateway.app import serve
            from wattshed.gateway.telemetry.logs import start_logs

            start_logs(settings.log)
            for name, url in fleet.urls.items():
                stderr().print(f"demo engine {name}: {fleet.servers[name].machine.name} at {url}")
            await serve(settings, ready=partial(_listening, settings))

    _run(run())


def _embedded(overrides: "Overrides", core_w: tuple[float, float] | None, *, only_show: bool, as_json: bool) -> None:
    from wattshed.cli.serve_embedded import serve_embedded, settings_of_embedded
    from wattshed.gateway.demo.embedded import CORE_W

    async def run() -> None:
        if only_show:
            _show(await settings_of_embedded(overrides, core_w or CORE_W), as_json=as_json)
        else:
            await serve_embedded(overrides, core_w or CORE_W, _listening)

    _run(run())


def _require_demo(*, demo: bool, embedded: bool, speed_up: float, core_w: tuple[float, float] | None) -> None:
    """`UsageError` where a flag of the embedded demo stands without it, or with one that it cannot obey."""
    if embedded and not demo:
        raise UsageError("--embedded is for --demo: real engines of a fleet stand in --config")
    if embedded and speed_up != 1.0:
        raise UsageError("--speed-up is for the synthetic fleet: embedded engines are as fast as they are")
    if core_w is not None and not (embedded and min(core_w) > 0):
        raise UsageError("--assumed-core-w is for --embedded, and takes two numbers of watts above 0")


def _listening(settings: "Settings", port: int) -> None:
    host = settings.listen.host
    # Clients wait by now, and a console of Rich takes 20 ms to load.
    typer.echo(f"wattshed serves at http://{host}:{port}/v1 (Ctrl-C stops it)", err=True)


def _run(main: Coroutine[None, None, None]) -> None:
    """Run to the end on the quickest event loop there is."""
    from asyncio import Runner

    from wattshed.gateway.wire.http import loop_factory

    with Runner(loop_factory=loop_factory()) as runner:
        runner.run(main)


def _list(console: "Console", defects: Sequence[InputError]) -> None:
    for defect in defects:
        console.print(str(defect), markup=False, soft_wrap=True)


def _plain(defect: InputError) -> dict[str, object]:
    return {"path": str(defect.path), "field": defect.field, "problem": defect.problem, "fix": defect.fix}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"
