"""An NVML module of scripted boards: their counters tick, reset, freeze and vanish as a test says."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import NoReturn

from tests.meters.scripted import energy_j, power_w

ERRORS = {"SUCCESS": 0, "INVALID_ARGUMENT": 2, "NOT_SUPPORTED": 3, "NO_PERMISSION": 4, "NOT_FOUND": 6}
ERRORS |= {"DRIVER_NOT_LOADED": 9, "LIBRARY_NOT_FOUND": 12, "GPU_IS_LOST": 15}
INSTANT, AVERAGE = 186, 185


class NVMLError(Exception):
    """What NVML raises, with its code in `value`."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


@dataclass
class Board:
    """One board under the load of `scripted.power_w`; what it cannot do is a flag, and faults begin at an instant."""

    index: int
    counter: bool = True
    fields: tuple[int, ...] = (INSTANT, AVERAGE)
    usage: bool = True
    mig: int = 0
    virtualization: int = 0
    update_period_s: float = 0.1
    gain: float = 1.0
    reset_at_s: float = float("inf")
    frozen_from_s: float = float("inf")
    lost_from_s: float = float("inf")

    @property
    def uuid(self) -> str:
        """As `nvidia-smi -L` prints it."""
        return f"GPU-5ec2e7-{self.index}"

    def energy_mj(self, at_s: float) -> int:
        """The counter, which moves once an update period."""
        at_s = min(at_s, self.frozen_from_s)
        ticked_s = round(at_s / self.update_period_s - 0.4999) * self.update_period_s
        since_s = self.reset_at_s if at_s >= self.reset_at_s else 0.0
        return round(self.gain * 1000 * (energy_j(ticked_s) - energy_j(since_s)))


class FakeNvml(ModuleType):
    """The functions of `pynvml` that we call, over some boards; `calls` counts `init` and `shutdown`."""

    def __init__(self, *boards: Board, now_s: Callable[[], float], refusal: int | None = None) -> None:
        super().__init__("pynvml")
        self.boards, self.now_s, self.refusal = boards, now_s, refusal
        self.calls: list[str] = []
        codes = {f"NVML_ERROR_{name}": value for name, value in ERRORS.items()}
        constants = {"NVML_FI_DEV_POWER_INSTANT": INSTANT, "NVML_FI_DEV_POWER_AVERAGE": AVERAGE, "NVML_SUCCESS": 0}
        constants |= {"NVML_TEMPERATURE_GPU": 0, "NVML_CLOCK_SM": 1, "NVML_DEVICE_MIG_ENABLE": 1}
        answers: dict[str, Callable[[Board], object]] = {
            "Name": lambda board: "NVIDIA H100 80GB HBM3",
            "Index": lambda board: board.index,
            "MigMode": lambda board: [board.mig, board.mig],
            "VirtualizationMode": lambda board: board.virtualization,
            "TotalEnergyConsumption": self._energy,
            "PowerUsage": lambda board: self._power(board) if board.usage else _refuse("NOT_SUPPORTED"),
            "UtilizationRates": lambda board: SimpleNamespace(gpu=87, memory=20),
            "CurrentClocksThrottleReasons": lambda board: 0x1 | 0x4,
            "EnforcedPowerLimit": lambda board: 700_000,
        }
        self.__dict__.update({f"nvmlDeviceGet{name}": self._unless_lost(call) for name, call in answers.items()})
        self.__dict__.update(
            codes | constants,
            NVMLError=NVMLError,
            nvmlInit=self._init,
            nvmlShutdown=lambda: self.calls.append("shutdown"),
            nvmlDeviceGetCount=lambda: len(self.boards),
            nvmlDeviceGetHandleByIndex=lambda index: self._board(lambda board: board.index == index),
            nvmlDeviceGetHandleByUUID=lambda uuid: self._board(lambda board: board.uuid == uuid),
            nvmlDeviceGetTemperature=self._unless_lost(lambda board: 45),
            nvmlDeviceGetClockInfo=self._unless_lost(lambda board: 1980),
            nvmlDeviceGetFieldValues=self._fields,
        )

    def _init(self) -> None:
        if self.refusal is not None:
            raise NVMLError(self.refusal)
        self.calls.append("init")

    def _board(self, wanted: Callable[[Board], bool]) -> Board:
        return next(filter(wanted, self.boards), None) or _refuse("NOT_FOUND")

    def _energy(self, board: Board) -> int:
        return board.energy_mj(self.now_s()) if board.counter else _refuse("NOT_SUPPORTED")

    def _power(self, board: Board) -> int:
        return round(1000 * power_w(self.now_s()))

    def _fields(self, board: Board, asked: list[int]) -> list[SimpleNamespace]:
        self._unless_lost(self._power)(board)
        return [
            SimpleNamespace(nvmlReturn=0 if one in board.fields else 3, value=SimpleNamespace(uiVal=self._power(board)))
            for one in asked
        ]

    def _unless_lost(self, call: Callable[[Board], object]) -> Callable[..., object]:
        def asked(board: Board, *_: object) -> object:
            return _refuse("GPU_IS_LOST") if self.now_s() >= board.lost_from_s else call(board)

        return asked


def _refuse(name: str) -> NoReturn:
    raise NVMLError(ERRORS[name])
