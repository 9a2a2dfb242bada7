"""powermetrics: samples sum to the summary, our share of the CPU is Equation 6, and root runs one command alone."""

import os
import shlex
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.meter_suite import Bench, MeterSuite
from tests.meters.fakes.activity import Row, block, plist
from tests.meters.fakes.program import Script, install
from tests.meters.scripted import AT, REPOSITORY
from wattshed.errors import MeterError
from wattshed.meters import powermetrics
from wattshed.meters.activity import Ours
from wattshed.meters.meter import Absent, Meter, Reading
from wattshed.meters.powermetrics import ANE, BY_CPU_TIME, BY_ENERGY_IMPACT, CPU, GPU, Stamps
from wattshed.meters.powermetrics_log import DOCUMENT_END, parse_plist, parse_text, read_log
from wattshed.meters.sampled import SampledMeter
from wattshed.meters.sampler import Sampling
from wattshed.testing import VirtualClock

LOGS = REPOSITORY / ".." / "shared" / "reference" / "formats" / "powermetrics_text"
TASKS = (
    Row(100, "python3.11", 60.0, 900.0),
    Row(101, "Google Chrome Helper 2 (GPU)", 30.0, 50.0),
    Row(-1, "DEAD_TASKS", 10.0, 30.0),
)
TOTAL = Row(-2, "ALL_TASKS", 100.0, 980.0)


class Documents:
    """A source of one property list a tenth of a second: 4 W of CPU and 1 W of GPU, a third of the CPU ours."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.gone = False

    def read(self) -> Reading:
        """The sample that ends now."""
        if self.gone:
            raise MeterError("source_failed", "gone")
        tasks = (Row(100, "ours", 1.0, 30.0), Row(101, "theirs", 2.0, 30.0))
        return Reading(
            self._clock.now_s(), AT, plist(cpu_mj=400, gpu_mj=100, elapsed_ns=100_000_000, tasks=tasks, total=None)
        )

    def close(self) -> None:
        """Nothing is held."""


class TestContract(MeterSuite):
    """Property lists under the suite, on a virtual clock."""

    @pytest.fixture
    def bench(self) -> Bench:
        """Constant powers, so that windows cut anywhere have exact joules."""
        clock = VirtualClock(1000.0)
        source, ours = Documents(clock), Ours([100])
        meter = SampledMeter(
            "powermetrics",
            source,
            lambda raw: powermetrics.samples(raw, ours),
            powermetrics.CHANNELS + powermetrics.SHARES,
            sampling=Sampling(period_s=None),
            now_s=clock.now_s,
        )

        def wait(duration_s: float) -> None:
            for _ in range(round(duration_s / 0.1)):
                clock.sleep(0.1)
                meter.mark()

        def truth_j(start_s: float, stop_s: float) -> dict[str, float]:
            powers_w = {CPU: 4.0, GPU: 1.0, ANE: 0.0, BY_ENERGY_IMPACT: 4 / 3, BY_CPU_TIME: 2.0}
            return {name: power_w * (stop_s - start_s) for name, power_w in powers_w.items()}

        def fail() -> None:
            source.gone = True

        return Bench(meter, wait, truth_j, fail)


def test_samples_of_a_real_log_sum_to_its_summary() -> None:
    """399 samples of an M1 agree with the summary to 0.1 % (CPU, combined) and 1 % (GPU, in whole milliwatts)."""
    if not LOGS.exists():
        pytest.skip("the reference data are not here")
    log = read_log((LOGS / "ut2024_FlanT5-50-short.txt").read_bytes())

    assert len(log.samples) == 399
    assert log.total.cpu_j == pytest.approx(472.53, abs=0.01)
    assert log.deviations["cpu_j"] < 0.001
    assert log.deviations["combined_j"] < 0.001
    assert log.deviations["gpu_j"] < 0.01


def test_the_summary_is_no_sample() -> None:
    """It covers what the samples covered, and would double them."""
    log = read_log(block() + block() + block(kind="Summary", elapsed="2000.00"))

    assert len(log.samples) == 2
    assert log.deviations == pytest.approx({"cpu_j": 0.0, "gpu_j": 0.0, "combined_j": 0.0})


def test_gpu_power_is_the_one_that_adds_up() -> None:
    """Of the two GPU powers of a sample the first is part of the combined power."""
    rails = parse_text(block().lstrip()).rails

    assert (rails.cpu_j, rails.gpu_j, rails.combined_j) == pytest.approx((0.3, 0.025, 0.325))


def test_a_table_is_read_from_the_right() -> None:
    """Names hold spaces, digits and brackets; dead processes count, the total is apart."""
    sample = parse_text(block(tasks=(*TASKS, TOTAL)).lstrip())

    assert [(task.pid, task.name, task.impact) for task in sample.tasks] == [row[:3] for row in TASKS]
    assert sample.tasks[0].cpu_time_s == pytest.approx(0.9)
    assert sample.all_tasks is not None


def test_a_coalition_is_not_counted_beside_its_processes() -> None:
    """Indented rows are the processes; the row above them is their sum."""
    rows = (Row(7, "com.apple.Terminal", 90.0, 950.0), *(row._replace(indent="  ") for row in TASKS[:2]), TASKS[2])

    sample = parse_text(block(tasks=rows).lstrip())

    assert [task.name for task in sample.tasks] == [row.name for row in TASKS]


@pytest.mark.parametrize("grouped", [False, True], ids=["tasks", "coalitions"])
def test_our_share_by_both_measures(grouped: bool) -> None:
    """Equation 6: alpha is our energy impact over everyone's; beside it the same of CPU time."""
    sample = parse_plist(plist(tasks=TASKS, total=TOTAL, grouped=grouped))

    share = Ours([100]).share(sample)

    assert share.by_impact == pytest.approx(0.6)
    assert share.by_cpu == pytest.approx(900 / 980)


def test_a_pid_that_comes_back_is_another_process() -> None:
    """Identity is pid and start."""
    ours = Ours([100])
    mine, other = (parse_plist(plist(tasks=[Row(100, "python", 1.0, 1.0, started=at)])) for at in (5, 6))

    assert [ours.share(sample).by_impact for sample in (mine, other, mine)] == [1.0, 0.0, 1.0]


def test_missing_rows_leave_no_share() -> None:
    """Where the rows do not sum to their printed total, our share of it is not known."""
    sample = parse_plist(plist(tasks=TASKS[:2], total=TOTAL))

    share = Ours([100]).share(sample)

    assert share.by_impact is None
    assert share.by_cpu == pytest.approx(900 / 950)


def test_counted_energy_is_preferred_to_power() -> None:
    """Whole millijoules over the sample; power x time only checks them."""
    rails = parse_plist(plist(cpu_mj=403, gpu_mj=7)).rails

    assert (rails.cpu_j, rails.gpu_j, rails.ane_j) == pytest.approx((0.403, 0.007, 0.0))


def test_a_second_value_of_a_key_is_noticed() -> None:
    """Keys may occur twice and the last one wins, so an energy that its power contradicts is malformed."""
    twice = plist(cpu_mj=400).replace(
        b"<key>cpu_energy</key>", b"<key>cpu_energy</key>\n<integer>400</integer>\n<key>cpu_energy</key>"
    )
    contradicted = twice.replace(b"<integer>400</integer>\n\t\t<key>cpu_p", b"<integer>900</integer>\n\t\t<key>cpu_p")

    assert parse_plist(twice).rails.cpu_j == pytest.approx(0.4)
    assert contradicted != twice
    with pytest.raises(MeterError, match="cpu_energy says") as caught:
        parse_plist(contradicted)
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize(
    "raw",
    [
        block(elapsed="1006,50").lstrip(),
        b"garbage",
        plist().replace(b"elapsed_ns", b"elapsed_xx"),
        plist(cpu_mj=400).replace(b"<integer>400</integer>", b"<real>nan</real>"),
        plist()[:400] + b"</plist>",
    ],
    ids=["decimal comma", "garbage", "no time", "not a number", "torn"],
)
def test_what_cannot_be_understood_is_malformed(raw: bytes) -> None:
    """A reason, and never a number."""
    with pytest.raises(MeterError) as caught:
        read_log(raw)

    assert caught.value.reason == "malformed"


@given(st.integers(1, 1200), st.integers(1, 4))
@settings(deadline=None, max_examples=50)
def test_a_cut_log_is_a_shorter_log(cut: int, count: int) -> None:
    """Wherever a log ends, its whole samples are read as they were: property lists or text."""
    lists, blocks = [plist(cpu_mj=400 + n) for n in range(count + 1)], [block(cpu_mw=300 + n) for n in range(count + 1)]

    for whole in (lists, blocks):
        raw = b"".join(whole)
        full, part = read_log(raw), read_log(raw[: max(len(whole[0]), len(raw) - cut)])
        assert part.samples == full.samples[: len(part.samples)]
        assert part.samples


def pausing(documents: Sequence[bytes], **fault: object) -> Script:
    """A program that says a document every 20 ms."""
    return Script(tuple(documents), pause_s=0.02, piece=997, **fault)  # type: ignore[arg-type]  # faults are named


def short(cpu_mj: int = 40) -> bytes:
    """A sample of 20 ms: 2 W of CPU, half of it ours, and 1 W of GPU."""
    tasks = (Row(100, "ours", 5.0, 10.0), Row(101, "theirs", 5.0, 10.0))
    return plist(cpu_mj=cpu_mj, gpu_mj=20, elapsed_ns=20_000_000, tasks=tasks)


def found(program: Path) -> Meter:
    """The meter over a program run as root."""
    meter = powermetrics.find(pids=[100], interval_s=0.02, executable=str(program), root=True)
    assert not isinstance(meter, Absent)
    return meter


def test_a_program_is_metered_while_it_runs(tmp_path: Path) -> None:
    """From a real process, through a pipe, in odd pieces: the power of every channel."""
    meter = found(install(tmp_path, "powermetrics", pausing([short()] * 8, stall=True)))

    meter.start()
    meter.between(meter.mark(), meter.mark())
    meter.close()

    seen = {(sample.channel, round(sample.power_w, 9)) for sample in meter.power_trace()}
    assert seen == {(CPU, 2.0), (GPU, 1.0), (ANE, 0.0), (BY_ENERGY_IMPACT, 1.0), (BY_CPU_TIME, 1.0)}


@given(st.lists(st.floats(0.0, 0.6), min_size=1, max_size=12))
@settings(deadline=None, max_examples=50)
def test_late_reading_leaves_no_holes(delays_s: list[float]) -> None:
    """Samples lie end to end whenever they were read, and none ends after it was read."""
    arrivals_s = [1000.0 + 0.2 * n + delay_s for n, delay_s in enumerate(sorted(delays_s))]
    clock = iter(arrivals_s)
    stamps = Stamps(1.0, lambda: next(clock))

    ends_s = [stamps.of([0.2])[0] for _ in arrivals_s]

    assert [later - earlier for earlier, later in pairwise(ends_s)] == pytest.approx([0.2] * (len(ends_s) - 1))
    assert all(end_s <= at_s for end_s, at_s in zip(ends_s, arrivals_s, strict=True))


def test_an_early_sample_corrects_a_late_one() -> None:
    """The first sample was read 150 ms late: the second, read in time, shows it."""
    clock = iter((1000.15, 1000.2, 1000.6))
    stamps = Stamps(1.0, lambda: next(clock))

    ends_s = [*stamps.of([0.2]), *stamps.of([0.2]), *stamps.of([0.2, 0.2])]

    assert ends_s == pytest.approx([1000.15, 1000.2, 1000.4, 1000.6])


def test_lost_time_is_a_hole() -> None:
    """After the machine slept, the next sample ends when it was read, and the hole before it shows."""
    clock = iter((1000.0, 1060.0))
    stamps = Stamps(1.0, lambda: next(clock))

    assert [*stamps.of([0.2]), *stamps.of([0.2])] == [1000.0, 1060.0]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"exit_code": 1, "complaint": "powermetrics must be invoked as the superuser\n"}, "permission"),
        ({"exit_code": 1, "complaint": "no such sampler\n"}, "source_failed"),
        ({"exit_code": 0}, "source_failed"),
    ],
)
def test_a_program_that_ends_is_a_reason(tmp_path: Path, fault: dict[str, object], reason: str) -> None:
    """When the program ends, a window that reaches beyond has no joules but what it said at the end."""
    meter = found(install(tmp_path, "powermetrics", pausing([short()], **fault)))

    meter.start()
    start_s = meter.mark()
    window = meter.between(start_s, start_s + 0.1)
    meter.close()

    assert {energy.reason for energy in window.channels} == {reason}


def test_a_dropped_sample_is_a_gap() -> None:
    """Time that no sample covers is seen from the samples' own durations."""
    clock = VirtualClock(1000.0)
    source = Documents(clock)
    meter = SampledMeter(
        "powermetrics",
        source,
        powermetrics.samples,
        powermetrics.CHANNELS,
        sampling=Sampling(period_s=None),
        now_s=clock.now_s,
    )
    start_s = meter.mark()
    for step_s in (0.1, 0.1, 0.2, 0.1):
        clock.sleep(step_s)
        stop_s = meter.mark()

    reasons = {energy.reason for energy in meter.between(start_s, stop_s).channels}

    assert reasons == {"sampling_gap"}


def test_a_daemon_writes_into_a_pipe(tmp_path: Path) -> None:
    """Without root: whoever may read the pipe has the meter, and the daemon may come later."""
    pipe = tmp_path / "powermetrics.pipe"
    os.mkfifo(pipe)
    meter = powermetrics.find(pipe=pipe, interval_s=0.02)
    assert not isinstance(meter, Absent)
    daemon = threading.Thread(target=lambda: pipe.write_bytes(short() * 3))
    daemon.start()

    meter.start()
    daemon.join()
    meter.close()

    assert [sample.power_w for sample in meter.power_trace() if sample.channel == CPU] == pytest.approx([2.0] * 3)


def test_a_missing_pipe_names_the_fix(tmp_path: Path) -> None:
    """A pipe that is not there, or is a plain file, is not found."""
    (tmp_path / "file").write_text("")

    for name in ("nothing", "file"):
        absent = powermetrics.find(pipe=tmp_path / name)
        assert isinstance(absent, Absent)
        assert absent.reason == "not_found"
        assert "mkfifo -m 640" in absent.remedy


def test_sudo_must_allow_exactly_this_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the line in sudoers the meter is absent, and the remedy is that line, commas escaped."""
    program = install(tmp_path, "powermetrics", Script())
    install(tmp_path, "sudo", Script(listing=1))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    absent = powermetrics.find(root=False)

    assert isinstance(absent, Absent)
    assert absent.reason == "permission"
    assert f"ALL=(root) NOPASSWD: {program} -f plist" in absent.remedy
    assert "cpu_power\\,gpu_power\\,tasks" in absent.remedy


def test_sudo_runs_the_command_and_asks_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line, powermetrics runs through `sudo -n`: it never waits for a password."""
    install(tmp_path, "powermetrics", Script())
    install(tmp_path, "sudo", pausing([short()] * 5, stall=True))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    meter = powermetrics.find(root=False, interval_s=0.02)
    assert not isinstance(meter, Absent)

    meter.start()
    meter.close()

    assert meter.power_trace()


def test_no_powermetrics_is_not_found(tmp_path: Path) -> None:
    """It comes with macOS and exists nowhere else."""
    absent = powermetrics.find(executable=str(tmp_path / "powermetrics"))

    assert isinstance(absent, Absent)
    assert absent.reason == "not_found"


def test_the_command_is_one_line_for_sudoers() -> None:
    """Interval in milliseconds, property lists, and no shell."""
    command = powermetrics.powermetrics_command(0.2)

    assert shlex.join(command) == (
        "/usr/bin/powermetrics -f plist -b 0 -i 200 --samplers cpu_power,gpu_power,tasks --show-process-energy"
    )
    assert DOCUMENT_END == b"</plist>"
