"""Set-up as steps a person can watch: one line each with its time, and a failure that says what to do next."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

WIDTH = 52
TAIL_LINES = 15
HINTS = (  # the first words found in a failed command's output decide what the person is told to do
    (
        "No space left",
        "Free some disk space (about 3 GB are needed, with a CUDA build of torch about 12), run it again.",
    ),
    ("Permission denied", "Make this folder writable for you, then run it again."),
    (
        "Failed to establish a new connection",
        "pip cannot reach a package index: check network, proxy, `pip config list`.",
    ),
    (
        "Temporary failure in name resolution",
        "pip cannot reach a package index: check network, proxy, `pip config list`.",
    ),
    ("Read timed out", "The package index was too slow: run it again; what is installed already is kept."),
    ("No matching distribution", "This Python has no such package: delete .venv, use Python 3.11, 3.12 or 3.13."),
    ("does not match the hash", "The download is damaged or was replaced: run it again; if it stays, do not use it."),
)
ANYTHING = "Run it again; if it fails the same way, delete .venv and .host and run it once more."


class StepError(Exception):
    """A step failed: `why` it did and what to do `next`."""

    def __init__(self, why: str, next_step: str = ANYTHING) -> None:
        super().__init__(f"{why}\n{next_step}")
        self.why, self.next_step = why, next_step


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print `name`, then the seconds its body took; a StepError inside it is told with the name of the step."""
    start = time.perf_counter()
    print(f"set-up  {name + ' ':.<{WIDTH}} ", end="", flush=True)
    try:
        yield
    except StepError as error:
        print(f"failed after {time.perf_counter() - start:.1f} s", flush=True)
        raise StepError(f"Set-up failed in the step '{name}':\n{error.why}", error.next_step) from error
    except BaseException:
        print("stopped", flush=True)
        raise
    _clear_note()
    print(f"{time.perf_counter() - start:5.1f} s", flush=True)


def run(command: Sequence[str | Path], log: Path) -> str:
    """Run a command of a step, showing its newest line; StepError with the last lines of its output if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with log.open("a", encoding="utf-8") as file:
        print("$", *command, file=file, flush=True)
        with subprocess.Popen(
            [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace", env=environment,
        ) as process:  # fmt: skip
            for line in process.stdout:
                file.write(line)
                lines.append(line.rstrip())
                _note(line.strip())
    if process.returncode:
        output = "\n".join(lines)
        hint = next((hint for words, hint in HINTS if words in output), ANYTHING)
        tail = "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])
        raise StepError(f"`{_short(command)}` ended with code {process.returncode}:\n{tail}\n(all of it: {log})", hint)
    return "\n".join(lines)


def _short(command: Sequence[str | Path]) -> str:
    words = " ".join(Path(c).name if os.sep in str(c) else str(c) for c in command)
    return words if len(words) <= 100 else words[:97] + "..."


def _note(text: str) -> None:
    if sys.stdout.isatty():  # the note stands where the seconds will stand: save cursor, clear to the end, restore
        room = max(0, os.get_terminal_size().columns - WIDTH - 10)
        print(f"\0337\033[K{text[:room]}\0338", end="", flush=True)


def _clear_note() -> None:
    if sys.stdout.isatty():
        print("\033[K", end="")
