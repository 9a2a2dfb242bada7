"""One continuous-batching machine, iteration by iteration: slow, plain, and the oracle of the compiled simulator.

Conventions, after vLLM's scheduler. Requests queue in the order (`arrival_s`, position). While anybody is there, steps
follow each other without a gap; an idle machine begins one at the next arrival. A step that begins at t

 1. queues all who have arrived at t or before (those whose last token came at t have left),
 2. while memory does not hold the running requests, each with m + (tokens sampled so far), sends the youngest, the one
    admitted last, back to the front of the queue: its prompt is then m + (tokens sampled so far), to be read from 0,
 3. goes on reading the prompts of the running requests, in the order of their admission, and then, if nobody was sent
    back in this step, admits from the front of the queue while a slot is free, memory holds all of the prompt too, and
    the step has room to read; nobody overtakes. It reads at most `chunk_tokens` of prompts in all (without: no limit),
 4. samples one token for each of the s sequences: requests whose prompt was read before it, and those it finishes. A
    sequence with i tokens before the step adds a context of m + i + 1/2, recomputed or not,
 5. takes the seconds of `predictors/steps.py`; a prompt begins in the step that reads its token 0, every time it does.

Instants are those at which a step begins (`started_at_s`, at the first admission) and ends (`first_token_at_s`, never
moved by a preemption, and `finished_at_s`). Joules: what a prompt costs goes to its own request, w0 in equal parts to
those that begin; s0, s1, the hinges and c go in equal parts to the s sequences, or to those who read where s is 0.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from wattshed.domain.operation import Operation
from wattshed.predictors.steps import StepCost, StepCosts


@dataclass(slots=True)
class Request:
    """One request, and what became of it; `read` of the `input_tokens + recomputed` tokens of its prompt are read."""

    arrival_s: float
    input_tokens: int
    output_tokens: int
    recomputed: int = 0
    read: int = 0
    sampled: int = 0
    preemptions: int = 0
    energy_j: float = 0.0
    started_at_s: float | None = None
    first_token_at_s: float | None = None
    finished_at_s: float | None = None

    @property
    def held_tokens(self) -> int:
        """What memory holds of it at the end of a step that it is in."""
        return self.input_tokens + self.sampled

    @property
    def unread(self) -> int:
        """Tokens of its prompt that are not read."""
        return self.input_tokens + self.recomputed - self.read


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens `begin` to `end` of the prompt of one request, read in one step."""

    request: Request
    begin: int
    end: int


def serve(requests: Sequence[Request], *, operation: Operation, costs: StepCosts) -> float:
    """Serve all, in place; says how many seconds the machine was busy. ValueError where memory can never hold one."""
    if any(r.input_tokens + r.output_tokens - 1 > (operation.kv_tokens or float("inf")) for r in requests):
        raise ValueError("a request is larger than the memory")
    coming = deque(sorted(requests, key=lambda request: request.arrival_s))
    queue: deque[Request] = deque()
    running: list[Request] = []
    now_s = busy_s = 0.0
    while coming or queue or running:
        if not queue and not running:
            now_s = max(now_s, coming[0].arrival_s)
        while coming and coming[0].arrival_s <= now_s:
            queue.append(coming.popleft())
        preempted = _preempt(running, queue, operation)
        decoding = [request for request in running if request.unread == 0]
        chunks = _read(running, deque() if preempted else queue, operation, now_s=now_s)
        sequences = decoding + [chunk.request for chunk in chunks if chunk.request.unread == 0]
        _share(chunks, sequences, costs.energy)
        step_s = sum(_prompt(costs.runtime, chunk, chunks) for chunk in chunks) + _decode(costs.runtime, sequences)
        now_s, busy_s = now_s + step_s, busy_s + step_s
        _sample(running, sequences, now_s=now_s)
    return busy_s


def _preempt(running: list[Request], queue: deque[Request], operation: Operation) -> bool:
    """Whether any had to go back to the queue."""
    before = len(running)
    while operation.kv_tokens is not None and sum(r.held_tokens for r in running) > operation.kv_tokens:
        youngest = running.pop()
        youngest.recomputed, youngest.read = youngest.sampled, 0
        youngest.preemptions += 1
        queue.appendleft(youngest)
    return len(running) < before


def _read(running: list[Request], queue: deque[Request], operation: Operation, *, now_s: float) -> list[Chunk]:
    """What the step reads; admits from the queue."""
    room = operation.chunk_tokens or float("inf")
    chunks = []
    for request in (request for request in running if request.unread):
        chunks.append(_chunk(request, room))
        room -= chunks[-1].end - chunks[-1].begin
    while queue and room > 0 and len(running) < operation.slots and _fits(running, queue[0], operation):
        request = queue.popleft()
        running.append(request)
        if request.started_at_s is None:
            request.started_at_s = now_s
        chunks.append(_chunk(request, room))
        room -= chunks[-1].end - chunks[-1].begin
    return [chunk for chunk in chunks if chunk.end > chunk.begin]


def _fits(running: Sequence[Request], request: Request, operation: Operation) -> bool:
    """Whether memory holds one more prompt."""
    held = sum(r.held_tokens for r in running) + request.held_tokens
    return operation.kv_tokens is None or held <= operation.kv_tokens


def _chunk(request: Request, room: float) -> Chunk:
    """Read as much of the prompt as there is room for."""
    begin = request.read
    request.read = begin + int(min(request.unread, room))
    return Chunk(request, begin, request.read)


def _prompt(cost: StepCost, chunk: Chunk, chunks: Sequence[Chunk]) -> float:
    """What reading one chunk costs, with its part of w0."""
    beginning = sum(other.begin == 0 for other in chunks)
    start = cost.per_start / beginning + cost.per_prompt if chunk.begin == 0 else 0.0
    square = cost.per_prompt_token_squared * (chunk.end**2 - chunk.begin**2)
    return start + cost.per_prompt_token * (chunk.end - chunk.begin) + square


def _decode(cost: StepCost, sequences: Sequence[Request]) -> float:
    """What the step costs besides its prompts."""
    s = len(sequences)
    context = sum(request.input_tokens + request.sampled + 0.5 for request in sequences)
    bends = sum(slope * max(s - at, 0.0) for at, slope in cost.hinges)
    return cost.per_step + cost.per_sequence * s + bends + cost.per_context_token * context


def _share(chunks: Sequence[Chunk], sequences: Sequence[Request], cost: StepCost) -> None:
    """Share out the joules of the step."""
    for chunk in chunks:
        chunk.request.energy_j += _prompt(cost, chunk, chunks)
    sharers = sequences or [chunk.request for chunk in chunks]
    for request in sharers:
        request.energy_j += _decode(cost, sequences) / len(sharers)


def _sample(running: list[Request], sequences: Sequence[Request], *, now_s: float) -> None:
    """One token more for each sequence; who has all of them leaves."""
    for request in sequences:
        request.sampled += 1
        if request.first_token_at_s is None:
            request.first_token_at_s = now_s
        if request.sampled == request.output_tokens:
            request.finished_at_s = now_s
            running.remove(request)
