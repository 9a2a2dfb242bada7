"""The label of the host, its load, and versions."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from wattshed.errors import InputError
from wattshed.profiler.host import host_label, read_host, serving
from wattshed.profiler.provenance import identity, machine, versions


def test_a_machine_keeps_its_label(tmp_path: Path) -> None:
    """The label is drawn once a machine; another machine with the same home gets another."""
    rng, file = np.random.default_rng(), tmp_path / "deep" / "hosts.json"

    first, again, other = (host_label(file, name, rng) for name in ("a", "a", "b"))

    assert first == again != other
    assert first.startswith("host-")


def test_the_file_of_labels_names_no_machine(tmp_path: Path) -> None:
    """The file holds digests and labels."""
    host_label(tmp_path / "hosts.json", "gpu-rack-7", np.random.default_rng())

    assert "gpu-rack-7" not in (tmp_path / "hosts.json").read_text()


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_file_is_an_error(text: str, tmp_path: Path) -> None:
    """A file without labels is an error that says how to get new ones."""
    (tmp_path / "hosts.json").write_text(text)

    with pytest.raises(InputError, match="delete it"):
        host_label(tmp_path / "hosts.json", "a", np.random.default_rng())


SERVER = """
import socket, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], child.pid, flush=True)
    sys.stdin.read()
child.kill()
"""


@pytest.fixture
def server() -> Iterator[tuple[int, int]]:
    """A server that does nothing while its child keeps a core busy: its pid and its port."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline().split()[0])
        process.communicate(b"")


def test_a_local_server_works_for_us(server: tuple[int, int]) -> None:
    """What listens at a loopback URL is ours, its busy child too; what listens elsewhere is not."""
    pid, port = server
    url = f"http://localhost:{port}/v1"
    before, alone = read_host(url), read_host()
    busy_until_s = alone.all_cpu_s + 0.3
    while read_host().all_cpu_s < busy_until_s:
        pass

    after, alone_after = read_host(url), read_host()

    assert serving(url) == {pid}
    assert serving(f"http://192.0.2.1:{port}/v1") == frozenset()
    assert after.own_cpu_s - before.own_cpu_s > alone_after.own_cpu_s - alone.own_cpu_s


def test_the_host_counts_upwards() -> None:
    """CPU seconds never fall, and the host's include ours."""
    before = read_host()
    sum(range(10**6))
    after = read_host()

    assert after.own_cpu_s > before.own_cpu_s > 0
    assert after.all_cpu_s >= before.all_cpu_s > 0


def test_versions_name_what_matters(tmp_path: Path) -> None:
    """Package, Python and kernel are always there; the driver where the kernel tells it."""
    told = tmp_path / "version"
    told.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n")

    assert {"wattshed", "python", "kernel", "numpy"} <= set(versions(tmp_path / "nothing"))
    assert versions(told)["nvidia-driver"] == "535.104.05"
    assert "nvidia-driver" not in versions(tmp_path / "nothing")


def test_a_machine_without_a_network_card_stays_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number that Python draws in place of an address, anew in each process, is no part of the digest."""
    seen = set()
    for drawn in (0x0123456789AB | 1 << 40, 0x0FEDCBA98765 | 1 << 40):
        monkeypatch.setattr(uuid, "getnode", lambda drawn=drawn: drawn)
        seen.add(machine(tmp_path / "none"))

    assert len(seen) == 1


def test_a_machine_is_told_from_others(tmp_path: Path) -> None:
    """The machine's own id is part of what its digest is made of."""
    (tmp_path / "id").write_text("0123\n")

    assert machine(tmp_path / "id").startswith("0123/")
    assert machine(tmp_path / "none") != machine(tmp_path / "id")
    assert isinstance(identity().words, tuple)
