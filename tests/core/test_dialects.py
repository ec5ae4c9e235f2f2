"""The dialects of vLLM-Omni and HY-WorldPlay against small roll-outs that were written from what those programs do."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import DIALECTS, actions_to_path, integrate, parse_actions, save_path
from wm_core.camera.formats import load_path
from wm_core.camera.frame_overlay import held_keys
from wm_core.errors import CameraError

SIZE = (704, 1280)
HY, OMNI = DIALECTS["hy-worldplay"], DIALECTS["vllm-omni"]
few = settings(deadline=None, max_examples=40)
held = st.tuples(st.text("wasdijkl", max_size=4), st.integers(1, 40))
said = st.tuples(st.sampled_from(["w", "s", "a", "d", "up", "down", "left", "right"]), st.integers(1, 12))


def turn(axis: str, degrees: float) -> np.ndarray:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if axis == "x":
        return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def omni_roll_out(parts) -> np.ndarray:
    """vLLM-Omni's cameras: level axes, each divided by its length and a millionth; a step of pitch over 85 degrees is dropped."""
    rotation, centre, pitch = np.eye(3), np.zeros(3), 0.0
    poses = [np.eye(4)]
    for keys, frames in parts:
        sign = {key: key in keys for key in "wasdijkl"}
        for _ in range(frames):
            up = 1.2 * (sign["i"] - sign["k"])
            up = up if abs(pitch + up) <= 85 else 0.0
            pitch += up
            rotation = turn("y", 1.2 * (sign["l"] - sign["j"])) @ rotation @ turn("x", up)
            for axis, amount in ((2, sign["w"] - sign["s"]), (0, sign["d"] - sign["a"])):
                level = rotation[:, axis] * (1, 0, 1)
                centre = centre + 0.05 * amount * level / (np.linalg.norm(level) + 1e-6)
            poses.append(np.block([[rotation, centre[:, None]], [np.zeros(3), 1]]))
    return np.array(poses)


def hy_roll_out(parts) -> np.ndarray:
    """HY-WorldPlay's cameras, one a latent: 0.08 along or 3 degrees about the camera's own axes."""
    pose = np.eye(4)
    poses = [pose]
    for word, latents in parts:
        step = np.eye(4)
        if word in "wsad":
            step[:3, 3] = {"w": (0, 0, 0.08), "s": (0, 0, -0.08), "a": (-0.08, 0, 0), "d": (0.08, 0, 0)}[word]
        else:
            axis, degrees = {"up": ("x", 3), "down": ("x", -3), "left": ("y", -3), "right": ("y", 3)}[word]
            step[:3, :3] = turn(axis, degrees)
        for _ in range(latents):
            pose = pose @ step
            poses.append(pose)
    return np.array(poses)


def string(parts) -> str:
    return ",".join(f"{keys}-{count}" for keys, count in parts)


@few
@given(st.lists(held, min_size=1, max_size=6))
def test_vllm_omni_makes_its_own_cameras(parts):
    found = integrate(parse_actions(string(parts), OMNI), OMNI)
    np.testing.assert_allclose(found, omni_roll_out(parts), rtol=0, atol=1e-12)


@few
@given(st.lists(said, min_size=1, max_size=8))
def test_hy_worldplay_makes_its_own_cameras_at_the_ends_of_its_latents(parts):
    found = integrate(parse_actions(string(parts), HY), HY)
    wanted = hy_roll_out(parts)
    assert len(found) == 4 * len(wanted) - 3, "as many frames as its video has"
    np.testing.assert_allclose(found[::4], wanted, rtol=0, atol=1e-12)


@few
@given(st.lists(said, min_size=1, max_size=8))
def test_hy_worldplay_moves_evenly_between_the_ends_of_its_latents(parts):
    found = integrate(parse_actions(string(parts), HY), HY)
    steps = np.linalg.inv(found[:-1]) @ found[1:]
    for n in range(0, len(steps), 4):
        np.testing.assert_allclose(steps[n : n + 4], np.tile(steps[n], (4, 1, 1)), rtol=0, atol=1e-12)


def test_a_turn_after_a_look_up_is_about_the_leaning_axis():
    own = integrate(parse_actions("up-10,right-30", HY), HY)[-1, :3, :3]
    level = integrate(parse_actions("i-25,l-75", OMNI), OMNI)[-1, :3, :3]
    np.testing.assert_allclose(own, turn("x", 30) @ turn("y", 90), atol=1e-12)
    np.testing.assert_allclose(level, turn("y", 90) @ turn("x", 30), atol=1e-12)
    straight_up = integrate(parse_actions("up-40,w-10", HY), HY)[-1]
    np.testing.assert_allclose(straight_up[:3, 3], 0.8 * turn("x", 120)[:, 2], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("w-3, dw-2", ["segment 2", "'dw-2'", "character 6", "'dw'", "down, up", "segments of their own"]),
        ("w-3,jump-2", ["segment 2", "character 5", "'jump'"]),
        ("none-4", ["segment 1", "'none'"]),
        ("-4", ["segment 1", "unknown word ''"]),
        ("w-3,  right-0.5", ["segment 2", "character 5", "'0.5'", "whole number of steps of 4 frames"]),
        ("right-0", ["segment 1", "at least 1"]),
        ("w-3,", ["segment 2", "comma"]),
        ("w-3,right", ["segment 2", "dash"]),
        ("w-25000,right-1", ["segment 2", "over 100000 frames"]),
    ],
)
def test_error_of_words_names_segment_text_and_character(text, words):
    with pytest.raises(CameraError) as caught:
        parse_actions(text, HY)
    for word in words:
        assert word in str(caught.value)


def test_words_are_for_their_dialect_only():
    with pytest.raises(CameraError, match=r"segment 2 .*character 8 .*'ghrt'.*'right' is a word of hy-worldplay"):
        parse_actions("w-3, right-2")
    with pytest.raises(CameraError, match="hy-worldplay has no keys i, l; parse the action string with that dialect"):
        integrate(parse_actions("wil-3"), HY)


def test_case_and_blanks_of_words_do_not_matter():
    first, second = parse_actions(" W - 3\uff0cRight-2", HY)
    assert (first.keys, first.frames, second.keys, second.frames) == (frozenset("w"), 12, frozenset(["right"]), 8)
    assert second.text == "Right-2" and second.start == 7


def test_a_path_of_words_is_kept_in_files_and_its_speeds_are_a_frames(tmp_path):
    path = actions_to_path("w-3,right-2", dialect="hy-worldplay", size=SIZE, fps=24, translation_speed=0.05)
    assert (path.frames, path.fps, path.provenance.conversions) == (21, 24, ("translation_speed 0.05",))
    assert path.c2w[-1, 2, 3] == pytest.approx(12 * 0.05)
    save_path(path, tmp_path / "walk.safetensors")
    assert load_path(tmp_path / "walk.safetensors").provenance == path.provenance
    with pytest.raises(
        CameraError, match="hy-worldplay turns about the camera's own axes and has no pitch limit, got .*60"
    ):
        actions_to_path("w-3", dialect="hy-worldplay", size=SIZE, pitch_limit_deg=60)


def test_keys_drawn_for_a_path_of_words_are_those_of_its_motion():
    keys = held_keys(actions_to_path("right-2,a-1,w-1", dialect="hy-worldplay", size=SIZE))
    assert keys == ["d"] * 8 + ["j"] * 4 + ["w"] * 5
