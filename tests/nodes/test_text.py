"""The text nodes inside the real host: a tiny random Gemma-2 with a real sentencepiece model."""

from __future__ import annotations

import importlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tools.make_tiny_gemma3 import SENTENCES, tiny_sentencepiece

PROMPT = "a small robot walks (slowly:1.4) through the embedding:forest"


@pytest.fixture(scope="session")
def text(pack):
    return importlib.import_module("sana_wm_pack.nodes.text")


@pytest.fixture(scope="session")
def core(pack):
    """The pack's own wm_core.text: its classes are not those of a plain `import wm_core`."""
    return importlib.import_module("sana_wm_pack.wm_core.text")


@pytest.fixture(scope="session")
def errors(pack):
    return importlib.import_module("sana_wm_pack.wm_core.errors")


@pytest.fixture(scope="session")
def spiece(core) -> bytes:
    return tiny_sentencepiece((*core.INSTRUCTION.split("\n"), *SENTENCES[:2]))


@pytest.fixture(scope="session")
def tokenize(spiece):
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=spiece, add_bos=True, add_eos=False)
    return processor.encode


@pytest.fixture(scope="session")
def tiny(core, spiece):
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_proto=spiece).get_piece_size()
    return core.GemmaConfig(vocab_size=pieces, hidden_size=48, intermediate_size=80, layers=3, heads=2, kv_heads=1)


@pytest.fixture(scope="session")
def encoder_file(core, tiny, spiece, tmp_path_factory) -> str:
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(shape, generator=generator) * (0.1 if name.endswith("norm.weight") else shape[-1] ** -0.5)
        for name, shape in core.gemma_weight_shapes(tiny).items()
    }
    weights["spiece_model"] = torch.tensor(list(spiece), dtype=torch.uint8)
    path = tmp_path_factory.mktemp("text_encoders") / "tiny_gemma.safetensors"
    save_file(weights, path)
    return str(path)


@pytest.fixture(scope="session")
def clip(text, tiny, encoder_file):
    return text.load_text_encoder(encoder_file, device="cpu", config=tiny)


@pytest.fixture(scope="session")
def reference(tiny, encoder_file, host):
    """Last hidden state of transformers' Gemma-2 with the same weights: reference(ids, mask, softcap=None)."""
    from transformers import Gemma2Config, Gemma2Model

    weights = load_file(encoder_file)
    weights.pop("spiece_model")

    def run(ids: list[int], mask: list[int], softcap: float | None = None) -> torch.Tensor:
        config = Gemma2Config(
            vocab_size=tiny.vocab_size,
            hidden_size=tiny.hidden_size,
            intermediate_size=tiny.intermediate_size,
            num_hidden_layers=tiny.layers,
            num_attention_heads=tiny.heads,
            num_key_value_heads=tiny.kv_heads,
            head_dim=tiny.head_dim,
            query_pre_attn_scalar=256,
            attn_logit_softcapping=softcap,
            attn_implementation="eager",
        )
        model = Gemma2Model(config).eval()
        model.load_state_dict({name.removeprefix("model."): weight for name, weight in weights.items()})
        with torch.inference_mode():
            return model(torch.tensor([ids]), attention_mask=torch.tensor([mask])).last_hidden_state

    return run


def encode(text, clip, prompt: str, **options):
    with torch.inference_mode():
        return text.SanaWMTextEncode.execute(clip, prompt, **options).result[0]


def test_loader_returns_a_clip_of_the_host(clip):
    import comfy.sd

    assert type(clip) is comfy.sd.CLIP
    assert str(clip.patcher.load_device) == "cpu"
    assert clip.get_sd()["spiece_model"].dtype == torch.uint8


@pytest.mark.parametrize("prompt", [PROMPT, "forest", "robot " * 400, "", "  "])
def test_conditioning_is_bos_and_the_last_299(text, clip, core, tokenize, reference, prompt):
    ((hidden, extra),) = encode(text, clip, prompt)
    ids = tokenize(core.INSTRUCTION + prompt) if prompt.strip() else [2]
    length = len(tokenize(core.INSTRUCTION)) + 298 if prompt.strip() else 300
    ids, mask = ids[:length], [1] * len(ids[:length])
    ids, mask = ids + [0] * (length - len(ids)), mask + [0] * (length - len(mask))
    keep = [0, *range(length - 299, length)]
    assert extra["attention_mask"].tolist() == [[mask[i] for i in keep]]
    assert hidden.shape == (1, 300, 48) and hidden.dtype == torch.float32
    error = (hidden - reference(ids, mask)[:, keep]).abs().max().item()
    assert error <= 1e-4, f"max abs error {error:.2e} against transformers without soft cap"
    assert extra["sana_wm_prompt"] == prompt


def test_mask_counts_bos_and_the_prompt_only(text, clip, tokenize):
    ((_, extra),) = encode(text, clip, "forest")
    prompt_tokens = len(tokenize(" forest")) - 1
    assert extra["attention_mask"].sum().item() == 1 + prompt_tokens
    assert extra["attention_mask"][0, : 1 + prompt_tokens].all()


def test_soft_cap_is_what_the_host_leaves_out(text, clip, core, tokenize, reference):
    """Gemma-2 caps attention logits at 50 * tanh(x / 50); the host does not. With small logits it hardly shows."""
    ((hidden, _),) = encode(text, clip, PROMPT, instruction=False)
    ids = tokenize(PROMPT)
    want = reference(ids, [1] * len(ids), softcap=50.0)
    ratio = ((hidden[:, : len(ids)] - want).square().mean() / want.square().mean()).sqrt().item()
    assert 0 < ratio < 1e-2, f"RMS ratio {ratio:.2e}"


def test_core_text_encode_gives_the_same(text, clip):
    import nodes

    with torch.inference_mode():
        ((theirs, extra),) = nodes.CLIPTextEncode().encode(clip, "the camera turns left")[0]
    ((ours, own),) = encode(text, clip, "the camera turns left")
    assert torch.equal(theirs, ours) and torch.equal(extra["attention_mask"], own["attention_mask"])


def test_prompt_weights_are_plain_text(text, clip, core, tokenize):
    if not isinstance(clip.tokenizer, text.PromptTokenizer):
        pytest.skip("the host's own tokenizer looks up embedding: names, ours is not in use")
    pairs = clip.tokenize(PROMPT)["gemma2_2b"][0]
    assert {weight for _, weight in pairs} == {1.0}
    ids = tokenize(core.INSTRUCTION + PROMPT)
    assert [token for token, _ in pairs][: len(ids)] == ids
    assert clip.tokenize(PROMPT, return_word_ids=True)["gemma2_2b"][0][0] == (2, 1.0, 0)


def test_without_instruction_the_prompt_follows_bos(text, clip, tokenize, reference):
    ((hidden, extra),) = encode(text, clip, "the camera turns left", instruction=False)
    ids = tokenize("the camera turns left")
    assert extra["attention_mask"].tolist() == [[1] * len(ids) + [0] * (300 - len(ids))]
    assert extra["sana_wm_variant"] == "plain"
    want = reference(ids, [1] * len(ids))
    assert (hidden[:, : len(ids)] - want).abs().max() <= 1e-4


def test_encode_refuses_another_clip(text, tiny, encoder_file, errors):
    import comfy.sd

    lumina = comfy.sd.load_clip(
        [encoder_file],
        clip_type=comfy.sd.CLIPType.LUMINA2,
        model_options={"gemma2_2b_model_config": text.host_config(tiny)},
    )
    with pytest.raises(errors.ConfigError, match="got Gemma-2-2B set up for another model.*Load SANA-WM Text Encoder"):
        text.encode_prompt(lumina, "x")
    with pytest.raises(errors.ConfigError, match="got nothing"):
        text.encode_prompt(None, "x")


def test_loader_refuses_an_unusable_file_with_one_sentence(text, errors, host_folders, encoder_file, tiny):
    weights = load_file(encoder_file)
    weights.pop("spiece_model")
    folder = host_folders / "models" / "text_encoders"
    folder.mkdir()
    save_file(weights, folder / "no_tokenizer.safetensors")
    save_file({"foo": torch.zeros(1)}, folder / "lora.safetensors")
    assert "no_tokenizer.safetensors" in str(text.SanaWMTextEncoderLoader.INPUT_TYPES())
    with pytest.raises(errors.CheckpointError, match="no_tokenizer.safetensors is not usable: got the weights without"):
        text.load_text_encoder(str(folder / "no_tokenizer.safetensors"), config=tiny)
    with pytest.raises(errors.CheckpointError, match="lora.safetensors is not usable: got 1 other tensors such as foo"):
        text.SanaWMTextEncoderLoader.execute("lora.safetensors")


def test_saved_embedding_loads_bit_exact(text, clip, host_folders):
    ((hidden, extra),) = conditioning = encode(text, clip, PROMPT)
    saved = text.SanaWMSaveTextEmbedding.execute(conditioning, "tests/robot")
    path = saved.result[0]
    assert path == str(host_folders / "output" / "text_embeddings" / "tests" / "robot_00001_.safetensors")
    assert saved.ui.as_dict() == {"text": (path,)}
    name = os.path.join("tests", "robot_00001_.safetensors")
    assert text.embedding_files() == [name]
    assert text.SanaWMLoadTextEmbedding.validate_inputs(name) is True
    ((loaded, labels),) = text.SanaWMLoadTextEmbedding.execute(name).result[0]
    assert torch.equal(loaded, hidden) and loaded.dtype == hidden.dtype
    assert torch.equal(labels["attention_mask"], extra["attention_mask"])
    assert labels["attention_mask"].dtype == extra["attention_mask"].dtype
    assert {key: labels[key] for key in labels if key.startswith("sana_wm")} == {
        "sana_wm_prompt": PROMPT,
        "sana_wm_encoder": "gemma-2-48x3",
        "sana_wm_variant": "instruction",
    }
    assert (
        text.SanaWMSaveTextEmbedding.execute(conditioning, "tests/robot").result[0].endswith("robot_00002_.safetensors")
    )


def test_disabled_metadata_keeps_the_prompt_out_of_the_file(text, clip, core, host_folders, monkeypatch):
    monkeypatch.setattr(text.args, "disable_metadata", True)
    path = text.SanaWMSaveTextEmbedding.execute(encode(text, clip, PROMPT), "x").result[0]
    assert core.load_embedding(path).prompt == ""
    assert b"robot" not in Path(path).read_bytes()


def test_embedding_without_a_mask_counts_every_token(text, core, host_folders):
    path = text.SanaWMSaveTextEmbedding.execute([[torch.ones(1, 2, 16), {}]], "tiny_world").result[0]
    read = core.load_embedding(path)
    assert read.mask.tolist() == [[1, 1]] and (read.prompt, read.encoder) == ("", "")


def test_save_refuses_several_prompts_and_paths_outside(text, errors, host_folders):
    entry = [torch.ones(1, 2, 16), {}]
    with pytest.raises(errors.ConfigError, match="holds one prompt, got a conditioning of 2"):
        text.SanaWMSaveTextEmbedding.execute([entry, entry], "x")
    with pytest.raises(Exception, match="outside the output folder"):
        text.SanaWMSaveTextEmbedding.execute([entry], "../../x")


def test_embedding_is_found_in_models_output_and_input_in_this_order(text, core, host_folders):
    places = ("models/sana_wm_text", "output/text_embeddings", "input")
    for value, place in enumerate(places):
        (host_folders / place).mkdir(exist_ok=True)
        prompt = core.PromptEmbedding(torch.full((1, 2, 4), float(value)), torch.ones(1, 2))
        core.save_embedding(host_folders / place / f"only_{value}.safetensors", prompt)
        core.save_embedding(host_folders / place / "all.safetensors", prompt)
    (host_folders / "input" / "photo.png").touch()
    assert text.embedding_files() == ["all.safetensors", *(f"only_{i}.safetensors" for i in range(3))]
    assert text.SanaWMLoadTextEmbedding.execute("all.safetensors").result[0][0][0].max() == 0
    assert text.SanaWMLoadTextEmbedding.execute("only_2.safetensors").result[0][0][0].max() == 2


def test_missing_embedding_is_named_before_the_run(text, errors, host_folders):
    message = text.SanaWMLoadTextEmbedding.validate_inputs("gone.safetensors")
    assert message.startswith("text embedding 'gone.safetensors' is not in models/sana_wm_text, output/text_embeddings")
    assert text.SanaWMLoadTextEmbedding.validate_inputs("../../etc/passwd") is not True
    with pytest.raises(errors.CheckpointError, match="gone.safetensors"):
        text.SanaWMLoadTextEmbedding.execute("gone.safetensors")


def test_fingerprint_changes_with_the_file(text, core, host_folders):
    fingerprint = text.SanaWMLoadTextEmbedding.fingerprint_inputs
    path = host_folders / "input" / "a.safetensors"
    missing = fingerprint("a.safetensors")
    core.save_embedding(path, core.PromptEmbedding(torch.ones(1, 2, 4), torch.ones(1, 2)))
    first = fingerprint("a.safetensors")
    assert first == fingerprint("a.safetensors") != missing
    os.utime(path, ns=(1, 1))
    assert fingerprint("a.safetensors") != first


SCHEMAS = {
    "SanaWMTextEncoderLoader": (["file", "device"], ["CLIP"]),
    "SanaWMTextEncode": (["clip", "text", "instruction"], ["CONDITIONING"]),
    "SanaWMSaveTextEmbedding": (["conditioning", "filename_prefix"], ["STRING"]),
    "SanaWMLoadTextEmbedding": (["file"], ["CONDITIONING"]),
}


def test_ids_are_the_public_contract(text, host_folders):
    found = {}
    for node in text.NODES:
        schema = node.GET_SCHEMA()
        required = node.INPUT_TYPES()["required"]
        found[schema.node_id] = (list(required), list(node.RETURN_TYPES))
        assert node.__name__ == schema.node_id and schema.category.startswith("SANA-WM/")
        assert all(options.get("tooltip") for _, options in required.values()), schema.node_id
    assert found == SCHEMAS
    assert text.SanaWMTextEncoderLoader.INPUT_TYPES()["required"]["device"][1]["advanced"] is True
    assert text.SanaWMTextEncode.INPUT_TYPES()["required"]["instruction"][1]["advanced"] is True
    assert text.SanaWMSaveTextEmbedding.OUTPUT_NODE is True


def test_wrong_size_is_refused_before_it_is_read(text, errors, encoder_file, tiny):
    with pytest.raises(errors.CheckpointError, match="weights missing"):
        text.load_text_encoder(encoder_file)
    with pytest.raises(errors.CheckpointError, match="instead of"):
        text.load_text_encoder(encoder_file, config=replace(tiny, vocab_size=9))
