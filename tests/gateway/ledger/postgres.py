"""A real PostgreSQL server for tests, where its programs and its driver are installed; else they skip."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest


@contextmanager
def postgres_url(folder: Path) -> Iterator[Callable[[], str]]:
    """A server in `folder` on a socket of its own; each call makes an empty database and gives its URL."""
    psycopg = pytest.importorskip("psycopg")
    if not shutil.which("initdb") or not shutil.which("postgres"):
        pytest.skip("PostgreSQL is not installed")
    cluster = folder / "cluster"
    as_somebody = _as_somebody()
    initdb = ["initdb", "-D", str(cluster), "-U", "test", "--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run([*as_somebody, *initdb], check=True, capture_output=True)
    settings = ["-c", "fsync=off", "-c", "listen_addresses=", "-k", str(folder)]
    server = subprocess.Popen([*as_somebody, "postgres", "-D", str(cluster), *settings], stderr=subprocess.DEVNULL)
    try:
        _wait(folder)
        names = (f"ledger{number}" for number in count())

        def fresh() -> str:
            name = next(names)
            with psycopg.connect(host=str(folder), user="test", dbname="postgres", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return f"postgresql://test@/{name}?host={folder}"

        yield fresh
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown, which does not wait for clients
        server.wait(20)


def _as_somebody() -> list[str]:
    """What runs a program under another name than root's, which PostgreSQL refuses; nothing where we are not root."""
    if os.geteuid() != 0:
        return []
    as_somebody = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if not shutil.which("unshare") or subprocess.run([*as_somebody, "true"], check=False).returncode:
        pytest.skip("PostgreSQL does not run as root")
    return as_somebody


def _wait(folder: Path) -> None:
    """Until the server answers; a start takes a second or two."""
    for _ in range(100):
        if subprocess.run(["pg_isready", "-q", "-h", str(folder), "-t", "1"], check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL did not start")
