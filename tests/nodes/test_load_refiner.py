"""nodes/load_refiner.py inside the host: every layout, what is told, what is refused, and the prompt through its CLIP."""

from __future__ import annotations

import pytest
import torch
from gemma3_clips import encode
from refiner_nodes import refine
from rollout_nodes import run_node

from tools.make_tiny_gemma3 import FOLDERS, write_folder
from tools.make_tiny_refiner import FILE, REFINERS, write_refiner

DIFFUSERS = f"sana_wm_refiner/transformer/{FILE}"
ENCODER = "gemma_3_tiny"


@pytest.fixture
def models(pack, host_folders):
    """The tiny refiner in every layout and a tiny Gemma-3 in the host's model folders."""
    import shutil

    folder = host_folders / "models"
    for row in REFINERS.values():
        write_refiner(folder, row)
    written = write_folder(host_folders / "written", FOLDERS["text_only_sharded"])
    shutil.copytree(written, folder / "text_encoders" / ENCODER)
    return folder


def load(file=DIFFUSERS, text_encoder=ENCODER, **options):
    from sana_wm_pack.nodes.load_refiner import SanaWMRefinerLoader

    return run_node(SanaWMRefinerLoader, file=file, text_encoder=text_encoder, **options)


def options_of(name):
    from sana_wm_pack.nodes.load_refiner import SanaWMRefinerLoader

    return next(w for w in SanaWMRefinerLoader.define_schema().inputs if w.id == name).options


def test_files_and_folders_are_offered(models):
    assert DIFFUSERS in options_of("file") and "ltx-2-19b-dev.safetensors" in options_of("file")
    assert options_of("text_encoder") == [ENCODER, "none"], "a folder's shards are one choice"


@pytest.mark.parametrize(
    "file", [DIFFUSERS, f"sharded/transformer/{FILE.removesuffix('.safetensors')}-00002-of-00003.safetensors"]
)
def test_from_prompt_to_refined_latents(models, told, file):
    model, clip, info = load(file)
    context = encode(clip)
    assert context[0][0].shape == (1, 1024, 32)
    latent, _ = refine(model, positive=context)
    assert latent["samples"].isfinite().all()
    assert "SanaWM" not in info and "Not verified" not in info and told()[0] == info


def test_what_is_told(models, told):
    model, _, info = load()
    from sana_wm_pack.nodes.load_refiner import GRID
    from sana_wm_pack.nodes.native_refiner import planned_memory
    from sana_wm_pack.wm_core.config import RELEASED_REFINING

    need = planned_memory(model, RELEASED_REFINING, GRID, 1024)
    first, second, third = info.splitlines()
    assert first.startswith(f"{FILE}: LTX-2 transformer, diffusers names, 0.07M parameters, 0.01M of audio")
    assert "3 blocks, 2 heads of 16, rope split (config.json" in second
    assert third.startswith("At 1280 x 704, any length: ") and f"window {need.window / 1e6:.1f} MB" in third


def test_swapped_blocks_rest_in_the_computers_memory(models, told):
    _, _, whole = load(text_encoder="none")
    _, _, swapped = load(text_encoder="none", resident_blocks=0)
    assert "rest in the computer's memory" in swapped and "rest in the computer's memory" not in whole


def test_without_an_encoder_there_is_no_clip(models, told):
    model, clip, _ = load(text_encoder="none")
    assert clip is None and model is not None


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (f"plain/transformer/{FILE}", "Not verified: nothing in it says whose"),
        ("ltx-2-19b-dev.safetensors", "WARNING: its name is that of stock LTX-2"),
    ],
)
def test_doubts_are_told(models, told, file, words):
    if file.startswith("plain"):
        (models / "checkpoints" / "ltx-2-19b-dev.safetensors").unlink()
    _, _, info = load(file)
    assert words in info


def test_the_users_own_stock_file_betrays_an_unfused_conversion(models, told):
    from sana_wm_pack.wm_core.errors import CheckpointError

    with pytest.raises(CheckpointError, match="ltx-2-19b-dev.safetensors, which is stock LTX-2.*use_anyway"):
        load()
    _, _, info = load(use_anyway=True)
    assert "WARNING" in info and "Expect broken video" in info


@pytest.fixture(autouse=True)
def no_stock(request, models):
    """All tiny files have the same tensors, so the stock one is only there where a test is about it."""
    if "stock" not in request.node.name and "doubts" not in request.node.name and "offered" not in request.node.name:
        (models / "checkpoints" / "ltx-2-19b-dev.safetensors").unlink()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"file": "bare/sana_wm_refiner.safetensors"}, "nothing says which channels"),
        ({"file": "bare/sana_wm_refiner.safetensors", "rope": "split"}, "no text connectors lie beside"),
        ({"file": "gone.safetensors"}, "gone.safetensors is not in models/diffusion_models or models/checkpoints"),
        ({"rope": "spiral"}, "rope must be one of"),
        ({"connectors": DIFFUSERS}, "is not the text connectors of LTX-2"),
        ({"rope": "interleaved", "connectors": "none"}, "is not in models"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(models, told, options, words):
    from sana_wm_pack.wm_core.errors import SanaWMError

    with pytest.raises(SanaWMError, match=words):
        load(**options)


def test_an_encoder_of_another_size_is_refused(models, told):
    import json

    from sana_wm_pack.wm_core.errors import CheckpointError

    config = models / "text_encoders" / ENCODER / "config.json"
    stated = json.loads(config.read_text())
    (stated.get("text_config") or stated).update(hidden_size=64)
    config.write_text(json.dumps(stated))
    with pytest.raises(CheckpointError, match="8 hidden states of 64 channels, .* reads 8 of 32; take Gemma-3-12B"):
        load()


def validated(**inputs):
    from sana_wm_pack.nodes.load_refiner import SanaWMRefinerLoader

    return SanaWMRefinerLoader.validate_inputs(**inputs)


def test_validation_says_what_is_missing_before_the_run(models, monkeypatch):
    assert validated(text_encoder="none") is True and validated(text_encoder=ENCODER) is True
    assert "is not in models/text_encoders" in validated(text_encoder="gone")
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if "transformers" in name else real(name, *a))
    assert "not installed here; run `pip install" in validated(text_encoder=ENCODER)


def test_a_single_file_needs_a_host_that_has_the_encoder(models, told):
    from sana_wm_pack.nodes.gemma3_encoders import host_reads_gemma3

    from tools.make_tiny_gemma3 import write_single_file

    write_single_file(models / "text_encoders" / "gemma_3_12b.safetensors")
    words = validated(text_encoder="gemma_3_12b.safetensors")
    assert isinstance(words, str), "the tiny file is not of the released sizes either"
    if not host_reads_gemma3():
        assert torch.__version__ and ("Gemma-3-12B" in words)


@pytest.mark.parametrize("kind", ["fp8"])
def test_quantised_refiner(models, told, tmp_path, kind):
    from tools.quantize import Options, quantize

    source = models / "diffusion_models" / DIFFUSERS
    target = source.with_name("fp8.safetensors")
    quantize(source, target, Options(kind))
    model, _, info = load(f"sana_wm_refiner/transformer/{target.name}", text_encoder="none")
    assert "float8_e4m3fn" in info
    exact, _ = refine(load(text_encoder="none")[0], prefix="exact")
    got, _ = refine(model, prefix="rounded")
    swapped, _ = refine(
        load(f"sana_wm_refiner/transformer/{target.name}", text_encoder="none", resident_blocks=1)[0], prefix="swapped"
    )
    assert torch.equal(swapped["samples"], got["samples"]), "quantised blocks take turns like others"
    ratio = ((got["samples"] - exact["samples"]).square().mean() / exact["samples"].square().mean()).sqrt()
    assert 1e-4 < ratio < 0.2


def test_quantised_file_of_original_names(models, told):
    """As people have LTX-2: one file, original names under the host's prefix, the audio half and the connectors inside."""
    import json

    from safetensors import safe_open
    from safetensors.torch import save_file

    from tools.make_name_lists import original_refiner_name
    from tools.quantize import Options, quantize

    source = models / "diffusion_models" / DIFFUSERS
    rounded = source.with_name("fp8.safetensors")
    quantize(source, rounded, Options("fp8"))
    with safe_open(rounded, framework="pt") as file:
        stated = json.loads(file.metadata()["_quantization_metadata"])
        weights = {original_refiner_name(key): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    write_refiner(models, REFINERS["original"])
    original = models / "checkpoints" / "ltx-2-19b-dev.safetensors"
    with safe_open(original, framework="pt") as file:
        config = file.metadata()["config"]
        rest = {key: file.get_tensor(key) for key in file.keys() if key not in weights}  # noqa: SIM118
    original.unlink()
    prefix = "model.diffusion_model."
    layers = {original_refiner_name(name).removeprefix(prefix): value for name, value in stated["layers"].items()}
    metadata = {"config": config, "_quantization_metadata": json.dumps(stated | {"layers": layers})}
    save_file(rest | weights, models / "checkpoints" / "sana_wm_refiner_fp8.safetensors", metadata)
    model, clip, info = load("sana_wm_refiner_fp8.safetensors")
    assert "original names" in info and "float8_e4m3fn" in info and clip is not None
    want, _ = refine(load(f"sana_wm_refiner/transformer/{rounded.name}", text_encoder="none")[0], prefix="a")
    got, _ = refine(model, prefix="b")
    assert torch.equal(got["samples"], want["samples"])
