"""Mark the windows of six campaigns that were warm-ups without being called so (docs/decisions/0008).

    python campaigns/h100/mark_cold.py BUNDLE...

A window is cold where more than 5 % of the lengths that its sequences ran through were new to the engine since it was
loaded: then it becomes a warm-up, and a cell that has no other window becomes a failed one, for `cold_shapes`. The
rule needs the order of trials and nothing else. Falcon is left alone: its steps took no longer at new lengths. No
number is changed. Marking twice changes nothing.
"""

import json
import sys
from pathlib import Path

from wattshed.datasets.manifest import parse_manifest
from wattshed.profiler.bundle import Publication, write_bundle
from wattshed.profiler.checklist import write_validation

MOST_NEW = 0.05


def marked(lines: list[dict]) -> list[dict]:
    """The lines of a journal with cold windows as warm-ups."""
    met: dict[int, set[tuple[int, int]]] = {}
    alive: set[tuple[int, int]] = set()
    cold: set[tuple[int, int]] = set()
    for line in lines:
        if "trial" in line:
            event, trial = line["trial"], line["trial"]["trial"]
            first = trial["input_tokens"]
            at_once = trial["system"].get("concurrency", 1)
            ran = {(at_once, total) for total in range(first, first + trial["output_tokens"])}
            new = len(ran - met.setdefault(event["session"], set())) / len(ran)
            met[event["session"]] |= ran
            visit = event["session"], event["visit"]
            if new > MOST_NEW and not trial.get("warm_up"):
                trial["warm_up"] = True
                trial["reasons"] = ["warm_up", *trial.get("reasons", [])]
                cold.add(visit)
            elif not trial.get("warm_up"):
                alive.add(visit)
    for line in lines:
        if "cell" in line:
            end = line["cell"]
            visit = end["session"], end["visit"]
            if visit in cold - alive:
                message = "its only window met lengths that were new to the engine"
                line["failure"] = {**dict(zip(("session", "visit"), visit, strict=True)), "reason": "cold_shapes"}
                line["failure"]["message"] = message
                del line["cell"]
    return lines


def main(directories: list[str]) -> None:
    """Mark each journal, and make its bundle again."""
    for directory in map(Path, directories):
        journal = directory / "trials.jsonl"
        lines = marked([json.loads(line) for line in journal.read_text().splitlines()])
        journal.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
        manifest, _ = parse_manifest(directory / "manifest.json")
        assert manifest is not None
        write_bundle(directory, Publication(manifest.name, manifest.licence))
        failed = [str(verdict) for verdict in write_validation(directory) if verdict.status == "failed"]
        print(directory, *failed or ["sound"], sep=": ")  # noqa: T201  # a script for a terminal


if __name__ == "__main__":
    main(sys.argv[1:])
