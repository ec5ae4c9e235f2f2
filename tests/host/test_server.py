"""The pack in a real server: the example graph makes a video, a cancelled run makes none, errors are clear."""

import json
import re
import time

import av
import numpy as np
import pytest
from cases import ROOT
from conftest import LORA
from PIL import Image

from tools import make_workflows
from tools.demo_graph import set_input
from tools.steps import StepError
from tools.tiny_graph import SIZE

pytestmark = pytest.mark.host
OURS = re.compile(r"sana.?wm", re.IGNORECASE)


def run(client, graph):
    """(events, history entry) of a finished run."""
    prompt_id = client.queue(graph)
    events = list(client.follow(prompt_id))
    return events, client.history(prompt_id)


def saved_videos(history):
    items = [
        i
        for node in history.get("outputs", {}).values()
        for found in node.values()
        if isinstance(found, list)
        for i in found
    ]
    return [i for i in items if isinstance(i, dict) and str(i.get("filename", "")).endswith(".mp4")]


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(frames), float(stream.average_rate), dict(container.metadata)


def test_start_up_prints_no_error_of_ours(server, object_info):
    log = server.log.read_text().partition("got prompt")[0]  # other tests' prompts may fail on purpose
    at_fault = [
        line
        for line in log.splitlines()
        if OURS.search(line) and re.search("error|traceback|failed", line, re.IGNORECASE)
    ]
    assert not at_fault, at_fault
    assert "(IMPORT FAILED)" not in log, "a custom node did not load"
    ours = sorted(name for name in object_info if name.startswith("SanaWM"))
    assert ours == sorted(
        [
            "SanaWMActionsConvert",
            "SanaWMCameraConvert",
            "SanaWMCameraEdit",
            "SanaWMCameraEditor",
            "SanaWMCameraFromActions",
            "SanaWMCameraFromLoad3D",
            "SanaWMCameraJoin",
            "SanaWMCameraLoad",
            "SanaWMCameraOverlay",
            "SanaWMCameraPreflight",
            "SanaWMCameraPreset",
            "SanaWMCameraPreview",
            "SanaWMCameraSave",
            "SanaWMCameraToWan",
            "SanaWMCompare",
            "SanaWMContinueVideo",
            "SanaWMDecodeToVideo",
            "SanaWMExtend",
            "SanaWMGenerate",
            "SanaWMImageToVideo",
            "SanaWMIntrinsics",
            "SanaWMLoadSession",
            "SanaWMLoadTextEmbedding",
            "SanaWMModelLoader",
            "SanaWMQuality",
            "SanaWMRefine",
            "SanaWMRefinerLoader",
            "SanaWMSaveSession",
            "SanaWMSaveTextEmbedding",
            "SanaWMScheduler",
            "SanaWMStitch",
            "SanaWMStreamingSampler",
            "SanaWMTextEncode",
            "SanaWMTextEncoderLoader",
            "SanaWMTinyWorld",
            "SanaWMVAELoader",
        ]
    )


def test_every_node_explains_itself(object_info):
    for name, info in object_info.items():
        if name.startswith("SanaWM"):
            assert info["description"], name
            assert info["category"].startswith("SANA-WM/"), name
            assert (ROOT / "web" / "docs" / f"{name}.md").is_file(), f"{name} has no help page"
            for group in ("required", "optional"):
                for key, declaration in info["input"].get(group, {}).items():
                    is_widget = isinstance(declaration[0], list) or declaration[0] in (
                        "INT",
                        "FLOAT",
                        "STRING",
                        "COMBO",
                        "BOOLEAN",
                    )
                    assert not is_widget or declaration[1].get("tooltip"), f"{name}.{key} has no tooltip"


def test_committed_workflows_are_what_the_script_makes(object_info):
    for name, graph in make_workflows.GRAPHS.items():
        ui, api = make_workflows.forms(graph, object_info)
        assert json.loads((make_workflows.FOLDER / f"{name}.json").read_text()) == ui
        assert json.loads((make_workflows.FOLDER / "api" / f"{name}.json").read_text()) == api


def test_example_graph_makes_a_video_that_starts_at_the_picture(server, client, graph):
    events, history = run(client, graph)
    assert not [e for e in events if e.kind == "execution_error"], events
    assert history["status"]["status_str"] == "success"
    (item,) = saved_videos(history)
    video = server.folders / "output" / item["subfolder"] / item["filename"]
    frames, fps, metadata = decode(video)
    assert frames.shape == (33, *SIZE, 3) and fps == 16
    assert frames.astype(float).std() > 20, "one colour"
    steps = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
    assert (steps > 0.3).mean() > 0.8, "the camera moves, so must the pictures"
    picture = np.array(Image.open(ROOT / "assets" / "start_picture.png").convert("RGB"))
    assert picture.shape == frames[0].shape
    psnr = 10 * np.log10(255**2 / np.square(frames[0] - picture.astype(float)).mean())
    assert psnr > 24, f"first frame {psnr:.1f} dB from the picture; the VAE alone reaches 29"
    recorded = json.loads(metadata["prompt"])
    assert any(node["class_type"] == "SanaWMModelLoader" for node in recorded.values())
    assert json.loads(metadata["sana_wm"])["models"][0]["reference"] == "diffusers"


def test_a_second_run_is_labelled_too(server, client, graph):
    """The loader's node comes from the host's cache then, and does not run."""
    for seed in (21, 22):
        set_input(graph, "Noise", "noise_seed", seed)
        set_input(graph, "Steps", "steps", 1)
        events, history = run(client, graph)
        (item,) = saved_videos(history)
        _, _, metadata = decode(server.folders / "output" / item["subfolder"] / item["filename"])
        assert json.loads(metadata["sana_wm"])["models"][0]["model"] == "sana_wm_tiny_world"
    loader = next(n for n, node in graph.items() if node["class_type"] == "SanaWMModelLoader")
    assert any(loader in e.data["nodes"] for e in events if e.kind == "execution_cached")


def with_ksampler(graph, lora_strength=None):
    """The same graph with KSampler and VAEDecode in place of the custom sampler, and a core LoRA loader if asked."""
    titles = {node["_meta"]["title"]: number for number, node in graph.items()}
    model = [titles["World model"], 0]
    if lora_strength is not None:
        inputs = {"model": model, "lora_name": LORA, "strength_model": lora_strength}
        graph["lora"] = {"class_type": "LoraLoaderModelOnly", "inputs": inputs, "_meta": {"title": "LoRA"}}
        model = ["lora", 0]
    start = titles["Image to video"]
    graph["ksampler"] = {
        "class_type": "KSampler",
        "_meta": {"title": "KSampler"},
        "inputs": {
            "model": model,
            "positive": [start, 0],
            "negative": [start, 1],
            "latent_image": [start, 2],
            "seed": 1,
            "steps": 4,
            "cfg": 1.0,
            "sampler_name": "euler",
            "scheduler": "simple",
            "denoise": 1.0,
        },
    }
    for title in ("Noise", "Guidance", "Sampler kind", "Steps", "Sampler"):
        del graph[titles[title]]
    decode = {"samples": ["ksampler", 0], "vae": [titles["Video VAE"], 0]}
    graph[titles["Decode"]] = {"class_type": "VAEDecode", "inputs": decode, "_meta": {"title": "Decode"}}
    return graph


def test_ksampler_vae_decode_and_a_core_lora_loader(server, client, graph):
    clips = {}
    for strength in (None, 0.0, 1.0):
        pictures = with_ksampler(json.loads(json.dumps(graph)), strength)
        number = next(n for n, node in pictures.items() if node["_meta"]["title"] == "Decode")
        inputs = {"images": [number, 0], "filename_prefix": f"lora_{strength}"}  # the MP4 of equal frames may differ
        pictures["pictures"] = {"class_type": "SaveImage", "inputs": inputs, "_meta": {"title": "Pictures"}}
        _, history = run(client, pictures)
        assert saved_videos(history)
        files = sorted((server.folders / "output").glob(f"lora_{strength}_*.png"))
        clips[strength] = np.stack([np.array(Image.open(f)).astype(float) for f in files])
    plain, idle, adapted = clips.values()
    assert plain.shape == (33, *SIZE, 3) and plain.std() > 20
    assert np.array_equal(plain, idle), "a LoRA of strength 0 changes nothing"
    assert np.abs(adapted - plain)[8:].mean() > 2, "a LoRA of strength 1 must be seen"


def test_progress_is_told_step_by_step(client, graph):
    set_input(graph, "Noise", "noise_seed", 7)
    events, _ = run(client, graph)
    steps = [
        node["value"]
        for e in events
        if e.kind == "progress_state"
        for node in e.data["nodes"].values()
        if node["max"] == 6
    ]
    assert {1, 2, 3, 4, 5, 6} <= set(map(int, steps))


def test_a_cancelled_run_leaves_nothing_that_looks_done(server, client, graph):
    set_input(graph, "Noise", "noise_seed", 8)
    set_input(graph, "Steps", "steps", 400)
    before = sorted(p.name for p in (server.folders / "output").rglob("*"))
    prompt_id = client.queue(graph)
    kinds = []
    for event in client.follow(prompt_id):
        kinds.append(event.kind)
        values = (
            [n["value"] for n in event.data.get("nodes", {}).values() if n["max"] == 400]
            if event.kind == "progress_state"
            else []
        )
        if values and max(values) >= 2 and "interrupt" not in kinds:
            asked = time.monotonic()
            client.interrupt()
            kinds.append("interrupt")
    assert time.monotonic() - asked < 20
    assert "execution_interrupted" in kinds and "execution_success" not in kinds
    history = client.history(prompt_id)
    assert history["status"]["status_str"] == "error" and not saved_videos(history)
    assert sorted(p.name for p in (server.folders / "output").rglob("*")) == before
    set_input(graph, "Steps", "steps", 2)
    _, again = run(client, graph)
    assert saved_videos(again), "the server must go on working after a cancelled run"


def test_a_bad_action_string_is_one_clear_error(client, graph):
    set_input(graph, "Camera", "actions", "w-12,q-3")
    events, history = run(client, graph)
    (error,) = [e for e in events if e.kind == "execution_error"]
    assert error.data["node_type"] == "SanaWMCameraFromActions"
    assert "CameraError" in error.data["exception_type"]
    assert "segment 2" in error.data["exception_message"] and "q-3" in error.data["exception_message"]
    assert not saved_videos(history)


def test_a_size_off_the_grid_names_the_nearest(client, graph):
    set_input(graph, "Image to video", "width", 98)
    events, _ = run(client, graph)
    (error,) = [e for e in events if e.kind == "execution_error"]
    assert "multiple of 8 x 8" in error.data["exception_message"] and "96 x 128" in error.data["exception_message"]


def test_a_missing_model_is_one_clear_error(client, graph):
    set_input(graph, "World model", "file", "nowhere.safetensors")
    events, history = run(client, graph)
    (error,) = [e for e in events if e.kind == "execution_error"]
    assert "nowhere.safetensors is not in models/diffusion_models" in error.data["exception_message"]
    assert not saved_videos(history)


def test_the_tiny_world_s_truth_starts_at_its_picture(server, client):
    """Its field of view and picture make the camera, along which a second node of the same seed renders."""
    world = {"seed": 900_000, "width": 112, "height": 64, "time": "day"}
    camera = {"actions": "dw-4", "dialect": "nvlabs-v1", "fov": ["start", 1], "image": ["start", 0], "fps": 16.0}
    graph = {
        "start": ("SanaWMTinyWorld", world),
        "camera": ("SanaWMCameraFromActions", camera | {"translation_speed": 0.0, "rotation_speed": 0.0}),
        "truth": ("SanaWMTinyWorld", world | {"becomes": "night", "camera": ["camera", 0]}),
        "first": ("SaveImage", {"images": ["start", 0], "filename_prefix": "tiny_first"}),
        "all": ("SaveImage", {"images": ["truth", 3], "filename_prefix": "tiny_all"}),
        "words": ("PreviewAny", {"source": ["truth", 2]}),
    }
    nodes = {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in graph.items()}
    events, history = run(client, nodes)
    assert history["status"]["status_str"] == "success", events
    first, *frames = (
        np.array(Image.open(file))
        for prefix in ("tiny_first", "tiny_all")
        for file in sorted((server.folders / "output").glob(f"{prefix}_*.png"))
    )
    assert len(frames) == 5 and np.array_equal(first, frames[0]) and not np.array_equal(first, frames[1])
    assert history["outputs"]["words"]["text"] == ["green ground, blue sky, night"]


def test_a_graph_that_cannot_run_is_refused_whole(client, graph):
    """The server would run the camera preview alone and say nothing of the rest."""
    set_input(graph, "Steps", "steps", 0)
    with pytest.raises(StepError, match="steps"):
        client.queue(graph)
