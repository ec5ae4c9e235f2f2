"""The rollout nodes as the host runs them, on the tiny streaming models: for the tests of Generate, Extend and sessions."""

from contextlib import contextmanager

import av
import numpy as np
import pytest
import torch

SIZE = {"width": 96, "height": 64}
CHUNKS = 4
LENGTH = 24 * CHUNKS + 1


def camera(actions="w-60,dw-60", **options):
    from sana_wm_pack.wm_core.camera import actions_to_path

    return actions_to_path(actions, size=(64, 96), fov_deg=80, **options)


def picture(value=0.5):
    ramp = torch.linspace(0, 1, 96)[None, None, :, None] * torch.linspace(0.3, 1, 64)[None, :, None, None]
    return (ramp * torch.tensor([1.0, 0.6, 0.3])).clone() * value * 2


def generate(parts, length=LENGTH, prefix="video/film", path=None, image=None, resume="auto", **options):
    from sana_wm_pack.nodes.generate import SanaWMGenerate

    model, vae, prompt, _ = parts
    return run_node(
        SanaWMGenerate, model=model, vae=vae, positive=prompt, camera=path or camera(), seed=options.pop("seed", 3),
        length=length, save_prefix=prefix, resume=resume, image=picture() if image is None else image, **SIZE, **options,
    )  # fmt: skip


def extend(parts, session, path=None, length=48, prefix="video/longer", **options):
    from sana_wm_pack.nodes.generate import SanaWMExtend

    model, vae, *_ = parts
    values = {"camera_is": "what follows", "seed": 3, "resume": "auto"} | options
    return run_node(
        SanaWMExtend, session=session, model=model, vae=vae, camera=path or camera("aw-60"), length=length,
        save_prefix=prefix, **values,
    )  # fmt: skip


def run_node(node, **inputs):
    """As the host runs it: hidden values on a clone of the class."""
    return node.PREPARE_CLASS_CLONE({}).execute(**inputs).args


def frames_of(video):
    with av.open(video.get_stream_source()) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def pictures_of(vae, latent):
    """The frames of a LATENT before x264 has seen them, (f, h, w, 3)."""
    from sana_wm_pack.nodes.stages import decode_frames

    return np.concatenate(list(decode_frames(vae, latent["samples"])))


def assert_same_film(vae, got, want):
    """(video, LATENT) of two runs: the same pictures to 2 levels, and in the files as far as x264 repeats itself.

    Of latents that differ in the last bit it may code a few blocks in another mode, and they end 10 levels apart.
    """
    pictures = [pictures_of(vae, latent).astype(int) for _, latent in (got, want)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 2
    films = [frames_of(video).astype(int) for video, _ in (got, want)]
    difference = np.abs(films[0] - films[1])
    assert difference.shape == pictures[0].shape and difference.mean() < 0.05 and (difference > 2).mean() < 1e-2



@contextmanager
def cancelled_after(chunks):
    """Cancel as a user does, once the preview of so many chunks was shown."""
    import comfy.model_management as management
    import comfy.utils

    shown = []

    def hook(value, total, preview, node_id=None):
        shown.extend([preview] if preview is not None else [])
        if len(shown) == chunks and preview is not None:
            management.interrupt_current_processing()

    comfy.utils.set_progress_bar_global_hook(hook)
    try:
        with pytest.raises(management.InterruptProcessingException):
            yield
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
