"""The fused norms and convolutions give what their plain forms give in float64, and refuse what they cannot compute."""

import pytest
import torch
from interpreted import device, poisoned_empty

from wm_core.errors import ConfigError, ShapeError
from wm_core.kernels import plain, triton_convs, triton_norms
from wm_core.positions import Rotation

WIDE, NARROW = (torch.float32, 1e-5), (torch.float16, 2e-3)  # how far from float64, as RMS ratio
KINDS = pytest.mark.parametrize("kind", [WIDE, NARROW], ids=["float32", "float16"])
FUSED = {
    "modulate": triton_norms.modulate,
    "rms_modulate": triton_norms.rms_modulate,
    "norm_rotate": triton_norms.norm_rotate,
    "gated_depthwise": triton_convs.gated_depthwise,
    "short_conv": triton_convs.short_conv,
}
HEADS = [(2, 24), (3, 32), (3, 112), (2, 128)]


@pytest.fixture(autouse=True)
def poison(monkeypatch):
    with poisoned_empty(monkeypatch):
        yield


class Draw:
    """Random tensors of one dtype on the device, always the same in the same order."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype, self.generator = dtype, torch.Generator().manual_seed(0)

    def __call__(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator).to(device(), self.dtype)

    def angles(self, *shape: int) -> Rotation:
        angle = self(*shape).float()
        return Rotation(angle.cos(), angle.sin())


def precise(x):
    if isinstance(x, Rotation):
        return Rotation(x.cos.double(), x.sin.double())
    return x.double() if isinstance(x, torch.Tensor) else x


def compare(name: str, kind: tuple[torch.dtype, float], *arguments, **options) -> torch.Tensor:
    """Both forms of a function on the same inputs, the plain one in float64; the fused result."""
    dtype, bound = kind
    got = FUSED[name](*arguments, **options)
    slotless = {key: precise(value) for key, value in options.items() if key != "out"}
    want = getattr(plain, name)(*(precise(x) for x in arguments), **slotless)
    assert got.dtype == dtype and got.shape == want.shape
    ratio = ((got.double() - want).square().mean() / want.square().mean()).sqrt().item()
    assert ratio <= bound, f"RMS ratio {ratio:.2e} in {dtype}"  # NaN, of what was not written, is not either
    return got


@KINDS
@pytest.mark.parametrize("shape", [(1, 1, 1, 8), (2, 3, 5, 24), (1, 2, 9, 100), (1, 1, 3, 2240)])
def test_modulate_by_rows_of_a_table(kind, shape):
    draw = Draw(kind[0])
    b, t, _, c = shape
    shift, scale = draw(b, t, 6, c).unsqueeze(-2).unbind(2)[2:4]
    compare("modulate", kind, draw(*shape) * 3 + 1, shift, scale)


def test_modulate_reads_a_view_of_wider_tokens_and_some_of_the_frames():
    draw = Draw(torch.float32)
    wide = draw(2, 5, 7, 60)
    compare("modulate", WIDE, wide[:, 1:4, :, 20:40], draw(2, 3, 1, 20), draw(2, 3, 1, 20))


def test_modulate_of_a_large_mean_keeps_the_small_spread():
    draw = Draw(torch.float32)
    compare("modulate", (torch.float32, 2e-5), draw(1, 1, 4, 96) + 100, draw(1, 1, 1, 96), draw(1, 1, 1, 96))


@KINDS
@pytest.mark.parametrize("shape", [(1, 1, 8), (2, 19, 72), (1, 3, 4096)])
def test_rms_modulate(kind, shape):
    draw = Draw(kind[0])
    table = draw(6, shape[-1])
    compare("rms_modulate", kind, draw(*shape), table[0], table[1], 1e-6)


def test_rms_modulate_of_one_part_of_a_batch():
    draw = Draw(torch.float32)
    compare("rms_modulate", WIDE, draw(2, 12, 40)[:, 3:8], draw(40), draw(40), 1e-6)


@KINDS
@pytest.mark.parametrize("halves", [False, True], ids=["neighbours", "halves"])
@pytest.mark.parametrize(("heads", "dim"), HEADS)
def test_norm_rotate(kind, halves, heads, dim):
    draw = Draw(kind[0])
    c = heads * dim
    for turned_alike in (True, False):
        table = draw.angles(11, 1 if turned_alike else heads, dim // 2)
        compare("norm_rotate", kind, draw(2, 11, c), draw(c), 1e-6, table, halves=halves)


@pytest.mark.parametrize("halves", [False, True], ids=["neighbours", "halves"])
def test_norm_rotate_at_the_released_width(halves):
    heads, dim = (32, 128) if halves else (20, 112)
    draw = Draw(torch.float32)
    table = draw.angles(3, heads if halves else 1, dim // 2)
    compare("norm_rotate", WIDE, draw(1, 3, heads * dim), draw(heads * dim), 1e-6, table, halves=halves)


@pytest.mark.parametrize("halves", [False, True], ids=["neighbours", "halves"])
def test_norm_rotate_reads_a_third_of_a_projection_and_writes_into_a_ring(halves):
    draw = Draw(torch.float32)
    x = draw(2, 5, 3 * 72)[..., 72:144]
    ring = torch.zeros(2, 12, 3, 24, device=device())
    slot = ring[:, 4:9]
    got = compare("norm_rotate", WIDE, x, draw(72), 1e-6, draw.angles(5, 3, 12), halves=halves, out=slot)
    assert got is slot
    assert not ring[:, :4].any() and not ring[:, 9:].any()


@pytest.mark.parametrize("halves", [False, True], ids=["neighbours", "halves"])
def test_norm_rotate_writes_head_by_head(halves):
    draw = Draw(torch.float32)
    heads_first = torch.zeros(2, 3, 5, 24, device=device())
    out = heads_first.transpose(1, 2)
    got = compare("norm_rotate", WIDE, draw(2, 5, 72), draw(72), 1e-6, draw.angles(5, 1, 12), halves=halves, out=out)
    assert got is out and heads_first.any()


def test_both_forms_of_norm_rotate_write_into_out():
    draw = Draw(torch.float32)
    arguments = draw(1, 5, 48), draw(48), 1e-6, draw.angles(5, 1, 12)
    out = torch.zeros(1, 5, 2, 24, device=device())
    assert plain.norm_rotate(*arguments, out=out) is out
    assert torch.equal(out, plain.norm_rotate(*arguments))


@KINDS
@pytest.mark.parametrize(
    ("batch", "frames", "size", "channels"),
    [(1, 1, (1, 1), 8), (2, 2, (3, 5), 20), (1, 2, (2, 8), 64), (1, 1, (4, 9), 72), (1, 1, (5, 1), 33)],
)
def test_gated_depthwise(kind, batch, frames, size, channels):
    draw = Draw(kind[0])
    x = draw(batch, frames, size[0] * size[1], 2 * channels)
    compare("gated_depthwise", kind, x, size, draw(2 * channels, 1, 3, 3) / 3, draw(2 * channels))


def test_gated_depthwise_of_some_frames_of_wider_tokens():
    draw = Draw(torch.float32)
    x = draw(2, 4, 12, 50)[:, 1:3, :, 10:34]
    compare("gated_depthwise", WIDE, x, (3, 4), draw(24, 1, 3, 3), draw(24))


@KINDS
@pytest.mark.parametrize("has_tail", [False, True], ids=["begins", "goes on"])
@pytest.mark.parametrize("chunks", [(1,), (3,), (10,), (1, 2), (4, 3, 3, 3), (1, 1, 1)])
def test_short_conv(kind, has_tail, chunks):
    draw = Draw(kind[0])
    x = draw(2, sum(chunks), 3, 24)
    compare("short_conv", kind, x, draw(24, 1, 4) / 2, chunks, draw(2, 3, 3, 24) if has_tail else None)


@pytest.mark.parametrize("taps", [1, 2, 5])
def test_short_conv_of_other_reaches(taps):
    draw = Draw(torch.float32)
    compare("short_conv", WIDE, draw(1, 6, 2, 8), draw(8, 1, taps), (2, 4), draw(1, taps - 1, 2, 8))


def test_short_conv_reads_a_third_of_a_projection_and_some_of_its_frames():
    draw = Draw(torch.float32)
    x, tail = draw(2, 7, 2, 3 * 300)[:, 1:6, :, 300:600], draw(2, 5, 2, 400)[:, 1:4, :, 50:350]
    compare("short_conv", WIDE, x, draw(300, 1, 4), (2, 3), tail)


def test_short_conv_in_two_calls_is_one():
    draw = Draw(torch.float32)
    x, weight = draw(1, 7, 2, 16), draw(16, 1, 4)
    whole = triton_convs.short_conv(x, weight, (4, 3))
    first = triton_convs.short_conv(x[:, :4], weight, (4,))
    second = triton_convs.short_conv(x[:, 4:], weight, (3,), x[:, 1:4])
    assert torch.equal(torch.cat([first, second], 1), whole), "each token's sum is the same sum"


def arguments_of(name: str, dtype: torch.dtype = torch.float32) -> list:
    """What each function accepts, its tokens first."""
    draw = Draw(dtype)
    return {
        "modulate": lambda: [draw(1, 2, 3, 16), draw(1, 2, 1, 16), draw(1, 2, 1, 16)],
        "rms_modulate": lambda: [draw(1, 3, 16), draw(16), draw(16), 1e-6],
        "norm_rotate": lambda: [draw(1, 3, 16), draw(16), 1e-6, draw.angles(3, 1, 4)],
        "gated_depthwise": lambda: [draw(1, 2, 6, 16), (2, 3), draw(16, 1, 3, 3), draw(16)],
        "short_conv": lambda: [draw(1, 2, 3, 16), draw(16, 1, 4), (2,), draw(1, 3, 3, 16)],
    }[name]()


def refused(name: str, arguments: list, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        FUSED[name](*arguments)


@pytest.mark.parametrize("name", FUSED)
def test_what_no_kernel_reads_is_refused(name):
    refused(name, arguments_of(name, torch.float64), ConfigError, "float64; use the plain form")
    x, *others = arguments_of(name)
    refused(name, [x.transpose(-1, -2).contiguous().transpose(-1, -2), *others], ShapeError, "side by side")
    refused(name, [x.to("meta"), *others], ConfigError, "one device")


@pytest.mark.parametrize("name", FUSED)
def test_gradients_are_refused_where_they_are_recorded(name):
    x, *others = arguments_of(name)
    refused(name, [x.requires_grad_(), *others], ConfigError, "no backward")
    with torch.no_grad():
        compare(name, WIDE, x, *others)


@pytest.mark.parametrize(
    ("name", "place", "wrong", "match"),
    [
        ("modulate", 1, torch.zeros(1, 1, 1, 16), "shift and scale must be"),
        ("rms_modulate", 2, torch.zeros(8), "shift and scale must be"),
        ("norm_rotate", 1, torch.zeros(8), "weight must be"),
        ("norm_rotate", 3, Rotation(*torch.zeros(2, 3, 1, 3)), "a multiple of the heads' 6"),
        ("norm_rotate", 3, Rotation(*torch.zeros(2, 2, 1, 4)), "cos, sin must be"),
        ("gated_depthwise", 1, (3, 3), "needs n = 9"),
        ("gated_depthwise", 2, torch.zeros(16, 1, 5, 5), "weight and bias must be"),
        ("short_conv", 1, torch.zeros(8, 1, 4), "weight must be"),
        ("short_conv", 2, (1, 2), "chunks must be positive and sum to 2"),
        ("short_conv", 3, torch.zeros(1, 2, 3, 16), "tail must be the 3 frames"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, place, wrong, match):
    arguments = arguments_of(name)
    arguments[place] = wrong.to(device()) if isinstance(wrong, torch.Tensor) else wrong
    if isinstance(wrong, Rotation):
        arguments[place] = Rotation(wrong.cos.to(device()), wrong.sin.to(device()))
    refused(name, arguments, ShapeError, match)


def test_a_slot_of_another_shape_or_dtype_and_a_rounded_table_are_refused():
    x, weight, eps, table = arguments_of("norm_rotate")
    for out in (torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 2, 8, dtype=torch.float16)):
        with pytest.raises(ShapeError, match="out must be"):
            triton_norms.norm_rotate(x, weight, eps, table, out=out.to(device()))
    refused("norm_rotate", [x, weight, eps, Rotation(table.cos.half(), table.sin.half())], ConfigError, "must be float32")


def test_rows_too_wide_for_the_registers_are_refused():
    wide = triton_norms.MAX_CHANNELS + 8
    x, row = torch.zeros(1, 1, wide, device=device()), torch.zeros(wide, device=device())
    refused("rms_modulate", [x, row, row, 1e-6], ShapeError, "at most 16384 channels")
