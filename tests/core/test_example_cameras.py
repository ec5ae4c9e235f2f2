"""The cameras of the example workflows: what is drawn in one and shipped as a file for the other."""

import numpy as np
import pytest

from tools.graphs.camera_editor import KEYFRAMES, camera_editor
from tools.graphs.camera_from_file import FILE, camera_from_file
from tools.graphs.camera_from_file import SEED as WALKED
from tools.make_shipped_camera import FOLDER, walk
from tools.tiny_graph import SEED as DRAWN
from tools.tiny_world.clips import is_clear
from wm_core.camera import import_path, keyframed_path, preflight, read_keyframes, reshaping, retiming
from wm_core.tiny_world import make_scene, usual_intrinsics

SIZE = (128, 224)


def inputs_of(graph, name):
    nodes, _ = graph()
    return next(node.inputs for node in nodes if node.name == name)


def followed():
    """The shipped walk as Camera file and Edit of the example make it."""
    file, edit = inputs_of(camera_from_file, "file"), inputs_of(camera_from_file, "edit")
    path = import_path(FOLDER / FILE, size=SIZE, fps=file["fps"], intrinsics=usual_intrinsics(SIZE)).relative_to_first()
    return reshaping.smoothed(retiming.with_frames(path, edit["frames"]), edit["smooth"])


@pytest.mark.parametrize(("path", "scene"), [(keyframed_path(KEYFRAMES), DRAWN), (followed(), WALKED)])
def test_a_path_asks_nothing_unusual_and_touches_nothing(path, scene):
    found = preflight(path)
    assert not found.warnings, found.text
    assert is_clear(make_scene(scene), path)
    assert (path.frames - 1) % 24 == 0, "whole chunks"
    np.testing.assert_allclose(path.c2w[0], np.eye(4), atol=1e-6)


def test_the_workflow_keeps_the_keys_as_they_are_drawn():
    inputs = inputs_of(camera_editor, "camera")
    assert read_keyframes(inputs["state"]) == KEYFRAMES
    assert inputs["length"] == KEYFRAMES.frames == KEYFRAMES.keys[-1].frame + 1


def test_the_shipped_walk_is_what_its_script_makes():
    made, shipped = walk(), import_path(FOLDER / FILE, size=SIZE, fov_deg=70.0)
    np.testing.assert_allclose(shipped.c2w, made.c2w, atol=1e-5)
    assert shipped.fps == made.fps == 30
    assert np.abs(shipped.c2w[0] - np.eye(4)).max() > 1, "another program's world begins elsewhere"


def test_the_edit_takes_the_shake_out_of_it_and_leaves_the_way():
    path, recorded = followed(), retiming.with_frames(walk().relative_to_first(), followed().frames)
    wobble = lambda p: np.abs(np.diff(p.c2w[:, :3, 2], 2, axis=0)).mean()
    print(f"second differences of the heading: {wobble(recorded):.5f}, then {wobble(path):.5f}")
    assert wobble(path) < wobble(recorded) / 5
    assert np.linalg.norm(path.c2w[:, :3, 3] - recorded.c2w[:, :3, 3], axis=1).max() < 0.1
