"""NVIDIA boards through NVML: the energy counter where there is one (Volta and later), else instantaneous power.

NVML numbers boards by PCI bus, whatever CUDA_VISIBLE_DEVICES says. Serial numbers and UUIDs never leave this module.
A board cut into MIG instances or vGPUs is refused: its sensors see all tenants, and a share of them is a guess.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from types import ModuleType
from typing import Final

from wattshed.domain.energy import MeterChannel
from wattshed.meters.counter import CounterChannel, CounterMeter
from wattshed.meters.meter import Absent, Reading, Source, Unavailable
from wattshed.meters.nvml_answers import POWERS, Answers, counters_j, power_samples, power_w, samples
from wattshed.meters.sampled import SampledMeter
from wattshed.meters.sampler import Sampling

NAME: Final = "nvml"

SENSOR_UNCERTAINTY: Final = 0.05 / 3**0.5
"""+-5 % as a rectangle (JCGM 100:2008, 4.3.7): NVML's documented accuracy, and what a sensor that looks for 25 of
every 100 ms deserves (Yang, Adamek and Armour, "Part-time power measurements", arXiv:2312.02741)."""

COUNTERS: Final = Sampling(max_gap_s=30.0, whole_every=20)
"""Power at 10 Hz; the counters, which are dear to ask, at marks and every 2 s, to see a reset or a standstill."""

VIRTUAL: Final = 2
"""NVML_GPU_VIRTUALIZATION_MODE_VGPU (nvml.h): a share of a board, inside a virtual machine."""


def find(
    which: Sequence[str] = (),
    *,
    nvml: ModuleType | None = None,
    tap: Callable[[Source], Source] = lambda source: source,
    sampling: Sampling | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> CounterMeter | SampledMeter | Absent:
    """The meter of the boards in `which`, by index or UUID, or of all; `Absent` with the reason where there is none.

    `nvml` stands in for the module `pynvml`; `tap` may put a recorder between source and parser.
    """
    try:
        nvml = nvml or import_module("pynvml")
    except ModuleNotFoundError:
        return Absent(NAME, "not_installed", "pip install 'wattshed[nvidia]'")
    boards = _opened(nvml, which)
    if isinstance(boards, Absent):
        return boards
    source = NvmlSource(nvml, boards, now_s=now_s)
    return meter_over(tap(source), source.read(), sampling=sampling, now_s=now_s)


def meter_over(
    source: Source,
    first: Reading,
    *,
    sampling: Sampling | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> CounterMeter | SampledMeter | Absent:
    """The meter of the boards in the `first` reading of a source, real or replayed: counters where all have one."""
    answers = Answers.of(first.raw)
    channels = [_channel(gpu, board) for gpu, board in answers.boards.items()]
    told = answers.said.values()
    if told and all("energy_mj" in numbers for numbers in told):
        counters = [CounterChannel(channel) for channel in channels]
        pace = sampling or COUNTERS
        return CounterMeter(NAME, source, counters_j, counters, sampling=pace, now_s=now_s, trace=power_samples)
    if told and all(power_w(numbers) is not None for numbers in told):
        return SampledMeter(NAME, source, samples, channels, sampling=sampling, now_s=now_s, trace=power_samples)
    source.close()
    if not told:
        return Absent(NAME, "not_found", "this machine has no NVIDIA board; choose another meter")
    return Absent(NAME, "unsupported", "a board tells neither energy nor power; measure at the plug or the BMC")


class NvmlSource:
    """Asks NVML about boards, given as handles by index."""

    def __init__(
        self, nvml: ModuleType, boards: Mapping[int, object], *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._nvml, self._now_s = nvml, now_s
        self._boards = {f"gpu{index}": board for index, board in boards.items()}
        self._names = {gpu: str(nvml.nvmlDeviceGetName(board)) for gpu, board in self._boards.items()}
        self._open = True

    def read(self) -> Reading:
        """Every board's counter, then the clock, then all else, which matters less.

        The counter is what costs: 4.6 ms of CPU on an H100, all else together 0.5 ms (measured).
        """
        energy = self._nvml.nvmlDeviceGetTotalEnergyConsumption
        return self._reading({gpu: self._answer("energy_mj", energy, board) for gpu, board in self._boards.items()})

    def glance(self) -> Reading:
        """Everything but the counters."""
        return self._reading({gpu: {} for gpu in self._boards})

    def _reading(self, counters: Mapping[str, dict[str, float]]) -> Reading:
        at_s, at = self._now_s(), datetime.now(UTC)
        said = {gpu: counters[gpu] | self._power(board) | self._state(board) for gpu, board in self._boards.items()}
        return Reading(at_s, at, Answers(self._names, said).raw)

    def close(self) -> None:
        """Let go of NVML; twice does no harm."""
        if self._open:
            self._open = False
            self._nvml.nvmlShutdown()

    def _power(self, board: object) -> dict[str, float]:
        """The best power that the board tells; the others are not asked for, since each question takes its time."""
        nvml = self._nvml
        for name, asked in zip(POWERS, (nvml.NVML_FI_DEV_POWER_INSTANT, nvml.NVML_FI_DEV_POWER_AVERAGE), strict=False):
            try:
                [field] = nvml.nvmlDeviceGetFieldValues(board, [asked])
            except nvml.NVMLError:
                break
            if field.nvmlReturn == nvml.NVML_SUCCESS:
                return {name: field.value.uiVal}
        return self._answer(POWERS[-1], nvml.nvmlDeviceGetPowerUsage, board)

    def _state(self, board: object) -> dict[str, float]:
        nvml = self._nvml
        questions: dict[str, Callable[[object], float]] = {
            "utilization_percent": lambda board: nvml.nvmlDeviceGetUtilizationRates(board).gpu,
            "temperature_c": lambda board: nvml.nvmlDeviceGetTemperature(board, nvml.NVML_TEMPERATURE_GPU),
            "sm_clock_mhz": lambda board: nvml.nvmlDeviceGetClockInfo(board, nvml.NVML_CLOCK_SM),
            "throttle_bits": nvml.nvmlDeviceGetCurrentClocksThrottleReasons,
            "power_limit_mw": nvml.nvmlDeviceGetEnforcedPowerLimit,
        }
        return {name: value for ask in questions.items() for name, value in self._answer(*ask, board).items()}

    def _answer(self, name: str, call: Callable[[object], float], board: object) -> dict[str, float]:
        try:
            return {name: call(board)}
        except self._nvml.NVMLError:
            return {}  # left out, so that the channel says why and nobody reads a 0


def _opened(nvml: ModuleType, which: Sequence[str]) -> dict[int, object] | Absent:
    """Boards of an open NVML, or NVML closed again and the reason."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return _absent(nvml, error)
    try:
        boards = _boards(nvml, which)
        obstacle = next(filter(None, (_obstacle(nvml, *board) for board in boards.items())), None)
    except nvml.NVMLError as error:
        obstacle = _absent(nvml, error)
    if obstacle is not None:
        nvml.nvmlShutdown()
        return obstacle
    return boards


def _boards(nvml: ModuleType, which: Sequence[str]) -> dict[int, object]:
    """Handles by index, in order; each board once, however often it is named."""
    if not which:
        return {index: nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())}
    by_index = nvml.nvmlDeviceGetHandleByIndex
    handles = [by_index(int(name)) if name.isdecimal() else nvml.nvmlDeviceGetHandleByUUID(name) for name in which]
    return {index: by_index(index) for index in sorted({nvml.nvmlDeviceGetIndex(handle) for handle in handles})}


def _obstacle(nvml: ModuleType, index: int, board: object) -> Absent | None:
    """Why this board's sensors would not tell whose joules they count."""
    if _mode(nvml, nvml.nvmlDeviceGetVirtualizationMode, board) == VIRTUAL:
        return Absent(NAME, "unsupported", f"GPU {index} is a vGPU, a share of a board; measure on its host")
    if _mode(nvml, lambda board: nvml.nvmlDeviceGetMigMode(board)[0], board) == nvml.NVML_DEVICE_MIG_ENABLE:
        remedy = f"GPU {index} is cut up by MIG; run: nvidia-smi -i {index} -mig 0, or choose others: --meters nvml:0+1"
        return Absent(NAME, "unsupported", remedy)
    return None


def _mode(nvml: ModuleType, ask: Callable[[object], int], board: object) -> int | None:
    try:
        return ask(board)
    except nvml.NVMLError:
        return None  # boards that know no such mode are not in it


def _absent(nvml: ModuleType, error: Exception) -> Absent:
    choose = "choose boards that `nvidia-smi -L` lists, by index or UUID"
    remedies: dict[int, tuple[Unavailable, str]] = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
            "not_found",
            "there is no NVIDIA driver; install one, or use another meter",
        ),
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: ("not_found", "the NVIDIA driver is not loaded; run: nvidia-smi"),
        nvml.NVML_ERROR_NO_PERMISSION: ("permission", "give this user read access to /dev/nvidiactl and /dev/nvidia*"),
        nvml.NVML_ERROR_INVALID_ARGUMENT: ("not_found", choose),
        nvml.NVML_ERROR_NOT_FOUND: ("not_found", choose),
    }
    failed: tuple[Unavailable, str] = ("source_failed", f"NVML says: {error}; run nvidia-smi to see what is wrong")
    return Absent(NAME, *remedies.get(getattr(error, "value", 0), failed))


def _channel(gpu: str, board: str) -> MeterChannel:
    boundary = f"{board} board, GPU {gpu.removeprefix('gpu')}"
    return MeterChannel(gpu, "gpu", boundary, sensor_uncertainty=SENSOR_UNCERTAINTY)
