"""Clients that go away: the engine stops for them, and nothing is left of them."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.gateway.scene import NOTHING, Scene, busy, played
from tests.gateway.wires import calling, until
from wattshed.gateway.demo.faults import Fault

PHASES = {
    "waiting for a slot": (Fault("hangs"), True),
    "before the first byte": (Fault("hangs"), True),
    "streaming": (None, True),
    "computing a whole answer": (None, False),
}


@pytest.mark.parametrize("phase", PHASES)
def test_who_leaves_is_noticed_within_100_ms(phase: str) -> None:
    """The engine stops computing for a client that has gone, in every phase; slots and places are free again."""
    fault, stream = PHASES[phase]

    async def play(at: Scene) -> None:
        mac, loop = at.fleet.servers["mac"].occupancy, asyncio.get_running_loop()
        crowd = 3 if phase == "waiting for a slot" else 1
        asking = [asyncio.create_task(at.ask(stream=stream)) for _ in range(crowd)]
        await until(lambda: len(mac.running) == 1 and at.gateway.core.slots.waiting == (crowd - 1, 0))
        if phase == "streaming":
            await until(lambda: began(at))

        left_s = loop.time()
        for one in asking:
            one.cancel()
        async with asyncio.timeout(5):
            while mac.running or busy(at) != NOTHING:
                await asyncio.sleep(0.001)
        took_s = loop.time() - left_s
        await asyncio.gather(*asking, return_exceptions=True)

        assert took_s < 0.1
        assert [row.outcome for row in at.rows] == ["client_gone"] * crowd
        assert [row.hindsight_energy_j for row in at.rows] == [None] * crowd
        assert at.gateway.core.health.conditions()[0].failures == 0

    faults = {} if fault is None else {"mac": fault}
    played(play, faults=faults, speed_up=10)


def began(at: Scene) -> bool:
    """Whether the first token of the only request has come."""
    return bool(at.gateway.core.live._first_token_at_s)


def test_a_thousand_clients_that_leave_at_random_leave_nothing_behind() -> None:
    """Each goes at some moment of its request, or stays to the end: no slot, task or socket remains, each has a row."""
    rng, leaving = np.random.default_rng(5), 1000

    async def play(at: Scene) -> None:
        port, gate = int(at.client.name.rpartition(":")[2]), asyncio.Semaphore(100)
        assert (await at.ask()).status == 200
        at.rows.clear()
        before = held()

        async def come_and_go(stream: bool, patience_s: float) -> bool:
            async with gate, calling(port) as phone:
                phone.say(message(stream))
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience_s):
                        await phone.reader.readuntil(b"[DONE]" if stream else b"\r\n\r\n")
                        return True
                return False

        chances = zip(rng.random(leaving) < 0.5, rng.uniform(0, 0.15, leaving), strict=True)
        stayed = await asyncio.gather(*(come_and_go(bool(stream), float(wait_s)) for stream, wait_s in chances))

        await until(lambda: busy(at) == NOTHING)
        for upstream in at.gateway.core.upstreams:
            upstream.close()
        await until(lambda: held() <= before)
        outcomes = Counter(row.outcome for row in at.rows)
        assert sum(stayed) <= outcomes["done"]
        assert outcomes["client_gone"] >= 100
        assert set(outcomes) <= {"done", "client_gone", "overloaded"}
        assert all((row.hindsight_energy_j is None) == (row.outcome != "done") for row in at.rows)
        assert len({row.request for row in at.rows}) == len(at.rows)

    played(play, speed_up=300, slots=64, sent_at_once=32)


def held() -> tuple[int, int]:
    """Tasks and file descriptors."""
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))


def message(stream: bool) -> bytes:
    """A chat, as it goes over the wire."""
    chat = {"model": "demo", "messages": [{"role": "user", "content": "a b"}], "max_tokens": 8, "stream": stream}
    body = json.dumps(chat).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
