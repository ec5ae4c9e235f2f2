"""wm_core.rollout with a refiner between stage 1 and the decoder: one after another, overlapped, resumed, and without it again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from cases import assert_close
from refiner_models import TINY_REFINER, random_refiner
from test_rollout import GRID, begin, poses, prompt, roll  # noqa: F401
from test_rollout import stages as draft_stages  # noqa: F401
from tiny import draw_latents

from wm_core.config import RELEASED_REFINING
from wm_core.errors import ConfigError
from wm_core.rollout import (
    DRAFT,
    Plan,
    Session,
    caught_up,
    find_session,
    fingerprint_model,
    load_session,
    open_session,
    planned_chunks,
    read_outline,
    run,
    run_overlapped,
    save_session,
    step,
)
from wm_core.sampling.noise import refiner_noise
from wm_core.sampling.refining import refine, refiner_stage

CHUNKS, SEED = 4, 7
CONTEXT = draw_latents((1, 6, TINY_REFINER.caption_channels), seed=21, dtype=torch.float32)


@pytest.fixture(scope="module")
def refiner():
    return random_refiner(dtype=torch.float32)


@pytest.fixture(scope="module")
def stages(draft_stages, refiner):  # noqa: F811
    return replace(draft_stages, refine=refiner_stage(refiner), refiner=fingerprint_model(refiner))


@pytest.fixture(scope="module")
def plan(prompt, poses):  # noqa: F811
    return Plan(replace(prompt, context=CONTEXT), poses, CHUNKS, SEED)


@pytest.fixture(scope="module")
def straight(stages, plan):
    return list(run(stages, plan, begin(stages)))


def assert_same_events(got, want, tolerance=0.0):
    assert [event.index for event in got] == [event.index for event in want]
    for a, b in zip(got, want):
        assert_close(a.pixels, b.pixels, tolerance)
        for name in ("latents", "refined", "first"):
            assert_close(getattr(a.session, name), getattr(b.session, name), tolerance)
        assert a.session.records == b.session.records and a.session.refiner == b.session.refiner


def test_stage_1_is_the_same_without_a_refiner(draft_stages, plan, straight, prompt, poses):  # noqa: F811
    alone = roll(draft_stages, begin(draft_stages), prompt, poses)
    for with_refiner, without in zip(straight, alone):
        assert torch.equal(with_refiner.latents, without.latents), "its conditioning never sees refined latents"
        assert not torch.equal(with_refiner.pixels, without.pixels)


def test_a_block_is_a_chunk_of_the_refinement_of_the_whole(stages, refiner, straight):
    latents = straight[-1].session.latents
    draw = lambda start, shape: refiner_noise(SEED, start, shape)
    keys = refiner.prompt_keys(CONTEXT)
    pieces = refine(refiner_stage(refiner), latents, keys, draw, fps=16.0, recipe=RELEASED_REFINING)
    whole = torch.cat([latents[:, :, :1], *(piece for _, piece in pieces)], 2)
    assert_close(straight[-1].session.refined, whole, 1e-6)
    pixels, _ = stages.decode(whole, None)
    assert_close(torch.cat([event.pixels for event in straight], 2), pixels, 1e-5, 1e-5)


def test_overlapped_equals_one_after_another(stages, plan, straight):
    assert_same_events(list(run_overlapped(stages, plan, begin(stages))), straight)


def test_overlapped_without_a_refiner_or_a_decoder(draft_stages, prompt, poses):  # noqa: F811
    plan = Plan(prompt, poses, 3, SEED)
    got, want = (list(f(draft_stages, plan, begin(draft_stages))) for f in (run_overlapped, run))
    assert all(torch.equal(a.pixels, b.pixels) and torch.equal(a.latents, b.latents) for a, b in zip(got, want, strict=True))
    bare = replace(draft_stages, decode=None, vae=None)
    assert [event.pixels for event in run_overlapped(bare, plan, begin(bare))] == [None] * 3


def test_overlapped_goes_on_from_anywhere(stages, plan, straight):
    for done in range(CHUNKS + 1):
        before = list(run_overlapped(stages, replace(plan, chunks=done), begin(stages)))
        session = before[-1].session if before else begin(stages)
        assert_same_events([*before, *run_overlapped(stages, plan, session)], straight, 2e-5)


def test_each_stage_waits_for_its_own_chunk_only(stages, plan):
    """Stage 1 is a chunk ahead of the refiner, which is a chunk ahead of the decoder."""
    order = []

    def noted(name, work):
        return lambda *a: (order.append(name), work(*a))[1]

    refine = replace(stages.refine, forward=noted("refine", stages.refine.forward))
    watched = replace(stages, velocity=noted("draft", stages.velocity), refine=refine, decode=noted("decode", stages.decode))
    list(run_overlapped(watched, plan, begin(watched)))
    passes = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    begin_, middle, end = ["draft", "refine"], ["draft", "refine", "decode"], ["refine", "decode"]
    assert passes == [*begin_, *middle, *middle, *end], "two drafts before the first block, two frames left at the end"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_overlapped_equals_one_after_another_on_cuda(golden, plan):
    from tiny import random_world

    from wm_core.rollout import stages_of
    from wm_core.vae import VideoVAE, vae_config_from_dict

    case = golden("vae_causal")
    vae = VideoVAE(vae_config_from_dict(case.meta["config"]))
    vae.load_state_dict(case.weights)
    on_card = stages_of(random_world(dtype=torch.float32).cuda(), vae.eval().cuda(), random_refiner(dtype=torch.float32).cuda())
    first = begin(on_card).to("cuda")
    assert_same_events(list(run_overlapped(on_card, plan, first)), list(run(on_card, plan, first)), 1e-5)


@pytest.mark.parametrize("stop", [1, 3])
def test_resumed_equals_straight(stages, plan, straight, tmp_path, stop):
    """What stage 1 carries is read; what the refiner carries is made again, which rounds otherwise."""
    before = list(run(stages, replace(plan, chunks=stop), begin(stages)))
    save_session(before[-1].session, tmp_path)
    loaded = load_session(tmp_path)
    assert loaded.refiner == before[-1].session.refiner and torch.equal(loaded.refined, before[-1].session.refined)
    assert loaded.carried.refining is None, "7.6 GB are not written"
    after = list(run(stages, plan, loaded))
    assert_same_events([*before, *after], straight, 2e-5)
    for got, want in zip(after, straight[stop:]):
        assert torch.equal(got.latents, want.latents)


def test_a_session_may_be_gone_on_from_twice(stages, plan, straight):
    """The refiner's window is written in place; the second branch makes its own."""
    half = list(run(stages, replace(plan, chunks=2), begin(stages)))[-1].session
    first = list(run(stages, plan, half))
    other = list(run(stages, replace(plan, seed=99), half))
    again = list(run(stages, plan, half))
    assert_same_events(again, first, 2e-5)
    assert_same_events(again, straight[2:], 2e-5)
    assert not torch.equal(other[-1].session.refined, first[-1].session.refined)


def test_rewound_and_extended(stages, plan, straight):
    back = straight[-1].session.rewound(2)
    assert back.refined.shape == back.latents.shape and back.chunks == 2
    assert_same_events(list(run(stages, plan, back)), straight[2:], 2e-5)


def test_another_prompt_from_a_chunk_on(stages, plan):
    half = list(run(stages, replace(plan, chunks=2), begin(stages)))[-1].session
    other = replace(plan.prompt, context=CONTEXT.flip(1))
    session = list(run(stages, replace(plan, prompt=other), half))[-1].session
    assert len(session.prompts) == 2 and session.prompt_of(1) is plan.prompt and session.prompt_of(3) is other
    assert session.records[1].prompt == session.records[3].prompt, "stage 1 read the same"


def test_without_the_refiner_stage_1_is_still_there(draft_stages, stages, plan, straight, tmp_path):  # noqa: F811
    """A refiner that keeps failing costs nothing of stage 1: without it the same graph finds its draft."""
    save_session(straight[1].session, tmp_path / "a_session")
    save_session(straight[1].session.draft(), tmp_path / "a_session" / DRAFT)
    plain = replace(plan, prompt=replace(plan.prompt, context=None))
    session = begin(draft_stages)
    folders = [tmp_path / "a_session", tmp_path / "a_session" / DRAFT]
    found = find_session(folders, planned_chunks(plain, session, 0), session)
    assert found.chunks == 2 and found.is_whole and found.outline.folder == folders[1]
    draft: Session = load_session(found.outline.folder)
    assert draft.refined is None and draft.refiner is None
    after = list(run(draft_stages, plain, draft))
    assert torch.equal(after[-1].session.latents, straight[-1].session.latents)
    assert find_session([tmp_path / "a_session"], planned_chunks(plan, begin(stages), 0), begin(stages)).is_whole


def test_a_session_without_a_refiner_is_not_taken_for_one_with(draft_stages, stages, plan, prompt, poses, tmp_path):  # noqa: F811
    save_session(roll(draft_stages, begin(draft_stages), prompt, poses, chunks=2)[-1].session, tmp_path / "a_session")
    session = begin(stages)
    assert find_session([tmp_path / "a_session"], planned_chunks(plan, session, 0), session) is None
    with pytest.raises(ConfigError, match="made with refiner none.*SANA-WM Refine"):
        step(stages, plan, load_session(tmp_path / "a_session"))


class Broke(RuntimeError):
    pass


def breaking(stages, blocks):
    """The refiner fails in its block number `blocks`."""
    seen = []

    def forward(parts, *rest):
        seen.append(parts[-1].start)
        if len(set(seen)) > blocks:
            raise Broke("out of memory, say")
        return stages.refine.forward(parts, *rest)

    return replace(stages, refine=replace(stages.refine, forward=forward))


@pytest.mark.parametrize("go", [run, run_overlapped])
@pytest.mark.parametrize("blocks", [0, 2])
def test_a_refiner_that_fails_loses_neither_drafts_nor_finished_chunks(stages, plan, straight, go, blocks):
    drafts, events = [], []
    with pytest.raises(Broke):
        for event in go(breaking(stages, blocks), plan, begin(stages), on_draft=drafts.append):
            events.append(event)  # noqa: PERF402  what came before the error counts
    assert_same_events(events, straight[:blocks])
    assert [draft.chunks for draft in drafts] == list(range(1, blocks + 2)), "also the one that was being refined"
    assert torch.equal(drafts[-1].latents, straight[blocks].session.latents) and drafts[-1].refiner is None


def test_another_refiner_is_refused(stages, plan, straight):
    other = replace(stages, refiner="another")
    with pytest.raises(ConfigError, match="connect the same one"):
        caught_up(other, straight[0].session)


def test_a_prompt_without_a_context_is_refused(stages, plan, prompt):  # noqa: F811
    with pytest.raises(ConfigError, match="connect refiner_positive"):
        step(stages, replace(plan, prompt=prompt), begin(stages))


def test_sessions_of_before_there_was_a_refiner_are_read(draft_stages, prompt, poses, tmp_path):  # noqa: F811
    want = roll(draft_stages, begin(draft_stages), prompt, poses, chunks=2)[-1].session
    save_session(want, tmp_path)
    index = json.loads((tmp_path / "session.json").read_text())
    del index["refiner"]
    for record in index["records"]:
        del record["context"]
    (tmp_path / "session.json").write_text(json.dumps(index))
    assert torch.equal(load_session(tmp_path).latents, want.latents) and read_outline(tmp_path).refiner is None


def test_the_refiners_block_is_the_chunk(stages):
    session = open_session(stages, begin(stages).first, refining=replace(RELEASED_REFINING, block=5, window=7), fps=24.0)
    assert session.refiner.recipe.block == 3 and session.refiner.recipe.window == 7 and session.refiner.fps == 24.0
    assert session.refined.shape == (1, 8, 0, *GRID)
