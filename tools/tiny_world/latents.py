"""Encoded clips on the disk: what the world models and the refiner are trained on. Each is kept as it is and mirrored."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wm_core.camera import CameraPath, build_conditions
from wm_core.camera.reshaping import mirrored
from wm_core.shapes import Stride
from wm_core.vae import VideoVAE

from .clips import FPS, make_clip
from .mixed import bf16_products
from .settings import Settings
from .training import load_modules

SHARD = 40  # clips in a file
AHEAD = 2  # shards that are rendered before they can be encoded: 5.6 MB a clip


@dataclass(frozen=True, eq=False)
class Latents:
    """n encoded clips: latents (n, c, t, h, w) float16, normalised; c2w (n, f, 4, 4); intrinsics (n, f, 4); captions."""

    latents: NDArray
    c2w: NDArray
    intrinsics: NDArray
    captions: Sequence[str]

    def path(self, i: int, size: tuple[int, int]) -> CameraPath:
        return CameraPath(self.c2w[i], self.intrinsics[i], size, FPS)

    def first(self, count: int | None) -> Latents:
        """The first clips; all of them for None."""
        return Latents(self.latents[:count], self.c2w[:count], self.intrinsics[:count], self.captions[:count])


@torch.no_grad()
def encode_clips(settings: Settings, folder: Path, name: str, seeds: range, frames: int, device: str = "cpu") -> None:
    """Render and encode the clips of these seeds into shards `name`-<first seed>; those that are there whole already stay."""
    target = folder / "latents"
    target.mkdir(parents=True, exist_ok=True)
    shards = [range(at, min(at + SHARD, seeds.stop)) for at in range(seeds.start, seeds.stop, SHARD)]
    files = ((target / f"{name}-{shard.start:07}.npz", shard) for shard in shards)
    missing = [(file, shard) for file, shard in files if not _is_whole(file, len(shard), frames)]
    vae = VideoVAE(settings.vae.model)
    load_modules(folder / "vae.pt", {"vae": vae})
    vae.to(device, memory_format=torch.channels_last_3d)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for file, clips in _rendered_shards(pool, missing, frames, settings.size):
            _write_shard(file, [row for clip in clips for row in _encode(vae, *clip)])
            print(f"encoded {file.name}", flush=True)


def _rendered_shards(
    pool: ProcessPoolExecutor, shards: Sequence[tuple[Path, range]], frames: int, size: tuple[int, int]
) -> Iterator[tuple[Path, Iterator[tuple]]]:
    """Each shard's clips, rendered while the shards before it are encoded."""
    ahead: deque[tuple[Path, Iterator[tuple]]] = deque()
    for file, seeds in shards:
        ahead.append((file, pool.map(partial(rendered_clip, frames=frames, size=size), seeds)))
        if len(ahead) > AHEAD:
            yield ahead.popleft()
    yield from ahead


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
    with ThreadPoolExecutor() as pool:
        paths = (clips.path(i, size) for i in range(len(clips.latents)))
        made = list(pool.map(lambda path: build_conditions(path, grid, stride), paths))
    return torch.cat([m.raymap for m in made]), torch.cat([m.plucker for m in made])


def _is_whole(file: Path, clips: int, frames: int) -> bool:
    """Whether a shard holds so many clips, each twice, of so many frames."""
    if not file.is_file():
        return False
    with np.load(file) as shard:
        return shard["c2w"].shape[:2] == (2 * clips, frames)


def rendered_clip(seed: int, frames: int, size: tuple[int, int]) -> tuple[NDArray, CameraPath, str]:
    """A clip's pictures (f, h, w, 3) uint8, its camera and its caption."""
    clip = make_clip(seed, frames, size)
    return clip.frames(), clip.path, clip.caption


def _encode(vae: VideoVAE, pictures: NDArray, path: CameraPath, caption: str) -> Iterator[tuple]:
    """Two rows: the clip and its mirror image."""
    from .train_vae import as_video

    video = as_video(np.stack([pictures, pictures[:, :, ::-1]]), vae.latents_mean.device)
    with bf16_products(video.device):
        latents = vae.encode(video).half().cpu().numpy()
    for seen, latent in zip((path, mirrored(path)), latents):
        yield latent, seen.c2w, seen.intrinsics, caption


def _write_shard(file: Path, rows: Sequence[tuple]) -> None:
    latents, c2w, intrinsics, captions = zip(*rows)
    part = file.with_name(f"part-{file.name}")
    np.savez(
        part, latents=np.stack(latents), c2w=np.stack(c2w), intrinsics=np.stack(intrinsics), captions=np.array(captions)
    )
    part.replace(file)
