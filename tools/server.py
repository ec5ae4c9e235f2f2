"""A ComfyUI server as a child process: started, waited for, stopped. Used by dev.py and by the tests of the host.

It gets its own input, output, temp and user folders, so whatever a person keeps in their ComfyUI stays as it is.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .environment import ROOT, STATE, has_accelerator
from .steps import StepError

FOLDERS = STATE / "run"
EXAMPLE_PICTURE = ROOT / "assets" / "start_picture.png"
LOG = FOLDERS / "server.log"
START_SECONDS = 300.0
GRACE_SECONDS = 8.0
TAIL_LINES, LINE_LENGTH = 24, 200  # of the log, shown when something fails


class Server:
    """`with Server(comfyui_folder) as server:` is a running server at `server.url`; leaving the block stops it."""

    def __init__(
        self,
        host: Path,
        python: Path | str = sys.executable,
        *,
        arguments: Sequence[str] = (),
        log: Path | None = LOG,  # None: the server writes to this terminal
        folders: Path = FOLDERS,
        listen: str = "127.0.0.1",
        port: int | None = None,  # None: one that is free
    ) -> None:
        self.host, self.python, self.arguments = Path(host), Path(python), tuple(arguments)
        self.log, self.folders, self.listen = log, Path(folders), listen
        self.port = port or free_port()
        self.process: subprocess.Popen | None = None
        self._temporary: tempfile.TemporaryDirectory | None = None

    @property
    def url(self) -> str:
        return f"http://{self._address}:{self.port}"

    def __enter__(self) -> Server:  # noqa: PYI034 (typing.Self is newer than Python 3.10)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it answers; StepError with the end of its log if it does not."""
        if _in_use(self._address, self.port):
            raise StepError(f"Port {self.port} is in use.", "Stop what uses it, or give another with --port.")
        for name in ("input", "output", "user"):
            (self.folders / name).mkdir(parents=True, exist_ok=True)
        example = self.folders / "input" / "example.png"  # what the example workflow opens with
        if not example.exists():
            shutil.copyfile(EXAMPLE_PICTURE, example)
        self._temporary = tempfile.TemporaryDirectory(dir=self.folders, prefix="temp-")  # one each: two servers may run
        if self.log:
            self.log.parent.mkdir(parents=True, exist_ok=True)
        output = self.log.open("wb") if self.log else None
        try:
            # its own session: Ctrl-C reaches this process alone, which then stops the server
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.host,
                stdin=subprocess.DEVNULL,
                stdout=output,
                start_new_session=True,
                stderr=subprocess.STDOUT if output else None,
            )
        finally:
            if output:
                output.close()
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def command(self) -> list[str]:
        """The command line, with the options that this version of ComfyUI knows."""
        known = re.findall(r'"(--[a-z-]+)"', (self.host / "comfy" / "cli_args.py").read_text(encoding="utf-8"))
        options = {
            "--listen": self.listen,
            "--port": str(self.port),
            "--input-directory": str(self.folders / "input"),
            "--output-directory": str(self.folders / "output"),
            "--temp-directory": self._temporary.name,
            "--user-directory": str(self.folders / "user"),
            "--database-url": f"sqlite:///{(self.folders / 'user' / 'comfyui.db').as_posix()}",
        }
        given = [word for name, value in options.items() if name in known for word in (name, value)]
        device = [] if has_accelerator(self.python) else ["--cpu"]
        switches = [name for name in ("--disable-auto-launch",) if name in known]
        return [str(self.python), "main.py", *given, *switches, *device, *self.arguments]

    def stop(self) -> None:
        """End the process: asked first, killed after a grace time. Nothing but this process is touched."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def kill(self) -> None:
        """End the process at once, as a crash or `kill -9` would."""
        self.process.kill()
        self.process.wait()

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines the server wrote; empty if it writes to the terminal."""
        if not self.log or not self.log.is_file():
            return ""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        kept = [line[:LINE_LENGTH] for line in text.splitlines() if line.strip(" ^~")]  # not Python's underlining
        return "\n".join(kept[-lines:])

    @property
    def _address(self) -> str:
        first = self.listen.split(",")[0]
        return "127.0.0.1" if first in ("", "0.0.0.0") else first

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise StepError(
                    f"ComfyUI ended with code {self.process.returncode} before it answered.\n{self.log_tail()}",
                    f"The whole log: {self.log}" if self.log else "What it printed above says why.",
                )
            if self._answers():
                return
            time.sleep(0.2)
        raise StepError(f"ComfyUI did not answer in {START_SECONDS:.0f} s.\n{self.log_tail()}", f"Its log: {self.log}")

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self._address, self.port, timeout=5)
        try:
            connection.request("GET", "/system_stats")
            response = connection.getresponse()
            return response.status == 200 and "system" in json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _in_use(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0
