"""A stand-in for a meter's program: says recorded bytes in odd pieces, with the fault that its script asks for.

It is run as itself, by a small shell script on the PATH that `install` writes: real processes, pipes and exit codes.
"""

import base64
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Script:
    """What the program does: the messages that it prints, a pause before each, and how it ends.

    `listing` is the exit code of a question (`--list`, `sudo -l`) and `complaint` what it says on failure. With
    `stall` it stays after the last message; `folder_flag` is the flag whose value is where it writes, if not stdout.
    """

    messages: tuple[bytes, ...] = ()
    pause_s: float = 0.0
    piece: int = 7919
    exit_code: int = 0
    complaint: str = ""
    listing: int = 0
    stall: bool = False
    folder_flag: str | None = None


def install(folder: Path, name: str, script: Script) -> Path:
    """An executable in `folder` that plays the script."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = asdict(script) | {"messages": [base64.b64encode(message).decode() for message in script.messages]}
    (folder / f"{name}.json").write_text(json.dumps(plan))
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" "{folder / name}.json" "$@"\n')
    path.chmod(0o755)
    return path


def main(plan_path: str, arguments: list[str]) -> int:
    """Play the script at `plan_path`."""
    plan = json.loads(Path(plan_path).read_text())
    if "--list" in arguments or "-l" in arguments:
        sys.stderr.write(plan["complaint"] if plan["listing"] else "")
        return int(plan["listing"])
    for message in plan["messages"]:
        time.sleep(plan["pause_s"])
        say(base64.b64decode(message), plan, arguments)
    while plan["stall"]:
        time.sleep(0.1)
    sys.stderr.write(plan["complaint"])
    return int(plan["exit_code"])


def say(message: bytes, plan: dict[str, object], arguments: list[str]) -> None:
    """Print a message, or append it to a file in the folder that was asked for, in pieces."""
    piece = int(str(plan["piece"]))
    if plan["folder_flag"] is None:
        for start in range(0, len(message), piece):
            sys.stdout.buffer.write(message[start : start + piece])
            sys.stdout.buffer.flush()
        return
    folder = Path(arguments[arguments.index(str(plan["folder_flag"])) + 1], "AMDuProf-run-Timechart")
    folder.mkdir(exist_ok=True)
    for start in range(0, len(message), piece):
        with (folder / "timechart.csv").open("ab") as file:
            file.write(message[start : start + piece])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
