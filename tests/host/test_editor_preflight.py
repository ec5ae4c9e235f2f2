"""What the camera editor is told of a path, by a real server: Python's own findings, and refusals of one sentence."""

import numpy as np
import pytest
from editor_requests import assert_refused

from wm_core.camera import Key, Keyframes, held_keys, keyframed_path, preflight, write_keyframes

pytestmark = pytest.mark.host
SIZE = (704, 1280)


def test_preflight_of_a_document_says_what_python_says(ask):
    for metres, warns in ((1.0, False), (60.0, True)):
        keyframes = Keyframes((Key(0, fov=70.0), Key(80, (0.0, 0.0, metres), fov=70.0)), 97, SIZE)
        path = keyframed_path(keyframes)
        answer, wanted = ask("preflight", write_keyframes(keyframes)).json, preflight(path)
        assert answer["summary"] == wanted.summary and answer["held"] == held_keys(path)
        assert [f["text"] for f in answer["findings"]] == [f.text for f in wanted.findings]
        warned = [f for f in answer["findings"] if f["level"] == "warning"]
        assert bool(warned) == warns
        assert all(0 <= start < stop <= 97 for f in warned for start, stop in f["frames"])
        assert not warns or warned[0]["frames"]


def test_preflight_minds_the_depth_map_that_the_node_has_kept_and_no_other_file(ask, server):
    (folder,) = server.folders.glob("temp-*")
    name, wall = f"sana_wm_depth_{'0a' * 8}.f32", np.full((30, 40), 1.5, "<f4")
    (folder / "temp").mkdir(exist_ok=True)
    (folder / "temp" / name).write_bytes(wall.tobytes())
    ahead = write_keyframes(Keyframes((Key(0, fov=70.0), Key(80, (0.0, 0.0, 3.0), fov=70.0)), 97, SIZE))
    asked = {"depth": name, "height": 30, "width": 40}
    plain, seen = ask("preflight", ahead).json, ask("preflight", ahead, **asked).json
    assert seen["findings"] != plain["findings"] and "1.5 m ahead" in str(seen["findings"])
    for other in ({"depth": f"../temp/{name}"}, {"depth": "sana_wm_depth_0.f32"}, {"height": 31}):
        assert ask("preflight", ahead, **asked | other).json == plain, "as if there were none"
    assert_refused(ask("preflight", ahead, **asked | {"height": "tall"}))
    (folder / "temp" / name).unlink()


def test_preflight_of_what_is_no_document_is_refused(ask):
    fast = write_keyframes(Keyframes((Key(0),), 97, SIZE))
    for body, word in (
        ("", "JSON"),
        ("[" * 100_000, "JSON"),
        ("{}", "format"),
        (fast.replace('"frame": 0', '"frame": -1'), "frames"),
    ):
        assert_refused(ask("preflight", body), word)
    assert_refused(ask("preflight", b"\xff\xfe\x00"), "JSON")
