"""The refiner, its loop and its connectors beside diffusers' classes on the same random weights, at sizes no fixture has."""

import sys
from dataclasses import dataclass

import pytest
import torch
from cases import assert_close

from wm_core.checkpoint.layouts import connector_names, refiner_names
from wm_core.config import ConnectorConfig, RefinerConfig, RefinerRecipe
from wm_core.refiner import Part, TextConnector, VideoRefiner
from wm_core.sampling.refining import refine, refiner_stage
from wm_core.text import pack_hidden_states

if sys.version_info < (3, 11):
    pytest.skip("diffusers 0.42.1 needs Python 3.11", allow_module_level=True)

from diffusers import FlowMatchEulerDiscreteScheduler, SanaWMLTX2RefinerTransformer3DModel
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from diffusers.pipelines.sana_wm.refiner import SanaWMLTX2Refiner

TOLERANCE = 5e-4


@dataclass(frozen=True)
class Settings:
    heads: int
    head: int
    layers: int
    rope: str
    frames: int
    grid: tuple[int, int]
    recipe: RefinerRecipe
    double: bool = True
    fps: float = 16.0


CONFIGS = {
    "released_window": Settings(2, 16, 2, "split", 17, (2, 2), RefinerRecipe()),
    "odd_angles": Settings(3, 10, 3, "split", 8, (3, 2), RefinerRecipe(window=5), fps=24.0),
    "interleaved": Settings(2, 8, 2, "interleaved", 9, (2, 3), RefinerRecipe(window=3), double=False),
    "two_sinks_blocks_of_two": Settings(2, 12, 2, "split", 9, (1, 3), RefinerRecipe(sink=2, block=2, window=6)),
    "two_steps": Settings(2, 12, 1, "interleaved", 7, (2, 2), RefinerRecipe(sigmas=(0.7, 0.3, 0.0), window=4)),
}


def randomised(model, seed):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=g))
    return model.eval()


@pytest.fixture(params=CONFIGS, ids=list(CONFIGS))
def pair(request):
    """(settings, diffusers' model, ours with its weights)."""
    s = CONFIGS[request.param]
    torch.manual_seed(s.frames)
    reference = randomised(
        SanaWMLTX2RefinerTransformer3DModel(
            in_channels=8, out_channels=8, num_attention_heads=s.heads, attention_head_dim=s.head,
            cross_attention_dim=s.heads * s.head, audio_in_channels=8, audio_out_channels=8, audio_num_attention_heads=2,
            audio_attention_head_dim=4, audio_cross_attention_dim=8, num_layers=s.layers, caption_channels=16,
            rope_type=s.rope, rope_double_precision=s.double,
        ),
        s.frames,
    )  # fmt: skip
    config = RefinerConfig(
        s.rope, in_channels=8, out_channels=8, depth=s.layers, num_heads=s.heads, head_dim=s.head, caption_channels=16,
        rope_double=s.double,
    )  # fmt: skip
    ours = VideoRefiner(config)
    weights = reference.state_dict()
    ours.load_state_dict({name: weights[key] for name, key in refiner_names(weights).items()})
    return s, reference, ours.eval()


def test_one_forward_over_the_whole_clip(pair):
    s, reference, ours = pair
    g = torch.Generator().manual_seed(1)
    x, context = torch.randn(2, 8, s.frames, *s.grid, generator=g), torch.randn(2, 6, 16, generator=g)
    tokens = x.flatten(2).transpose(1, 2)
    places = {"frame_positions": list(range(s.frames)), "height": s.grid[0], "width": s.grid[1]}
    with torch.no_grad():
        rotary = reference.build_rotary_emb_for_absolute_positions(2, **places, device="cpu", fps=s.fps)
        timestep = torch.full(tokens.shape[:2], 612.5)
        want = reference(tokens, context, timestep, rotary, encoder_attention_mask=torch.ones(2, 6)).sample
        part = Part(x, 0, ours.level(0.6125, torch.float32), ours.rotation(0, tuple(x.shape[2:]), s.fps))
        (got,) = ours([part], ours.prompt_keys(context))
    assert_close(got.flatten(2).transpose(1, 2), want, TOLERANCE)


def test_the_whole_refinement(pair, monkeypatch):
    s, reference, ours = pair
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    pipeline = SanaWMLTX2Refiner(reference, None, None, None, scheduler)
    g = torch.Generator().manual_seed(2)
    latents, context = torch.randn(1, 8, s.frames, *s.grid, generator=g), torch.randn(1, 6, 16, generator=g)
    monkeypatch.setattr(pipeline, "_encode_prompt", lambda *_, **__: (context, torch.ones(1, 6)))
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.Generator().manual_seed(7)
    want = pipeline(
        latents, "", fps=s.fps, sink_size=s.recipe.sink, generator=noise, block_size=s.recipe.block,
        kv_max_frames=s.recipe.window, sigmas=s.recipe.sigmas, output_type="latent",
    )  # fmt: skip
    again = torch.Generator().manual_seed(7)
    draw = lambda start, shape: torch.randn(shape, generator=again)
    with torch.no_grad():
        prompt = ours.prompt_keys(context)
    pieces = refine(refiner_stage(ours), latents, prompt, draw, fps=s.fps, recipe=s.recipe)
    got = torch.cat([latents[:, :, : s.recipe.sink], *(piece for _, piece in pieces)], 2)
    assert_close(got, want, TOLERANCE)


@pytest.mark.parametrize("rope", ["split", "interleaved"])
@pytest.mark.parametrize(("registers", "tokens", "valid"), [(4, 12, 7), (8, 8, 8), (None, 5, 5)])
def test_connectors(rope, registers, tokens, valid):
    torch.manual_seed(3)
    reference = randomised(
        LTX2TextConnectors(
            caption_channels=24, text_proj_in_factor=5, video_connector_num_attention_heads=3,
            video_connector_attention_head_dim=8, video_connector_num_layers=2,
            video_connector_num_learnable_registers=registers, audio_connector_num_attention_heads=3,
            audio_connector_attention_head_dim=8, audio_connector_num_layers=1,
            audio_connector_num_learnable_registers=registers, connector_rope_base_seq_len=64, rope_type=rope,
        ),
        4,
    )  # fmt: skip
    config = ConnectorConfig(
        rope, caption_channels=24, encoder_layers=5, num_heads=3, head_dim=8, registers=registers or 0, rope_span=64.0
    )
    ours, weights = TextConnector(config), reference.state_dict()
    ours.load_state_dict({name: weights[key] for name, key in connector_names(weights).items()})
    states = 3 * torch.randn(1, tokens, 24, 5, generator=torch.Generator().manual_seed(5)) + 1
    mask = (torch.arange(tokens) >= tokens - valid).long()[None]  # padded on the left
    with torch.no_grad():
        want, _, counted = reference(states, mask)
        got = ours.eval()(pack_hidden_states(states[:, tokens - valid :]), length=tokens)
    assert counted.all()
    assert_close(got, want, TOLERANCE)
