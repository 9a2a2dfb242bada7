"""Active cores: where the threads of a process tree ran, and not where they sleep."""

import os
from pathlib import Path

import pytest

from tests.meters.fakes.sysfs import write_thread, write_topology
from wattshed.errors import MeterError
from wattshed.meters.residency import PROC, Core, Residency, Topology, parse_stat, read_topology, threads
from wattshed.testing import VirtualClock


def test_a_stat_line_with_an_awkward_name() -> None:
    """A name may hold spaces and brackets; fields count from the last bracket."""
    fields = ["S", "1", *["0"] * 9, "12", "30", *["0"] * 23, "5", "0"]

    stat = parse_stat(f"77 (a) R 1 (b c)) {' '.join(fields)}\n".encode())

    assert (stat.state, stat.ticks, stat.cpu) == ("S", 42, 5)


def test_a_torn_stat_line_is_malformed() -> None:
    """A line that was cut off is no thread."""
    with pytest.raises(MeterError) as caught:
        parse_stat(b"77 (python) S 1 2 3")

    assert caught.value.reason == "malformed"


def test_our_own_stat_line() -> None:
    """What this kernel writes is read: this thread runs, on a CPU that it may use."""
    stat = parse_stat(Path("/proc/thread-self/stat").read_bytes())

    assert stat.state == "R"
    assert stat.cpu in range(os.cpu_count() or 1)


def test_descendants_are_ours(tmp_path: Path) -> None:
    """Threads of children and grandchildren belong to the tree, others do not; a root below a root counts once."""
    write_thread(tmp_path, 10, 10, cpu=0, children=(20,))
    write_thread(tmp_path, 10, 11, cpu=1, children=(30,))
    write_thread(tmp_path, 20, 20, cpu=2, children=(21,))
    write_thread(tmp_path, 21, 21, cpu=3)
    write_thread(tmp_path, 30, 30, cpu=4)
    write_thread(tmp_path, 99, 99, cpu=5)

    assert sorted(stat.cpu for _, stat in threads([10, 21], tmp_path)) == [0, 1, 2, 3, 4]


def test_a_sleeping_thread_has_no_core(tmp_path: Path) -> None:
    """A thread counts while it runs, or if it has used CPU time since the last look; not for where it once was."""
    write_thread(tmp_path, 10, 10, cpu=0, state="R")
    write_thread(tmp_path, 10, 11, cpu=1, ticks=5)
    write_thread(tmp_path, 10, 12, cpu=2, ticks=7)
    residency = Residency([10], proc=tmp_path)
    first = residency.look()
    write_thread(tmp_path, 10, 12, cpu=3, ticks=8)

    second = residency.look()

    assert first.cpus == {0}
    assert second.cpus == {0, 3}


def test_looks_are_joined_over_an_interval(tmp_path: Path) -> None:
    """An interval has every CPU seen in it; before the first look nobody knows."""
    clock = VirtualClock(100.0)
    residency = Residency([10], proc=tmp_path, now_s=clock.now_s)
    for cpu in (1, 2, 3):
        write_thread(tmp_path, 10, 10, cpu=cpu, state="R")
        residency.look()
        clock.sleep(0.1)

    assert residency.between(100.0, 100.2) == {2, 3}
    assert residency.between(100.1, 100.2) == {3}
    assert residency.between(99.9, 100.1) is None


def test_a_process_that_ended_runs_nowhere(tmp_path: Path) -> None:
    """Once it is gone it has no cores, and that is no failure."""
    assert Residency([10], proc=tmp_path).look().cpus == frozenset()


def test_a_kernel_without_lists_of_children_is_unsupported(tmp_path: Path) -> None:
    """Without them the tree cannot be known, and half a tree is not billed."""
    write_thread(tmp_path, 10, 10, cpu=0)
    (tmp_path / "10/task/10/children").unlink()

    with pytest.raises(MeterError, match="CONFIG_PROC_CHILDREN") as caught:
        Residency([10], proc=tmp_path).look()

    assert caught.value.reason == "unsupported"


def test_this_process_is_seen(tmp_path: Path) -> None:
    """On this machine we run as we look, on a CPU that the topology knows."""
    if not Path(f"{PROC}/self/task/{os.getpid()}/children").exists():
        pytest.skip("this kernel does not list children")
    residency = Residency([os.getpid()])

    residency.start()
    seen = residency.look()
    residency.close()

    assert seen.cpus
    assert seen.cpus <= set(read_topology().core_of)


def test_hyperthreads_share_a_core(tmp_path: Path) -> None:
    """Logical CPUs map to physical cores, numbered in the order of their first CPU; cores of two packages differ."""
    root = write_topology(tmp_path, {0: (0, 0, 0), 1: (1, 0, 0), 2: (0, 0, 0), 3: (1, 0, 0)})

    topology = read_topology(root)

    assert topology == Topology({0: Core(0, 0, 0), 1: Core(1, 0, 0), 2: Core(0, 0, 0), 3: Core(1, 0, 0)})
    assert topology.cores == (Core(0, 0, 0), Core(1, 0, 0))


def test_older_kernels_know_no_dies(tmp_path: Path) -> None:
    """Before Linux 5.3 there is no `die_id`, and every package has the one."""
    root = write_topology(tmp_path, {0: (0, 0, 7)})
    (root / "cpu0/topology/die_id").unlink()

    assert read_topology(root).cores == (Core(0, 0, 7),)
