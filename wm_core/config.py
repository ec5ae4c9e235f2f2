"""Hyperparameters of the released models, and the points on which the published implementations disagree."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .errors import ConfigError
from .shapes import RELEASED_STRIDE, Stride


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
    num_heads: int = 20  # of cross-attention
    head_dim: int = 112  # of self-attention, whose heads are hidden_size / head_dim
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
        if self.head_dim % 8 or self.hidden_size % self.head_dim or self.hidden_size % self.num_heads:
            raise ConfigError(
                "hidden_size must divide into num_heads and into heads of head_dim channels, a multiple of 8 (half a "
                f"head is carried in groups of four), got {self.hidden_size}, {self.num_heads} and {self.head_dim}"
            )
        if self.t_kernel_size % 2 == 0:
            raise ConfigError(f"t_kernel_size must be odd, got {self.t_kernel_size}")

    @property
    def mlp_hidden(self) -> int:
        return int(self.hidden_size * self.mlp_ratio)

    def uses_softmax(self, index: int) -> bool:
        """True for the blocks that attend with softmax; index counts from 0."""
        return (index + 1) % self.softmax_every_n == 0


RELEASED_DIT = DiTConfig()


RESAMPLE_FACTORS = {"spatial": (1, 2, 2), "temporal": (2, 1, 1), "spatiotemporal": (2, 2, 2)}


@dataclass(frozen=True)
class VAEStage:
    """One encoder or decoder block: residual layers at one resolution and at most one change of it."""

    in_channels: int
    out_channels: int
    layers: int
    factors: tuple[int, int, int] | None  # (t, h, w) by which the block shrinks or grows; None keeps the size
    residual: bool = True
    thinning: int = 1  # decoder: how many times fewer channels leave the upsampler than enter it

    def check_down(self, name: str) -> None:
        """ConfigError unless space-to-depth gives whole channel counts."""
        if self.factors is None and self.in_channels != self.out_channels:
            raise ConfigError(f"{name} does not downsample, so it must keep {self.in_channels} channels")
        cells = math.prod(self.factors or (1, 1, 1))
        if self.out_channels % cells or self.in_channels * cells % self.out_channels:
            raise ConfigError(
                f"{name}: {self.in_channels} channels folded by {cells} must be a multiple of the {self.out_channels} "
                f"that leave it, which must be a multiple of {cells}"
            )

    def check_up(self, name: str) -> None:
        """ConfigError unless depth-to-space gives whole channel counts."""
        width, cells = self.out_channels * self.thinning, math.prod(self.factors or (1, 1, 1))
        if self.thinning != 1 and (self.factors is None or self.in_channels != width):
            raise ConfigError(
                f"{name}: an upsample_factor of {self.thinning} needs an upsampler and {self.in_channels} channels, "
                f"got {width} channels"
            )
        if self.factors and self.residual and (width % cells or cells % self.thinning):
            raise ConfigError(f"{name}: {width} channels and upsample_factor {self.thinning} must divide by {cells}")


@dataclass(frozen=True)
class VAEConfig:
    """LTX-2 video VAE. The defaults are the released one; field names and order follow its config.json."""

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 128
    block_out_channels: tuple[int, ...] = (256, 512, 1024, 2048)
    layers_per_block: tuple[int, ...] = (4, 6, 6, 2, 2)  # the last are the middle block's
    downsample_type: tuple[str, ...] = ("spatial", "temporal", "spatiotemporal", "spatiotemporal")
    spatio_temporal_scaling: tuple[bool, ...] = (True, True, True, True)
    decoder_block_out_channels: tuple[int, ...] = (256, 512, 1024)  # like all decoder fields but one: shallowest first
    decoder_layers_per_block: tuple[int, ...] = (5, 5, 5, 5)
    decoder_spatio_temporal_scaling: tuple[bool, ...] = (True, True, True)
    upsample_type: tuple[str, ...] = ("spatiotemporal", "spatiotemporal", "spatiotemporal")  # deepest first
    upsample_residual: tuple[bool, ...] = (True, True, True)
    upsample_factor: tuple[int, ...] = (2, 2, 2)
    patch_size: int = 4
    resnet_norm_eps: float = 1e-6
    scaling_factor: float = 1.0
    encoder_causal: bool = True
    decoder_causal: bool = False
    encoder_spatial_padding_mode: str = "zeros"
    decoder_spatial_padding_mode: str = "reflect"

    def __post_init__(self) -> None:
        self._check_lengths("block_out_channels", "layers_per_block", "downsample_type", "spatio_temporal_scaling")
        self._check_lengths(
            "decoder_block_out_channels", "decoder_layers_per_block", "upsample_type",
            "decoder_spatio_temporal_scaling", "upsample_residual", "upsample_factor",
        )  # fmt: skip
        for field in ("encoder_spatial_padding_mode", "decoder_spatial_padding_mode"):
            if getattr(self, field) not in ("zeros", "reflect"):
                raise ConfigError(f"{field} must be zeros or reflect, got {getattr(self, field)!r}")
        for field in ("downsample_type", "upsample_type"):
            for kind in getattr(self, field):
                if kind not in RESAMPLE_FACTORS:
                    raise ConfigError(f"{field} must be made of {', '.join(RESAMPLE_FACTORS)}, got {kind!r}")
        for i, stage in enumerate(self.encoder_stages):
            stage.check_down(f"encoder block {i}")
        for i, stage in enumerate(self.decoder_stages):
            stage.check_up(f"decoder block {i}")
        down, up = _total_factors(self.encoder_stages), _total_factors(self.decoder_stages)
        if down != up or down[1] != down[2]:
            raise ConfigError(f"encoder shrinks (t, h, w) by {down}, the decoder grows it by {up}; they must be equal")

    def _check_lengths(self, widths: str, layers: str, *others: str) -> None:
        count = len(getattr(self, widths))
        for field in (layers, *others):
            wanted = count + (field == layers)  # one more for the middle block
            if len(getattr(self, field)) != wanted:
                raise ConfigError(
                    f"{field} must have {wanted} entries for {count} {widths}, got {len(getattr(self, field))}"
                )

    @property
    def encoder_stages(self) -> tuple[VAEStage, ...]:
        """Encoder blocks in the order of computation; the first convolution makes `latent_channels`."""
        widths = (self.latent_channels, *self.block_out_channels)
        return tuple(
            VAEStage(widths[i], widths[i + 1], self.layers_per_block[i], RESAMPLE_FACTORS[kind] if scales else None)
            for i, (kind, scales) in enumerate(zip(self.downsample_type, self.spatio_temporal_scaling))
        )

    @property
    def decoder_stages(self) -> tuple[VAEStage, ...]:
        """Decoder blocks in the order of computation, deepest first; the middle block before them keeps its width."""
        stages, channels = [], self.decoder_block_out_channels[-1]
        for i, kind in enumerate(self.upsample_type):
            at = -1 - i
            thinning = self.upsample_factor[at]
            stage = VAEStage(
                in_channels=channels,
                out_channels=self.decoder_block_out_channels[at] // thinning,
                layers=self.decoder_layers_per_block[at - 1],
                factors=RESAMPLE_FACTORS[kind] if self.decoder_spatio_temporal_scaling[at] else None,
                residual=self.upsample_residual[at],
                thinning=thinning,
            )
            stages.append(stage)
            channels = stage.out_channels
        return tuple(stages)

    @property
    def stride(self) -> Stride:
        """Pixels per latent, from the blocks; what a config.json says is checked against it."""
        t, h, w = _total_factors(self.encoder_stages)
        return Stride(t, h * self.patch_size, w * self.patch_size)


def _total_factors(stages: tuple[VAEStage, ...]) -> tuple[int, ...]:
    return tuple(math.prod(axis) for axis in zip(*(stage.factors or (1, 1, 1) for stage in stages)))


RELEASED_VAE = VAEConfig()


@dataclass(frozen=True)
class SamplingConfig:
    """The recipe a stage-1 checkpoint was released or trained with. SANA-WM sec. 4, app. C."""

    steps: int = 60
    cfg: float = 5.0
    shift: float = 9.8
    fps: float = 16.0
    dialect: str = "nvlabs-v2"


RELEASED_SAMPLING = SamplingConfig()
RELEASED_RECIPES = {  # variant -> how it was released
    "bidirectional": RELEASED_SAMPLING,
    "chunk-causal": RELEASED_SAMPLING,
    "streaming": SamplingConfig(steps=4, cfg=1.0, shift=8.0),
}


ROPE_KINDS = ("split", "interleaved")  # which channels of a head turn together: i and i + d/2, or 2i and 2i + 1


@dataclass(frozen=True)
class RefinerConfig:
    """Second stage: the video stream of LTX-2 (arXiv 2601.03233). Every default is the released model's.

    `rope` has none: both kinds have the same names and shapes, published defaults contradict the released file, and the
    wrong one gives a still picture of mush. It is read from what the file says.
    """

    rope: str
    in_channels: int = 128
    out_channels: int = 128
    depth: int = 48
    num_heads: int = 32
    head_dim: int = 128
    mlp_ratio: int = 4
    caption_channels: int = 3840
    norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_span: tuple[float, float, float] = (20.0, 2048.0, 2048.0)  # seconds, rows and columns (pixels) of a full turn
    rope_double: bool = True  # frequencies computed in float64 before they are rounded
    stride: Stride = RELEASED_STRIDE  # of the video VAE, whose latents it refines

    def __post_init__(self) -> None:
        _check_rope(self.rope)
        if self.head_dim % 2 or min(self.depth, self.num_heads, self.head_dim, self.mlp_ratio) < 1:
            raise ConfigError(
                "depth, num_heads and mlp_ratio must be positive and head_dim even, got "
                f"{self.depth}, {self.num_heads}, {self.mlp_ratio} and {self.head_dim}"
            )

    @property
    def hidden_size(self) -> int:
        return self.num_heads * self.head_dim


@dataclass(frozen=True)
class ConnectorConfig:
    """Between the text encoder and the refiner: one projection and a small transformer. Defaults as released."""

    rope: str
    caption_channels: int = 3840
    encoder_layers: int = 49  # hidden states of the text encoder that are packed: its embedding and 48 layers
    depth: int = 2
    num_heads: int = 30
    head_dim: int = 128
    registers: int = 128  # learned tokens that stand where there is no text; 0: none
    mlp_ratio: int = 4
    norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_span: float = 4096.0  # tokens of a full turn
    rope_double: bool = True

    def __post_init__(self) -> None:
        _check_rope(self.rope)
        if self.num_heads * self.head_dim != self.caption_channels:
            raise ConfigError(
                f"num_heads * head_dim must be the {self.caption_channels} caption_channels, got "
                f"{self.num_heads} * {self.head_dim}"
            )


def _check_rope(kind: str) -> None:
    if kind not in ROPE_KINDS:
        raise ConfigError(f"rope must be {' or '.join(ROPE_KINDS)}, got {kind!r}")


RELEASED_SIGMAS = (0.909375, 0.725, 0.421875, 0.0)


@dataclass(frozen=True)
class RefinerRecipe:
    """How the refiner was trained to be used. SANA-WM sec. 4.4.

    block: latent frames refined together, 0 for the whole clip at once (the single-shot pass). window: latent frames
    whose keys and values are kept, the sink's among them.
    """

    sigmas: tuple[float, ...] = RELEASED_SIGMAS
    block: int = 3
    sink: int = 1
    window: int = 11

    def __post_init__(self) -> None:
        falls = all(a > b for a, b in zip(self.sigmas, self.sigmas[1:]))
        if len(self.sigmas) < 2 or not falls or self.sigmas[0] > 1 or self.sigmas[-1] != 0:
            raise ConfigError(
                f"sigmas must fall from at most 1 to 0, got {self.sigmas}; the release uses {RELEASED_SIGMAS}"
            )
        if self.sink < 1 or self.block < 0 or self.window < self.sink:
            raise ConfigError(
                "sink must be at least 1, block at least 0 and window at least the sink, got "
                f"{self.sink}, {self.block} and {self.window}; the release uses 1, 3 and 11"
            )

    @property
    def history(self) -> int:
        """Refined latent frames that a block may look back at."""
        return self.window - self.sink

    def starting_at(self, sigma: float) -> RefinerRecipe:
        """The same from another noise level on: the lower it is, the more of the draft stays."""
        if not 0 < sigma <= 1:
            raise ConfigError(f"the start sigma must lie in (0, 1], got {sigma}; the release uses {self.sigmas[0]}")
        return replace(self, sigmas=(sigma, *(s for s in self.sigmas if s < sigma)))


RELEASED_REFINING = RefinerRecipe()
