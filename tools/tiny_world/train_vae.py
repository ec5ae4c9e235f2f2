"""The video VAE: first encoder and decoder together, later a decoder alone on the frozen encoder's latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from wm_core.config import VAEConfig
from wm_core.metrics import psnr
from wm_core.tiny_world import HELD_OUT
from wm_core.vae import VideoVAE
from wm_core.vae.blocks import VideoConv

from .clips import make_clip
from .mixed import bf16_products
from .rendering import rendered_clips
from .settings import Settings
from .training import Stage, load_modules

CROPS = ((9, 64, 64, 1.0), (9, 64, 64, 1.0), (9, 64, 64, 1.0), (17, 96, 96, 0.25))  # f, h, w, share of the batch
VALIDATION = 6  # held-out clips
LOOK_SECONDS = 120.0
CHANNELS_LAST = torch.channels_last_3d


def train_vae(settings: Settings, folder: Path, minutes: float, of: float | None, device: str) -> None:
    """Encoder and decoder on crops of rendered clips; ends by measuring the latents' mean and deviation."""
    torch.manual_seed(settings.seed)
    recipe = settings.vae
    vae = begun_vae(recipe.model).to(device, memory_format=CHANNELS_LAST)
    trained = (*vae.encoder.parameters(), *vae.decoder.parameters())
    stage = Stage("vae", folder, settings, {"vae": vae}, trained, recipe, minutes, of)
    crops = Crops(settings, folder, device, seed=stage.step)
    held_out = validation_clips(settings, device)

    def step() -> dict[str, Tensor]:
        x = crops.batch(*CROPS[stage.step % len(CROPS)])
        with bf16_products(x.device):
            mean = vae.encoder(x).float()
            z = noised(mean, recipe.latent_noise, mean.detach().std((0, 2, 3, 4), keepdim=True))
            y = vae.decoder(z).float()
        prior = 0.5 * mean.square().mean()
        loss, error = likeness_loss(y, x, recipe.edge)
        norm = stage.learn(loss + recipe.kl * prior)
        return {"loss": loss.detach(), "error": error, "prior": prior.detach(), "norm": norm}

    stage.train(step, lambda: validate(vae, held_out), LOOK_SECONDS)
    measure_latents(vae, crops)
    stage.end(lambda: validate(vae, held_out))


def train_decoder(
    settings: Settings, folder: Path, minutes: float, of: float | None, device: str, *, causal: bool
) -> None:
    """A decoder alone, from the joint one's weights; the encoder and the latents stay what they are."""
    torch.manual_seed(settings.seed + 1 + causal)
    config = replace(settings.vae.model, decoder_causal=causal)
    vae = VideoVAE(config).to(device, memory_format=CHANNELS_LAST)
    load_modules(folder / "vae.pt", {"vae": vae})
    if causal:
        look_back(vae.decoder)
    vae.encoder.requires_grad_(False)
    name = "causal_decoder" if causal else "decoder"
    stage = Stage(name, folder, settings, {"vae": vae}, vae.decoder.parameters(), settings.decoder, minutes, of)
    crops = Crops(settings, folder, device, seed=1000 + stage.step)
    held_out = validation_clips(settings, device)
    deviation = vae.latents_std.view(1, -1, 1, 1, 1)

    def step() -> dict[str, Tensor]:
        x = crops.batch(*CROPS[stage.step % len(CROPS)])
        with bf16_products(x.device):
            with torch.no_grad():
                mean = vae.encoder(x).float()
            y = vae.decoder(noised(mean, settings.decoder.latent_noise, deviation)).float()
        loss, error = likeness_loss(y, x, settings.vae.edge)
        return {"norm": stage.learn(loss), "loss": loss.detach(), "error": error}

    stage.train(step, lambda: validate(vae, held_out), LOOK_SECONDS)
    stage.end(lambda: validate(vae, held_out))


def begun_vae(config: VAEConfig) -> VideoVAE:
    """A VAE whose residual blocks start near the identity, and whose posterior says a small, constant variance."""
    vae = VideoVAE(config)
    for name, module in vae.named_modules():
        if isinstance(module, nn.Conv3d):
            is_end, is_resampler = name.endswith("conv2.conv"), "samplers" in name
            module.weight.data.mul_(0.1 if is_end else 0.5 if is_resampler else 1.7)
            module.bias.data.zero_()
    last = vae.encoder.conv_out.conv
    last.weight.data[-1].zero_()
    last.bias.data[-1] = -6.0  # log variance: not used, not trained
    return vae


@torch.no_grad()
def look_back(decoder: nn.Module) -> None:
    """Kernels over (before, now, after) to causal ones over (before the last, before, now): what is new now counts as after.

    Without it every layer shifts time by a frame. PSNR before any training, two held-out clips, on which the decoder that
    looks ahead has 32.4 dB: 28.1 with it, 22.3 without; 1400 steps from the latter did not get there.
    """
    for module in decoder.modules():
        if isinstance(module, VideoConv):
            before, now, after = module.conv.weight.unbind(2)
            module.conv.weight.copy_(torch.stack([torch.zeros_like(before), before, now + after], 2))


def noised(mean: Tensor, most: float, deviation: Tensor) -> Tensor:
    """Latents with noise of up to `most` deviations: what a world model's latents will be off by."""
    share = most * torch.rand(len(mean), 1, 1, 1, 1, device=mean.device)
    return mean + share * deviation * torch.randn_like(mean)


def likeness_loss(y: Tensor, x: Tensor, edge: float) -> tuple[Tensor, Tensor]:
    """Loss of pixels y against x, and the mean squared error with 1 as the range."""
    difference = x - y
    across, down = difference.diff(dim=-1).abs().mean(), difference.diff(dim=-2).abs().mean()
    squares = difference.square().mean()
    return difference.abs().mean() + 0.5 * squares + edge * (across + down), squares.detach() / 4


class Crops:
    """Random crops of the rendered clips, mirrored half the time, in [-1, 1]."""

    def __init__(self, settings: Settings, folder: Path, device: str, seed: int) -> None:
        count, frames = settings.vae.clips, settings.vae.clip_frames
        self.clips = rendered_clips(folder / "vae_clips.npy", range(count), frames, settings.size)
        self.most, self.device = settings.vae.batch, device
        self.rng = np.random.default_rng((settings.seed, seed))

    def batch(self, frames: int, height: int, width: int, share: float) -> Tensor:
        """(b, 3, frames, height, width)."""
        return as_video(
            np.stack([self._crop(frames, height, width) for _ in range(round(self.most * share))]), self.device
        )

    def _crop(self, frames: int, height: int, width: int) -> NDArray:
        clip = self.clips[self.rng.integers(len(self.clips))]
        f, h, w = clip.shape[:3]
        at = [int(self.rng.integers(room + 1)) for room in (f - frames, h - height, w - width)]
        crop = clip[at[0] : at[0] + frames, at[1] : at[1] + height, at[2] : at[2] + width]
        return crop[:, :, ::-1] if self.rng.random() < 0.5 else crop


def as_video(frames: NDArray, device: str = "cpu") -> Tensor:
    """uint8 frames (b, f, h, w, 3) to (b, 3, f, h, w) in [-1, 1]."""
    video = rearrange(torch.from_numpy(np.array(frames)).to(device), "b f h w c -> b c f h w")
    return (video.float() / 127.5 - 1).contiguous(memory_format=CHANNELS_LAST)


def validation_clips(settings: Settings, device: str) -> list[Tensor]:
    """Held-out clips, each (1, 3, f, h, w)."""
    seeds = range(HELD_OUT + 500, HELD_OUT + 500 + VALIDATION)
    clips = (make_clip(seed, settings.vae.clip_frames, settings.size) for seed in seeds)
    return [as_video(clip.frames()[None], device) for clip in clips]


@torch.no_grad()
def validate(vae: VideoVAE, clips: list[Tensor]) -> dict[str, float]:
    """PSNR of the round trip in dB: of all frames, and of the first; mean over the clips."""
    whole, first = [], []
    for x in clips:
        y = vae.decoder(vae.encoder(x)).clamp(-1, 1)
        whole.append(psnr(y, x, peak=2.0))
        first.append(psnr(y[:, :, :1], x[:, :, :1], peak=2.0))
    return {"psnr": float(np.mean(whole)), "psnr_first": float(np.mean(first))}


@torch.no_grad()
def measure_latents(vae: VideoVAE, crops: Crops, clips: int = 64) -> None:
    """Mean and deviation per channel of whole clips, into the buffers that normalise the latents."""
    latents = [vae.encoder(as_video(crops.clips[i : i + 1], crops.device)) for i in range(min(clips, len(crops.clips)))]
    stacked = torch.cat(latents)
    vae.latents_mean.copy_(stacked.mean((0, 2, 3, 4)))
    vae.latents_std.copy_(stacked.std((0, 2, 3, 4)))
