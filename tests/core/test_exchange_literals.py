"""One small file of every format, written out by hand, and the two cameras it must give.

The first camera stands at the origin and looks ahead. The second stands 1 m to the right, 2 m down and 3 m ahead, and
is turned right by 90 degrees. Both see 200 x 100 pixels with focal lengths 100 and 90.
"""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from wm_core.camera import FORMATS, CameraPath, import_path

SIZE = (100, 200)
LENS = (100, 90, 100, 50)
C2W = np.array(
    [
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        [[0, 0, 1, 1], [0, 1, 0, 2], [-1, 0, 0, 3], [0, 0, 0, 1]],
    ]
)
TUM = """# timestamp tx ty tz qx qy qz qw
100.0 0 0 0 0 0 0 1

100.5 1 2 3 0 0.7071067811865476 0 0.7071067811865476
"""
KITTI = "1 0 0 0 0 1 0 0 0 0 1 0\n0 0 1 1 0 1 0 2 -1 0 0 3e0\n"
# w2c of the second camera: its axes as rows, and -R^T c = (3, -2, -1).
REALESTATE10K = """https://www.youtube.com/watch?v=none
7000000 0.5 0.9 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1 0
7500000 0.5 0.9 0.5 0.5 0.0 0.0 0 0 -1 3 0 1 0 -2 1 0 0 -1
"""
# OpenGL cameras in a world with z up and y ahead: the second is at (1, 3, -2), its right is -y and its back -x.
NERFSTUDIO = """{"camera_model": "OPENCV", "fl_x": 100, "fl_y": 90.0, "cx": 100, "cy": 50, "w": 200, "h": 100, "k1": 0.0,
 "frames": [
  {"file_path": "b.png", "transform_matrix": [[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]},
  {"file_path": "a.png", "transform_matrix": [[0, 0, -1, 1], [-1, 0, 0, 3], [0, 1, 0, -2], [0, 0, 0, 1]]}]}
"""
COLMAP_CAMERAS = "# comment\n3 PINHOLE 200 100 100 90 100 50\n8 SIMPLE_RADIAL 640 480 500 320 240 0.2\n"
COLMAP_IMAGES = """# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME
11 0.7071067811865476 0 -0.7071067811865476 0 3 -2 -1 3 walk 10.png
4.5 6.5 -1 20 30 12
7 1 0 0 0 0 0 0 3 walk 9.png

"""
COLMAP_POINTS = "# comment\n5 1.5 2.5 -3.5 255 128 0 0.1 7 0 11 1\n6 0 0 1 1 2 3 0.1\n"


def npy_bytes(shape: tuple[int, ...], numbers: np.ndarray) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(128 - 11) + "\n"
    return (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + np.asarray(numbers, "<f8").tobytes()
    )


def write_npy(folder: Path) -> Path:
    (folder / "walk.npy").write_bytes(npy_bytes((2, 4, 4), C2W))
    return folder / "walk.npy"


def write_npz(folder: Path) -> Path:
    lens = [[100, 0, 100], [0, 90, 50], [0, 0, 1]]
    with zipfile.ZipFile(folder / "walk.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for key, shape, numbers in (("K", (3, 3), lens), ("c2w", (2, 4, 4), C2W), ("size", (2,), SIZE), ("fps", (), 2)):
            archive.writestr(f"{key}.npy", npy_bytes(shape, np.array(numbers)))
    return folder / "walk.npz"


def write_text(name: str, text: str):
    def write(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return write


def write_colmap_text(folder: Path) -> Path:
    for name, text in (("cameras", COLMAP_CAMERAS), ("images", COLMAP_IMAGES), ("points3D", COLMAP_POINTS)):
        (folder / f"{name}.txt").write_text(text)
    return folder


def write_colmap_binary(folder: Path) -> Path:
    half = 0.7071067811865476
    cameras = struct.pack("<Q", 2)
    cameras += struct.pack("<IiQQ4d", 3, 1, 200, 100, *LENS) + struct.pack(
        "<IiQQ4d", 8, 2, 640, 480, 500, 320, 240, 0.2
    )
    images = struct.pack("<Q", 2)
    images += struct.pack("<I7dI", 11, half, 0, -half, 0, 3, -2, -1, 3) + b"walk 10.png\0"
    images += struct.pack("<Qddq", 1, 4.5, 6.5, -1)
    images += struct.pack("<I7dI", 7, 1, 0, 0, 0, 0, 0, 0, 3) + b"walk 9.png\0" + struct.pack("<Q", 0)
    points = struct.pack("<Q", 2)
    points += struct.pack("<Q3d3BdQ4i", 5, 1.5, 2.5, -3.5, 255, 128, 0, 0.1, 2, 7, 0, 11, 1)
    points += struct.pack("<Q3d3BdQ", 6, 0, 0, 1, 1, 2, 3, 0.1, 0)
    for name, data in (("cameras", cameras), ("images", images), ("points3D", points)):
        (folder / f"{name}.bin").write_bytes(data)
    return folder


WRITERS = {
    "npy": write_npy,
    "npz": write_npz,
    "tum": write_text("walk.tum", TUM),
    "kitti": write_text("walk.kitti", KITTI),
    "realestate10k": write_text("walk.txt", REALESTATE10K),
    "nerfstudio": write_text("transforms.json", NERFSTUDIO),
    "colmap-text": write_colmap_text,
    "colmap-binary": write_colmap_binary,
}
FPS = {"npz": 2, "tum": 2, "realestate10k": 2}


def read(file: Path, name: str, **options) -> CameraPath:
    """The literal file with the size and the lens that its format lacks."""
    carries = FORMATS[name].carries
    known = {} if "size" in carries else {"size": SIZE}
    known |= {} if "intrinsics" in carries else {"intrinsics": LENS}
    return import_path(file, **{**known, **options})


@pytest.mark.parametrize("name", FORMATS)
def test_literal_file_gives_the_two_cameras(name, tmp_path):
    path = read(WRITERS[name](tmp_path), name)
    np.testing.assert_allclose(path.c2w, C2W, atol=1e-6)
    np.testing.assert_allclose(path.intrinsics, [LENS, LENS])
    assert (path.size, path.fps) == (SIZE, FPS.get(name, 16))


@pytest.mark.parametrize("name", FORMATS)
def test_provenance_says_the_file_the_format_and_where_the_lens_is_from(name, tmp_path):
    file = WRITERS[name](tmp_path)
    provenance = read(file, name).provenance
    assert provenance.source == f"file:{file.name} as {name}"
    assert provenance.intrinsics_source == ("file" if "intrinsics" in FORMATS[name].carries else "given")
    assert ("w2c inverted" in provenance.conversions) == (FORMATS[name].direction == "w2c")
    assert ("fps 16 assumed" in provenance.conversions) == ("time" not in FORMATS[name].carries)
    assert ("fps 2 from its time stamps" in provenance.conversions) == (name in ("tum", "realestate10k"))


def test_nerfstudio_is_turned_from_a_world_with_z_up(tmp_path):
    path = read(WRITERS["nerfstudio"](tmp_path), "nerfstudio")
    assert path.provenance.conversions[0] == "blender axes to opencv"


def test_every_format_has_a_literal_file():
    assert set(WRITERS) == set(FORMATS)
