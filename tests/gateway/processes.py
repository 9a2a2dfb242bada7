"""Engines of the demo and a gateway as processes of their own, so that they can be killed, stopped and measured."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import yaml

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gateway.yaml"

ENGINE = """
import asyncio, sys
from wattshed.gateway.demo.demo import DemoServer, demo_machines

async def main(name: str, port: int, speed_up: float, slots: int) -> None:
    server = DemoServer(demo_machines(speed_up, slots)[name])
    print(await server.start(port=port), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
"""

PATIENT_S = 20.0


@dataclass
class Engine:
    """One engine; it can be killed, and started again where it was."""

    name: str
    speed_up: float
    slots: int = 64
    port: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Listen, at the port of the last time if there was one."""
        arguments = [self.name, str(self.port), str(self.speed_up), str(self.slots)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", ENGINE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it without a word."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@dataclass
class Serving:
    """`wattshed serve`, running; what it says goes to a file."""

    process: subprocess.Popen[bytes]
    port: int
    config: Path
    log: Path

    @property
    def rss_bytes(self) -> int:
        """Memory that is resident now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        """Open files and sockets."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@contextmanager
def engines(speed_up: float = 1e4) -> Iterator[dict[str, Engine]]:
    """Both machines of the demo fleet."""
    fleet = {name: Engine(name, speed_up) for name in ("mac", "a100")}
    try:
        for one in fleet.values():
            one.start()
        yield fleet
    finally:
        for one in fleet.values():
            one.kill()


@contextmanager
def serving(fleet: Mapping[str, Engine], folder: Path, **changes: object) -> Iterator[Serving]:
    """A gateway in front of them; `changes` are parts of its file. It is ended hard if it still runs."""
    config, log = folder / "gateway.yaml", folder / "gateway.log"
    configure(config, fleet, **changes)
    command = [sys.executable, "-m", "wattshed.cli.main", "serve", "--config", str(config), "--port", "0"]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
    try:
        yield Serving(process, _port(process, log), config, log)
    finally:
        process.kill()
        process.wait()


def configure(config: Path, fleet: Mapping[str, Engine], **changes: object) -> None:
    """Write the gateway's file: the example's, with the engines where they are."""
    document = yaml.safe_load(EXAMPLE.read_text()) | {"ledger": {"file": str(config.parent / "ledger.sqlite")}}
    for system in document["systems"]:
        system |= {"url": f"http://127.0.0.1:{fleet[system['name']].port}", "slots": 64}
    config.write_text(yaml.safe_dump(document | changes))


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    began_s = monotonic()
    while monotonic() - began_s < PATIENT_S and process.poll() is None:
        said = log.read_text()
        if "/v1" in said:
            return int(said.partition("/v1")[0].rpartition(":")[2])
        sleep(0.02)
    raise AssertionError(log.read_text())
