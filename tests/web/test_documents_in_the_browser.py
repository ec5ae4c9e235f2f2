"""Changes of a keyframe document in the editor: what must not move does not, and Python reads every document that is written."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from javascript import answer_of
from test_keyframes_in_the_browser import DRAWN, SIZE

from wm_core.camera import (
    Key,
    Keyframes,
    actions_to_path,
    keyframed_path,
    keyframes_of,
    preset_keyframes,
    quaternion,
    read_keyframes,
    write_keyframes,
)
from wm_core.camera.intrinsics import MAX_FOV_DEG, MIN_FOV_DEG
from wm_core.camera.keyframes import POSITIONS, TURNS
from wm_core.camera.rotation import rigid

FRAMES = (0, 1, 7, 25, 50, 73, 99)  # of the 100 that each document has: before, on, between and behind keys
UNCHANGED = 1e-9  # metres, entries of rotations, degrees of view
EASED = [k for k in DRAWN if k.timing == "keys"]
PLAIN = [
    replace(k, turns="slerp", keys=tuple(replace(key, easing="linear") for key in k.keys))
    for k in EASED
    if k.turns == "slerp"
]
BEZIER = [k for k in PLAIN if k.positions == "bezier"]


def edited(cases: list[tuple[Keyframes, str | None, list]]) -> list[dict]:
    """Each call's document and the paths before and after it, as matrices and degrees of view."""
    answers = told(cases)
    assert len(answers) == len(cases) > 0
    for answer in answers:
        answer["made"] = read_keyframes(answer["text"])
        answer["before"], answer["after"] = _Path(answer["before"]), _Path(answer["after"])
    return answers


def told(cases: list[tuple[Keyframes, str, list]]) -> list:
    return answer_of(
        "edited.mjs", [{"text": write_keyframes(k), "name": name, "given": given} for k, name, given in cases]
    )


def found(name: str, *given: list) -> list[Any]:
    """What the function gives for each list of arguments."""
    return answer_of("edited.mjs", [{"text": None, "name": name, "given": arguments} for arguments in given])


class _Path:
    def __init__(self, frames: list) -> None:
        positions, turns, views = (np.array([frame[part] for frame in frames]) for part in range(3))
        self.c2w, self.fov = rigid(quaternion.to_rotation(turns), positions), views

    def apart(self, other: "_Path", frames: slice = slice(None)) -> float:
        return max(
            float(np.abs(self.c2w[frames] - other.c2w[frames]).max()),
            float(np.abs(self.fov[frames] - other.fov[frames]).max()),
        )


def at(frame: int) -> slice:
    return slice(frame, frame + 1)


def stands(k: Keyframes, frame: int) -> bool:
    return any(key.frame == frame for key in k.keys)


def test_what_is_read_and_written_is_the_same_document_in_both():
    drawn = DRAWN[::3]
    for answer, k in zip(edited([(k, None, []) for k in drawn]), drawn, strict=True):
        assert answer["made"] == k
        written = json.loads(answer["text"])["keys"]
        assert [set(key) for key in written] == [set(key) for key in json.loads(write_keyframes(k))["keys"]]


def test_a_new_document_is_a_camera_that_stands_where_the_picture_was_taken():
    given = {"frames": 81, "size": SIZE}
    usual, asked = map(read_keyframes, map(json.dumps, found("blank", [given], [given | {"fps": 24, "fov": 70}])))
    assert usual == Keyframes((Key(0),), 81, SIZE)
    assert asked == Keyframes((Key(0, fov=70),), 81, SIZE, 24.0)


def test_a_key_added_to_a_bezier_path_with_even_turns_moves_no_frame():
    cases = [(k, "withKeyAt", [frame]) for k in BEZIER for frame in FRAMES]
    assert any(key.pivot for k in BEZIER for key in k.keys)
    for (k, _, (frame,)), answer in zip(cases, edited(cases), strict=True):
        assert stands(answer["made"], frame) and len(answer["made"].keys) == len(k.keys) + (not stands(k, frame))
        assert answer["before"].apart(answer["after"]) < UNCHANGED, (frame, k)


def test_a_key_added_to_another_path_is_the_camera_that_was_there():
    cases = [(k, "withKeyAt", [frame]) for k in EASED[::2] for frame in FRAMES]
    elsewhere = []
    for (k, _, (frame,)), answer in zip(cases, edited(cases), strict=True):
        assert stands(answer["made"], frame)
        assert answer["before"].apart(answer["after"], at(frame)) < UNCHANGED, (frame, k)
        elsewhere.append(answer["before"].apart(answer["after"]))
    assert sum(apart > 1e-3 for apart in elsewhere) > 50, "the control: smooth curves do change between keys"


def test_a_key_added_where_time_goes_in_equal_steps_lies_between_the_keys_that_the_camera_is_between():
    """Frames of such keys say nothing but their order; lengths are sums of 64 pieces, so the place is not exact."""
    cases = [(k, "withKeyAt", [frame]) for k in DRAWN[::2] if k.timing == "even" for frame in FRAMES]
    for (k, _, (frame,)), answer in zip(cases, edited(cases), strict=True):
        keys = answer["made"].keys
        assert stands(answer["made"], frame)
        assert {key.position for key in k.keys} <= {key.position for key in keys}
        if k.positions != "catmull-rom":  # which has another length when a key is added
            assert answer["before"].apart(answer["after"], at(frame)) < 0.02, (frame, k)
        elif not stands(k, frame) and len(keys) > len(k.keys):
            (key,) = (key for key in keys if key.frame == frame)
            np.testing.assert_allclose(key.position, answer["before"].c2w[frame, :3, 3], rtol=0, atol=UNCHANGED)


def test_a_key_added_to_a_full_turn_leaves_it_a_full_turn():
    """Its ends look the same way: only the numbers of the angles tell that it turns at all, and which way."""
    for name, sign in (("360-right", 1), ("360-left", -1)):
        k = replace(preset_keyframes(name, frames=97, size=SIZE, fov_deg=70).keyframes, turns="angles")
        assert len(k.keys) == 2
        cases = [(k, "withKeyAt", [frame]) for frame in (20, 48, 80)]
        for (_, _, (frame,)), answer in zip(cases, edited(cases), strict=True):
            ahead = answer["after"].c2w[:, :3, 2]
            yaw = np.degrees(np.unwrap(np.arctan2(ahead[:, 0], ahead[:, 2])))
            assert yaw[-1] - yaw[0] == pytest.approx(sign * 360), frame
            assert 0 < sign * answer["made"].keys[1].yaw < 360


@pytest.mark.parametrize("pitch", [90.0, -90.0, 89.99999, -89.9999999])
def test_a_key_added_where_the_camera_looks_straight_up_or_down_looks_the_same_way(pitch):
    keys = (Key(10, yaw=30.0, pitch=pitch, roll=20.0), Key(60, (1.0, 0.0, 0.0), yaw=30.0, pitch=pitch, roll=20.0))
    cases = [
        (Keyframes(keys, 100, SIZE, turns=turns), "withKeyAt", [frame]) for turns in TURNS for frame in (5, 30, 80)
    ]
    for (_, _, (frame,)), answer in zip(cases, edited(cases), strict=True):
        assert answer["before"].apart(answer["after"], at(frame)) < 1e-7, frame


def test_a_changed_key_stays_between_its_neighbours_and_in_the_path_and_python_reads_it():
    random = np.random.default_rng(0)
    cases = []
    for k in DRAWN:
        number = int(random.integers(len(k.keys)))
        change = {"frame": int(random.integers(-50, 200)), "fov": float(random.uniform(-20, 300)), "yaw": 12.0}
        cases.append((k, "withChange", [number, change]))
    for (k, _, (number, change)), answer in zip(cases, edited(cases), strict=True):
        frames, key = [key.frame for key in answer["made"].keys], answer["made"].keys[number]
        assert all(b > a for a, b in pairwise(frames)) and 0 <= frames[0] and frames[-1] < k.frames
        low = k.keys[number - 1].frame + 1 if number else 0
        high = k.keys[number + 1].frame - 1 if number + 1 < len(k.keys) else k.frames - 1
        assert key.frame == np.clip(change["frame"], low, high)
        assert key.fov == np.clip(change["fov"], MIN_FOV_DEG, MAX_FOV_DEG) and key.yaw == 12.0
        others = replace(answer["made"], keys=tuple(key for i, key in enumerate(answer["made"].keys) if i != number))
        assert len(k.keys) == 1 or others == replace(k, keys=tuple(key for i, key in enumerate(k.keys) if i != number))


def test_a_key_behind_the_end_of_a_shortened_path_keeps_its_frame_when_it_is_turned():
    """The path up to the end is on the way to it, and would else be hurried."""
    k = Keyframes((Key(0), Key(160, (0.0, 0.0, 4.0))), 81, SIZE)
    turned, moved = edited([(k, "withChange", [1, {"yaw": 30}]), (k, "withChange", [1, {"frame": 150}])])
    assert [key.frame for key in turned["made"].keys] == [0, 160] and turned["made"].keys[1].yaw == 30
    assert [key.frame for key in moved["made"].keys] == [0, 80]


def test_all_keys_but_one_can_be_removed():
    k = next(k for k in DRAWN if len(k.keys) > 3)
    cases = [(k, "withoutKey", [number]) for number in range(len(k.keys))]
    for (_, _, (number,)), answer in zip(cases, edited(cases), strict=True):
        assert answer["made"].keys == (*k.keys[:number], *k.keys[number + 1 :])
    alone = replace(k, keys=k.keys[:1])
    assert edited([(alone, "withoutKey", [0])])[0]["made"] == alone


def test_a_key_put_where_another_stands_takes_its_place():
    k = next(k for k in DRAWN if len(k.keys) > 3)
    other, new = ({"frame": frame, "yaw": 5} for frame in (k.keys[1].frame, k.keys[-1].frame + 1))
    over, behind = edited([(k, "withKey", [other]), (k, "withKey", [new])])
    assert over["made"].keys == (k.keys[0], Key(k.keys[1].frame, yaw=5), *k.keys[2:])
    assert behind["made"].keys == (*k.keys, Key(k.keys[-1].frame + 1, yaw=5))


def test_handles_along_a_curve_leave_it_where_it_is():
    cases = [(k, "withHandles", []) for k in DRAWN[::2]]
    kinds = {}
    for (k, _, _), answer in zip(cases, edited(cases), strict=True):
        assert answer["made"].positions == "bezier"
        assert answer["before"].apart(answer["after"]) < UNCHANGED, k
        if len(k.keys) > 3:
            kinds[k.positions] = answer
    for positions in ("linear", "catmull-rom"):
        made = kinds[positions]["made"]
        bare = replace(made, keys=tuple(replace(key, leaves=(0.0,) * 3, arrives=(0.0,) * 3) for key in made.keys))
        (answer,) = edited([(bare, None, [])])
        assert answer["after"].apart(kinds[positions]["before"]) > 1e-2, (
            "the control: without handles it is another path"
        )


FOLLOWING = [
    keyframes_of(actions_to_path("dw-20,i-10,j-5", size=SIZE, fov_deg=60)).keyframes,
    keyframes_of(actions_to_path("k-130", size=SIZE, fov_deg=60, dialect="nvlabs-v1")).keyframes,
    preset_keyframes("orbit-left", frames=30, size=SIZE, fov_deg=60).keyframes,
    Keyframes((Key(0), Key(20, (1.0, 0.0, 2.0), 20.0, 10.0), Key(40, (2.0, 0.0, 2.0), roll=30.0)), 49, SIZE, turns="slerp"),
]  # fmt: skip


@pytest.fixture(scope="module")
def continued() -> list[tuple[Keyframes, int, Keyframes, dict]]:
    cases = [
        (k, frame, FOLLOWING[(i + n) % len(FOLLOWING)])
        for i, k in enumerate(PLAIN)
        for n, frame in enumerate(FRAMES[1:])
    ]
    answers = edited([(k, "continued", [frame, write_keyframes(following)]) for k, frame, following in cases])
    return [(*case, answer) for case, answer in zip(cases, answers, strict=True)]


def test_a_path_that_is_continued_stays_what_it_is_up_to_the_frame_where_it_goes_on(continued):
    assert {k.positions for k, *_ in continued} == set(POSITIONS)
    for k, frame, _, answer in continued:
        assert answer["before"].apart(answer["after"], slice(0, frame + 1)) < UNCHANGED, (frame, k)


def test_what_continues_a_path_is_seen_from_the_camera_where_it_goes_on(continued):
    for k, frame, following, answer in continued:
        wanted = answer["before"].c2w[frame] @ keyframed_path(following).c2w
        assert answer["made"].frames == frame + following.frames and answer["made"].turns == "slerp"
        assert np.abs(answer["after"].c2w[frame:] - wanted).max() < 1e-6, (frame, k)
        moved = answer["before"].c2w[0] @ keyframed_path(following).c2w
    assert np.abs(answer["after"].c2w[frame:] - moved).max() > 1e-2, "the control: from elsewhere it is elsewhere"


def test_a_path_that_is_called_plain_keeps_its_pace_and_its_turns_when_it_is_continued():
    text = write_keyframes(FOLLOWING[0])
    cases = [(k, frame) for k in DRAWN[::2] for frame in FRAMES[1::2]]
    plain = told([(k, "isPlain", [frame]) for k, frame in cases])
    kept = {True: [], False: []}
    for (_, frame), is_plain, answer in zip(
        cases, plain, edited([(k, "continued", [f, text]) for k, f in cases]), strict=True
    ):
        kept[is_plain].append(answer["before"].apart(answer["after"], slice(0, frame + 1)))
    assert len(kept[True]) > 20 and max(kept[True]) < UNCHANGED
    assert sum(apart > 1e-3 for apart in kept[False]) > 50, "the control: others do not"


def test_what_continues_a_path_from_its_first_frame_takes_its_place():
    """As it is if the camera there is where a path begins, else as that camera sees it."""
    k, following = replace(DRAWN[0], fps=24.0), FOLLOWING[0]
    other = write_keyframes(replace(following, size=(8, 16)))
    level = replace(k, keys=(Key(0), *(key for key in k.keys if key.frame)))
    as_it_is, as_seen = edited([(level, "continued", [0, other]), (k, "continued", [0, other])])
    assert as_it_is["made"] == replace(following, fps=24.0)
    start = as_seen["before"].c2w[0]
    assert np.abs(start - np.eye(4)).max() > 0.1, "the control: this one begins elsewhere"
    assert np.abs(as_seen["after"].c2w - start @ keyframed_path(following).c2w).max() < 1e-6


def test_the_same_angle_is_found_as_near_to_another_as_whole_turns_bring_it():
    asked = np.random.default_rng(0).uniform(-2000, 2000, (40, 2)).tolist()
    for (other, angle), near in zip(asked, found("nearTo", *asked), strict=True):
        turns = (near - angle) / 360
        assert abs(near - other) <= 180 + 1e-9 and turns == pytest.approx(round(turns), abs=1e-9)
    assert found("nearTo", [350, 10], [-350, 10], [0, 10]) == [370, -350, 10]


def test_a_length_becomes_the_next_that_the_model_makes():
    lengths = range(1, 60)
    wanted = [next(m for m in range(n, n + 8) if m % 8 == 1) for n in lengths]
    assert found("wholeFrames", *([n] for n in lengths)) == wanted
