"""OmniCam's scenes and tracks: the way between two keys is the one its editor draws, and what is wrong is said."""

import json
import math

import numpy as np
import pytest
from test_exchange_damage import DAMAGES, at_most

from wm_core.camera import CameraPath, actions_to_path, export_path, find_scene, load3d_path, omnicam_path
from wm_core.camera.conventions import from_opencv
from wm_core.camera.exchange.omnicam_motion import EASINGS
from wm_core.errors import CameraError

SIZE = (400, 800)


def key(frame=0, position=(0, 0, 5), target=(0, 0, 0), interpolation="linear", **camera) -> dict:
    given = {"position": list(position), "target": list(target), "fov": 40, "camera_type": "perspective"} | camera
    return {"frame": frame, "camera": given, "interpolation": interpolation}


def track(*keys, **changes) -> dict:
    head = {"schema_version": 1, "fps": 24, "duration_frames": 25, "width": SIZE[1], "height": SIZE[0]}
    return (
        head | {"render_mode": "omni_ref", "keyframes": list(keys or [key()]), "objects": [], "metadata": {}} | changes
    )


def scene(*tracks, cuts=(), **changes) -> dict:
    """A MotionScene whose cameras are called a, b, c, ... and whose active one is a."""
    cameras = [
        {"id": name, "label": f"Camera {name}", "enabled": True, "track": each} for name, each in zip("abc", tracks)
    ]
    return {
        "version": 1,
        "timeline": {"duration_seconds": 25 / 24, "authoring_fps": 24.0},
        "canvas": {"width": SIZE[1], "height": SIZE[0]},
        "cameras": cameras,
        "active_camera_id": "a",
        "playblast_camera_id": "a",
        "objects": [],
        "motion_layers": [],
        "cuts": [{"camera_id": name, "time_seconds": at} for at, name in enumerate(cuts)],
        "metadata": {},
    } | changes


def path_of(folder, document, **options) -> CameraPath:
    (folder / "shot.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return omnicam_path(folder / "shot.json", **options)


def centres(path):
    """In OmniCam's axes, y up."""
    return from_opencv(path.c2w.astype(np.float64), "opengl")[:, :3, 3]


def test_a_dolly_is_forward_and_the_track_tells_rate_length_and_size(tmp_path):
    document = track(key(), key(20, (0, 0, 1), (0, 0, -4)))
    path = path_of(tmp_path, document)
    assert (path.frames, path.fps, path.size) == (25, 24.0, SIZE)
    along = np.minimum(np.arange(25) / 5, 4)
    np.testing.assert_allclose(path.relative_to_first().c2w[:, 2, 3], along, atol=1e-6)
    np.testing.assert_allclose(path.c2w[:, :3, :3], np.eye(3)[None].repeat(25, 0), atol=1e-6)
    assert path.provenance.source == "file:shot.json as omnicam"
    assert path.provenance.conversions == ("opengl axes to opencv",)
    np.testing.assert_array_equal(path_of(tmp_path, scene(document)).c2w, path.c2w)


@pytest.mark.parametrize(
    ("name", "half", "quarter"),
    [
        ("linear", 0.5, 0.25),
        ("hold", 0.0, 0.0),
        ("ease_in", 0.25, 0.0625),
        ("ease_out", 0.75, 0.4375),
        ("smooth", 0.5, 0.103515625),
        ("bezier", 0.5, 0.170313),
        ("ease", 0.5, 0.15625),
        ("sine", 0.5, (1 - math.sqrt(0.5)) / 2),
        ("cubic", 0.5, 0.0625),
        ("quintic", 0.5, 0.015625),
        ("expo", 0.5, 0.015625),
        ("back", 0.5, -0.099682),
        ("unheard of", 0.5, 0.25),
    ],
)
def test_each_easing_is_where_it_should_be(tmp_path, name, half, quarter):
    path = path_of(tmp_path, track(key(0, (0, 0, 5), interpolation=name), key(24, (0, 4, 5)), key(40)))
    np.testing.assert_allclose(centres(path)[[0, 6, 12, 24], 1], (0, 4 * quarter, 4 * half, 4), atol=2e-5)
    told = [note for note in path.provenance.conversions if "easing" in note]
    assert told == ([] if name in EASINGS else ["easing 'unheard of' is not known, taken as linear"])
    usual = track(key(0, (0, 0, 5)), key(24, (0, 4, 5)))
    del usual["keyframes"][0]["interpolation"]
    assert centres(path_of(tmp_path, usual))[6, 1] == pytest.approx(4 * 0.15625), "what is not said is ease"


@pytest.mark.parametrize("name", EASINGS)
def test_easings_begin_at_0_and_end_at_1(name):
    found = EASINGS[name](np.array((0.0, 1.0)))
    np.testing.assert_allclose(found, (0, 0 if name == "hold" else 1), atol=1e-12)


def test_roll_lifts_the_right_side_and_goes_the_shorter_way(tmp_path):
    path = path_of(tmp_path, track(key(roll=170), key(20, roll=-170)))
    across = path.c2w[[0, 10, 20], :3, 0]
    angle = np.radians((170, 180, 190))
    wanted = np.stack([np.cos(angle), -np.sin(angle), 0 * angle], 1)  # y is down: its right side went up by 170
    np.testing.assert_allclose(across, wanted, atol=1e-6)


@pytest.mark.parametrize(("target", "top"), [((0, 9, 5), (0, 0, -1)), ((0, -9, 5), (0, 0, 1))])
def test_straight_up_and_straight_down_have_a_top_of_the_picture(tmp_path, target, top):
    path = path_of(tmp_path, track(key(target=target)))
    up = from_opencv(path.c2w.astype(np.float64), "opengl")[0, :3, 1]
    np.testing.assert_allclose(up, top, atol=1e-6)


def test_a_view_from_top_to_bottom_and_a_zoom_become_the_pictures(tmp_path):
    path = path_of(tmp_path, track(key(fov=53.130102), key(24, fov=53.130102, zoom=2.0)))
    np.testing.assert_allclose(path.intrinsics[[0, 12, 24], 0], (400, 600, 800), rtol=1e-6)
    np.testing.assert_array_equal(path.intrinsics[:, 1], path.intrinsics[:, 0])
    np.testing.assert_array_equal(path.intrinsics[:, 2:], np.tile((400, 200), (25, 1)))
    other = path_of(tmp_path, track(key(fov=53.130102)), size=(200, 200))
    assert other.size == (200, 200) and other.intrinsics[0, 0] == pytest.approx(200)


def test_a_camera_stands_as_the_same_camera_of_3d_nodes(tmp_path):
    first, second = key(0, (3, 2, 4), (0, 1, 0)), key(24, (-2, 5, 1), (1, 0, -3))
    path = path_of(tmp_path, track(first, second)).relative_to_first()
    info = [
        {name: dict(zip("xyz", each["camera"][name])) for name in ("position", "target")} | {"fov": 40}
        for each in (first, second)
    ]
    wanted = load3d_path(info, frames=25, size=SIZE)
    np.testing.assert_allclose(path.c2w[[0, -1]], wanted.c2w[[0, -1]], atol=1e-5)
    np.testing.assert_allclose(path.intrinsics[0], wanted.intrinsics[0], rtol=1e-5)


def test_keys_may_stand_in_any_order_and_the_last_of_a_frame_counts(tmp_path):
    path = path_of(tmp_path, track(key(20, (0, 2, 5)), key(0), key(20, (0, 4, 5))))
    np.testing.assert_allclose(centres(path)[[0, 10, 20, 24], 1], (0, 2, 4, 4), atol=1e-6)


def test_another_rate_samples_the_same_seconds(tmp_path):
    path = path_of(tmp_path, track(key(), key(24, (0, 24, 5))), fps=12.0, metres=0.5)
    assert (path.frames, path.fps) == (13, 12.0)
    np.testing.assert_allclose(centres(path)[:, 1], np.arange(13), atol=1e-5)
    assert path_of(tmp_path, track(), fps=36.0).frames == 37


def test_older_names_and_keys_without_a_camera_of_their_own_are_read(tmp_path):
    new = track(key(roll=5), key(20, (1, 2, 3)))
    old = {name: value for name, value in new.items() if name not in ("schema_version", "duration_frames")}
    old |= {"schemaVersion": 1, "durationFrames": 25}
    old["keyframes"] = [
        {"frame": each["frame"], **each["camera"], "interpolation": "linear"} for each in new["keyframes"]
    ]
    for each in old["keyframes"]:
        each["cameraType"] = each.pop("camera_type")
    np.testing.assert_array_equal(path_of(tmp_path, old).c2w, path_of(tmp_path, new).c2w)
    old["keyframes"][1]["cameraType"] = "orthographic"
    with pytest.raises(CameraError, match="key 1 is 'orthographic', the model sees in perspective"):
        path_of(tmp_path, old)


def test_the_active_camera_is_taken_and_cuts_between_cameras_are_refused(tmp_path):
    both = [track(key()), track(key(position=(7, 0, 5), target=(7, 0, 0)))]
    assert centres(path_of(tmp_path, scene(*both)))[0, 0] == 0
    assert centres(path_of(tmp_path, scene(*both, active_camera_id="b", cuts="bb")))[0, 0] == 7
    for cuts, names in (("ab", "'a', 'b'"), ("aba", "'a', 'b'"), ("b", "'a', 'b'")):
        with pytest.raises(CameraError, match=f"shot.json cuts between cameras, which is no single way: {names};"):
            path_of(tmp_path, scene(*both, cuts=cuts))
    assert centres(path_of(tmp_path, scene(*both, cuts="ab"), camera="b"))[0, 0] == 7


def test_other_files_of_json_are_not_taken_for_scenes(tmp_path):
    export_path(actions_to_path("w-3", size=SIZE, fov_deg=70), tmp_path / "transforms.json")
    (tmp_path / "keys.json").write_text('{"format": "sana-wm-keyframes", "version": 1, "keys": [{"frame": 0}]}')
    (tmp_path / "large.json").write_text(json.dumps(track(metadata={"much": "x" * 2**22})))
    for name in ("transforms.json", "keys.json", "large.json"):
        assert find_scene(tmp_path / name) is None
    for document in (track(), scene(track())):
        (tmp_path / "shot.json").write_text(json.dumps(document))
        assert find_scene(tmp_path / "shot.json").name == "omnicam"


def changed(**changes):
    return track(key(), key(20)) | changes


def with_key(**changes):
    return track(key(), key(20) | changes)


def with_camera(**changes):
    return track(key(), key(20, **changes))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "is not whole JSON"),
        ("[" * 100_000, "is not whole JSON"),
        ([], "must be a scene or a track of OmniCam, got list"),
        ({}, "fps must be 0.01 to 10000, got None"),
        (changed(keyframes=[]), "has no keyframes"),
        (changed(keyframes={"0": 1}), "keyframes must be a list of objects"),
        (changed(keyframes=[3]), "keyframes must be a list of objects"),
        (changed(fps=0), "fps must be 0.01 to 10000, got 0"),
        (changed(fps=math.nan), "fps must be"),
        (changed(duration_frames=10**9), "duration_frames must be 1 to 100000"),
        (changed(duration_frames=2.5), "duration_frames must be a whole number, got 2.5"),
        (changed(width="wide"), "width must be 1 to 100000, got 'wide'"),
        (changed(height=-1), "height must be 1 to 100000"),
        (changed(constraints={"look_at": {"status": "active"}}), "looks at an object of the scene; bake"),
        (with_key(frame=-1), "key 1: frame must be"),
        (with_key(frame=None), "key 1: frame must be"),
        (with_key(camera=None), r"key 1: position must be \[x, y, z\], got None"),
        (with_camera(camera_type="orthographic"), "key 1 is 'orthographic'"),
        (with_camera(target=(0, 1)), r"target must be \[x, y, z\], got \[0, 1\]"),
        (with_camera(position=(0, math.inf, 0)), "position must be"),
        (with_camera(target=(0, 0, 5)), "stands on its target at frame 20"),
        (with_camera(fov=180), "fov must be 0.1 to 179, got 180"),
        (with_camera(zoom=0), "zoom must be 1e-06 to 1e[+]06, got 0"),
        (with_camera(roll=True), "roll must be"),
        (scene(track(), version=2), "no MotionScene of version 1, its version is 2"),
        (scene(track(), active_camera_id="z"), "has no camera 'z', its cameras: 'a'"),
        (scene(), "has no camera 'a', its cameras: none"),
        (scene(track(), track()) | {"cameras": [{"id": "a"}, {"id": "a"}]}, "an id of its own, got 'a'"),
        (scene(track()) | {"cameras": [{"id": "a", "track": 3}]}, "camera 'a': wanted an object track, got 3"),
        (scene(track()) | {"cameras": 3}, "cameras must be a list of objects"),
        (scene(track()) | {"cuts": [None]}, "cuts must be a list of objects"),
        (scene(changed(keyframes=[])), "camera 'a' has no keyframes"),
    ],
)
def test_what_is_wrong_with_a_scene_is_said_with_its_file(tmp_path, document, words):
    with pytest.raises(CameraError, match=words) as caught:
        path_of(tmp_path, document)
    assert "shot.json" in str(caught.value)


def test_rates_that_make_too_many_frames_are_refused(tmp_path):
    for fps, words in ((1e308, "more than 100000 frames"), (-1.0, "fps must be a positive"), (math.nan, "fps must be")):
        with pytest.raises(CameraError, match=words):
            path_of(tmp_path, track(), fps=fps)


def test_tangents_are_left_alone_and_said(tmp_path):
    document = track(key(0) | {"tangents": {"mode": "free", "out_y": 3}}, key(20))
    assert "tangents of its keys not used" in path_of(tmp_path, document).provenance.conversions


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("document", [track(key(), key(20, roll=3.5)), scene(track(key(), key(20, fov=30.5)), track())])
def test_damaged_files_give_a_path_or_an_error_that_names_them(tmp_path, document):
    whole, random, refused = json.dumps(document).encode(), np.random.default_rng(0), 0
    with at_most(64):
        for trial in range(400):
            (tmp_path / "shot.json").write_bytes(DAMAGES[trial % len(DAMAGES)](whole, random))
            try:
                path = omnicam_path(tmp_path / "shot.json")
                assert isinstance(path, CameraPath) and np.isfinite(path.c2w).all()
            except CameraError as error:
                assert str(tmp_path) in str(error)
                refused += 1
    assert 100 < refused < 400


def test_files_that_take_much_memory_are_refused(tmp_path):
    with at_most(160), pytest.raises(CameraError, match="shot.json"):
        path_of(tmp_path, '{"keyframes": [' + "[0]," * (2**20 - 8) + "[0]]}")
    with (tmp_path / "shot.json").open("wb") as opened:
        opened.truncate(2**22 + 1)
    with at_most(1), pytest.raises(CameraError, match="shot.json has 4 MB, wanted at most 4"):
        omnicam_path(tmp_path / "shot.json")
    (tmp_path / "shot.json").write_bytes(b"")
    with pytest.raises(CameraError, match="shot.json is empty"):
        omnicam_path(tmp_path / "shot.json")
