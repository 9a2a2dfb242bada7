"""Who may come in: a bounded queue before each system's slots, and what each key may ask for a minute.

A request that finds no free slot waits in order, until its own time is up or the queue is full; then it is refused with
the seconds after which to come again. All counting happens between awaits, so nothing here needs a lock, and a slot
whose waiter was cancelled goes to the next one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wattshed.gateway.wire.refusals import Refusal
from wattshed.units import S_PER_MIN


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a key may ask for in a minute; `None` where there is no limit. A whole minute's worth may come at once."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        for most in (self.requests_per_minute, self.tokens_per_minute):
            if most is not None and not most > 0:
                raise ValueError(f"an allowance is above 0, got {most}; leave it out for no limit")

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self.requests_per_minute is not None or self.tokens_per_minute is not None


class Bucket:
    """A bucket that fills evenly and holds a minute's worth. It may be overdrawn: tokens are known only afterwards."""

    def __init__(self, per_minute: float) -> None:
        self._most, self._per_s = per_minute, per_minute / S_PER_MIN
        self._left, self._at_s = per_minute, 0.0

    def wait_s(self, amount: float, at_s: float) -> float:
        """Seconds until so much may be taken; 0 if it may be now. More than a bucket holds waits for a full one."""
        missing = min(amount, self._most) - self._level(at_s)
        return max(missing / self._per_s, 0.0)

    def take(self, amount: float, at_s: float) -> None:
        """Take so much, or give back what is negative."""
        self._left, self._at_s = min(self._level(at_s) - amount, self._most), at_s

    def _level(self, at_s: float) -> float:
        return min(self._left + self._per_s * max(at_s - self._at_s, 0.0), self._most)


class Allowances:
    """What every key has left of its minute."""

    def __init__(self, *, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._requests: dict[str, Bucket] = {}
        self._tokens: dict[str, Bucket] = {}

    def spend(self, key: str, allowance: Allowance, tokens: float) -> None:
        """Count a request that is expected to take so many tokens; `Refusal` 429 where the key has too little left."""
        now_s = self._now_s()
        due = [
            (self._bucket(buckets, key, most), amount)
            for buckets, most, amount in (
                (self._requests, allowance.requests_per_minute, 1.0),
                (self._tokens, allowance.tokens_per_minute, tokens),
            )
            if most is not None
        ]
        wait_s = max((bucket.wait_s(amount, now_s) for bucket, amount in due), default=0.0)
        if wait_s > 0:
            raise Refusal(429, "rate_limit_exceeded", f"key {key!r} is over its rate", retry_after_s=wait_s)
        for bucket, amount in due:
            bucket.take(amount, now_s)

    def settle(self, key: str, tokens: float) -> None:
        """Take the tokens that a request used beyond what was expected of it, or give back the rest."""
        bucket = self._tokens.get(key)
        if bucket is not None:
            bucket.take(tokens, self._now_s())

    def _bucket(self, buckets: dict[str, Bucket], key: str, per_minute: float) -> Bucket:
        bucket = buckets.get(key)
        if bucket is None:
            bucket = buckets[key] = Bucket(per_minute)
            bucket.take(0.0, self._now_s())
        return bucket


class Slots:
    """The slots of every system, and who waits for one."""

    def __init__(self, slots: Sequence[int], *, most_waiting: int) -> None:
        self._slots, self._most_waiting = tuple(slots), most_waiting
        self._taken = [0] * len(slots)
        self._entered = [0] * len(slots)
        self._waiting: tuple[deque[asyncio.Future[None]], ...] = tuple(deque() for _ in slots)

    @property
    def taken(self) -> tuple[int, ...]:
        """Slots in use, by position."""
        return tuple(self._taken)

    def alone(self, position: int) -> int | None:
        """For the one holder of a slot a number, the same as long as nobody else has come; `None` in company."""
        return self._entered[position] if self._taken[position] == 1 else None

    @property
    def waiting(self) -> tuple[int, ...]:
        """Requests in the queues, by position."""
        return tuple(len(queue) for queue in self._waiting)

    @property
    def crowded(self) -> bool:
        """Whether any system may be `full`; where nobody waits none is, unless nobody ever may."""
        return self._most_waiting < 1 or any(self._waiting)

    def full(self, position: int) -> bool:
        """Whether one more would be refused at once."""
        taken, waiting = self._taken[position], len(self._waiting[position])
        return waiting >= self._most_waiting and (waiting > 0 or taken >= self._slots[position])

    def enter_at_once(self, position: int) -> bool:
        """Take a slot if one is free and nobody waits; whoever is let in must `leave`."""
        free = self._taken[position] < self._slots[position] and not self._waiting[position]
        if free:
            self._taken[position] += 1
            self._entered[position] += 1
        return free

    async def enter(self, position: int, *, most_wait_s: float) -> None:
        """Take a slot, waiting in order where there is none; whoever enters must `leave`.

        `Refusal` 503 where the queue is full or the wait takes too long; then there is nothing to leave.
        """
        queue = self._waiting[position]
        if self.enter_at_once(position):
            return
        if len(queue) >= self._most_waiting:
            raise Refusal(503, "overloaded", "the queue is full", retry_after_s=most_wait_s)
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(most_wait_s):
                await turn
        except BaseException as error:
            self._give_up(position, turn)
            if isinstance(error, TimeoutError):
                raise Refusal(503, "overloaded", "no slot came free in time", retry_after_s=most_wait_s) from error
            raise

    def leave(self, position: int) -> None:
        """Free a slot: for whoever has waited longest, if anybody has."""
        queue = self._waiting[position]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                self._entered[position] += 1
                turn.set_result(None)
                return
        self._taken[position] -= 1

    def _give_up(self, position: int, turn: "asyncio.Future[None]") -> None:
        """Leave the queue, or pass on the slot that was given in the same moment."""
        if turn.done() and not turn.cancelled():
            self.leave(position)
        elif turn in self._waiting[position]:
            self._waiting[position].remove(turn)
