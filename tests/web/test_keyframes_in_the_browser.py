"""The editor's copy of the keyframe rules draws the path that Python makes: the same documents through both, to 1e-6."""

import json
from dataclasses import replace

import numpy as np
import pytest
from javascript import answer_of

from wm_core.camera import Key, Keyframes, field_of_view_deg, keyframed_path, quaternion, write_keyframes
from wm_core.camera.keyframes import POSITIONS, TIMINGS, TURNS
from wm_core.camera.trajectories import EASINGS

SIZE = (704, 1280)


def drawn(seed: int, positions: str, turns: str, timing: str) -> Keyframes:
    """Up to seven keys; some have pivots, some stand where the one before stands."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 8))
    frames = np.sort(random.choice(90, count, replace=False)).tolist()
    keys = []
    for frame in frames:
        place, arrives, leaves = (tuple(random.uniform(-2, 2, 3).tolist()) for _ in range(3))
        if keys and random.random() < 0.2:
            place = keys[-1].position
        yaw, pitch, roll = random.uniform((-200, -80, -60), (200, 80, 60)).tolist()
        pivot = tuple(random.uniform((-3, -1, 6), (3, 1, 9)).tolist()) if random.random() < 0.3 else None
        easing = str(random.choice(list(EASINGS)))
        keys.append(Key(frame, place, yaw, pitch, roll, float(random.uniform(30, 110)), easing, arrives, leaves, pivot))
    return Keyframes(tuple(keys), 100, SIZE, 16.0, positions, turns, timing)


DRAWN = [
    drawn(seed, positions, turns, timing)
    for positions in POSITIONS
    for turns in TURNS
    for timing in TIMINGS
    for seed in range(8)
]


@pytest.fixture(scope="module")
def shown() -> list:
    return answer_of("keyframed.mjs", [json.loads(write_keyframes(keyframes)) for keyframes in DRAWN])


def apart(path: list, keyframes: Keyframes) -> tuple[float, float, float]:
    """Largest differences in metres, in entries of the rotations, in degrees of view."""
    made = keyframed_path(keyframes)
    position, turn, fov = (np.array([frame[part] for frame in path]) for part in range(3))
    views = [field_of_view_deg(row, SIZE)[0] for row in made.intrinsics.astype(np.float64)]
    rotation = quaternion.to_rotation(turn)
    return (
        float(np.abs(position - made.c2w[:, :3, 3]).max()),
        float(np.abs(rotation - made.c2w[:, :3, :3]).max()),
        float(np.abs(fov - views).max()),
    )


def test_the_same_documents_give_the_same_paths_in_both(shown):
    assert len(shown) == len(DRAWN) == 144
    for path, keyframes in zip(shown, DRAWN, strict=True):
        metres, entries, degrees = apart(path, keyframes)
        assert metres < 1e-6 and entries < 1e-6 and degrees < 2e-5, (metres, entries, degrees, keyframes)


def test_another_easing_or_another_way_to_turn_is_seen(shown):
    """The control: the comparison finds what differs."""
    i = next(i for i, k in enumerate(DRAWN) if len(k.keys) > 3 and k.timing == "keys" and k.turns == "squad")
    keys = tuple(replace(key, easing="smooth" if key.easing == "linear" else "linear") for key in DRAWN[i].keys)
    assert apart(shown[i], replace(DRAWN[i], keys=keys))[0] > 1e-3
    assert apart(shown[i], replace(DRAWN[i], turns="slerp"))[1] > 1e-3
