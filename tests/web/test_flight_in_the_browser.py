"""A flight in the editor is the path that Python makes of its action string, frame by frame, in the row the server sends."""

from itertools import groupby

import numpy as np
import pytest
from dialect_rows import as_sent
from javascript import answer_of

from wm_core.camera import DIALECTS, Dialect, Segment, integrate, parse_actions, quaternion
from wm_core.camera.rotation import rigid

CHOSEN = [
    "none-5",
    "w-1",
    "wasdijkl-30",
    "ws-9,ad-9,jl-9,ik-9",  # opposite keys
    "w-20,ws-20,w-20",
    "i-200",  # into the pitch limit
    "k-300,i-30,k-200,none-40",
    "wi-130,wk-260,wi-130",
    "w-10,w-10,dw-1,w-1,none-3,none-4,w-3",
    "a-40,none-60,d-40,s-20",
    "j-30,l-30,jw-30,none-1,none-30",
]
KEYS = "wasdijkl"
NAMES = ("nvlabs-v2", "nvlabs-v1", "sglang")


def drawn(seed: int) -> str:
    random = np.random.default_rng(seed)
    segments = []
    for _ in range(random.integers(1, 9)):
        keys = "".join(key for key in KEYS if random.random() < random.choice((0.1, 0.3)))
        segments.append(f"{keys or 'none'}-{random.integers(1, 60)}")
    return ",".join(segments)


ACTIONS = CHOSEN + [drawn(seed) for seed in range(50)]


def held(actions: str) -> list[str]:
    """The keys of every frame."""
    return ["".join(segment.keys) for segment in parse_actions(actions) for _ in range(segment.frames)]


def merged(segments: tuple[Segment, ...]) -> list[tuple[frozenset, int]]:
    runs = groupby(segments, key=lambda segment: segment.keys)
    return [(keys, sum(segment.frames for segment in run)) for keys, run in runs]


def flown(name: str) -> list[dict]:
    row = as_sent(DIALECTS[name])
    cases = zip(ACTIONS, STARTS, strict=True)
    return answer_of(
        "flown.mjs", [{"dialect": row, "frames": held(actions), "start": start} for actions, start in cases]
    )


def start(seed: int) -> dict:
    random = np.random.default_rng(seed)
    turn = random.normal(size=4)
    return {"position": random.normal(size=3).tolist(), "turn": (turn / np.linalg.norm(turn)).tolist(), "fov": 70.0}


STARTS = [start(seed) for seed in range(len(ACTIONS))]


@pytest.fixture(scope="module")
def flights() -> dict[str, list[dict]]:
    return {name: flown(name) for name in NAMES}


def matrices(poses: list) -> np.ndarray:
    positions, turns = (np.array([pose[part] for pose in poses]) for part in range(2))
    return rigid(quaternion.to_rotation(turns), positions)


def apart(flight: dict, actions: str, dialect: Dialect) -> float:
    return float(np.abs(matrices(flight["poses"]) - integrate(parse_actions(actions), dialect)[1:]).max())


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_of_a_flight_is_where_python_puts_it(flights, name):
    assert len(flights[name]) == len(ACTIONS) > 60
    for flight, actions in zip(flights[name], ACTIONS, strict=True):
        assert apart(flight, actions, DIALECTS[name]) < 1e-9, actions


def test_the_comparison_sees_another_dialect_and_that_the_limit_was_reached(flights):
    """The control: inertia, and what happens at the pitch limit, are in the numbers."""
    i = ACTIONS.index("k-300,i-30,k-200,none-40")
    assert apart(flights["nvlabs-v1"][i], ACTIONS[i], DIALECTS["nvlabs-v2"]) > 1e-2
    steepest = {name: np.abs(matrices(flights[name][i]["poses"])[:, 1, 2]).max() for name in ("nvlabs-v2", "nvlabs-v1")}
    assert steepest["nvlabs-v2"] == pytest.approx(np.sin(np.radians(60)), abs=1e-12), "saturates at the limit"
    assert steepest["nvlabs-v1"] == pytest.approx(np.sin(np.radians(84)), abs=1e-9), "rejects the step to 85.2 degrees"


def test_the_string_of_a_flight_says_what_was_held(flights):
    for flight, actions in zip(flights["nvlabs-v2"], ACTIONS, strict=True):
        wanted = merged(parse_actions(actions))
        assert merged(parse_actions(flight["actions"])) == wanted
        assert len(parse_actions(flight["actions"])) == len(wanted), "equal neighbours are one segment"
        assert flight["frames"] == sum(frames for _, frames in wanted)


def test_a_flight_seen_from_a_start_is_the_product_of_both_matrices(flights):
    for flight, start in zip(flights["nvlabs-v2"], STARTS, strict=True):
        (before,) = matrices([[start["position"], start["turn"]]])
        (last,) = matrices(flight["poses"][-1:])
        (seen,) = matrices([[flight["seen"]["position"], flight["seen"]["turn"]]])
        np.testing.assert_allclose(seen, before @ last, rtol=0, atol=1e-9)
        assert flight["seen"]["fov"] == start["fov"]
    assert np.abs(last @ before - seen).max() > 1e-2, "the control: the other order is another place"
