"""`wattshed agent`: serve the joules of this node's meters to gateways and to Prometheus."""

import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import stderr
from wattshed.cli.meters import MetersFlag
from wattshed.errors import InputError, UsageError

if TYPE_CHECKING:
    from wattshed.gateway.metering.agent import Agent
    from wattshed.meters.meter import Meter

EXAMPLES: Final = (
    "Examples: [bold]wattshed agent --meters nvml,rapl[/]  ·  "
    "[bold]wattshed agent --host 0.0.0.0 --token-file /etc/wattshed/agent-token[/]"
)

DRAIN_S: Final = 2.0


def command(
    meters: MetersFlag = "",
    host: Annotated[str, typer.Option(help="Address to listen on; beyond this machine only with a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 9470,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that askers send as `Authorization: Bearer TOKEN`.")
    ] = None,
) -> None:
    """Answer for the joules of this node: `/energy` for gateways, `/metrics` for Prometheus. Runs until it is stopped.

    The address goes to stderr as soon as it listens. A meter that was named and is not there is an error.
    """
    from asyncio import Runner

    from wattshed.cli.meter_choice import named, open_meters, present
    from wattshed.gateway.metering.agent import Agent, require_token
    from wattshed.gateway.wire.http import loop_factory
    from wattshed.meters.combined import Combined

    token = _token(token_file)
    require_token(host, token)
    names = named(meters)
    meter = Combined(present(open_meters(names), all_of_them=bool(names)))
    try:
        _settle(meter)
        agent = Agent(meter, session=secrets.token_hex(8), token=token)
        with Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(agent, host, port, meter.name))
    finally:
        meter.close()


async def _serve(agent: "Agent", host: str, port: int, name: str) -> None:
    """Listen until SIGTERM or SIGINT."""
    from asyncio import Event, get_running_loop

    from wattshed.gateway.wire.server import Server

    server, stopped = Server(agent.answering), Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        get_running_loop().add_signal_handler(number, stopped.set)
    try:
        listening = await server.start(host, port)
    except OSError as error:
        raise UsageError(f"cannot listen on {host} port {port} ({error.strerror}); choose another --port") from error
    stderr().print(f"joules of {name} at http://{_bracketed(host)}:{listening}/energy", markup=False, soft_wrap=True)
    await stopped.wait()
    await server.drain(DRAIN_S)


def _settle(meter: "Meter") -> None:
    """Start, and wait for the first sample of a stream, so that the first window is bracketed."""
    meter.start()
    settled_s = meter.mark()
    meter.between(settled_s, settled_s)


def _token(path: Path | None) -> str | None:
    from wattshed.files import read_whole

    if path is None:
        return None
    try:
        return read_whole(path, wanted="a file with a token").decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise InputError("is no token", path=path, fix="write one: openssl rand -hex 32") from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
