#!/usr/bin/env python3
"""The developer's entry point: sets up what a command needs, then runs it. Needs Python 3.10 and pip, nothing else.

    python3 dev.py demo     make a film of a scene along an action string, on a real ComfyUI server
    python3 dev.py test     lint and tests (further arguments go to pytest)
    python3 dev.py serve    ComfyUI with the pack, for a browser
    python3 dev.py bench    measure (further arguments go to benchmarks/run.py)

Set-up makes .venv and, without a ComfyUI of your own, .host/ComfyUI. It is quick when nothing changed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).absolute().parent
NEEDS = {"demo": "host", "serve": "host", "test": "browser", "bench": "test"}
SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")  # all tests: two files at a time, in order
PASSES_ON = ("test", "bench")  # their unknown arguments are another program's


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 10):  # noqa: UP036 (a person may type any python3)
        print(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}: try python3.12 dev.py")
        return 1
    sys.path.insert(0, str(ROOT))
    from tools.steps import StepError

    options, rest = parse(arguments)
    try:
        if options.ready is None:
            return start_again(options, arguments)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a server that was started is stopped
        return COMMANDS[options.command](options, rest)
    except StepError as error:
        print(f"\n{error.why}\n\n{error.next_step}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    usage = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("dev.py", description=__doc__, formatter_class=usage, allow_abbrev=False)
    parser.add_argument("--ready", help=argparse.SUPPRESS)  # set-up was done; the ComfyUI folder it found
    commands = parser.add_subparsers(dest="command", required=True, metavar="{demo,test,serve,bench}")
    parsers = {name: commands.add_parser(name, allow_abbrev=False) for name in NEEDS}
    for name in ("demo", "test", "serve"):
        parsers[name].add_argument("--comfyui", metavar="PATH", help="a ComfyUI of your own (also COMFYUI_PATH)")
    demo = parsers["demo"].add_argument
    demo("--image", type=Path, help="the first frame (default: a scene of the tiny world); takes the dense model")
    demo("--prompt", help="what is seen; the tiny world knows a few words and tells which")
    demo("--released", action="store_true", help="use the released 2.6B weights of your ComfyUI, not the tiny world")
    demo("--actions", metavar="TEXT", help='camera moves, e.g. "w-40,dw-20"')
    demo("--frames", type=int, help="pixel frames, 8 n + 1")
    demo("--seed", type=int)
    demo("--steps", type=int, help="sampling steps of the dense model (default: the streaming one, with its four)")
    demo("--out", type=Path, default=Path("out"), help="folder for the video and the contact sheet (default: out)")
    parsers["serve"].add_argument("--port", type=int, default=8188)
    parsers["serve"].add_argument("--listen", default="127.0.0.1", metavar="IP")
    parsers["bench"].add_argument("--gpu", action="store_true", help="measure on the GPU")
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command not in PASSES_ON:
        parsers[options.command].error(f"unknown arguments: {' '.join(rest)}")
    return options, rest


def start_again(options: argparse.Namespace, arguments: list[str]) -> int:
    """Set up, then run this file again with the Python that has everything."""
    from tools import host

    start = time.perf_counter()
    ready = host.prepare(NEEDS[options.command], getattr(options, "comfyui", None))
    what = f"ComfyUI in {ready.folder}, " if ready.folder else ""
    print(f"set-up  done in {time.perf_counter() - start:.1f} s: {what}Python {ready.python}", flush=True)
    command = [str(ready.python), str(ROOT / "dev.py"), "--ready", str(ready.folder or ""), *arguments]
    if os.name == "nt":
        return subprocess.call(command)
    os.execv(command[0], command)


def demo(options: argparse.Namespace, rest: list[str]) -> int:
    from tools.demo import Request, run

    names = ("image", "prompt", "actions", "frames", "seed", "steps", "released", "out")
    return run(Request(**{name: getattr(options, name) for name in names}), Path(options.ready))


def serve(options: argparse.Namespace, rest: list[str]) -> int:
    from tools.server import Server

    with Server(Path(options.ready), port=options.port, listen=options.listen, log=None) as server:
        print(f"\nComfyUI with SANA-WM: {server.url}    Ctrl-C stops it.", flush=True)
        print(f"Its input, output and user folders are in {server.folders}.\n", flush=True)
        try:
            server.process.wait()
        except KeyboardInterrupt:
            print("\nstopping the server")
            return 0
    return server.process.returncode


def test(options: argparse.Namespace, rest: list[str]) -> int:
    # one thread per process: the models of the tests are tiny, and sums in a fixed order keep their tolerances
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **os.environ, "COMFYUI_PATH": options.ready}
    environment["SANA_WM_REQUIRE_HOST"] = "1"  # set-up has made one: a test that misses it fails and does not skip
    lint = subprocess.call([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT)
    side_by_side = () if rest else SIDE_BY_SIDE
    return subprocess.call([sys.executable, "-m", "pytest", *side_by_side, *rest], cwd=ROOT, env=environment) or lint


def bench(options: argparse.Namespace, rest: list[str]) -> int:
    program = ROOT / "benchmarks" / "run.py"
    return subprocess.call([sys.executable, str(program), *["--gpu"] * options.gpu, *rest], cwd=ROOT)


COMMANDS = {"demo": demo, "serve": serve, "test": test, "bench": bench}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
