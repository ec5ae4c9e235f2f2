"""The demo: a real server, the example workflow with what the person asked for, the video, and a contact sheet of it.

Asked for nothing, it streams a film of a scene of the tiny world. A picture of one's own, a number of steps or the released
weights go through the dense workflow.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image

from wm_core.camera import path_plan
from wm_core.tiny_world import GROUNDS, SKIES, TIMES, Scene, make_scene

from .client import Client, Event
from .contact_sheet import contact_sheet
from .demo_graph import DENSE, MODEL, STREAMING, Route, Workflow, camera_path, find_node, get_input, set_input, title_of
from .environment import ROOT
from .server import Server
from .steps import StepError
from .tiny_graph import PICTURE, SEED, USUAL_FOV, on_tiny_world
from .truth import Comparison, compare_film, true_frames

START_PICTURE = ROOT / "assets" / PICTURE
SHEET_FRAMES = 12
PAIRS = 8  # frames on the sheet when the truth is under each
TOY_TITLE = "SANA-WM, tiny world: a toy that shows how the system works"
PLAN_SIZE = 400
VIDEO_ENDINGS = (".mp4", ".webm", ".mkv")


@dataclass(frozen=True)
class Request:
    """What the person asked for; None leaves the workflow's own value."""

    image: Path | None = None
    prompt: str | None = None
    actions: str | None = None
    frames: int | None = None
    seed: int | None = None
    steps: int | None = None
    released: bool = False  # the released 2.6B weights in the person's ComfyUI, not the tiny world
    out: Path = Path("out")

    @property
    def has_truth(self) -> bool:
        """The film is of a scene of the tiny world, of which everything is known."""
        return not self.released and self.image is None

    @property
    def route(self) -> Route:
        """The streaming model has its own steps."""
        return STREAMING if self.has_truth and self.steps is None else DENSE

    def workflow(self) -> Workflow:
        """The workflow with everything that was asked for in it."""
        route = self.route
        workflow = route.load() if self.released or route is STREAMING else on_tiny_world(route.load())
        apply(self, workflow)
        return workflow


def run(request: Request, host: Path) -> int:
    """Make the video and its contact sheet in `request.out`; StepError if anything on the way fails."""
    workflow = request.workflow()
    tell_limits(request)
    print("demo    starting ComfyUI ...", end="", flush=True)
    start = time.perf_counter()
    with Server(host) as server, Client(server.url) as client:
        print(f" {time.perf_counter() - start:.1f} s ({server.url})", flush=True)
        try:
            if "image" in request.route.inputs:
                client.upload_image(request.image or START_PICTURE)
            prompt_id = client.queue(workflow)
            follow(client, prompt_id, workflow)
            video = fetch_video(client, prompt_id, workflow, request.route.film, request.out)
        except StepError as error:
            raise StepError(
                f"The server's log ends with:\n{server.log_tail()}\n\n{error.why}", error.next_step
            ) from error
    print(f"demo    video          {video}")
    sheet = video.with_suffix(".png")
    truth = find_truth(video, request, workflow) if request.has_truth else None
    if truth:
        print(f"demo    {tell_likeness(truth)}")
    make_sheet(video, request, workflow, truth).save(sheet)
    print(f"demo    contact sheet  {sheet}")
    print(f"demo    done in {time.perf_counter() - start:.1f} s")
    return 0


def apply(request: Request, workflow: Workflow) -> None:
    """Write what was asked for into the workflow. The picture goes by its name, under which it is uploaded later."""
    if request.image and not request.image.is_file():
        raise StepError(f"There is no picture {request.image}.", "Give --image a PNG or JPEG file.")
    for option, place in request.route.inputs.items():
        value = getattr(request, option)
        if value is not None:
            set_input(workflow, *place, value.name if option == "image" else value)


def tell_limits(request: Request) -> None:
    """What the tiny world cannot do with what was asked for."""
    if request.released:
        return
    if request.prompt is not None:
        known = f"{', '.join(GROUNDS)} (ground); {', '.join(SKIES)} (sky); {', '.join(TIMES)}"
        print(f"demo    the tiny world knows these words and no others: {known}")
        print("demo    the first frame settles the colours; the time of day is what words can still change")
    if request.image:
        print("demo    the tiny world has only seen scenes of its own kind: a photo turns into soft shapes that move")


def follow(client: Client, prompt_id: str, workflow: Workflow) -> None:
    """Show each node of a run on a line of its own; StepError with the server's words if the run fails."""
    line = ProgressLine({node_id: title_of(node) for node_id, node in workflow.items()})
    try:
        for event in client.follow(prompt_id):
            if event.kind == "execution_error":
                raise _failure(event, line.titles)
            if event.kind == "execution_interrupted":
                raise StepError("The run was cancelled.", "Start it again.")
            line.show(event)
    except KeyboardInterrupt:
        client.interrupt()
        raise
    finally:
        line.finish()


class ProgressLine:
    """One terminal line for each node that runs: title, step, seconds. Without a terminal, only its last state."""

    def __init__(self, titles: dict[str, str]) -> None:
        self.titles, self.running, self.detail, self.start = titles, None, "", 0.0

    def show(self, event: Event) -> None:
        if event.kind == "executing" and event.data["node"] != self.running:
            self.finish()
            self.running, self.detail, self.start = event.data["node"], "", time.perf_counter()
        elif event.kind == "progress_state" and self.running in event.data["nodes"]:
            state = event.data["nodes"][self.running]
            if state["max"] > 1:
                self.detail = f"step {state['value']:.0f}/{state['max']:.0f}"
        elif event.kind == "execution_cached":
            return
        if self.running and sys.stdout.isatty():
            print(f"\r{self._text()}\033[K", end="", flush=True)

    def finish(self) -> None:
        if self.running:
            print(f"\r{self._text()}" if sys.stdout.isatty() else self._text(), flush=True)
        self.running = None

    def _text(self) -> str:
        title = self.titles.get(self.running, self.running)
        return f"demo    {title:<32} {self.detail:<16} {time.perf_counter() - self.start:7.1f} s"


def fetch_video(client: Client, prompt_id: str, workflow: Workflow, film: str, out: Path) -> Path:
    """Save the film of a run, the video of the node with that title, into `out` under a name that is free there."""
    (number,) = [number for number, node in workflow.items() if node is find_node(workflow, film)]
    outputs = client.history(prompt_id).get("outputs", {}).get(number, {})
    files = [item for items in outputs.values() if isinstance(items, list) for item in items]
    videos = [f for f in files if isinstance(f, dict) and str(f.get("filename", "")).endswith(VIDEO_ENDINGS)]
    if not videos:
        raise StepError("The run ended without a video.", f"Is '{film}' a node that saves a video?")
    last = videos[-1]
    content = client.view(last["filename"], last.get("subfolder", ""), last.get("type", "output"))
    name = Path(last["filename"])
    out.mkdir(parents=True, exist_ok=True)
    target, number = out / name.name, 1
    while target.exists() or target.with_suffix(".png").exists():
        number += 1
        target = out / f"{name.stem}{number}{name.suffix}"
    target.write_bytes(content)
    return target


def find_truth(video: Path, request: Request, workflow: Workflow, *, shown: int = PAIRS) -> Comparison | None:
    """A film of the tiny world beside what its camera would really have seen; None for a single frame.

    shown: how many true frames are kept, evenly spaced.
    """
    _, times, (count, size, fps) = read_frames(video, shown)
    path = camera_path(workflow, size, fps, fov=USUAL_FOV)
    if count < 2 or path is None:
        return None
    truth = true_frames(scene_of(request.route, workflow), path.with_length(count), prompt_of(request.route, workflow))
    return compare_film(video, truth, [round(time * fps) for time in times])


def scene_of(route: Route, workflow: Workflow) -> Scene:
    """The scene of the tiny world that the workflow starts in, unless it is given another picture."""
    return make_scene(get_input(workflow, *route.scene) if route.scene else SEED)


def prompt_of(route: Route, workflow: Workflow) -> str:
    """What the text encoder is given; a workflow that draws its scene has the scene's own words by default."""
    text = route.get(workflow, "prompt")
    return scene_of(route, workflow).prompt("day") if text is None else str(text)


def tell_likeness(truth: Comparison) -> str:
    return f"PSNR {truth.psnr:.1f} dB of the film against the exact render, without the given first frame"


def make_sheet(video: Path, request: Request, workflow: Workflow, truth: Comparison | None = None) -> Image.Image:
    """The contact sheet of a finished video, beside the truth where it is known."""
    frames, times, (count, size, fps) = read_frames(video, PAIRS if truth else SHEET_FRAMES)
    film = f"{count} frames, {size[0]} x {size[1]}, {fps:g} fps, {count / fps:.2f} s"
    caption = write_caption(request.route, workflow, truth, {"Video": film, "File": video.name})
    path = camera_path(workflow, size, fps, fov=USUAL_FOV)
    plan = path and path_plan(path, (PLAN_SIZE, PLAN_SIZE))
    title = "SANA-WM" if request.released else TOY_TITLE
    return contact_sheet(frames, plan, caption, times=times, title=title, truth=truth and truth.frames)


def write_caption(route: Route, workflow: Workflow, truth: Comparison | None, film: dict[str, str]) -> list[str]:
    """Lines "label: value" of what was asked for and what came of it."""
    known = {"Prompt": prompt_of(route, workflow)}
    known |= {option.capitalize(): route.get(workflow, option) for option in ("actions", "seed", "steps")}
    known |= {
        "Scene": get_input(workflow, *route.scene) if route.scene else None,
        "Truth": truth and tell_likeness(truth),
        **film,
        "Dialect": get_input(workflow, "Camera", "dialect"),
        "Model": get_input(workflow, *MODEL),
    }
    return [f"{label}: {value}" for label, value in known.items() if value is not None]


def read_frames(video: Path, at_most: int) -> tuple[list[np.ndarray], list[float], tuple[int, tuple[int, int], float]]:
    """Evenly spaced frames with the first and the last, their seconds, and (frame count, (width, height), fps)."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        fps, size = float(stream.average_rate), (stream.codec_context.width, stream.codec_context.height)
        count = sum(1 for _ in container.decode(stream))
    if not count:
        raise StepError(f"{video} holds no frame.", "The server's log may say why.")
    chosen = {round(i) for i in np.linspace(0, count - 1, min(at_most, count))}
    with av.open(str(video)) as container:
        decoded = enumerate(container.decode(video=0))
        frames = [frame.to_ndarray(format="rgb24") for index, frame in decoded if index in chosen]
    return frames, [index / fps for index in sorted(chosen)], (count, size, fps)


def _failure(event: Event, titles: dict[str, str]) -> StepError:
    data = event.data
    node = titles.get(data.get("node_id"), data.get("node_id"))
    kind = str(data.get("exception_type")).rpartition(".")[2]
    words = str(data.get("exception_message", "")).strip()
    return StepError(
        f"Node '{node}' ({data.get('node_type')}) failed: {kind}: {words}",
        "If an option caused it, change that option; the message above names what was got and what was wanted.",
    )
