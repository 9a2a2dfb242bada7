"""The world of one run as flat records that compiled code can change: machines, servers (replicas), queries, slots.

Servers are numbered through the machines. A query stands in at most one list at a time, linked by `before` and `after`
(-1 ends it): the queue of its server, or those running there in the order of their admission, or those to be placed
again. Every server has `slots` entries of `World.slots`, which hold two things: a heap of those in service, by when
they are due, and by slot when the query in it is *predicted* to end, which is what a router can know.
"""

from typing import Final, NamedTuple, TypeAlias

import numpy as np

from wattshed.domain.arrays import Floats, Integers

Records: TypeAlias = "np.recarray[tuple[int, ...], np.dtype[np.void]]"

BUSY, IDLE, ASLEEP, WAKING, DOWN = range(5)
"""Positions in `scenario.STATES`."""

PENDING: Final = -1
"""The outcome of a query whose fate is open."""


def _records(**fields: str) -> np.dtype[np.void]:
    """A record of fields by type: each string lists names."""
    types = {"floats": np.float64, "integers": np.int64, "counts": np.int32, "flags": np.bool_}
    named = [(name, types[kind]) for kind, names in fields.items() for name in names.split()]
    return np.dtype(named, align=True)


MACHINE = _records(
    floats="sleep_after_s wake_s mean_up_s mean_down_s context_s context_j prompt_s prompt_j token_s token_j square_s "
    "square_j start_s start_j",
    integers="slots most_present kv_tokens chunk_tokens first_server replicas seat seats steps",
    flags="batching",
)
"""What never changes. The tournament of its replicas has `seats` from `seat` on, `steps` is its place in the table."""

STEP = _records(floats="runtime_s energy_j")
"""What a step of s sequences takes, but for prompts and contexts: one row for each s from 0 to `slots`."""

COST = _records(floats="energy_j runtime_s", flags="feasible")

SERVER = _records(
    floats="due_s fails_at_s since_s slot_s slot_since_s queued_s energy_j began_s step_s step_j slope_s slope_j "
    "share_j",
    integers="machine state present running in_service first_slot head tail first_unforeseen youngest first_reading "
    "run_steps steps contexts promised wakes",
    flags="starting",
)
"""What a replica does.

`present` are those that it was given and that have not left; `running` of them were admitted to a slot, `in_service` of
these are in the heap. `first_unforeseen` of the queue is the first to whom the router gives no slot yet.

A batching server is in a run of `run_steps` steps since `began_s`; step i takes `step_s` + i `slope_s`. It has taken
`steps` before. `contexts` are the tokens of those who decode, `promised` those of the prompts being read, and `share_j`
what one sequence has cost since the server was last empty.
"""

SLOT = _records(floats="due ends_at_s", integers="query free")

QUERY = _records(
    floats="arrival_s draw service_s started_at_s first_token_at_s finished_at_s energy_j share_at_j",
    integers="joined",
    counts="bucket input_tokens output_tokens before after server slot begin read prompt sampled outcome preemptions",
    flags="retried",
)
"""One query, in 128 bytes: fewer to write and read again are a third of the time of a run.

Of its `prompt` (with what has to be computed again) the tokens before `read` are read, those from `begin` on in this
step; its first token came in step `joined` + 1 of its server, if nobody preempted it.
"""


def clock_record(edition: str) -> np.dtype[np.void]:
    """The clock: now, the next to arrive, how many queries are open, and the list of those to be placed again.

    An empty field is named after the edition of the sources. Types are what compiled code is kept by, and every world
    has a clock: so a change in one file is noticed in all that was compiled with a copy of it, unlike by file times.
    """
    return _records(floats="now_s", integers="coming open again_first again_last", flags=f"edition_{edition}")


class World(NamedTuple):
    """All that changes during a run, and all that it hangs on."""

    clock: Records
    machines: Records
    servers: Records
    queries: Records
    slots: Records
    costs: Records
    steps: Records
    seconds: Floats
    tree: Integers
    keys: Floats
    chance: np.random.Generator
