"""Nothing that names a machine or a person stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.profiler.scrub import Identity, scrubbed, traces

OURS = Identity.of(["gpu-rack-7.lab.example", "gpu-rack-7", "mmiller", "root", "al", "12345"])

NAMING = {
    "host": "connection to gpu-rack-7 refused",
    "full host": "see GPU-RACK-7.lab.example:8000",
    "user": "owned by mmiller",
    "home": "no such file: /" + "home/someone/models/x",
    "home of root": "no such file: /" + "root/models/x",
    "mac home": "no such file: /" + "Users/someone/x",
    "address": "connect to 10.1.2.3:8000 failed",
    "version 6": "fe80:0:0:0:1:2:3:4 is down",
    "hardware address": "eth0 00:1B:44:11:3A:B7",
    "device": "GPU-4b2ad7e8-11ff-4f6c-9e1e-0123456789ab fell off the bus",
    "serial": "Serial Number: 1654922000123",
    "mail": "ask someone@lab.example",
}

HARMLESS = [
    "torch 2.13.0 on Linux 6.1.0-13-amd64, driver 535.104.05, aiohttp 3.10.1",
    "NVIDIA H100 80GB HBM3 board, GPU 0 + intel-rapl:0 package-0",
    "connect to 127.0.0.1:8000 failed",
    "2026-01-02T03:04:05+00:00 root admin user",
    "(32, 2048) x 4: 12345 J, 1.25e-3 s, sha 58115bac90bf6a0d",
]


@pytest.mark.parametrize("text", NAMING.values(), ids=NAMING)
def test_names_are_taken_out(text: str) -> None:
    """Host, user, home, address, serial and device are found, replaced, and then no longer found."""
    clean = scrubbed(text, OURS)

    assert traces(text, OURS)
    assert clean != text
    assert traces(clean, OURS) == ()


@pytest.mark.parametrize("text", HARMLESS)
def test_what_names_nobody_stays(text: str) -> None:
    """Versions, hardware, numbers, loopback and common names are left alone."""
    assert scrubbed(text, OURS) == text


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=60))
def test_scrubbing_twice_changes_nothing(text: str) -> None:
    """What was scrubbed is clean."""
    once = scrubbed(text, OURS)

    assert traces(once, OURS) == ()
    assert scrubbed(once, OURS) == once


def test_words_that_tell_nothing_are_not_looked_for() -> None:
    """Common names, numbers and words of two letters are no identity."""
    assert OURS.words == ("gpu-rack-7.lab.example", "gpu-rack-7", "mmiller")


def test_words_of_products_are_not_looked_for() -> None:
    """A machine may be called h100, and then its boards are not its name; its user's name still is."""
    own = Identity.of(["h100", "mmiller"]).without(["NVIDIA H100 80GB HBM3 board, GPU 0"])

    assert own.words == ("mmiller",)
