"""Hyperparameters of the released models, and the points on which the published implementations disagree."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ConfigError
from .shapes import Stride


@dataclass(frozen=True)
class Reference:
    """Which published implementation's arithmetic to follow where they differ; all load the same weights."""

    name: str
    clamp_gdn_camera: bool = False  # scale camera q, k, v of GDN blocks down to their RMS before the ray transform
    clamp_softmax_camera: bool = False  # the same in the softmax blocks
    camera_scale_padded: bool = False  # dense camera softmax: 1/sqrt(head dim padded to a power of two)
    stream_scale_padded: bool = False  # every softmax that reads a past: likewise
    camera_conv_streams: bool = True  # camera K conv sees the frames before its chunk while streaming
    softmax_bf16: bool = False  # round softmax q, k, v to bfloat16 even in a float32 model


NVLABS = Reference("nvlabs")
NVLABS_FIRST = Reference("nvlabs-first", clamp_softmax_camera=True, camera_scale_padded=True)
NVLABS_STREAMING = Reference(
    "nvlabs-streaming", camera_scale_padded=True, stream_scale_padded=True, camera_conv_streams=False
)
DIFFUSERS = Reference("diffusers", clamp_gdn_camera=True, clamp_softmax_camera=True, camera_scale_padded=True)
REFERENCES = {r.name: r for r in (NVLABS, NVLABS_FIRST, NVLABS_STREAMING, DIFFUSERS)}


def find_reference(name: str) -> Reference:
    """The reference of that name; ConfigError names the known ones."""
    if name not in REFERENCES:
        raise ConfigError(f"reference must be one of {', '.join(REFERENCES)}, got {name!r}")
    return REFERENCES[name]


@dataclass(frozen=True)
class DiTConfig:
    """Stage-1 world model. The defaults are the released 2.6B model. SANA-WM sec. 3.2, table 8."""

    in_channels: int = 128
    depth: int = 20
    hidden_size: int = 2240
    num_heads: int = 20
    mlp_ratio: float = 3.0
    caption_channels: int = 2304
    patch_size: tuple[int, int, int] = (1, 1, 1)
    softmax_every_n: int = 4  # blocks n-1, 2n-1, ... attend with softmax, the others with the gated delta rule
    conv_kernel_size: int = 4  # taps of the temporal short convolution on K
    t_kernel_size: int = 3  # taps of the temporal convolution in the FFN
    plucker_channels: int = 48  # 6 Pluecker coordinates of each of the 8 pixel frames behind a latent
    plucker_blocks: int = 20  # how many leading blocks add the Pluecker embedding
    norm_eps_qk: float = 1e-5
    norm_eps_cross: float = 1e-6
    reference: Reference = NVLABS

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads or self.head_dim % 8:
            raise ConfigError(
                f"hidden_size / num_heads must be a multiple of 8 (half a head is turned in groups of four "
                f"channels), got {self.hidden_size} / {self.num_heads}"
            )
        if self.t_kernel_size % 2 == 0:
            raise ConfigError(f"t_kernel_size must be odd, got {self.t_kernel_size}")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def mlp_hidden(self) -> int:
        return int(self.hidden_size * self.mlp_ratio)

    def uses_softmax(self, index: int) -> bool:
        """True for the blocks that attend with softmax; index counts from 0."""
        return (index + 1) % self.softmax_every_n == 0


RELEASED_DIT = DiTConfig()


@dataclass(frozen=True)
class VAEConfig:
    """LTX-2 video VAE. The defaults are the released one; field names follow its config.json."""

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 128
    block_out_channels: tuple[int, ...] = (256, 512, 1024, 2048)
    layers_per_block: tuple[int, ...] = (4, 6, 6, 2, 2)
    downsample_type: tuple[str, ...] = ("spatial", "temporal", "spatiotemporal", "spatiotemporal")
    spatio_temporal_scaling: tuple[bool, ...] = (True, True, True, True)
    decoder_block_out_channels: tuple[int, ...] = (256, 512, 1024)
    decoder_layers_per_block: tuple[int, ...] = (5, 5, 5, 5)
    decoder_spatio_temporal_scaling: tuple[bool, ...] = (True, True, True)
    upsample_type: tuple[str, ...] = ("spatiotemporal", "spatiotemporal", "spatiotemporal")  # deepest first
    upsample_residual: tuple[bool, ...] = (True, True, True)
    upsample_factor: tuple[int, ...] = (2, 2, 2)
    patch_size: int = 4
    patch_size_t: int = 1
    resnet_norm_eps: float = 1e-6
    scaling_factor: float = 1.0
    encoder_causal: bool = True
    decoder_causal: bool = False
    encoder_spatial_padding_mode: str = "zeros"
    decoder_spatial_padding_mode: str = "reflect"
    spatial_compression_ratio: int = 32
    temporal_compression_ratio: int = 8

    @property
    def stride(self) -> Stride:
        return Stride(self.temporal_compression_ratio, self.spatial_compression_ratio, self.spatial_compression_ratio)


RELEASED_VAE = VAEConfig()


@dataclass(frozen=True)
class SamplingConfig:
    """The recipe a stage-1 checkpoint was released or trained with. SANA-WM sec. 4, app. C."""

    steps: int = 60
    cfg: float = 5.0
    shift: float = 9.8
    double_shift: bool = True  # the released schedule shifts its own lower end once more; see sampling/schedule.py
    fps: float = 16.0
    dialect: str = "nvlabs-v2"


RELEASED_SAMPLING = SamplingConfig()
