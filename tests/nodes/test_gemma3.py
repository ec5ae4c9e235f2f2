"""The refiner's text encoder inside the real host: tiny random Gemma-3s in every layout, against transformers' own."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import torch
from gemma3_clips import PROMPT, WIDTH, Connectors, check_close, encode, hidden_states, ids_of
from safetensors.torch import load_file, save_file

from tools.make_tiny_gemma3 import FOLDERS, SINGLE_FILE, SLIDING_WINDOW, TINY_FILE_GEMMA3, TINY_GEMMA3, make_tiny_gemma3


@pytest.fixture(scope="session")
def gemma3(pack):
    return importlib.import_module("sana_wm_pack.nodes.gemma3")


@pytest.fixture(scope="session")
def core(pack):
    return importlib.import_module("sana_wm_pack.wm_core.text")


@pytest.fixture(scope="session")
def errors(pack):
    return importlib.import_module("sana_wm_pack.wm_core.errors")


@pytest.fixture(scope="session")
def encoders(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gemma3")
    make_tiny_gemma3(folder)
    return folder


@pytest.fixture
def user_folder(host_folders):
    return host_folders / "user"


@pytest.fixture
def make(gemma3, core, user_folder):
    """make(path) -> CLIP with connectors that fit, on the CPU; make(path, "other") for others' fingerprint."""

    def make(path, fingerprint="connectors", config=TINY_GEMMA3, device="cpu"):
        config = core.GemmaConfig(**vars(config))  # the pack's own class
        return gemma3.refiner_clip(str(path), Connectors(config), device=device, fingerprint=fingerprint, config=config)

    return make


@pytest.fixture
def missing(gemma3, core):
    return lambda path, config=TINY_GEMMA3: gemma3.missing_encoder(str(path), core.GemmaConfig(**vars(config)))


@pytest.mark.parametrize("row", FOLDERS.values(), ids=FOLDERS)
def test_every_folder_gives_the_hidden_states_of_transformers(make, encoders, row):
    clip = make(encoders / row.path)
    ids = ids_of(clip)
    assert len(ids) > SLIDING_WINDOW
    states = clip.cond_stage_model.encoder.states(ids)
    want = hidden_states(ids)
    assert states.shape == want.shape == (1, len(ids), TINY_GEMMA3.hidden_size, TINY_GEMMA3.layers + 1)
    for layer in range(TINY_GEMMA3.layers + 1):
        check_close(states[..., layer], want[..., layer])


def test_in_bf16_too_the_folder_gives_what_transformers_gives(make, encoders):
    """What a graphics card computes in, against transformers' own loading of that folder. The factor of the embedding is
    rounded to bf16, as in training and in all but the first releases of transformers that know the model."""
    from transformers import Gemma3ForCausalLM

    model = Gemma3ForCausalLM.from_pretrained(encoders / "text_only", torch_dtype=torch.bfloat16).model
    encoder = make(encoders / "text_only").cond_stage_model.encoder
    encoder.places.dtype = torch.bfloat16
    ids = list(range(4, 60))
    with torch.inference_mode():
        states = encoder.states(ids)
        embedded = model.embed_tokens.weight[ids] * torch.tensor(TINY_GEMMA3.hidden_size**0.5).bfloat16()
        assert torch.equal(states[0, ..., 0], embedded)
        want = model(inputs_embeds=embedded[None], output_hidden_states=True, use_cache=False).hidden_states
    for got, wanted in zip(states.unbind(-1), want, strict=True):
        assert got.dtype == wanted.dtype == torch.bfloat16
        check_close(got.float(), wanted.float(), 5e-3)


def test_released_size_has_the_weights_that_are_looked_for(pack, core):
    """Without memory for them. The config.json of the release states no more than this."""
    stated = {"hidden_size": 3840, "intermediate_size": 15360, "num_attention_heads": 16, "num_hidden_layers": 48}
    stated |= {"model_type": "gemma3_text", "num_key_value_heads": 8, "sliding_window": 1024}
    stated |= {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
    folder = importlib.import_module("sana_wm_pack.nodes.gemma3_folder")
    network = folder.LanguageModel(core.Gemma3Files(Path("x"), stated, {}, Path("x")))
    found = {f"model.{name}": tuple(weight.shape) for name, weight in network.model.state_dict().items()}
    assert found == core.gemma3_weight_shapes()
    assert all(weight.is_meta for weight in network.parameters())
    assert {round(table[0].item(), 6) for table in network.buffers()} == {1.0, 0.125}  # windowed; whole, stretched by 8


def test_padding_on_the_left_changes_nothing_but_rounding(make, encoders):
    """The released recipe pads on the left and masks that; we encode the tokens alone."""
    ids = ids_of(make(encoders / "newer"))
    padding = 100 - len(ids)
    padded = hidden_states([0] * padding + ids, [0] * padding + [1] * len(ids))
    check_close(padded[:, padding:], hidden_states(ids), 1e-4)


def test_conditioning_is_packed_then_connected(make, encoders, core):
    clip = make(encoders / "newer")
    ((context, extra),) = encode(clip)
    ids = ids_of(clip)
    states = hidden_states(ids)
    want = Connectors(TINY_GEMMA3)(core.pack_hidden_states(states)).detach()
    assert context.shape == (1, 1024, WIDTH) and context.dtype == torch.float32
    check_close(context, want, 1e-4)
    assert extra["sana_wm_prompt"] == PROMPT and extra["sana_wm_encoder"] == "gemma-3-12b"
    assert extra["pooled_output"] is None


def test_a_clip_of_the_host_that_can_be_cloned_and_offloaded(make, encoders):
    import comfy.model_management as management
    import comfy.model_patcher
    import comfy.sd

    clip = make(encoders / "newer")
    assert type(clip) is comfy.sd.CLIP and isinstance(clip.patcher, comfy.model_patcher.ModelPatcher)
    context = encode(clip)[0][0]
    loaded = [entry.model for entry in management.current_loaded_models]
    text = clip.cond_stage_model
    assert text.encoder.patcher in loaded and text.connectors in loaded
    management.unload_all_models()
    assert torch.equal(encode(clip.clone())[0][0], context)
    assert torch.equal(encode(clip.clone(), PROMPT + "again")[0][0], encode(clip, PROMPT + "again")[0][0])


def test_prompt_is_stripped_starts_once_and_brackets_are_text(make, encoders):
    clip = make(encoders / "newer")
    ids = ids_of(clip)
    assert ids == ids_of(clip, PROMPT.strip()) and ids.count(2) == 1 and ids[0] == 2 and 0 not in ids
    assert {token[1] for token in clip.tokenize(PROMPT)["gemma3_12b"][0]} == {1.0}
    assert clip.tokenize(PROMPT, return_word_ids=True)["gemma3_12b"][0][0] == (2, 1.0, 0)
    assert ids_of(clip, " ") == [2] and encode(clip, "")[0][0].isfinite().all()


@pytest.mark.parametrize("prompt", [PROMPT, "unseen: Żółć, 雨の森\n\ttabs  and   spaces", "robot " * 1500])
def test_tokens_are_those_of_transformers(make, encoders, prompt):
    """As the released recipe calls it, then without what it masks. The sentencepiece model gives the same."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(encoders / "newer" / "tokenizer.json"),
        pad_token="<pad>",
        bos_token="<bos>",
        padding_side="left",
    )
    found = tokenizer(prompt.strip(), padding="max_length", max_length=1024, truncation=True, return_tensors="pt")
    want = found.input_ids[0][found.attention_mask[0].bool()].tolist()
    assert ids_of(make(encoders / "newer"), prompt) == want
    assert ids_of(make(encoders / "text_only"), prompt) == want


def test_longest_prompt_fills_the_context(make, encoders):
    clip = make(encoders / "text_only")
    assert len(ids_of(clip, "robot " * 1500)) == 1024
    assert encode(clip, "robot " * 1500)[0][0].shape == (1, 1024, WIDTH)


def test_vision_tower_is_never_opened(make, encoders, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(encoders / FOLDERS["released"].path, folder)
    (folder / "model-00003-of-00003.safetensors").write_bytes(b"not safetensors")
    assert torch.equal(encode(make(folder))[0][0], encode(make(encoders / "newer", "newer"))[0][0])


def test_vision_tensors_in_the_same_file_are_not_read(make, encoders, core, monkeypatch):
    module = importlib.import_module("sana_wm_pack.wm_core.text.gemma3")
    read, original = [], module.safe_open

    class Opened:
        def __init__(self, *arguments, **options):
            self.file = original(*arguments, **options)

        def __enter__(self):
            self.file.__enter__()
            return self

        def __exit__(self, *raised):
            return self.file.__exit__(*raised)

        def get_tensor(self, key):
            read.append(key)
            return self.file.get_tensor(key)

    monkeypatch.setattr(module, "safe_open", Opened)
    encode(make(encoders / "newer"))
    assert len(read) == len(core.gemma3_weight_shapes(core.GemmaConfig(**vars(TINY_GEMMA3))))
    assert all(key.startswith("model.language_model.") for key in read)


def test_encoder_is_read_for_a_new_prompt_only(make, encoders):
    clip = make(encoders / "newer")
    clip.tokenize(PROMPT)
    assert clip.cond_stage_model.encoder.patcher is None
    first = encode(clip)
    assert clip.cond_stage_model.encoder.patcher is not None
    again = make(encoders / "newer")
    second = encode(again)
    assert again.cond_stage_model.encoder.patcher is None
    assert torch.equal(first[0][0], second[0][0]) and first[0][0].dtype == second[0][0].dtype
    assert first[0][1] == second[0][1]


def test_other_connectors_or_another_encoder_are_a_miss(make, encoders, tmp_path):
    def reads_the_encoder(clip):
        encode(clip)
        return clip.cond_stage_model.encoder.patcher is not None

    assert reads_the_encoder(make(encoders / "newer"))
    assert not reads_the_encoder(make(encoders / "newer"))
    assert reads_the_encoder(make(encoders / "newer", "other connectors"))
    shutil.copytree(encoders / "newer", tmp_path / "newer")
    file = tmp_path / "newer" / "model.safetensors"
    weights = load_file(file)
    vision = "model.multi_modal_projector.mm_input_projection_weight"
    save_file(weights | {vision: weights[vision] + 1}, file, {"format": "pt"})
    original = make(tmp_path / "newer").cond_stage_model.cache.fingerprint
    save_file({key: weight if key == vision else weight + 1 for key, weight in weights.items()}, file, {"format": "pt"})
    assert make(tmp_path / "newer").cond_stage_model.cache.fingerprint != original
    save_file(weights, file, {"format": "pt"})
    assert make(tmp_path / "newer").cond_stage_model.cache.fingerprint == original


def test_cache_lies_where_the_host_serves_nothing_and_holds_no_prompt(make, encoders, user_folder):
    import folder_paths

    encode(make(encoders / "newer"))
    (entry,) = user_folder.rglob("*.safetensors")
    assert entry.parent == Path(folder_paths.get_system_user_directory("sana_wm")) / "prompts"
    assert folder_paths.get_public_user_directory("__sana_wm") is None
    assert b"robot" not in entry.read_bytes()


def test_folder_that_cannot_be_written_does_not_fail_the_encoding(make, encoders, user_folder, caplog):
    user_folder.rmdir()
    user_folder.write_text("a file where a folder should be")
    clip = make(encoders / "newer")
    assert encode(clip)[0][0].isfinite().all() and encode(clip, "another")[0][0].isfinite().all()
    assert sum("could not be kept" in record.getMessage() for record in caplog.records) == 1


def test_any_file_of_a_folder_stands_for_it(missing, encoders):
    assert missing(encoders / "released/text_encoder/model-00002-of-00003.safetensors") is None


def test_tokenizer_beside_the_folder_is_found(missing, make, encoders, tmp_path):
    shutil.copytree(encoders / "released/text_encoder", tmp_path / "text_encoder")
    (tmp_path / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer.model"):
        shutil.move(tmp_path / "text_encoder" / name, tmp_path / "tokenizer" / name)
    assert missing(tmp_path / "text_encoder") is None
    assert ids_of(make(tmp_path / "text_encoder")) == ids_of(make(encoders / "newer"))


@pytest.mark.parametrize(
    ("package", "row", "told"),
    [
        ("transformers.models.gemma3", "newer", "with transformers 4.50 or newer, which is not installed here"),
        ("tokenizers", "newer", "`pip install tokenizers`"),
        ("sentencepiece", "text_only", "`pip install sentencepiece`"),
    ],
)
def test_missing_package_is_named(missing, encoders, monkeypatch, package, row, told):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    assert told in missing(encoders / row)


def test_weights_that_do_not_fit_are_refused(make, encoders, errors, tmp_path):
    shutil.copytree(encoders / "newer", tmp_path / "newer")
    text = (tmp_path / "newer/config.json").read_text()
    (tmp_path / "newer/config.json").write_text(text.replace('"intermediate_size": 40', '"intermediate_size": 41'))
    with pytest.raises(errors.CheckpointError, match="do not fit its config.json"):
        encode(make(tmp_path / "newer"))


def test_clip_refuses_what_it_cannot_encode(make, encoders, errors):
    clip = make(encoders / "newer")
    with pytest.raises(errors.ConfigError, match="one row of tokens under 'gemma3_12b', got 0 and the keys .'t5xxl'"):
        clip.encode_from_tokens({"t5xxl": [[(1, 1.0)]]})
    with pytest.raises(errors.ConfigError, match="device must be one of default, cpu"):
        make(encoders / "newer", device="cuda")
    with pytest.raises(errors.CheckpointError, match="nothing there"):
        make(encoders / "gone")


def test_single_file_needs_a_host_that_has_the_model(missing, gemma3, encoders):
    problem = missing(encoders / SINGLE_FILE, TINY_FILE_GEMMA3)
    if gemma3.host_reads_gemma3():
        assert problem is None
    else:
        assert "single-file Gemma-3-12B, which this ComfyUI cannot run" in problem and "update ComfyUI" in problem


@pytest.fixture
def single(make, gemma3, encoders):
    if not gemma3.host_reads_gemma3():
        pytest.skip("this host has no Gemma-3-12B class (ComfyUI 0.3.75)")
    return make(encoders / SINGLE_FILE, config=TINY_FILE_GEMMA3)


def test_single_file_runs_in_the_hosts_own_class(single, encoders, make):
    ids = ids_of(single)
    assert single.cond_stage_model.encoder.clip is None
    ((context, extra),) = encode(single)
    from comfy.text_encoders import lt

    assert isinstance(single.cond_stage_model.encoder.clip.cond_stage_model, lt.Gemma3_12BModel)
    assert context.shape == (1, 1024, WIDTH) and extra["sana_wm_prompt"] == PROMPT
    states = single.cond_stage_model.encoder.states(ids)
    want = hidden_states(ids, config=TINY_FILE_GEMMA3, query_pre_attn_scalar=256, sliding_window=1024)
    assert states.shape == want.shape == (1, len(ids), 8, 49)
    for layer in range(49):
        check_close(states[..., layer], want[..., layer], 1e-4)
    again = make(encoders / SINGLE_FILE, config=TINY_FILE_GEMMA3)
    assert torch.equal(encode(again)[0][0], context) and again.cond_stage_model.encoder.clip is None


def test_single_file_has_the_tokens_of_a_folder(single, make, encoders):
    assert ids_of(single) == ids_of(make(encoders / "newer"))


def test_quantised_single_file_is_read_by_the_host(single, make, encoders, tmp_path):
    """float8 with a scale to each weight, as the host writes it. Close to the file in bf16, and another encoder."""
    weights = load_file(encoders / SINGLE_FILE)
    kind = torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
    for name in [name for name in weights if name.endswith("_proj.weight")]:
        layer, scale = name.removesuffix("weight"), weights[name].float().abs().max() / 448
        weights[name] = (weights[name].float() / scale).to(torch.float8_e4m3fn)
        weights |= {f"{layer}weight_scale": scale, f"{layer}comfy_quant": kind.clone()}
    save_file(weights, tmp_path / "tiny_fp8_scaled.safetensors")
    clip = make(tmp_path / "tiny_fp8_scaled.safetensors", config=TINY_FILE_GEMMA3)
    ids = ids_of(clip)
    got, want = (x.cond_stage_model.encoder.states(ids) for x in (clip, single))
    check_close(got[..., 1], want[..., 1], 0.1)
    assert not torch.equal(got, want)
    assert clip.cond_stage_model.cache.fingerprint != single.cond_stage_model.cache.fingerprint
