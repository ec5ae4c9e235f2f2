"""Size, intrinsics and frame rate: what a file says, what the caller says, and what is assumed and labelled."""

import json

import numpy as np
import pytest
from test_exchange_literals import C2W, LENS, NERFSTUDIO, REALESTATE10K, SIZE, TUM, WRITERS, npy_bytes

from wm_core.camera import field_of_view_deg, import_path
from wm_core.errors import CameraError


def nerfstudio(tmp_path, frame: dict | None = None, **changes):
    """The literal scene with keys changed, or left out where None; `frame` changes its second frame."""
    document = json.loads(NERFSTUDIO) | changes
    if frame:
        document["frames"][1] |= frame
    file = tmp_path / "transforms.json"
    file.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return file


def without_lens(**more) -> dict:
    return {**dict.fromkeys(("fl_x", "fl_y", "cx", "cy")), **more}


def test_a_path_without_lens_has_a_guessed_one_of_an_assumed_size(tmp_path):
    path = import_path(WRITERS["kitti"](tmp_path))
    assert (path.size, path.fps, path.provenance.intrinsics_source) == ((704, 1280), 16, "guess")
    assert path.provenance.conversions == ("size 1280x704 assumed", "fps 16 assumed")


def test_a_field_of_view_is_labelled_as_one(tmp_path):
    path = import_path(WRITERS["kitti"](tmp_path), fov_deg=60, size=SIZE, fps=24)
    assert field_of_view_deg(path.intrinsics[0], SIZE)[0] == pytest.approx(60)
    assert (path.provenance.intrinsics_source, path.provenance.conversions) == ("field of view", ())


@pytest.mark.parametrize("intrinsics", [LENS, [LENS] * 2, np.array([[100, 0, 100], [0, 90, 50], [0, 0, 1]])])
def test_intrinsics_may_be_given_or_lie_in_a_second_file(tmp_path, intrinsics):
    file = WRITERS["npy"](tmp_path)
    second = tmp_path / "walk_intrinsics.npy"
    np.save(second, np.asarray(intrinsics, np.float32))
    given = import_path(file, intrinsics=intrinsics, size=SIZE)
    beside = import_path(file, intrinsics=str(second), size=SIZE)
    for path in (given, beside):
        np.testing.assert_array_equal(path.intrinsics, [LENS, LENS])
    assert (given.provenance.intrinsics_source, beside.provenance.intrinsics_source) == ("given", "file")
    assert "intrinsics of walk_intrinsics.npy" in beside.provenance.conversions


def test_intrinsics_of_another_length_are_stretched_and_that_is_noted(tmp_path):
    path = import_path(WRITERS["npy"](tmp_path), intrinsics=[LENS, (200, 200, 100, 50), LENS], size=SIZE)
    assert path.frames == 2 and "intrinsics of 3 frames stretched to 2" in path.provenance.conversions


@pytest.mark.parametrize(
    ("name", "options"), [("npy", {"intrinsics": LENS}), ("realestate10k", {}), ("tum", {"intrinsics": LENS})]
)
def test_a_size_that_pixels_depend_on_is_never_assumed(tmp_path, name, options):
    with pytest.raises(CameraError, match=r"walk.* give size=\(height, width\)"):
        import_path(WRITERS[name](tmp_path), **options)


def test_fractions_become_pixels_of_the_size_that_is_given(tmp_path):
    path = import_path(WRITERS["realestate10k"](tmp_path), size=(720, 1280))
    np.testing.assert_allclose(path.intrinsics[1], (640, 648, 640, 360))


def test_what_the_caller_says_wins_over_the_file(tmp_path):
    path = import_path(WRITERS["npz"](tmp_path), intrinsics=(150, 150, 90, 40), size=(90, 180), fps=30)
    np.testing.assert_array_equal(path.intrinsics[0], (150, 150, 90, 40))
    assert (path.size, path.fps, path.provenance.intrinsics_source) == ((90, 180), 30, "given")
    notes = ("the file's intrinsics not used", "fps 30 given, the file's times not used")
    assert path.provenance.conversions == notes


def test_another_size_than_the_files_is_refused_where_its_lens_is_used(tmp_path):
    file = WRITERS["npz"](tmp_path)
    assert import_path(file, size=SIZE).size == SIZE
    with pytest.raises(CameraError, match="crop the path"):
        import_path(file, size=(90, 180))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"intrinsics": LENS, "fov_deg": 60}, "leave one out"),
        ({"fov_deg": 200}, "horizontal field of view"),
        ({"intrinsics": (1, 2, 3)}, "fx, fy, cx, cy"),
        ({"intrinsics": (100, float("nan"), 100, 50)}, "finite"),
        ({"intrinsics": (1e300, 90, 100, 50)}, "finite numbers up to"),
        ({"intrinsics": np.zeros((0, 3, 3))}, "finite numbers up to"),
        ({"intrinsics": "none.npy"}, "no camera file at none.npy"),
        ({"intrinsics": ("wide", 1, 1, 1)}, "must be numbers"),
        ({"intrinsics": (-100, 90, 100, 50)}, "focal lengths must be positive"),
        ({"size": (0, 200)}, "whole pixels"),
        ({"size": (100, 10**9)}, "whole pixels"),
        ({"fps": 0}, "fps must be"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_lenses_sizes_and_rates_that_cannot_be_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        import_path(WRITERS["npy"](tmp_path), **{"size": SIZE, **options})
    assert isinstance(caught.value, CameraError)


def test_the_second_file_is_refused_under_its_own_name(tmp_path):
    (tmp_path / "lens.npy").write_bytes(b"nonsense")
    with pytest.raises(CameraError, match="lens.npy: is not an .npy array"):
        import_path(WRITERS["npy"](tmp_path), intrinsics=tmp_path / "lens.npy", size=SIZE)


@pytest.mark.parametrize(
    ("times", "fps"),
    [("0 0.0625 0.125", 16), ("5 5.033333 5.066667", 30), ("0 0.0417083 0.0834167", 23.976), ("0 9 19", 2 / 19)],
)
def test_time_stamps_tell_the_rate_to_the_rounding_of_a_clock(tmp_path, times, fps):
    file = tmp_path / "walk.tum"
    file.write_text("".join(f"{time} 0 0 0 0 0 0 1\n" for time in times.split()))
    path = import_path(file)
    assert path.fps == pytest.approx(fps, rel=1e-4)
    assert (path.fps == round(path.fps)) == (fps == round(fps))


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ("0 1 2 3.2", "frame 3 comes 1.2 s after .* most come after 1 s"),
        ("0 1 2 1", "frame 3 comes -1 s"),
        ("3 2 1 0", "must increase"),
        ("1 1 1 1", "must increase"),
        ("0 1e18 2e18", "time stamps tell 1e-18 frames per second"),
        ("-1e308 0 1e308 1.7e308", "even|increase|per second"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_uneven_time_stamps_are_refused_unless_a_rate_is_given(tmp_path, times, words):
    file = tmp_path / "walk.tum"
    file.write_text("".join(f"{time} 0 0 0 0 0 0 1\n" for time in times.split()))
    with pytest.raises(CameraError, match=f"walk.tum: .*({words})"):
        import_path(file)
    path = import_path(file, fps=12)
    assert path.fps == 12 and "fps 12 given, the file's times not used" in path.provenance.conversions


def test_a_tenth_of_unevenness_passes(tmp_path):
    file = tmp_path / "walk.tum"
    file.write_text(TUM + "100.95 0 0 0 0 0 0 1\n101.5 0 0 0 0 0 0 1\n")
    assert import_path(file).fps == 2


def test_one_camera_has_no_rate(tmp_path):
    file = tmp_path / "walk.tum"
    file.write_text("7 0 0 0 0 0 0 1\n")
    assert import_path(file).provenance.conversions[-1] == "fps 16 assumed"


@pytest.mark.parametrize(
    ("changes", "lens"),
    [
        (without_lens(camera_angle_x=np.pi / 2), (100, 100, 100, 50)),
        (without_lens(camera_angle_x=np.pi / 2, fl_y=90, cy=40), (100, 90, 100, 40)),
        ({"cx": None, "cy": None, "fl_y": None}, (100, 100, 100, 50)),
        ({"camera_angle_x": 1.0}, LENS),
    ],
)
def test_nerfstudio_lenses_in_all_their_spellings(tmp_path, changes, lens):
    path = import_path(nerfstudio(tmp_path, **changes))
    np.testing.assert_allclose(path.intrinsics[0], lens, rtol=1e-6)
    assert (path.size, path.provenance.intrinsics_source) == (SIZE, "file")


def test_nerfstudio_angle_without_a_size_takes_the_callers_or_an_assumed_one(tmp_path):
    file = nerfstudio(tmp_path, **without_lens(camera_angle_x=np.pi / 2, w=None, h=None))
    np.testing.assert_allclose(import_path(file, size=(300, 400)).intrinsics[0], (200, 200, 200, 150), rtol=1e-6)
    path = import_path(file)
    assert path.size == (704, 1280) and path.intrinsics[0, 0] == pytest.approx(640)
    assert "size 1280x704 assumed" in path.provenance.conversions


def test_nerfstudio_frames_may_have_their_own_lens(tmp_path):
    path = import_path(nerfstudio(tmp_path, {"fl_x": 120, "k1": None}))
    np.testing.assert_array_equal(path.intrinsics, [LENS, (120, 90, 100, 50)])


@pytest.mark.parametrize(
    ("changes", "frame", "words"),
    [
        ({"k1": 0.1}, {}, "frame 0: distortion k1 is 0.1.*undistort"),
        ({}, {"p2": -0.01}, "frame 1: distortion p2"),
        ({"camera_model": "OPENCV_FISHEYE"}, {}, "perspective"),
        ({"camera_model": ["OPENCV"]}, {}, "perspective"),
        ({"is_fisheye": True}, {}, "perspective"),
        ({}, {"w": 201}, "frame 1: the shape of the matrix, w, h"),
        ({"w": 200.5}, {}, "whole pixels"),
        ({"h": None}, {}, "whole pixels"),
        ({"w": 0}, {}, "whole pixels"),
        ({"w": 10**400}, {}, "w must be a finite number"),
        ({"fl_x": "100"}, {}, "fl_x must be a finite number"),
        ({"fl_x": True}, {}, "fl_x must be a finite number"),
        ({"w": None, "h": None, "cx": None}, {}, "needs w and h"),
        (without_lens(camera_angle_x=90), {}, r"frame 0: camera_angle_x must be in \(0, pi\)"),
        ({}, {"transform_matrix": C2W[1, :3, :3].tolist()}, "frame 1: transform_matrix must be 4 rows"),
        ({}, {"transform_matrix": C2W[1, :3].tolist()}, "frame 1: the shape of the matrix"),
        ({}, {"transform_matrix": [[1, 0, 0, None]] * 4}, "frame 1: transform_matrix must be finite"),
        ({}, {"transform_matrix": [[float("nan")] * 4] * 4}, "frame 1: transform_matrix must be finite"),
        ({}, {"transform_matrix": [[]] * 4}, "frame 1: transform_matrix must be 4 rows"),
        ({}, {"transform_matrix": 3}, "frame 1: transform_matrix must be 4 rows"),
        ({"frames": []}, {}, "list 'frames'"),
        ({"frames": {}}, {}, "list 'frames'"),
        ({"frames": [3]}, {}, "frame 0: must be an object"),
    ],
)
def test_nerfstudio_scenes_that_are_no_pinhole_cameras_are_refused(tmp_path, changes, frame, words):
    with pytest.raises(CameraError, match=f"transforms.json.*{words}"):
        import_path(nerfstudio(tmp_path, frame, **changes))


@pytest.mark.parametrize("distortion", ["0.1 0", "0 0.1"])
def test_realestate10k_with_distortion_is_refused(tmp_path, distortion):
    file = tmp_path / "walk.txt"
    file.write_text(REALESTATE10K.replace("0.0 0.0", distortion))
    with pytest.raises(CameraError, match="frame 1: columns 6 and 7 must be 0.*undistort"):
        import_path(file, size=SIZE)


def test_realestate10k_without_its_address_is_refused(tmp_path):
    file = tmp_path / "walk.txt"
    file.write_text("\n" + REALESTATE10K.split("\n", 1)[1])
    with pytest.raises(CameraError, match="walk.txt, line 2: must be the address of the video"):
        import_path(file, format="realestate10k", size=SIZE)


def test_npz_sizes_and_rates_must_be_numbers_of_pixels_and_seconds(tmp_path):
    file = tmp_path / "walk.npz"
    for key, value, words in (
        ("size", [100.5, 200], "size: must be"),
        ("fps", [-1.0], "fps: must be"),
        ("fps", [1, 2], "fps"),
    ):
        np.savez(file, c2w=C2W, **{key: np.array(value)})
        with pytest.raises(CameraError, match=f"walk.npz, .*{words}"):
            import_path(file)


def test_matrices_called_extrinsics_need_their_direction_said(tmp_path):
    file = tmp_path / "walk.npz"
    np.savez(file, extrinsics=C2W)
    with pytest.raises(CameraError, match="w2c in some programs and c2w in others; give matrices"):
        import_path(file)
    np.testing.assert_array_equal(import_path(file, matrices="c2w").c2w, C2W)
    np.savez(file, w2c=C2W)
    assert "w2c inverted" in import_path(file).provenance.conversions
    np.savez(file, poses=C2W)
    np.testing.assert_array_equal(import_path(file).c2w, C2W)


def test_npz_without_matrices_says_what_it_has(tmp_path):
    np.savez(tmp_path / "walk.npz", cam_c2w=C2W, depth=C2W)
    with pytest.raises(
        CameraError, match=r"walk.npz holds 'cam_c2w', 'depth', wanted an array c2w, poses, w2c, extrinsics"
    ):
        import_path(tmp_path / "walk.npz")


def test_single_precision_literal_is_whole():
    assert len(npy_bytes((2, 4, 4), C2W)) == 128 + 2 * 16 * 8
