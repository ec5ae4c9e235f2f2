"""Encoded clips on the disk: what the world models and the refiner are trained on. Each is kept as it is and mirrored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wm_core.camera import CameraPath, build_conditions
from wm_core.shapes import Stride
from wm_core.vae import VideoVAE

from .clips import FPS, make_clip
from .settings import Settings, load_settings
from .training import load_modules

MIRROR = np.diag((-1.0, 1.0, 1.0, 1.0)).astype(np.float32)
SHARD = 40  # clips in a file


@dataclass(frozen=True, eq=False)
class Latents:
    """n encoded clips: latents (n, c, t, h, w) float16, normalised; c2w (n, f, 4, 4); intrinsics (n, f, 4); captions."""

    latents: NDArray
    c2w: NDArray
    intrinsics: NDArray
    captions: Sequence[str]

    def path(self, i: int, size: tuple[int, int]) -> CameraPath:
        return CameraPath(self.c2w[i], self.intrinsics[i], size, FPS)


def encode_clips(settings: Settings, folder: Path, name: str, seeds: range, frames: int) -> None:
    """Render and encode the clips of these seeds into shards `name`-<first seed>; those that are there already stay."""
    target = folder / "latents"
    target.mkdir(parents=True, exist_ok=True)
    shards = [range(at, min(at + SHARD, seeds.stop)) for at in range(seeds.start, seeds.stop, SHARD)]
    files = ((target / f"{name}-{shard.start:07}.npz", shard) for shard in shards)
    missing = [(file, shard) for file, shard in files if not file.is_file()]
    with ProcessPoolExecutor(os.cpu_count(), initializer=_open_vae, initargs=(settings.source, folder)) as pool:
        for done in pool.map(_encode_shard, *zip(*missing), [frames] * len(missing)) if missing else ():
            print(f"encoded {done}", flush=True)


def load_latents(folder: Path, name: str) -> Latents:
    """All shards of that name."""
    files = sorted((folder / "latents").glob(f"{name}-*.npz"))
    if not files:
        raise FileNotFoundError(f"no {name}-*.npz in {folder / 'latents'}; run `encode` first")
    parts = [dict(np.load(file)) for file in files]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Latents(joined["latents"], joined["c2w"], joined["intrinsics"], [str(c) for c in joined["captions"]])


def conditions(clips: Latents, size: tuple[int, int], stride: Stride) -> tuple[Tensor, Tensor]:
    """Raymap (n, t, 20) and Pluecker volume (n, 48, t, h, w) of every clip."""
    grid = clips.latents.shape[2:]
    made = [build_conditions(clips.path(i, size), grid, stride) for i in range(len(clips.latents))]
    return torch.cat([m.raymap for m in made]), torch.cat([m.plucker for m in made])


def mirrored(path: CameraPath) -> CameraPath:
    """The camera that sees the mirrored pictures of a mirrored world."""
    fx, fy, cx, cy = path.intrinsics.T
    intrinsics = np.stack([fx, fy, path.size[1] - cx, cy], 1)
    return CameraPath(MIRROR @ path.c2w @ MIRROR, intrinsics, path.size, path.fps)


_encoder: tuple[Settings, VideoVAE]


def _open_vae(source: str, folder: Path) -> None:
    """In a worker, once."""
    global _encoder
    torch.set_num_threads(1)
    settings = load_settings(text=source)
    vae = VideoVAE(settings.vae.model)
    load_modules(folder / "vae.pt", {"vae": vae})
    _encoder = settings, vae


def _encode_shard(file: Path, seeds: range, frames: int) -> str:
    settings, vae = _encoder
    rows = [row for seed in seeds for row in _encode_clip(settings, vae, seed, frames)]
    latents, c2w, intrinsics, captions = zip(*rows)
    part = file.with_suffix(".part.npz")
    np.savez(
        part, latents=np.stack(latents), c2w=np.stack(c2w), intrinsics=np.stack(intrinsics), captions=np.array(captions)
    )
    part.replace(file)
    return file.name


def _encode_clip(settings: Settings, vae: VideoVAE, seed: int, frames: int):
    """Two rows: the clip and its mirror image."""
    from .train_vae import as_video

    clip = make_clip(seed, frames, settings.size)
    pictures = clip.frames()
    with torch.autocast("cpu", torch.bfloat16):
        latents = vae.encode(as_video(np.stack([pictures, pictures[:, :, ::-1]]))).half().numpy()
    for path, latent in zip((clip.path, mirrored(clip.path)), latents):
        yield latent, path.c2w, path.intrinsics, clip.caption
