"""Generate and Extend with a refiner: three stages in one film, inside the host, on tiny models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from refiner_nodes import CONTEXT, conditioning, refine
from rollout_nodes import CHUNKS, assert_same_film, cancelled_after, extend, frames_of, generate

from tools.make_tiny_refiner import REFINERS, write_refiner


@pytest.fixture(scope="module")
def refiner(pack, tmp_path_factory):
    from sana_wm_pack.nodes.native_refiner import refiner_model
    from sana_wm_pack.wm_core.checkpoint import open_refiner

    return refiner_model(open_refiner(write_refiner(tmp_path_factory.mktemp("refiner"), REFINERS["diffusers"])))


@pytest.fixture
def refined(refiner):
    """Inputs that make a rollout refined."""
    return {"refiner": refiner, "refiner_positive": conditioning()}


def film(parts, refined, prefix="video/film", **options):
    return generate(parts, prefix=prefix, **refined, **options)


def test_draft_and_refined_come_out(parts, refined, told):
    video, latent, session, _, draft, _ = film(parts, refined)
    plain_video, plain, *_ = generate(parts, prefix="video/plain")
    assert torch.equal(draft["samples"], plain["samples"]), "stage 1 never sees refined latents"
    assert torch.equal(latent["samples"][:, :, :1], draft["samples"][:, :, :1])
    assert not torch.equal(latent["samples"], draft["samples"])
    frames, before = frames_of(video), frames_of(plain_video)
    assert frames.shape == before.shape and np.abs(frames.astype(int) - before).mean() > 1
    assert session.session.refiner.fps == 16.0 and session.session.carried is None


def test_three_stage_stream_equals_refining_the_finished_draft(parts, refined, refiner, told):
    _, latent, _, _, draft, _ = film(parts, refined, seed=7)
    whole, _ = refine(refiner, draft, seed=7)
    torch.testing.assert_close(latent["samples"], whole["samples"].to(latent["samples"]), atol=2e-5, rtol=0)


def test_overlapping_changes_nothing(parts, refined, told, monkeypatch):
    from sana_wm_pack.nodes import generate as node

    video, latent, *_ = film(parts, refined, prefix="one")
    monkeypatch.setattr(node, "fit_together", lambda *_: True)
    other, again, *_ = film(parts, refined, prefix="other", overlap="auto")
    assert torch.equal(latent["samples"], again["samples"]) and np.array_equal(frames_of(video), frames_of(other))


def test_a_stop_loses_nothing_and_goes_on(parts, refined, told):
    straight, latent, *_ = film(parts, refined, prefix="straight")
    with cancelled_after(2):
        film(parts, refined, prefix="stopped")
    assert "2 of 4 chunks are kept" in told()[-1]
    resumed, again, *_ = film(parts, refined, prefix="stopped")
    torch.testing.assert_close(again["samples"], latent["samples"], atol=2e-5, rtol=0)
    assert_same_film(parts[1], (resumed, again), (straight, latent))
    film(parts, refined, prefix="stopped")
    assert "nothing was made again" in told()[-1]


def test_without_the_refiner_the_draft_is_found(parts, refined, told):
    """A refiner that keeps failing costs nothing of stage 1."""
    with cancelled_after(2):
        film(parts, refined, prefix="film")
    video, latent, *_ = generate(parts, prefix="film")
    assert any(f"goes on after 2 of {CHUNKS} chunks" in line for line in told())
    plain, want, *_ = generate(parts, prefix="plain")
    assert torch.equal(latent["samples"], want["samples"])
    assert np.array_equal(frames_of(video), frames_of(plain))


def test_a_refiner_that_never_works_costs_nothing_of_stage_1(parts, refined, told, monkeypatch, host_folders):
    from sana_wm_pack.nodes import native_refiner

    def broken(*_, **__):
        raise RuntimeError("CUDA error: out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(native_refiner.VideoRefiner, "forward", broken)
        with pytest.raises(RuntimeError, match="out of memory"):
            film(parts, refined, prefix="film")
    assert (host_folders / "output" / "film_00001_session" / "draft" / "session.json").is_file()
    with monkeypatch.context() as patch:
        patch.setattr(native_refiner.VideoRefiner, "forward", broken)
        with pytest.raises(RuntimeError):
            film(parts, refined, prefix="film")
    assert len(list((host_folders / "output").iterdir())) == 1, "tried again in the same folder"
    _, latent, *_ = generate(parts, prefix="film")
    assert any(f"goes on after 1 of {CHUNKS} chunks" in line for line in told())
    _, want, *_ = generate(parts, prefix="plain")
    assert torch.equal(latent["samples"], want["samples"])


def test_extended_with_the_same_refiner(parts, refined, told):
    _, _, session, *_ = film(parts, refined, length=49)
    video, latent, longer, *_ = extend(parts, session, length=48, refiner=refined["refiner"])
    assert len(frames_of(video)) == 97 and longer.session.refined.shape == longer.session.latents.shape
    _, other, *_ = extend(parts, session, length=48, prefix="other", refiner=refined["refiner"], refiner_positive=conditioning(CONTEXT.flip(1)))
    assert torch.equal(other["samples"][:, :, :7], latent["samples"][:, :, :7])
    assert not torch.equal(other["samples"][:, :, 7:], latent["samples"][:, :, 7:])


def test_extending_without_it_is_refused(parts, refined, told):
    from sana_wm_pack.wm_core.errors import ConfigError

    _, _, session, *_ = film(parts, refined, length=49)
    with pytest.raises(ConfigError, match="was made with refiner .*connect the same one"):
        extend(parts, session)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"refiner_positive": None}, "connect refiner_positive"),
        ({"refiner": None}, "none is connected; connect Load LTX-2 Refiner"),
        ({"refiner_positive": conditioning(torch.zeros(1, 5, 16))}, "refiner_positive must have 32 channels, got 16"),
        ({"refiner_positive": [*conditioning(), *conditioning()]}, "one prompt at a time, got 2"),
        ({"start_sigma": 1.5}, "start sigma must lie in"),
        ({"overlap": "always"}, "overlap must be one of"),
    ],
)
def test_bad_input_is_one_clear_error(parts, refined, told, options, words):
    from sana_wm_pack.wm_core.errors import SanaWMError

    with pytest.raises(SanaWMError, match=words):
        film(parts, refined | options)


def test_another_model_as_refiner_is_refused(parts, refined, told):
    from sana_wm_pack.wm_core.errors import ConfigError

    with pytest.raises(ConfigError, match="must be the LTX-2 refiner"):
        film(parts, refined | {"refiner": parts[0]})


def test_the_sidecar_names_the_refiner(parts, refined, told, host_folders):
    import json

    film(parts, refined, length=49)
    told_of = json.loads((host_folders / "output" / "video" / "film_00001_.json").read_text())
    assert told_of["refiner"]["recipe"]["block"] == 3 and len(told_of["camera"]["c2w"]) == told_of["frames"] == 49
