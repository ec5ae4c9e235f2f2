"""Matrices on their way in: shapes, transposed and w2c ones, units, what is repaired and what is refused."""

import numpy as np
import pytest
from test_exchange_literals import C2W, KITTI, LENS, SIZE, TUM, WRITERS, read

from wm_core.camera import FORMATS, import_path, rigid_inverse
from wm_core.camera.rotation import yaw_rotation
from wm_core.errors import CameraError


def imported(tmp_path, values: np.ndarray, /, **options):
    file = tmp_path / "walk.npy"
    np.save(file, values)
    return import_path(file, **{"size": SIZE, "intrinsics": LENS, **options})


def changed(index: tuple, value: float) -> np.ndarray:
    copy = C2W.astype(float)
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("matrices", "expected"), [(C2W, C2W), (C2W[:, :3], C2W), (C2W[1], C2W[1:]), (C2W[1, :3], C2W[1:])]
)
def test_every_shape_of_matrices_is_read(tmp_path, matrices, expected):
    np.testing.assert_array_equal(imported(tmp_path, matrices).c2w, expected)


@pytest.mark.parametrize("shape", [(2, 16), (4,), (0, 4, 4), (1, 2, 4, 4), (2, 3, 3)])
def test_other_shapes_are_refused_with_what_they_are(tmp_path, shape):
    with pytest.raises(CameraError, match=r"walk.npy: matrices must be \(f, 4, 4\) .* got \(" + str(shape[0])):
        imported(tmp_path, np.zeros(shape))


def test_arrays_in_fortran_order_and_of_other_types_are_the_same_numbers(tmp_path):
    for other in (np.asfortranarray(C2W), C2W.astype(">f4"), C2W.astype(np.int8), C2W.astype("<f2")):
        np.testing.assert_array_equal(imported(tmp_path, other).c2w, C2W)


@pytest.mark.parametrize("matrices", [C2W.transpose(0, 2, 1), C2W[:, :3].transpose(0, 2, 1)])
def test_transposed_arrays_need_to_be_named_so(tmp_path, matrices):
    path = imported(tmp_path, matrices, transposed=True)
    np.testing.assert_array_equal(path.c2w, C2W)
    assert path.provenance.conversions[0] == "matrices transposed"
    with pytest.raises(CameraError, match="transposed=True"):
        imported(tmp_path, matrices)


def test_transposed_rows_of_twelve_come_column_by_column(tmp_path):
    file = tmp_path / "walk.kitti"
    file.write_text("1 0 0 0 1 0 0 0 1 0 0 0\n0 0 -1 0 1 0 1 0 0 1 2 3\n")
    np.testing.assert_array_equal(read(file, "kitti", transposed=True).c2w, C2W)


@pytest.mark.parametrize("name", [name for name, row in FORMATS.items() if not row.holds_matrices])
def test_quaternions_cannot_be_transposed(name, tmp_path):
    with pytest.raises(CameraError, match="holds quaternions, which are not"):
        read(WRITERS[name](tmp_path), name, transposed=True)


def test_w2c_is_inverted_and_metres_scale_the_positions(tmp_path):
    path = imported(tmp_path, rigid_inverse(C2W), matrices="w2c", metres=0.01)
    np.testing.assert_allclose(path.c2w[1, :3, 3], (0.01, 0.02, 0.03), rtol=1e-6)
    np.testing.assert_allclose(path.c2w[:, :3, :3], C2W[:, :3, :3], atol=1e-7)
    assert path.provenance.conversions[:2] == ("unit of 0.01 m to metres", "w2c inverted")


def test_rounded_rotations_are_repaired_to_the_nearest_and_that_is_noted(tmp_path):
    c2w = np.tile(np.eye(4), (3, 1, 1))
    c2w[:, :3, :3] = yaw_rotation(np.array((0.1, 0.5, 0.9)))
    rounded = c2w.copy()
    rounded[1:] = rounded[1:].round(2)
    path = imported(tmp_path, rounded)
    np.testing.assert_allclose(path.c2w, c2w, atol=5e-3)
    rotation = path.c2w[:, :3, :3].astype(float)
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (3, 1, 1)), atol=5e-7)
    assert path.provenance.conversions[0].startswith("rotations of 2 frames repaired, off by up to 0.00")
    assert not any("repaired" in note for note in imported(tmp_path, c2w).provenance.conversions)


def test_nearest_rotation_keeps_the_turn_of_a_stretched_one(tmp_path):
    stretched = C2W.astype(float)
    stretched[:, :3, :3] *= 1.004
    np.testing.assert_allclose(imported(tmp_path, stretched).c2w, C2W, atol=1e-6)


@pytest.mark.parametrize(
    ("matrices", "words"),
    [
        (changed((1, 0, 0), 0.2), "orthonormal to 0.01, got 0.2.*, frame 1 of 2"),
        (C2W * np.array((1.01, 1.01, 1.01, 1)), "divide the scale out"),
        (C2W * np.array((-1, 1, 1, 1)), "matrices must not mirror, frame 0 of 2"),
        (changed((1, 0, 3), np.nan), "finite, frame 1 of 2"),
        (changed((1, 2, 2), np.inf), "finite, frame 1 of 2"),
        (changed((1, 1, 1), 1e300), "orthonormal"),
        (changed((0, 3, 3), 2), "0 0 0 1, frame 0 of 2"),
        (changed((1, 1, 3), 1e300), "within 1e[+]09 m, frame 1 .*check metres"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_matrices_that_are_no_cameras_are_refused_with_their_frame(tmp_path, matrices, words):
    with pytest.raises(CameraError, match=f"walk.npy: .*{words}"):
        imported(tmp_path, matrices)


@pytest.mark.parametrize(
    ("quaternion", "rotation"),
    [
        ("1 0 0 1", [[1, 0, 0], [0, 0, -1], [0, 1, 0]]),  # y to z
        ("0 1 0 1", [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]),  # z to x
        ("0 0 1 1", [[0, -1, 0], [1, 0, 0], [0, 0, 1]]),  # x to y
        ("-1 -1 -1 1", [[0, 1, 0], [0, 0, 1], [1, 0, 0]]),  # x to z to y to x
    ],
)
def test_quaternions_turn_by_the_right_hand(tmp_path, quaternion, rotation):
    numbers = np.array(quaternion.split(), float)
    file = tmp_path / "walk.tum"
    file.write_text("0 1 2 3 {} {} {} {}\n".format(*numbers / np.linalg.norm(numbers)))
    np.testing.assert_allclose(read(file, "tum").c2w[0, :3, :3], rotation, atol=1e-7)


@pytest.mark.parametrize("length", ["0", "0.9", "1e200"])
def test_quaternions_far_from_unit_length_are_refused_and_near_ones_repaired(tmp_path, length):
    file = tmp_path / "walk.tum"
    file.write_text(f"0 1 2 3 0 0 0 {length}\n")
    with pytest.raises(CameraError, match="length of the quaternion"):
        read(file, "tum")
    file.write_text("0 1 2 3 0 0 0 1.001\n")
    path = read(file, "tum")
    np.testing.assert_array_equal(path.c2w[0, :3, :3], np.eye(3))
    assert "repaired" in path.provenance.conversions[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"convention": "maya"}, "opencv, opengl, blender, unreal, unity"),
        ({"matrices": "c2c"}, "c2w, w2c"),
        ({"metres": 0}, "0.01 is a centimetre"),
        ({"metres": float("nan")}, "0.01 is a centimetre"),
    ],
)
def test_axes_that_do_not_exist_are_refused(tmp_path, options, words):
    with pytest.raises(CameraError, match=words):
        imported(tmp_path, C2W, **options)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("walk.tum", TUM.replace("100.5 1", "100.5 nan"), "line 4.*finite"),
        ("walk.tum", TUM + "101 1 2 3 0 0 0\n", r"line 5.*8 numbers \(timestamp tx .*got 7"),
        ("walk.tum", TUM + "101 1 2 3 0 0 0 one\n", "line 5.*numbers separated by blanks"),
        ("walk.tum", TUM + "101 1_0 2 3 0 0 0 1\n", "line 5.*numbers separated by blanks"),
        ("walk.kitti", KITTI.replace("3e0", "1e999"), "line 2.*finite"),
        ("walk.kitti", KITTI.encode().replace(b"2 -1", b"\xff -1"), "line 2.*not UTF-8"),
        ("walk.kitti", KITTI.encode("utf-16"), "line 1.*not UTF-8"),
        ("walk.kitti", KITTI + "1 " * 5000, "line 3.*12 numbers"),
        ("walk.kitti", "# nothing\n", "no camera"),
    ],
)
def test_lines_that_are_no_cameras_are_refused_with_their_number(tmp_path, name, text, line):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CameraError, match=f"{name}.*{line}"):
        read(file, name.split(".")[1])


def test_byte_order_marks_and_windows_line_ends_are_read(tmp_path):
    file = tmp_path / "walk.kitti"
    file.write_bytes(b"\xef\xbb\xbf" + KITTI.replace("\n", "\r\n").encode())
    np.testing.assert_array_equal(read(file, "kitti").c2w, C2W)
