"""The meter of a demo machine, and the agent that tells what it counts: so joules are attributed as on a real node.

A machine of the demo knows its joules at every instant (`Occupancy.energy_j`), and the meter reads them as it would a
counter: once at each mark, and a window is the difference of two. What the machine imitates was measured as a whole,
accelerator and processor together, so all joules are told as the accelerator's and none as the processor's.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from wattshed.domain.energy import ChannelEnergy, MeterChannel, WindowEnergy
from wattshed.gateway.demo.machine import Occupancy
from wattshed.gateway.metering.agent import Agent


class Counting(Protocol):
    """Knows its joules at every instant; any thread may ask."""

    @property
    def energy_j(self) -> float:
        """Joules since it was started."""
        ...


_WHOLE: Final = MeterChannel("demo", "gpu", "accelerator and processor of the imitated machine")
_REST: Final = MeterChannel("demo-rest", "cpu", "nothing: the processor is counted with the accelerator")

_MOST_MARKS: Final = 4096
"""Marks that are remembered: an hour of an agent that is asked once a second."""


class DemoMeter:
    """Counts the joules of one machine, on the first of its channels; asked by one thread at a time, as agents do."""

    def __init__(
        self,
        counting: Counting,
        now_s: Callable[[], float],
        *,
        channels: tuple[MeterChannel, ...] = (_WHOLE, _REST),
    ) -> None:
        self._counting, self._now_s, self._channels = counting, now_s, channels
        self._marks: OrderedDict[float, float] = OrderedDict()

    @property
    def channels(self) -> tuple[MeterChannel, ...]:
        """The whole machine, and the rest of it."""
        return self._channels

    def mark(self) -> float:
        """Read the counter, and say when that was."""
        at_s = self._now_s()
        self._marks[at_s] = self._counting.energy_j
        if len(self._marks) > _MOST_MARKS:
            self._marks.popitem(last=False)
        return at_s

    def between(self, start_s: float, stop_s: float) -> WindowEnergy:
        """Joules from one mark to another; without a mark at either end nobody has read the counter there."""
        return WindowEnergy(start_s, stop_s, tuple(self._counted(start_s, stop_s)))

    def _counted(self, start_s: float, stop_s: float) -> Iterator[ChannelEnergy]:
        start_j, stop_j = self._marks.get(start_s), self._marks.get(stop_s)
        for channel in self.channels:
            if start_j is None or stop_j is None:
                yield ChannelEnergy(channel, None, "counter", "not_bracketed")
            else:
                yield ChannelEnergy(
                    channel, max(stop_j - start_j, 0.0) if channel is self._channels[0] else 0.0, "counter"
                )


def demo_agent(name: str, occupancy: Occupancy, now_s: Callable[[], float]) -> Agent:
    """The agent on the node of a machine; without a token, for it listens on loopback only."""
    return Agent(DemoMeter(occupancy, now_s), session=f"demo-{name}", now_s=now_s)
