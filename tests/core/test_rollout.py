"""wm_core.rollout: interrupted and resumed equals straight through, bit for bit, and nothing that is finished changes."""

import json
from dataclasses import replace

import pytest
import torch
from cases import assert_close
from tiny import TINY_DIT, draw_latents, random_world

from wm_core.camera import actions_to_path
from wm_core.errors import CameraError, CheckpointError, ConfigError, ShapeError
from wm_core.rollout import (
    Plan,
    Prompt,
    Recipe,
    caught_up,
    given_path,
    load_session,
    open_session,
    run,
    save_session,
    stages_of,
    step,
)
from wm_core.sampling.noise import chunk_noise, whole_noise
from wm_core.vae import VideoVAE, vae_config_from_dict

CHUNKS = 4
GRID = (2, 3)
ACTIONS = "w-30,dw-30,w-40"


@pytest.fixture(scope="module")
def stages(golden):
    case = golden("vae_causal")
    vae = VideoVAE(vae_config_from_dict(case.meta["config"]))
    vae.load_state_dict(case.weights)
    return stages_of(random_world(dtype=torch.float32), vae.eval())


@pytest.fixture(scope="module")
def prompt():
    return Prompt(draw_latents((1, 5, TINY_DIT.caption_channels), seed=11, dtype=torch.float32))


@pytest.fixture(scope="module")
def poses(stages):
    stride = stages.stride
    return given_path(actions_to_path(ACTIONS, size=(GRID[0] * stride.h, GRID[1] * stride.w), fov_deg=80))


def begin(stages, recipe=None):
    return open_session(stages, draw_latents((1, TINY_DIT.in_channels, 1, *GRID), dtype=torch.float32), recipe)


def roll(stages, session, prompt, poses, chunks=CHUNKS, seed=7):
    return list(run(stages, Plan(prompt, poses, chunks, seed), session))


@pytest.fixture(scope="module")
def straight(stages, prompt, poses):
    return roll(stages, begin(stages), prompt, poses)


def tensors_of(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_of(item)
    elif hasattr(value, "__dataclass_fields__"):
        yield from tensors_of([getattr(value, name) for name in value.__dataclass_fields__])


def assert_same_session(got, want):
    a, b = list(tensors_of(got)), list(tensors_of(want))
    assert len(a) == len(b) >= 2
    for x, y in zip(a, b):
        assert x.dtype == y.dtype and torch.equal(x, y)
    for name in ("recipe", "model", "vae", "stride", "records"):
        assert getattr(got, name) == getattr(want, name)
    assert (got.camera is None) == (want.camera is None)
    if got.camera is not None:
        assert (got.camera.c2w == want.camera.c2w).all() and got.camera.provenance == want.camera.provenance


def test_frames_and_pixels_come_chunk_by_chunk(straight, stages):
    assert [e.latents.shape[2] for e in straight] == [4, 3, 3, 3]
    assert [e.pixels.shape[2] for e in straight] == [25, 24, 24, 24]
    session = straight[-1].session
    assert session.frames == 24 * CHUNKS + 1 <= session.camera.frames
    assert torch.equal(session.latents, torch.cat([e.latents for e in straight], 2))
    assert torch.equal(session.latents[:, :, :1], session.first), "the given frame is kept"
    whole, _ = stages.decode(session.latents, None)
    assert_close(torch.cat([e.pixels for e in straight], 2), whole, 1e-5, 1e-5)


@pytest.mark.parametrize("stop", range(CHUNKS + 1))
def test_resumed_equals_straight_bit_for_bit(stages, prompt, poses, straight, tmp_path, stop):
    before = roll(stages, begin(stages), prompt, poses, chunks=stop)
    session = before[-1].session if before else begin(stages)
    save_session(session, tmp_path)
    after = roll(stages, load_session(tmp_path), prompt, poses)
    for got, want in zip([*before, *after], straight, strict=True):
        assert torch.equal(got.latents, want.latents) and torch.equal(got.pixels, want.pixels)
    if after:
        assert_same_session(after[-1].session, straight[-1].session)


def test_another_prompt_is_written(stages, prompt, poses, straight, tmp_path):
    save_session(straight[1].session, tmp_path)
    other = replace(prompt, text=prompt.text.flip(1))
    (event,) = run(stages, Plan(other, poses, 3, 7), straight[1].session)
    save_session(event.session, tmp_path)
    assert_same_session(load_session(tmp_path), event.session)
    assert len(list(tmp_path.glob("about_*"))) == 1, "the old file is cleared"


@pytest.mark.parametrize("cfg", [1.0, 2.5])
def test_written_equals_read(stages, prompt, poses, tmp_path, cfg):
    prompt = replace(prompt, negative=prompt.text.flip(1), negative_mask=torch.tensor([[1, 1, 1, 1, 0]]))
    session = roll(stages, begin(stages, Recipe(cfg=cfg)), prompt, poses, chunks=3)[-1].session
    save_session(session, tmp_path)
    assert_same_session(load_session(tmp_path), session)
    save_session(replace(session, carried=None, camera=None), tmp_path / "bare")
    assert load_session(tmp_path / "bare").carried is None and load_session(tmp_path / "bare").camera is None


@pytest.mark.parametrize("chunks", range(CHUNKS + 1))
def test_rewound_equals_what_it_was(stages, prompt, straight, chunks):
    rewound = straight[-1].session.rewound(chunks)
    want = straight[chunks - 1].session if chunks else caught_up(stages, begin(stages))
    assert_same_session(caught_up(stages, rewound), want)


def test_what_was_lost_or_is_old_is_made_again_bit_for_bit(stages, straight):
    want = straight[-1].session
    assert_same_session(caught_up(stages, replace(want, carried=None)), want)
    old = replace(want, carried=straight[1].session.carried)
    made = []
    assert_same_session(caught_up(stages, old, on_step=lambda i, _: made.append(i)), want)
    assert made == [2, 3], "only what is missing"


@pytest.mark.parametrize("kept", range(CHUNKS))
def test_resumed_from_latents_and_an_older_carried_file_equals_straight(stages, prompt, poses, straight, tmp_path, kept):
    """What a kill leaves: latents of every finished chunk, and what is carried after an earlier one."""
    if kept:
        save_session(straight[kept - 1].session, tmp_path)
    for event in straight[kept:3]:
        save_session(event.session, tmp_path, with_carried=False)
    session = load_session(tmp_path)
    assert session.chunks == 3 and (session.carried.chunks if session.carried else 0) == min(kept, 3)
    after = roll(stages, session, prompt, poses)
    assert_same_session(after[-1].session, straight[-1].session)


def test_a_damaged_carried_file_is_named_and_made_again(stages, prompt, poses, straight, tmp_path, caplog):
    save_session(straight[2].session, tmp_path)
    (file,) = tmp_path.glob("carried_*.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    session = load_session(tmp_path)
    assert session.carried is None and f"{file.name} is damaged" in caplog.text
    assert_same_session(roll(stages, session, prompt, poses)[-1].session, straight[-1].session)


def test_what_is_carried_by_another_rollout_is_not_taken(stages, prompt, poses, straight, tmp_path):
    save_session(straight[2].session, tmp_path)
    branch = roll(stages, straight[0].session, prompt, poses, chunks=3, seed=8)[-1].session
    save_session(branch, tmp_path, with_carried=False)
    assert load_session(tmp_path).carried is None
    assert not list(tmp_path.glob("carried_*"))


def test_a_branch_leaves_its_parent_untouched(stages, prompt, poses, straight):
    parent = straight[1].session
    kept = [t.clone() for t in tensors_of(parent)]
    other = roll(stages, parent, replace(prompt, text=prompt.text * 2), poses, seed=99)
    assert all(torch.equal(a, b) for a, b in zip(kept, tensors_of(parent)))
    assert torch.equal(other[-1].session.latents[:, :, :7], parent.latents)
    assert (other[0].latents - straight[2].latents).abs().max() > 1e-3
    assert [r.seed for r in other[-1].session.records] == [7, 7, 99, 99]
    again = roll(stages, parent, prompt, poses)
    assert torch.equal(again[-1].latents, straight[-1].latents)


def test_changing_only_the_future_reuses_the_past(stages, prompt, poses, straight):
    size = straight[0].session.camera.size
    # nvlabs-v2 has inertia, so a later key changes nothing before it: the first 60 frames are the same
    changed = given_path(actions_to_path("w-30,dw-30,s-40", size=size, fov_deg=80))
    session = straight[1].session
    assert session.frames == 49
    other = roll(stages, session, prompt, changed)
    assert not torch.equal(other[-1].latents, straight[-1].latents)
    early = given_path(actions_to_path("w-30,aw-30,w-40", size=size, fov_deg=80))
    with pytest.raises(CameraError, match="differs at frame 31 from the 49 frames"):
        step(stages, Plan(prompt, early, CHUNKS, 7), session)


def test_a_path_that_is_too_short_is_refused(stages, prompt, straight):
    short = given_path(straight[1].session.camera.slice(0, 49))
    with pytest.raises(CameraError, match="73 pixel frames"):
        step(stages, Plan(prompt, short, CHUNKS, 7), straight[1].session)


def test_a_path_may_be_made_while_it_goes(stages, prompt, poses, straight):
    asked = []

    def live(frames, session):
        asked.append((frames, session.chunks))
        return poses(frames, session).slice(0, frames)

    events = roll(stages, begin(stages), prompt, live)
    assert asked == [(25, 0), (49, 1), (73, 2), (97, 3)]
    assert torch.equal(events[-1].session.latents, straight[-1].session.latents)


def test_noise_may_be_drawn_for_the_whole_video(stages, prompt, poses, straight):
    first = begin(stages)
    pieces = [chunk_noise(7, i, (1, 8, 4 if i == 0 else 3, *GRID)) for i in range(CHUNKS)]
    events = list(run(stages, Plan(prompt, poses, CHUNKS, 0, torch.cat(pieces, 2)), first))
    assert torch.equal(events[-1].session.latents, straight[-1].session.latents)
    with pytest.raises(ShapeError, match="noise of frames 4 to 7"):
        step(stages, Plan(prompt, poses, CHUNKS, 0, whole_noise(0, (1, 8, 6, *GRID))), straight[0].session)


def test_noise_of_chunks_and_seeds_is_unrelated():
    shape = (1, 8, 3, 16, 16)
    a = chunk_noise(1, 0, shape)
    assert torch.equal(a, chunk_noise(1, 0, shape))
    for other in (chunk_noise(1, 1, shape), chunk_noise(2, 0, shape), chunk_noise(0, 1, shape)):
        assert abs(torch.corrcoef(torch.stack([a.flatten(), other.flatten()]))[0, 1]) < 0.05
    assert abs(a.mean()) < 0.05 and abs(a.std() - 1) < 0.05


def test_another_model_or_vae_is_refused(stages, prompt, poses, straight):
    plan = Plan(prompt, poses, CHUNKS, 7)
    with pytest.raises(ConfigError, match="was made with model"):
        step(stages_of(random_world(seed=5, dtype=torch.float32)), plan, straight[0].session)
    with pytest.raises(ConfigError, match="was decoded with VAE"):
        step(replace(stages, vae="another"), plan, straight[0].session)


def test_a_session_keeps_each_prompt_once_and_rewinds_with_it(stages, prompt, poses, straight):
    other = replace(prompt, text=prompt.text * 2)
    branch = roll(stages, straight[1].session, other, poses)[-1].session
    assert [branch.prompt_of(i).fingerprint for i in range(CHUNKS)] == [prompt.fingerprint] * 2 + [other.fingerprint] * 2
    assert len(branch.prompts) == 2
    assert_same_session(caught_up(stages, branch.rewound(2)), straight[1].session)
    with pytest.raises(ConfigError, match="4 chunks can be rewound to 0 to 4, got 5"):
        straight[-1].session.rewound(5)


def test_guidance_needs_a_negative_prompt(stages, prompt, poses):
    with pytest.raises(ConfigError, match="negative prompt"):
        step(stages, Plan(prompt, poses, CHUNKS, 1), begin(stages, Recipe(cfg=3.0)))


def test_the_latents_of_a_chunk_are_written_once(straight, tmp_path):
    written = []
    for event in straight:
        before = {file.name: file.stat().st_ino for file in tmp_path.glob("*")}
        save_session(event.session, tmp_path, with_carried=False)
        new = [file for file in tmp_path.glob("*") if before.get(file.name) != file.stat().st_ino]
        about = [] if written else ["about"]  # prompts and camera, of which a refiner's prompt alone has 16 MB
        assert sorted(file.name.split("_")[0] for file in new) == [*about, "chunk", "session.json"]
        written.append(sum(file.stat().st_size for file in new if file.name.startswith("chunk")))
    assert written[1] == written[2] == written[3], "as much for a late chunk as for an early one"


@pytest.mark.parametrize("kind", ["chunk", "about"])
@pytest.mark.parametrize("at", [0, 100, -1])
def test_a_damaged_file_is_named(straight, tmp_path, at, kind):
    save_session(straight[0].session, tmp_path)
    (file,) = tmp_path.glob(f"{kind}_*.safetensors")
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{file.name} is damaged"):
        load_session(tmp_path)


def test_missing_foreign_and_newer_sessions_are_named(straight, tmp_path):
    with pytest.raises(CheckpointError, match=r"session\.json is missing"):
        load_session(tmp_path)
    index = save_session(straight[0].session, tmp_path)
    about = json.loads(index.read_text())
    index.write_text(json.dumps({**about, "version": 99}))
    with pytest.raises(CheckpointError, match="version 99"):
        load_session(tmp_path)
    index.write_text("not json")
    with pytest.raises(CheckpointError, match="is not a session"):
        load_session(tmp_path)
    index.write_text(json.dumps(about))
    next(tmp_path.glob("chunk_*")).unlink()
    with pytest.raises(CheckpointError, match="is missing; restore"):
        load_session(tmp_path)


def test_a_kill_between_the_two_files_leaves_the_last_whole_session(straight, tmp_path):
    """Simulated by what lies on the disk at each instant of the second save; real kills are the host's tests."""
    first, second = straight[0].session, straight[1].session
    save_session(first, tmp_path / "a")
    save_session(second, tmp_path / "b")
    old, new = ([*(tmp_path / name).glob("*.safetensors")] for name in "ab")
    assert (len(old), len(new)) == (3, 4), "about, carried, and a file for each chunk"
    (tmp_path / "a" / ".unfinished").write_bytes(new[0].read_bytes()[:1000])  # tensors half written
    assert_same_session(load_session(tmp_path / "a"), first)
    for file in new:
        (tmp_path / "a" / file.name).write_bytes(file.read_bytes())  # tensors written, index not yet
        assert_same_session(load_session(tmp_path / "a"), first)
    (tmp_path / "a" / "session.json").write_bytes((tmp_path / "b" / "session.json").read_bytes())  # old not removed yet
    assert all(file.exists() for file in old)
    assert_same_session(load_session(tmp_path / "a"), second)
    save_session(second, tmp_path / "a")
    assert not (tmp_path / "a" / ".unfinished").exists()
    left = {file.name for file in (tmp_path / "a").glob("*.safetensors")}
    assert left == {file.name for file in new}, "old tensors are cleared"
