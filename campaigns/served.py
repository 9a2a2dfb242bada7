"""The whole product on one NVIDIA GPU: a real server, `wattshed agent` beside it, `wattshed serve` in front, clients.

    python campaigns/served.py OUT [--engine plain|batching] [--requests 50] [--phases alone,four,fit,alone]

Needs `wattshed[gateway,nvidia]`, `transformers[serving]`, torch and openai. Everything is started as a user would start
it, and ends with this script. `transformers serve` answers one request at a time (`plain`) or batches continuously
(`batching`); its weights are random, as those of `bundled:h100` were, and its tokens are words, so that a prompt has as
many tokens as it has words. Requests are pairs (m, n) of Alpaca; `max_tokens` pins n, since random weights never stop.
It is one Python file and no shell script, because phases, counters and the reload have to know of each other.

    alone       requests one after another
    four        four clients, each asks as soon as it is answered
    fit         `wattshed fit --ledger` on all of that, and a reload with the predictors that it wrote
    overhead    one token, asked of the server and through the gateway by turns

At the end of each phase the card's own counter is read, at an instant when the gateway has just told of a window. OUT
gets `phases.json`, `watched.ndjson` (the agent's windows, the gateway's sums and alarms every two seconds),
`requests.parquet` (the ledger), `refitted.json`, `overhead.json` and the logs.
"""

import argparse
import asyncio
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final
from urllib.request import urlopen

import openai
import polars as pl
import yaml

from wattshed.datasets.workloads import read_workload

ENGINE, AGENT, GATEWAY = 8701, 8702, 8703
MODEL: Final = "model"
ASKED: Final = "llama-2-7b"
MEASURED: Final = {"measured_system": "H100 80GB (KV cache)", "measured_model": "random:llama-2-7b"}
CONTEXT_TOKENS: Final = 4096
OUTPUTS: Final = (8, 16, 32, 64, 128)
"""Middles of the octaves that answers are drawn from, in equal parts: a fit needs eight requests that are alike."""

INPUTS: Final = (12, 22)
"""Prompts have so many tokens, as three of five of Alpaca's have: within one octave, for the same reason."""

SERVE: Final = ("-m", "transformers.cli.transformers", "serve", MODEL, "--dtype", "bfloat16", "--host", "127.0.0.1")
BATCHING: Final = ("--continuous-batching", "--cb-num-blocks", "64", "--cb-max-batch-tokens", "1024")
"""Room for 16,384 tokens of cache, 8.6 GB with Llama-2 (7B): four requests take far less."""
WATTSHED: Final = (sys.executable, "-c", "from wattshed.cli.main import main; main()")
IDLE_S: Final = 12.0
SETTLED_S: Final = 4.0
PATIENT_S: Final = 240.0
TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}{% if message['content'] is string %} {{ message['content'] }}"
    "{% else %}{% for part in message['content'] %} {{ part['text'] }}{% endfor %}{% endif %}{% endfor %}"
)


@dataclass(slots=True)
class Run:
    """What is under way: where it writes, how many clients' requests a phase has, and what it found by phase."""

    out: Path
    requests: int
    phase: str = "start"
    phases: list[dict[str, object]] = field(default_factory=list)


def write_model(folder: Path, architecture: str, device: str) -> None:
    """Random weights and a tokenizer whose tokens are words, as a folder that `transformers serve` reads."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GenerationConfig, PreTrainedTokenizerFast

    from wattshed.engines.loading import load_model

    model = load_model(f"random:{architecture}", "bf16", device=device, devices=1)
    words = ["<s>", "<unk>", *(f"w{number}" for number in range(model.config.vocab_size - 2))]
    tokens = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, bos_token="<s>", unk_token="<unk>", pad_token="<unk>")
    tokenizer.chat_template = TEMPLATE
    model.config.eos_token_id = None
    model.generation_config = GenerationConfig(pad_token_id=1, bos_token_id=0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def shapes(count: int, rng: Random) -> list[tuple[int, int]]:
    """So many (m, n) of Alpaca in random order, of every octave of `OUTPUTS` the same number."""
    alpaca = read_workload("bundled:alpaca")
    pairs = list(zip(alpaca.input_tokens.tolist(), alpaca.output_tokens.tolist(), alpaca.queries.tolist(), strict=True))
    drawn = list[tuple[int, int]]()
    for part, middle in enumerate(OUTPUTS):
        near = [one for one in pairs if INPUTS[0] <= one[0] <= INPUTS[1] and abs(math.log2(one[1] / middle)) < 0.45]
        chosen = rng.choices(near, [one[2] for one in near], k=len(range(part, count, len(OUTPUTS))))
        drawn += [(m, n) for m, n, _ in chosen]
    rng.shuffle(drawn)
    return drawn


async def ask(client: "openai.AsyncOpenAI", name: str, shape: tuple[int, int], model: str, rng: Random) -> float:
    """One streamed chat; the seconds that it took."""
    words = " ".join(f"w{rng.randrange(400)}" for _ in range(shape[0] - 1))  # and the token that begins it
    started_s = time.monotonic()
    answer = await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": words}],
        max_tokens=shape[1],
        stream=True,
        extra_headers={"x-request-id": name},
    )
    async for _ in answer:
        pass
    return time.monotonic() - started_s


async def sent(run: Run, client: "openai.AsyncOpenAI", clients: int) -> None:
    """The requests of a phase, so many at once."""
    rng = Random(len(run.phases))
    numbered = iter(enumerate(shapes(run.requests, rng)))

    async def one() -> None:
        for number, shape in numbered:
            await ask(client, f"{run.phase}-{number}", shape, ASKED, rng)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())


def page(port: int, path: str) -> str:
    """What a server says."""
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def sums() -> dict[str, float]:
    """The gateway's sums of joules, and its drift: checks by result, and alarms, by quantity."""
    said: dict[str, float] = {}
    for line in page(GATEWAY, "/metrics").splitlines():
        if found := re.match(
            r"wattshed_((?:un)?(?:attributed|delivered)_joules_total|drift_\w+)(\{.*\})? (\S+)$", line
        ):
            labels = [value for name, value in re.findall(r'(\w+)="([^"]*)"', found[2] or "") if name not in IGNORED]
            said["/".join([found[1], *labels])] = float(found[3])
    return said


IGNORED: Final = ("system", "node", "model")


def card_j() -> float | None:
    """The board's own counter; `None` where there is no NVML."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0))) / 1000
    except pynvml.NVMLError:
        return None


async def aligned() -> dict[str, object]:
    """The card's counter and the gateway's sums, just after a window without requests: it was told of this moment."""
    before = await asyncio.to_thread(sums)
    until_s = time.monotonic() + 10
    while True:
        now = await asyncio.to_thread(sums)
        if (
            now.get("unattributed_joules_total") != before.get("unattributed_joules_total")
            or time.monotonic() > until_s
        ):
            counted_j = await asyncio.to_thread(card_j)
            return {"at": datetime.now(UTC).isoformat(), "at_s": time.monotonic(), "card_j": counted_j, "sums": now}
        await asyncio.sleep(0.01)


async def watch(run: Run) -> None:
    """Every two seconds a line with a window of the agent's, for an asker of its own."""
    mark: float | None = None
    with (run.out / "watched.ndjson").open("a") as file:
        while True:
            path = "/energy" if mark is None else f"/energy?since={mark!r}"
            told = json.loads(await asyncio.to_thread(page, AGENT, path))
            mark = told["at_s"]
            window = {"since_s": told["since_s"], "until_s": mark, "channels": told["channels"]}
            seen = {
                "at_s": time.monotonic(),
                "phase": run.phase,
                "agent": window,
                "sums": await asyncio.to_thread(sums),
            }
            file.write(json.dumps(seen) + "\n")
            file.flush()
            await asyncio.sleep(2.0)


async def phase(run: Run, name: str, doing: Callable[[], object]) -> None:
    """Do it, between two alignments, and write down what there was before and after."""
    run.phase = f"{len(run.phases)}-{name}"
    before = await aligned()
    await doing()  # type: ignore[misc]
    ended_s = time.monotonic()
    await asyncio.sleep(SETTLED_S)
    after = await aligned()
    run.phases.append({"phase": run.phase, "before": before, "ended_s": ended_s, "after": after})
    (run.out / "phases.json").write_text(json.dumps(run.phases, indent=1) + "\n")
    took_s = ended_s - before["at_s"]  # type: ignore[operator]
    print(f"{run.phase}: {took_s:.1f} s; {after['card_j']} J; {after['sums']}", flush=True)


def refit(run: Run, gateway: "subprocess.Popen[bytes]") -> None:
    """Predictors of the requests so far, and a reload with them."""
    command = [*WATTSHED, "fit", "--ledger", str(run.out / "ledger.sqlite"), "--kind", "batch", "--channel", "gpu"]
    done = subprocess.run([*command, "--out", str(run.out / "refitted.json")], capture_output=True, text=True)
    (run.out / "fit.log").write_text(done.stdout + done.stderr)
    print(done.stdout + done.stderr, flush=True)
    if done.returncode == 0:
        write_settings(run.out, {"predictor": "refitted.json"}, None)
        gateway.send_signal(signal.SIGHUP)


def write_settings(out: Path, predictor: dict[str, str], slots: int | None) -> None:
    """The gateway's file; `None` slots leave those that it has."""
    path = out / "gateway.yaml"
    slots = slots or yaml.safe_load(path.read_text())["systems"][0]["slots"]
    system = {
        "name": "h100",
        "url": f"http://127.0.0.1:{ENGINE}",
        "slots": slots,
        "context_tokens": CONTEXT_TOKENS,
        "agent": {"url": f"http://127.0.0.1:{AGENT}"},
        "serves": [{"model": ASKED, "upstream_model": MODEL, **predictor}],
    }
    settings = {"models": [{"name": ASKED}], "systems": [system], "ledger": {"file": "ledger.sqlite"}}
    settings["health"] = {"probe_timeout_s": 30.0}  # a server that computes on the same thread hears late
    path.write_text(yaml.safe_dump(settings, sort_keys=False))


async def overhead(run: Run, direct: "openai.AsyncOpenAI", through: "openai.AsyncOpenAI") -> None:
    """Seconds of one token, of the server itself and through the gateway, by turns."""
    rng, took = Random(0), {"direct_s": list[float](), "gateway_s": list[float]()}
    for number in range(run.requests):
        took["direct_s"].append(await ask(direct, f"direct-{number}", (16, 1), MODEL, rng))
        took["gateway_s"].append(await ask(through, f"{run.phase}-{number}", (16, 1), ASKED, rng))
    (run.out / "overhead.json").write_text(json.dumps(took) + "\n")


async def warm(direct: "openai.AsyncOpenAI") -> None:
    """Every length is met once; the first request alone, since three at once killed a batching engine that was new."""
    await ask(direct, "warm", (16, 160), MODEL, Random(0))
    await asyncio.gather(*(ask(direct, f"warm-{m}", (m, 40), MODEL, Random(m)) for m in (12, 16, 20, 22)))


async def drive(run: Run, phases: list[str], gateway: "subprocess.Popen[bytes]") -> None:
    """All phases, with idle ones before and after."""
    urls = [f"http://127.0.0.1:{port}/v1" for port in (ENGINE, GATEWAY)]
    direct, through = (openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=300) for url in urls)
    await warm(direct)
    watching = asyncio.create_task(watch(run))
    await phase(run, "idle", lambda: asyncio.sleep(IDLE_S))
    deeds: dict[str, Callable[[], object]] = {
        "alone": lambda: sent(run, through, 1),
        "four": lambda: sent(run, through, 4),
        "fit": lambda: asyncio.to_thread(refit, run, gateway),
        "overhead": lambda: overhead(run, direct, through),
    }
    for name in phases:
        await phase(run, name, deeds[name])
    await phase(run, "idle", lambda: asyncio.sleep(IDLE_S))
    watching.cancel()


@contextmanager
def running(command: list[str], out: Path, name: str, ready: str, cwd: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that answers at a URL, told to stop at the end."""
    started_s = time.monotonic()
    hub = out / "hub"  # without such a folder `transformers serve` has no list of models
    hub.mkdir(exist_ok=True)
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(hub)}
    with (out / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        while True:
            try:
                urlopen(ready, timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() - started_s > PATIENT_S:
                    raise SystemExit(f"{name} does not answer:\n{(out / f'{name}.log').read_text()[-2000:]}") from None
                time.sleep(0.2)
        print(f"{name} is ready after {time.monotonic() - started_s:.1f} s", flush=True)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Start everything, drive it, and export the ledger."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--engine", choices=("plain", "batching"), default="batching")
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--phases", default="alone,four,fit,alone,four,overhead")
    parser.add_argument("--architecture", default="llama-2-7b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--meters", default="nvml")
    parser.add_argument("--weights", type=Path, default=Path("/dev/shm/wattshed-served"), help="folder; made if absent")
    parser.add_argument("--predictor", type=Path, help="file of `fit bundled:h100 --channel gpu --kind batch`")
    given = parser.parse_args()
    out: Path = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    predictor = (given.predictor or out / "h100.json").resolve()
    if not predictor.exists():
        fit = ["fit", "bundled:h100", "--channel", "gpu", "--kind", "batch", "--out", str(predictor)]
        subprocess.run([*WATTSHED, *fit], check=True, stdout=subprocess.DEVNULL)
    if not (given.weights / MODEL / "tokenizer.json").exists():
        started_s, maker = time.monotonic(), "import served, sys; from pathlib import Path; "
        maker += "served.write_model(Path(sys.argv[1]), *sys.argv[2:])"
        command = [sys.executable, "-c", maker, str(given.weights / MODEL), given.architecture, given.device]
        subprocess.run(command, check=True, cwd=Path(__file__).parent)  # in a process of its own: it gives memory back
        print(f"weights are written after {time.monotonic() - started_s:.1f} s", flush=True)
    run = Run(out, given.requests)
    write_settings(out, {"predictor": str(predictor), **MEASURED}, 1 if given.engine == "plain" else 4)
    serve = [sys.executable, *SERVE, "--device", given.device, "--port", str(ENGINE)]
    serve += BATCHING if given.engine == "batching" else ()
    with ExitStack() as stack:
        enter = stack.enter_context
        enter(running(serve, out, "engine", f"http://127.0.0.1:{ENGINE}/v1/models", given.weights))
        agent = [*WATTSHED, "agent", "--meters", given.meters, "--port", str(AGENT)]
        enter(running(agent, out, "agent", f"http://127.0.0.1:{AGENT}/health", out))
        command = [*WATTSHED, "serve", "--config", str(out / "gateway.yaml"), "--port", str(GATEWAY)]
        gateway = enter(running(command, out, "gateway", f"http://127.0.0.1:{GATEWAY}/ready", out))
        asyncio.run(drive(run, given.phases.split(","), gateway))
        time.sleep(1.0)  # the ledger writes every half second
    exported = out / "requests.parquet"
    subprocess.run([*WATTSHED, "ledger", "export", str(out / "ledger.sqlite"), "--out", str(exported)], check=True)
    print(pl.read_parquet(exported).height, "requests", flush=True)


if __name__ == "__main__":
    main()
