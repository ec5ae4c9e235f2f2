"""Action strings: the grammar of letters, dialects against recorded roll-outs, and laws that hold for any such string."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import DIALECTS, NO_INERTIA, Inertia, actions_to_path, integrate, parse_actions
from wm_core.camera.actions import MAX_FRAMES
from wm_core.errors import CameraError

CASE = json.loads((GOLDEN / "camera_actions.json").read_text())
V1, V2 = DIALECTS["nvlabs-v1"], DIALECTS["nvlabs-v2"]
SIZE = (704, 1280)

segments = st.tuples(st.text("wasdijkl", max_size=4), st.integers(1, 40))
strings = st.lists(segments, min_size=1, max_size=8).map(lambda parts: ",".join(f"{k}-{n}" for k, n in parts))
dialects = st.sampled_from([row for row in DIALECTS.values() if row.spelling == "letters"])
few = settings(deadline=None, max_examples=60)


def poses(text: str, dialect) -> torch.Tensor:
    return torch.from_numpy(integrate(parse_actions(text), dialect).astype(np.float32))


@pytest.mark.parametrize("number", range(len(CASE["actions"])))
@pytest.mark.parametrize(
    ("output", "dialect"),
    [
        ("v2_smooth", V2),
        ("v2_nosmooth", replace(V2, inertia=NO_INERTIA)),
        ("v1", V1),
        ("v1", DIALECTS["diffusers"]),
    ],
)
def test_roll_out_equals_the_reference(golden, output, dialect, number):
    golden("camera_actions").check(poses(CASE["actions"][number], dialect), f"{output}.{number}")


@pytest.mark.parametrize("number", range(len(CASE["custom"])))
@pytest.mark.parametrize(("output", "dialect"), [("v2_smooth_custom", V2), ("v1_custom", V1)])
def test_custom_speeds_and_limits_equal_the_reference(golden, output, dialect, number):
    custom = dict(CASE["custom"][number])
    path = actions_to_path(custom.pop("action"), dialect=dialect.name, size=SIZE, **custom)
    golden("camera_actions").check(torch.tensor(path.c2w), f"{output}.{number}")


@pytest.mark.parametrize(
    ("name", "actions", "options"),
    [
        ("demo_0", "w-100,dw-60,w-100,aw-60", {}),
        ("demo_2", "w-25,aw-60,dw-100,aw-55,none-85", {"translation_speed": 0.015}),
        ("demo_3", "w-70,none-40,dw-35,w-70,aw-35,none-72", {}),
    ],
)
def test_published_example_paths_are_the_default_dialect_to_the_last_bit(name, actions, options):
    """But for the sines of a yaw of zero, which the release gets out of a product of matrices as some 1e-16."""
    found, wanted = actions_to_path(actions, size=SIZE, **options).c2w, np.load(GOLDEN / f"{name}_pose.npy")
    differs = found != wanted
    assert found.shape == wanted.shape and differs.sum() <= 4 and np.abs(wanted[differs]).max(initial=0) < 1e-15
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("dialect", "text", "x", "z", "yaw", "length"),
    [
        ("nvlabs-v2", "w-80,jw-40,w-40", -1.36, 4.00, 0, 4.5),
        ("nvlabs-v2", "w-100,dw-60,w-100,aw-60", 2.86, 7.02, 9.3, None),
        ("nvlabs-v2", "d-60", 0, 0, 36, None),
        ("diffusers", "w-80,jw-40,w-40", -2.29, 7.10, -48, 8.0),
        ("diffusers", "w-100,dw-60,w-100,aw-60", 0, 16.0, 0, None),
        ("diffusers", "d-60", 3.0, 0, 0, None),
        ("sglang", "w-80,jw-40,w-40", -1.84, 5.68, -48, 6.4),
        ("sglang", "w-100,dw-60,w-100,aw-60", 3.10, 12.09, 0, None),
        ("sglang", "d-60", 2.30, -0.60, 28.8, None),
    ],
)
def test_dialects_end_where_they_were_measured_to_end(dialect, text, x, z, yaw, length):
    c2w = integrate(parse_actions(text), DIALECTS[dialect])
    end = c2w[-1]
    assert (end[0, 3], end[2, 3]) == pytest.approx((x, z), abs=0.00501)  # two digits were printed
    assert np.degrees(np.arctan2(end[0, 2], end[2, 2])) == pytest.approx(yaw, abs=0.0501)
    if length is not None:
        assert np.linalg.norm(np.diff(c2w[:, :3, 3], axis=0), axis=1).sum() == pytest.approx(length, abs=0.0501)


@pytest.mark.parametrize("text", CASE["parser_edge_cases"])
def test_parser_agrees_with_the_reference_on_edge_cases(text):
    want = CASE["parser_edge_cases"][text]
    if want == "ValueError":
        with pytest.raises(CameraError):
            parse_actions(text)
    else:
        assert [sorted(s.keys) for s in parse_actions(text) for _ in range(s.frames)] == want


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("w-3, q-3", ["segment 2", "'q-3'", "character 6", "'q'", "wasdijkl"]),
        ("w-3,dxw-2", ["segment 2", "character 6", "'x'"]),
        ("w-3,a-2,", ["segment 3", "character 9", "comma"]),
        ("w-3,,a-2", ["segment 2", "character 5", "comma"]),
        ("w-3,wa", ["segment 2", "'wa'", "character 5", "dash"]),
        ("a-0", ["segment 1", "'0'", "at least 1"]),
        ("a-\u00b2", ["segment 1", "whole number"]),
        ("w-5,d-999999999", ["segment 2", "character 5", str(MAX_FRAMES), "split"]),
        ("w-" + "9" * 5000, ["segment 1", str(MAX_FRAMES)]),
        ("  ", ["empty", "for example"]),
    ],
)
def test_error_names_segment_text_and_character(text, words):
    with pytest.raises(CameraError) as caught:
        parse_actions(text)
    for word in words:
        assert word in str(caught.value)


def test_total_length_is_limited_across_segments():
    half = MAX_FRAMES // 2
    assert sum(s.frames for s in parse_actions(f"w-{half},d-{half}")) == MAX_FRAMES
    with pytest.raises(CameraError, match="segment 3"):
        parse_actions(f"w-{half},d-{half},a-1")


def test_segments_know_where_they_stood():
    text = "w-10, D W - 3\uff0cnone-2"
    first, second, third = parse_actions(text)
    assert (second.keys, second.frames) == (frozenset("wd"), 3)
    assert third.keys == frozenset()
    assert all(text[s.start : s.start + len(s.text)] == s.text for s in (first, second, third))


@few
@given(strings, dialects)
def test_any_string_gives_rigid_cameras_from_the_identity(text, dialect):
    c2w = integrate(parse_actions(text), dialect)
    rotation = c2w[:, :3, :3]
    assert len(c2w) == 1 + sum(s.frames for s in parse_actions(text))
    np.testing.assert_array_equal(c2w[0], np.eye(4))
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (len(c2w), 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-12)
    np.testing.assert_array_equal(c2w[:, 1, 3], 0)  # keys never change the height
    pitch = np.degrees(np.arcsin(-rotation[:, 1, 2]))
    assert np.abs(pitch).max() <= dialect.pitch_limit_deg + 1e-9


@few
@given(strings, dialects, st.text("wasdijkl", max_size=3), st.integers(1, 20), st.integers(1, 20))
def test_holding_keys_on_is_the_same_as_holding_them_once(text, dialect, keys, first, second):
    once = integrate(parse_actions(f"{text},{keys}-{first + second}"), dialect)
    twice = integrate(parse_actions(f"{text},{keys}-{first},{keys}-{second}"), dialect)
    np.testing.assert_allclose(twice, once, rtol=0, atol=1e-12)


@few
@given(strings, dialects)
def test_swapping_left_and_right_keys_mirrors_the_path(text, dialect):
    c2w = integrate(parse_actions(text), dialect)
    swapped = integrate(parse_actions(text.translate(str.maketrans("adjl", "dalj"))), dialect)
    mirror = np.diag([-1.0, 1, 1, 1])
    np.testing.assert_allclose(swapped, mirror @ c2w @ mirror, rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", ["W-5,dw-7", " w - 5 , wd-7", "w-5\uff0cwwd-7", "w-5,DW-07"])
def test_case_blanks_order_and_repeats_do_not_matter(text):
    np.testing.assert_array_equal(poses(text, V2), poses("w-5,dw-7", V2))


def test_pitch_saturates_in_v2_and_drops_the_step_in_v1():
    steep = integrate(parse_actions("i-200"), V2), integrate(parse_actions("i-200"), V1)
    last = [np.degrees(np.arcsin(-c2w[-1, 1, 2])) for c2w in steep]
    assert last == pytest.approx([60.0, 84.0], abs=1e-9)  # 84 is the last multiple of 1.2 below 85


def test_a_released_key_coasts_and_a_new_one_stops_the_coasting():
    yaw = [np.arctan2(c[0, 2], c[2, 2]) for c in integrate(parse_actions("d-10,none-5,w-5"), V2)]
    turned = np.diff(yaw)
    assert (turned[10:15] > 0).all() and (np.diff(turned[9:15]) < 0).all()
    np.testing.assert_allclose(turned[15:], 0, atol=1e-12)


def test_path_records_string_dialect_and_what_was_changed():
    path = actions_to_path("w-4", dialect="sglang", size=SIZE, fov_deg=60, translation_speed=0.1, inertia=Inertia(1, 2))
    provenance = path.provenance
    assert (provenance.dialect, provenance.actions, provenance.source) == ("sglang", "w-4", "actions")
    assert provenance.conversions == ("translation_speed 0.1", "inertia 1 s press, 2 s coast")
    assert provenance.intrinsics_source == "field of view"
    assert (path.frames, path.size, path.fps) == (5, SIZE, 16.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dialect": "v3"}, "nvlabs-v2"),
        ({"translation_speed": -1.0}, "translation_speed"),
        ({"rotation_speed_deg": float("nan")}, "rotation_speed_deg"),
        ({"pitch_limit_deg": 90.0}, "pitch_limit_deg"),
        ({"inertia": Inertia(-1.0, 1.0)}, "inertia"),
        ({"fov_deg": 60.0, "intrinsics": (1, 1, 1, 1)}, "both"),
        ({"fov_deg": 180.0}, "field of view"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, words):
    with pytest.raises(CameraError, match=words):
        actions_to_path("w-4", size=SIZE, **options)
