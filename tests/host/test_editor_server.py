"""What the camera editor asks a real server: answers are Python's own, refusals one sentence, and nothing stays behind."""

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dialect_rows import as_sent
from editor_requests import DEGREES, METRES, assert_refused, assert_within, document_of

from wm_core.camera import (
    DIALECTS,
    EASINGS,
    FORMATS,
    PRESETS,
    CameraPath,
    Key,
    Keyframes,
    actions_to_path,
    export_path,
    field_of_view_deg,
    gltf_export,
    keyframed_path,
    omnicam_export,
    preset_path,
    save_path,
    write_keyframes,
)
from wm_core.camera.keyframes import POSITIONS, TIMINGS, TURNS

pytestmark = pytest.mark.host
SIZE = (704, 1280)
VIEW = {"size": list(SIZE), "fps": 16.0, "fov": 70.0}
WALK = actions_to_path("w-20,dw-20,i-10", size=SIZE, fov_deg=70)


def test_choices_are_the_tables_of_python(ask):
    choices = ask("choices").json
    assert choices == {
        "presets": [{"name": row.name, "amount": row.amount, "unit": row.unit} for row in PRESETS.values()],
        "easings": list(EASINGS),
        "positions": list(POSITIONS),
        "turns": list(TURNS),
        "timings": list(TIMINGS),
        "dialect": as_sent(DIALECTS["nvlabs-v2"]),
    }


@pytest.mark.parametrize("whole", [True, False])
def test_every_preset_comes_as_keys_within_the_tolerance(ask, whole):
    for name in PRESETS:
        answer = ask("keyframes", json.dumps(VIEW | {"preset": name, "frames": 97, "amount": None, "whole": whole}))
        assert_within(answer, preset_path(name, frames=97, size=SIZE, fov_deg=70))
        document = document_of(answer)
        assert whole or (document.turns, document.timing) == ("slerp", "keys"), "so that it can go on from another"
        assert (document.keys[0].easing == PRESETS[name].easing) or not whole or len(document.keys) > 2


def test_the_amount_and_the_length_of_a_preset_are_what_was_asked(ask):
    for amount, frames in ((-20.0, 33), (90, 1), (360.0, 161)):
        answer = ask(
            "keyframes", json.dumps(VIEW | {"preset": "pan-left", "frames": frames, "amount": amount, "whole": False})
        )
        assert_within(answer, preset_path("pan-left", frames=frames, size=SIZE, fov_deg=70, amount=amount))


def test_an_action_string_comes_as_keys_of_the_path_that_it_means(ask):
    actions = "w-30,dw-20,none-9,ik-3,k-30"
    answer = ask("keyframes", json.dumps(VIEW | {"actions": actions}))
    assert_within(answer, actions_to_path(actions, size=SIZE, fov_deg=70))
    with pytest.raises(AssertionError):
        assert_within(answer, actions_to_path(actions, size=SIZE, fov_deg=70, dialect="nvlabs-v1"))


def test_a_document_comes_back_in_plain_keys(ask):
    keys = (Key(0), Key(30, (1.0, 0.0, 2.0), yaw=40.0, easing="settle"), Key(80, (0.0, 0.0, 4.0), pitch=20.0, fov=70.0))
    for turns, timing in (("squad", "keys"), ("angles", "even"), ("slerp", "keys")):
        given = Keyframes(keys, 97, (480, 640), 24.0, turns=turns, timing=timing)
        answer = ask("keyframes", json.dumps({"document": json.loads(write_keyframes(given))} | VIEW))
        assert_within(answer, keyframed_path(given))
        made = document_of(answer)
        assert (made.positions, made.turns, made.timing) == ("bezier", "slerp", "keys")
        assert {key.easing for key in made.keys} == {"linear"}


def files(folder: Path) -> Iterator[tuple[Path, CameraPath]]:
    """Every format that is one file, and what it holds of a path."""
    away = actions_to_path("a-30", size=SIZE, fov_deg=70).then(WALK)
    given = away.slice(20, away.frames)  # so that its first camera is not the identity
    assert np.abs(given.c2w[0] - np.eye(4)).max() > 0.1
    for name, row in FORMATS.items():
        if not row.is_folder:
            yield export_path(given, folder / f"{name}{row.names[0]}", format=name)[0], given
    for file in (folder / "scene.glb", folder / "scene.gltf"):
        gltf_export(given, file)
        yield file, given
    omnicam_export(given, folder / "omnicam.json")
    yield folder / "omnicam.json", given
    save_path(given, folder / "own.safetensors")
    yield folder / "own.safetensors", given
    keys = (Key(0, (1.0, 0.0, 0.0), yaw=30.0), Key(40, (2.0, 0.0, 3.0), yaw=-30.0, fov=70.0))
    keyframes = Keyframes(keys, 81, SIZE)
    (folder / "keyframes.json").write_text(write_keyframes(keyframes))
    yield folder / "keyframes.json", keyframed_path(keyframes)


@pytest.fixture
def nothing_left(server):
    """What a request leaves: a failure if it is anything."""

    def there() -> set[Path]:
        return {*Path(tempfile.gettempdir()).glob("sana_wm_*"), *server.folders.glob("temp-*/**/*")}

    before = there()
    yield
    deadline = time.monotonic() + 5
    while there() - before and time.monotonic() < deadline:  # those of other servers go away
        time.sleep(0.05)
    assert not there() - before


def test_a_file_of_every_kind_comes_as_keys_seen_from_its_first_camera(ask, tmp_path, nothing_left):
    known = []
    for file, path in files(tmp_path):
        wanted = path.relative_to_first()
        answer = ask("file", file.read_bytes(), name=file.name, height=SIZE[0], width=SIZE[1])
        made = keyframed_path(document_of(answer))
        if field_of_view_deg(made.intrinsics[-1], SIZE)[0] != pytest.approx(
            70, abs=0.3
        ):  # of a file that knows no lens
            wanted = wanted.seen_through(made.intrinsics, "guess")
        wanted = CameraPath(wanted.c2w, wanted.intrinsics, wanted.size, made.fps)
        assert_within(answer, wanted, METRES + 1e-3, DEGREES + 0.01)
        known.append(file.name)
        with pytest.raises(AssertionError):
            assert_within(answer, CameraPath(path.c2w, wanted.intrinsics, path.size, made.fps))
    assert len(known) >= 11, known


def test_a_file_s_name_tells_its_kind_and_nothing_else(ask, tmp_path, nothing_left):
    (file, _) = export_path(WALK, tmp_path / "walk.npy")
    asked = {"height": SIZE[0], "width": SIZE[1]}
    wanted = ask("file", file.read_bytes(), name="walk.npy", **asked)
    for name in (
        "../../x.npy",
        "/etc/x.NPY",
        "C:\\x\\y.npy",
        "..\\..\\x.npy",
        "a/b\n.npy",
        "摄像机.npy",
        "." * 300 + "x.npy",
    ):
        assert ask("file", file.read_bytes(), name=name, **asked).json == wanted.json, name
    for name in ("", "x", ".npy", "x.npy/", "x.exe", "x." + "y" * 400, "x.\0", "../../x.npy/..", "x.npy "):
        answer = ask("file", file.read_bytes(), name=name, **asked)
        if answer.status == 200:  # told by its content
            assert answer.json == wanted.json, name
        else:
            assert_refused(answer)


def test_damaged_files_are_refused_by_their_own_names(ask, tmp_path, nothing_left):
    asked = {"height": SIZE[0], "width": SIZE[1]}
    for file, _ in files(tmp_path):
        whole = file.read_bytes()
        for damaged in (whole[: len(whole) // 3] + b"\xff", b"", b"\0" * 100, whole[::-1]):
            answer = ask("file", damaged, name=f"my {file.name}", **asked)
            assert_refused(answer)
            assert f"my {file.name}" in answer.json["error"] or file.name == "keyframes.json", answer.json


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", ()),
        ("{", ()),
        ("[" * 100_000, ()),
        ("\xff\xfe", ()),
        ("[]", ()),
        ("5", ()),
        ("{}", ("size",)),
        (VIEW, ()),
        (VIEW | {"preset": "moonwalk", "frames": 97, "whole": True}, ("preset must be one of hold, dolly-in", "moonwalk")),
        (VIEW | {"preset": "moonwalk", "frames": 97, "whole": False}, ("moonwalk",)),
        (VIEW | {"preset": ["hold"], "frames": 97, "whole": True}, ()),
        (VIEW | {"preset": "hold", "frames": 0, "whole": True}, ("frame", "got 0")),
        (VIEW | {"preset": "hold", "frames": 10**9, "whole": True}, ("1 to 100000 frames", "1000000000")),
        (VIEW | {"preset": "hold", "frames": 1e300, "whole": False}, ("frames",)),
        (VIEW | {"preset": "hold", "frames": "many", "whole": False}, ("frames", "many")),
        (VIEW | {"preset": "zoom-in", "frames": 97, "amount": 500, "whole": True}, ("zoom-in", "smaller amount")),
        (VIEW | {"preset": "pan-left", "frames": 97, "amount": "far", "whole": True}, ()),
        (VIEW | {"actions": "w-12,q-3"}, ("segment 2", "q-3")),
        (VIEW | {"actions": ""}, ("empty",)),
        (VIEW | {"actions": 5}, ()),
        (VIEW | {"actions": "w-8", "fov": 1}, ("field of view must be 5 to 170",)),
        (VIEW | {"actions": "w-8", "size": [0, 0]}, ()),
        (VIEW | {"actions": "w-8", "size": [10**400, 10**400]}, ()),
        (VIEW | {"actions": "w-8", "fps": -1}, ("fps",)),
        ({"document": None}, ("no keyframe document",)),
        ({"document": {"format": "sana-wm-keyframes", "version": 1, "keys": []}}, ("1 to 1000 objects",)),
    ],
)  # fmt: skip
def test_what_is_no_request_of_the_editor_s_is_refused_in_a_sentence(ask, body, words):
    assert_refused(ask("keyframes", body.encode("latin-1") if isinstance(body, str) else json.dumps(body)), *words)


def test_a_file_without_a_name_or_a_size_is_refused(ask, nothing_left):
    for query in (
        {},
        {"name": "x.npy"},
        {"name": "x.npy", "height": "tall", "width": 8},
        {"name": "x.npy", "height": -1, "width": 0},
    ):
        assert_refused(ask("file", b"\x93NUMPY", **query))


def test_a_file_of_more_frames_than_a_path_has_is_refused_before_it_is_fitted(ask, tmp_path, nothing_left):
    """A fit of so many would go on for minutes."""
    c2w = np.tile(np.eye(4, dtype=np.float32), (100_001, 1, 1))
    save_path(
        CameraPath(c2w, np.tile((900.0, 900.0, 640.0, 352.0), (100_001, 1)), SIZE, 16.0), tmp_path / "long.safetensors"
    )
    asked = {"name": "long.safetensors", "height": SIZE[0], "width": SIZE[1]}
    assert_refused(ask("file", (tmp_path / "long.safetensors").read_bytes(), **asked), "1 to 100000 frames, got 100001")


@pytest.fixture
def pieces():
    """A body of so many megabytes, whose length is not told."""
    return lambda megabytes: (b"\0" * 1_000_000 for _ in range(megabytes))


@pytest.mark.parametrize("is_told", [True, False])
def test_a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not(ask, pieces, is_told, nothing_left):
    asked = {"name": "x.npy", "height": SIZE[0], "width": SIZE[1]}
    large = ask("file", b"\0" * 33_000_000 if is_told else pieces(33), **asked)
    assert_refused(large, "at most 32 MB")
    below = ask("file", b"\0" * 2_000_000 if is_told else pieces(2), **asked)
    assert_refused(below, "x.npy")
    assert "at most 32 MB" not in below.json["error"]
    assert ask("choices").status == 200


def test_the_editor_s_scripts_are_scripts_that_a_browser_asks_for_anew(ask):
    (script,) = (name for name in ask("/extensions").json if name.endswith("/sana_wm.js"))
    for name in ("camera_editor/editor.mjs", "camera_editor/three.mjs"):
        answer = ask(script.replace("sana_wm.js", name))
        assert answer.status == 200 and answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers.get_content_type() in ("text/javascript", "application/javascript")


def test_the_server_answers_others_while_a_large_file_is_fitted(ask, tmp_path):
    random = np.random.default_rng(0)
    c2w = np.tile(np.eye(4), (6000, 1, 1))
    c2w[:, :3, 3] = random.normal(size=(6000, 3))
    (file, *_) = export_path(
        CameraPath(c2w, np.tile((900.0, 900.0, 640.0, 352.0), (6000, 1)), SIZE, 16.0), tmp_path / "noise.npy"
    )
    found = []
    fit = threading.Thread(
        target=lambda: found.append(ask("file", file.read_bytes(), name="noise.npy", height=SIZE[0], width=SIZE[1]))
    )
    started = time.monotonic()
    fit.start()
    waited = []
    while fit.is_alive():
        asked = time.monotonic()
        assert ask("choices").status == 200
        if fit.is_alive():
            waited.append(time.monotonic() - asked)
        time.sleep(0.02)
    took = time.monotonic() - started
    assert_refused(found[0], "keys to stay within")
    assert len(waited) > 5 and max(waited) < took / 2, (waited, took)
