"""wm_core/sampling/refining.py: the laws of the refiner. Merged == unmerged; ring == concatenation; streamed == whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from cases import assert_close
from refiner_models import TINY_REFINER, random_refiner

from wm_core.config import RELEASED_REFINING, RefinerRecipe
from wm_core.errors import ConfigError, ShapeError
from wm_core.refiner import Keeps, KVRing, Part, RingSize
from wm_core.refiner.rope import rotate
from wm_core.sampling.noise import chunk_noise, refiner_noise
from wm_core.sampling.refining import (
    begin_refining,
    block_spans,
    given_block,
    refine,
    refine_block,
    refiner_stage,
    settled,
)

GRID, FPS = (2, 3), 16.0
RECIPE = RefinerRecipe(window=6)  # the ring wraps around after two blocks
LATENTS = torch.randn(1, 8, 14, *GRID, generator=torch.Generator().manual_seed(5), dtype=torch.float64).float()
KINDS = ["split", "interleaved"]


def draw(start, shape):
    return refiner_noise(9, start, shape)


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return random_refiner(replace(TINY_REFINER, rope=request.param), dtype=torch.float32)


@pytest.fixture(scope="module")
def prompt(model):
    return model.prompt_keys(torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(3)))


def whole(model, prompt, latents=LATENTS, recipe=RECIPE, **options):
    pieces = refine(refiner_stage(model), latents, prompt, draw, fps=FPS, recipe=recipe, **options)
    return torch.cat([piece for _, piece in pieces], 2)


def counted(model):
    """A stage, and the list of what went through the model together."""
    calls, stage = [], refiner_stage(model)

    def forward(parts, *rest):
        calls.append([part.keeps for part in parts])
        return stage.forward(parts, *rest)

    return replace(stage, forward=forward), calls


def test_merged_equals_unmerged(model, prompt):
    stage = refiner_stage(model)
    state, pieces = begin_refining(stage, LATENTS[:, :, :1], FPS, RECIPE), []
    for span in block_spans(range(1, 14), 3):
        state = settled(stage, replace(state, prompt=prompt))
        draft = LATENTS[:, :, span.start : span.stop]
        piece, state = refine_block(stage, state, draft, span.start, draw(span.start, draft.shape), prompt)
        pieces.append(piece)
    assert_close(whole(model, prompt), torch.cat(pieces, 2), 2e-5)


def test_a_block_costs_three_passes_over_the_weights(model, prompt):
    stage, calls = counted(model)
    list(refine(stage, LATENTS, prompt, draw, fps=FPS, recipe=RECIPE))
    blocks = len(block_spans(range(1, 14), 3))
    assert len(calls) == 3 * blocks, "the sink and every finished block go along with the next first step"
    assert calls[0] == [Keeps.SINK, Keeps.NOTHING] and calls[3] == [Keeps.HISTORY, Keeps.NOTHING]


def test_single_shot_is_one_block(model, prompt):
    once = whole(model, prompt, recipe=replace(RECIPE, block=0))
    assert_close(once, whole(model, prompt, recipe=replace(RECIPE, block=13, window=99)), 1e-6)
    assert (once - whole(model, prompt)).abs().max() > 1e-3, "blocks do not see what comes after them"


def test_future_frames_do_not_change_a_finished_block(model, prompt):
    changed = LATENTS.clone()
    changed[:, :, 7:] += 1
    a, b = whole(model, prompt), whole(model, prompt, changed)
    assert torch.equal(a[:, :, :6], b[:, :, :6]) and not torch.equal(a[:, :, 6:], b[:, :, 6:])


def test_ring_equals_concatenation(model):
    """What a block attends to is sink, history and itself, whatever place of the ring a frame lies in."""
    config, n, history = model.config, 6, 4
    ring = KVRing(config, RingSize(n, 1, history), dtype=torch.float32, device="cpu")
    g = torch.Generator().manual_seed(0)
    draw_kv = lambda frames: torch.randn(2, 1, frames * n, config.num_heads, config.head_dim, generator=g)
    sink = draw_kv(1)
    ring.write_sink(1, *sink)
    kept, held = [], range(0)
    for frames in (range(1, 4), range(4, 7), range(7, 8), range(8, 13)):
        own = draw_kv(len(frames))
        now = torch.cat([sink, *kept, own], 2)  # in the order of time
        k, v = ring.beside(1, held, sink[0], *own)
        room = ring.room(1, held, sink[0], own[1])
        for whole, part in zip(room, own):
            whole[:, -part.shape[1] :] = part
        assert torch.equal(room[0], k) and torch.equal(room[1], v)
        q = torch.randn(1, config.num_heads, 5, config.head_dim, generator=g)
        attend = torch.nn.functional.scaled_dot_product_attention
        got, want = (attend(q, y.transpose(1, 2), z.transpose(1, 2)) for y, z in ((k, v), now))
        assert_close(got, want, 1e-5)
        ring.write(1, frames, *own)
        held = ring.size.held_after(held, frames)
        kept = [torch.cat([*kept, own], 2)[:, :, -history * n :]]
        assert len(held) == kept[0].shape[2] // n


def test_ring_holds_exactly_the_window(model):
    size = RingSize(880, 1, RELEASED_REFINING.history)
    ring = KVRing(model.config, RingSize(6, 1, 10), dtype=torch.float32, device="cpu")
    held = sum(t.untyped_storage().nbytes() for pair in ring.layers for t in pair)
    assert held == ring.size.bytes_held(model.config, 4) == 2 * 3 * 11 * 6 * 24 * 4
    assert size.frames == 11


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_ring_may_rest_in_the_computers_memory(model):
    """On a small card."""
    on_card = random_refiner(model.config, dtype=torch.float32).cuda()
    keys = on_card.prompt_keys(torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(3)).cuda())
    stage = refiner_stage(on_card)
    ring = lambda size, batch: KVRing(model.config, size, dtype=torch.float32, device="cuda", keep="cpu", batch=batch)
    got, want = (
        torch.cat([piece for _, piece in refine(s, LATENTS.cuda(), keys, draw, fps=FPS, recipe=RECIPE)], 2)
        for s in (replace(stage, ring=ring), stage)
    )
    assert torch.equal(got, want)


def test_two_videos_at_once(model, prompt):
    both = torch.cat([LATENTS, LATENTS.flip(2)])
    keys = model.prompt_keys(torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(3)).expand(2, -1, -1))
    noise = lambda start, shape: draw(start, (1, *shape[1:])).expand(shape)
    pieces = [piece for _, piece in refine(refiner_stage(model), both, keys, noise, fps=FPS, recipe=RECIPE)]
    assert_close(torch.cat(pieces, 2)[:1], whole(model, prompt), 2e-5)


def test_noise_keeps_its_precision_beside_a_draft_of_less(model, prompt):
    """A draft in half precision is lifted; the noise is not rounded to it."""
    half = whole(model, prompt, LATENTS.bfloat16())
    assert half.dtype == torch.float32
    assert_close(half, whole(model, prompt, LATENTS.bfloat16().float()), 1e-5)


def test_ring_holds_no_more_than_the_clip_has(model, prompt):
    sizes = []
    stage = refiner_stage(model)
    noted = replace(stage, ring=lambda size, batch: (sizes.append(size.frames), stage.ring(size, batch))[1])
    list(refine(noted, LATENTS, prompt, draw, fps=FPS, recipe=RefinerRecipe(window=200)))
    list(refine(noted, LATENTS, prompt, draw, fps=FPS, recipe=RECIPE, frames=range(5, 8)))
    assert sizes == [14, 4]


def test_resumed_equals_straight(model, prompt):
    """After a stop the finished blocks leave their keys and values again; rounding differs, for they go alone."""
    stage, straight = refiner_stage(model), whole(model, prompt)
    spans = block_spans(range(1, 14), 3)
    for done in (1, 2, 4):
        state = begin_refining(stage, LATENTS[:, :, :1], FPS, RECIPE)
        for span in spans[:done]:
            state = given_block(stage, state, straight[:, :, span.start - 1 : span.stop - 1], span.start, prompt)
        for span in spans[done:]:
            draft = LATENTS[:, :, span.start : span.stop]
            piece, state = refine_block(stage, state, draft, span.start, draw(span.start, draft.shape), prompt)
            assert_close(piece, straight[:, :, span.start - 1 : span.stop - 1], 2e-5)


def test_another_prompt_reads_the_last_block_with_its_own(model, prompt):
    other = model.prompt_keys(torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(4)))
    stage, calls = counted(model)
    state = begin_refining(stage, LATENTS[:, :, :1], FPS, RECIPE)
    for start, text in ((1, prompt), (4, other)):
        draft = LATENTS[:, :, start : start + 3]
        piece, state = refine_block(stage, state, draft, start, draw(start, draft.shape), text)
    assert calls[3] == [Keeps.HISTORY], "left with the first prompt, alone"
    assert not torch.equal(piece, whole(model, prompt)[:, :, 3:6])


def test_a_range_is_refined_as_its_own_clip_at_its_own_time(model, prompt):
    part = whole(model, prompt, frames=range(5, 9))
    assert part.shape[2] == 4
    stage = refiner_stage(model)
    state = begin_refining(stage, LATENTS[:, :, :1], FPS, RECIPE)
    first, _ = refine_block(stage, state, LATENTS[:, :, 5:8], 5, draw(5, LATENTS[:, :, 5:8].shape), prompt)
    assert_close(part[:, :, :3], first, 1e-6)


def test_state_is_gone_on_from_once(model, prompt):
    stage = refiner_stage(model)
    state = begin_refining(stage, LATENTS[:, :, :1], FPS, RECIPE)
    draft = LATENTS[:, :, 1:4]
    refine_block(stage, state, draft, 1, draw(1, draft.shape), prompt)
    with pytest.raises(ConfigError, match="gone on from before.*begin again"):
        refine_block(stage, state, draft, 1, draw(1, draft.shape), prompt)


def test_strength_is_the_first_sigma(model, prompt):
    weak = whole(model, prompt, recipe=replace(RECIPE, sigmas=(0.2, 0.0)))
    strong = whole(model, prompt)
    distance = lambda x: (x - LATENTS[:, :, 1:]).square().mean()
    assert distance(weak) < distance(strong) / 4


def test_noise_is_not_stage_1s():
    shape = (1, 8, 3, 2, 3)
    drawn = [
        refiner_noise(0, 1, shape),
        refiner_noise(0, 4, shape),
        refiner_noise(1, 1, shape),
        chunk_noise(0, 1, shape),
    ]
    assert torch.equal(drawn[0], refiner_noise(0, 1, shape))
    assert all((a - b).abs().max() > 0.5 for i, a in enumerate(drawn) for b in drawn[:i])


def test_rotation_turns_the_pairs_of_its_kind(model):
    config = model.config
    rotation = model.rotation(3, (1, *GRID), FPS)
    x = torch.randn(1, 6, config.num_heads, config.head_dim, generator=torch.Generator().manual_seed(1))
    angle = torch.atan2(rotation.sin, rotation.cos)
    pairs = {"split": (x[..., :6], x[..., 6:]), "interleaved": (x[..., 0::2], x[..., 1::2])}[config.rope]
    turned = rotate(x, rotation, config.rope)
    got = {"split": (turned[..., :6], turned[..., 6:]), "interleaved": (turned[..., 0::2], turned[..., 1::2])}[
        config.rope
    ]
    assert_close(got[0], pairs[0] * angle.cos() - pairs[1] * angle.sin(), 1e-5)
    assert_close(got[1], pairs[1] * angle.cos() + pairs[0] * angle.sin(), 1e-5)


@pytest.mark.parametrize(
    ("latents", "recipe", "frames", "words"),
    [
        (LATENTS[:, :, :1], RECIPE, None, "longer than the sink of 1"),
        (LATENTS[:, :, :4], replace(RECIPE, block=4), None, "block of 4 latent frames is larger than the 3"),
        (LATENTS, RECIPE, range(4), "must lie in"),
        (LATENTS, RECIPE, range(5, 15), "must lie in"),
        (LATENTS[:, :5], RECIPE, None, r"latents must be \(b, 8, t, h, w\), got \(1, 5,"),
        (LATENTS[0], RECIPE, None, "longer than the sink"),
    ],
)
def test_clips_that_do_not_fit(model, prompt, latents, recipe, frames, words):
    with pytest.raises(ShapeError, match=words):
        whole(model, prompt, latents, recipe, frames=frames)


@pytest.mark.parametrize("fps", [0, -16.0, float("nan"), float("inf")])
def test_fps_must_be_positive(model, fps):
    with pytest.raises(ConfigError, match="fps must be positive"):
        begin_refining(refiner_stage(model), LATENTS[:, :, :1], fps, RECIPE)


def test_blocks_must_follow_each_other(model, prompt):
    stage = refiner_stage(model)
    state = begin_refining(stage, LATENTS[:, :, :1], FPS, RECIPE)
    draft = LATENTS[:, :, 1:4]
    _, state = refine_block(stage, state, draft, 1, draw(1, draft.shape), prompt)
    with pytest.raises(ShapeError, match="begin at latent frame 4, got 7"):
        refine_block(stage, state, draft, 7, draw(7, draft.shape), prompt)


@pytest.mark.parametrize(
    "values",
    [{"sigmas": (0.9, 0.95, 0)}, {"sigmas": (0.9,)}, {"sigmas": (0.9, 0.1)}, {"sink": 0}, {"window": 0}, {"block": -1}],
)
def test_recipes_that_make_no_sense(values):
    with pytest.raises(ConfigError, match="the release uses"):
        RefinerRecipe(**values)


def test_prompt_of_stage_1_is_refused(model):
    with pytest.raises(ShapeError, match="CLIP of Load LTX-2 Refiner"):
        model.prompt_keys(torch.zeros(1, 5, 2304))


def test_parts_do_not_see_each_other(model, prompt):
    """Two parts in one forward give what each gives alone."""
    rotation = model.rotation(0, (2, *GRID), FPS)
    level = model.level(0.5, torch.float32)
    parts = [Part(LATENTS[:, :, a : a + 2], 0, level, rotation) for a in (0, 3)]
    together = model(parts, prompt)
    for part, got in zip(parts, together):
        assert_close(got, model([part], prompt)[0], 1e-5)


def test_nothing_is_computed_twice(model, prompt):
    """Angles once a block (and of the sink, once where it stands), modulation once a noise level, not once a step or token."""
    calls = {"rotation": 0, "level": 0}
    stage = refiner_stage(model)

    def counting(name):
        def run(*arguments):
            calls[name] += 1
            return getattr(stage, name)(*arguments)

        return run

    counted_stage = replace(stage, rotation=counting("rotation"), level=counting("level"))
    blocks = len(list(refine(counted_stage, LATENTS, prompt, draw, fps=FPS, recipe=RECIPE)))
    assert calls == {"rotation": 2 * blocks + 1, "level": len(RECIPE.sigmas)}


def test_prompt_is_projected_once(model):
    """Its keys and values do not depend on steps: the projections of the text run once a block of the model."""
    count = [0]
    hooks = [
        layer.register_forward_hook(lambda *_: count.__setitem__(0, count[0] + 1))
        for block in model.transformer_blocks
        for layer in (block.attn2.to_k, block.attn2.to_v)
    ]
    try:
        keys = model.prompt_keys(torch.zeros(1, 7, 16))
        whole(model, keys)
    finally:
        for hook in hooks:
            hook.remove()
    assert count[0] == 2 * len(model.transformer_blocks)
