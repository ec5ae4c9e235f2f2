"""Damaged and hostile files: every reader gives a path or one CameraError that names the file, in little memory."""

import struct
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from test_exchange_literals import C2W, LENS, NERFSTUDIO, SIZE, TUM, WRITERS, npy_bytes, read

from wm_core.camera import FORMATS, CameraPath, import_path, import_points
from wm_core.camera.actions import MAX_FRAMES
from wm_core.errors import CameraError

TRIALS = 100
HUGE = struct.pack("<Q", 2**60)


@contextmanager
def at_most(megabytes: float):
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak < megabytes, f"{peak:.0f} MB of memory"


def truncated(data: bytes, random: np.random.Generator) -> bytes:
    return data[: random.integers(len(data))]


def flipped(data: bytes, random: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    for at in random.integers(len(data), size=random.integers(1, 6)):
        damaged[at] ^= 1 << random.integers(8)
    return bytes(damaged)


def with_nan(data: bytes, random: np.random.Generator) -> bytes:
    """A number replaced: in text by a word, else eight bytes anywhere."""
    words = data.split(b" ")
    if b"\0" not in data and len(words) > 1:
        words[random.integers(len(words))] = (b"nan", b"-inf", b"1e400", b"9" * 400, b"NaN,")[random.integers(5)]
        return b" ".join(words)
    return overwritten(data, struct.pack("<d", np.nan), random)


def with_huge_count(data: bytes, random: np.random.Generator) -> bytes:
    return overwritten(data, (HUGE, b"\xff" * 8)[random.integers(2)], random)


def with_repeated_part(data: bytes, random: np.random.Generator) -> bytes:
    start, stop = sorted(random.integers(len(data), size=2))
    return data[:stop] + data[start:]


def overwritten(data: bytes, new: bytes, random: np.random.Generator) -> bytes:
    at = random.integers(max(1, len(data) - 7))
    return data[:at] + new + data[at + 8 :]


DAMAGES = (truncated, flipped, with_nan, with_huge_count, with_repeated_part)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("error")
def test_damaged_files_give_a_path_or_an_error_that_names_them(name, tmp_path):
    target = WRITERS[name](tmp_path)
    files = sorted(tmp_path.iterdir())
    whole = {file: file.read_bytes() for file in files}
    random, refused = np.random.default_rng(0), 0
    with at_most(32):
        for trial in range(TRIALS):
            file = files[random.integers(len(files))]
            file.write_bytes(DAMAGES[trial % len(DAMAGES)](whole[file], random))
            try:
                path = read(target, name, format=name)
                if FORMATS[name].is_folder:
                    import_points(target)
                assert isinstance(path, CameraPath) and np.isfinite(path.c2w).all()
            except CameraError as error:
                assert str(tmp_path) in str(error)
                refused += 1
            file.write_bytes(whole[file])
    assert TRIALS // 4 < refused < TRIALS


@pytest.mark.parametrize("name", ["npy", "npz", "nerfstudio", "colmap-binary"])
def test_every_truncation_is_refused_where_a_format_tells_its_length(name, tmp_path):
    target = WRITERS[name](tmp_path)
    for file in sorted(tmp_path.iterdir()):
        data, reads_points = file.read_bytes(), file.name.startswith("points3D")
        for length in {*range(0, len(data) - 3, 41), len(data) - 3}:
            file.write_bytes(data[:length])
            with pytest.raises(CameraError, match=str(file)):
                import_points(target) if reads_points else read(target, name, format=name)
        file.write_bytes(data)


@pytest.mark.parametrize("name", FORMATS)
def test_empty_files_are_refused(name, tmp_path):
    target = WRITERS[name](tmp_path)
    file = target if target.is_file() else target / FORMATS[name].names[1]
    file.write_bytes(b"")
    with pytest.raises(CameraError, match=f"{file} is empty"):
        read(target, name, format=name)


@pytest.mark.parametrize("name", FORMATS)
def test_files_beyond_256_mb_are_refused_before_they_are_read(name, tmp_path):
    target = WRITERS[name](tmp_path)
    file = target if target.is_file() else target / FORMATS[name].names[0]
    with file.open("r+b") as opened:
        opened.truncate(2**28 + 1)
    with at_most(1), pytest.raises(CameraError, match=f"{file.name} has 256 MB, wanted at most"):
        read(target, name, format=name)


@pytest.mark.parametrize(
    "shape",
    [
        "(1000000000000,)",
        "(99999999999999999999999999999999999999,)",
        "(100001, 4, 4)",
        "(0, 9999999999999999999)",
        "(" + "1," * 70 + ")",
    ],
)
def test_arrays_that_tell_of_too_many_numbers_are_refused(shape, tmp_path):
    file = tmp_path / "walk.npy"
    file.write_bytes(npy_bytes(shape, C2W))
    with at_most(1), pytest.raises(CameraError, match="walk.npy: its header tells of .* at most 100000 cameras"):
        import_path(file)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"(2, 4, 4)", b"(3, 4, 4)", "tells of 384 bytes .* got 256"),
        (b"(2, 4, 4)", b"(1, 4, 4)", "tells of 128 bytes .* got 256"),
        (b"'<f8'", b"'|O8'", "pickles? are never read|pickles are never|never read"),
        (b"'<f8'", b"'<c8'", "never read"),
        (b"'<f8'", b"'<f1'", "no type"),
        (b"'shape'", b"'shop'+", "no shape"),
        (b"\x93NUMPY", b"\x93NUMBY", "is not an .npy array"),
    ],
)
def test_arrays_with_wrong_headers_are_refused(old, new, words, tmp_path):
    file = tmp_path / "walk.npy"
    file.write_bytes(npy_bytes((2, 4, 4), C2W).replace(old, new))
    with pytest.raises(CameraError, match=f"walk.npy: .*({words})"):
        import_path(file)


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "walk.npy", np.array([print], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "walk.npz", c2w=np.array([print], dtype=object))
    for name in ("walk.npy", "walk.npz"):
        with pytest.raises(CameraError, match=f"{name}.*never read"):
            import_path(tmp_path / name)


def zip_of(file: Path, data: bytes) -> bytes:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c2w.npy", data)
    return file.read_bytes()


def test_zip_bombs_are_refused_by_the_size_they_tell_and_cut_where_they_lie(tmp_path):
    file = tmp_path / "walk.npz"
    data = zip_of(file, bytes(2**25))
    with at_most(2), pytest.raises(CameraError, match="walk.npz, c2w: unpacks to 3.36e[+]07 bytes"):
        import_path(file)
    file.write_bytes(data.replace(struct.pack("<I", 2**25), struct.pack("<I", 384)))
    with at_most(2), pytest.raises(CameraError, match="walk.npz"):
        import_path(file)


@pytest.mark.parametrize(
    ("at", "new", "words"),
    [
        (-10, struct.pack("<I", 2**24), "directory of far more arrays"),
        (-2, b"\1\0", "does not end like one"),
        (0, b"XX", "not a whole .npz"),
    ],
)
def test_zip_files_with_a_wrong_directory_are_refused(at, new, words, tmp_path):
    file = tmp_path / "walk.npz"
    data = bytearray(zip_of(file, npy_bytes((2, 4, 4), C2W)))
    at %= len(data)
    data[at : at + len(new)] = new
    file.write_bytes(data)
    with at_most(2), pytest.raises(CameraError, match=f"walk.npz.*{words}"):
        import_path(file)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_than_numpys_are_refused(method, tmp_path):
    with zipfile.ZipFile(tmp_path / "walk.npz", "w", method) as archive:
        archive.writestr("c2w.npy", npy_bytes((2, 4, 4), C2W))
    with pytest.raises(CameraError, match="numpy.savez"):
        import_path(tmp_path / "walk.npz")


@pytest.mark.parametrize(
    ("file", "at", "words"),
    [
        ("cameras.bin", 0, "tells of 1152921504606846976 cameras"),
        ("images.bin", 0, "tells of 1152921504606846976 images"),
        ("images.bin", 8 + 64 + 12, "tells of 1152921504606846976 parts"),
        ("points3D.bin", 0, "tells of 1152921504606846976 points"),
        ("points3D.bin", 8 + 43, "tells of 1152921504606846976 parts"),
    ],
)
def test_models_that_tell_of_too_many_parts_are_refused(file, at, words, tmp_path):
    folder = WRITERS["colmap-binary"](tmp_path)
    data = bytearray((folder / file).read_bytes())
    data[at : at + 8] = HUGE
    (folder / file).write_bytes(data)
    with at_most(1), pytest.raises(CameraError, match=f"{file}.*{words}"):
        import_path(folder)
        import_points(folder)


@pytest.mark.parametrize(("file", "at"), [("cameras.bin", 8 + 24), ("images.bin", 8 + 4), ("points3D.bin", 8 + 8)])
def test_models_with_numbers_that_are_none_are_refused(file, at, tmp_path):
    folder = WRITERS["colmap-binary"](tmp_path)
    data = bytearray((folder / file).read_bytes())
    data[at : at + 8] = struct.pack("<d", np.nan)
    (folder / file).write_bytes(data)
    with pytest.raises(CameraError, match=f"{file}, .*: numbers must be finite"):
        import_path(folder)
        import_points(folder)


def test_models_of_more_images_than_a_path_may_have_are_refused(tmp_path):
    folder = WRITERS["colmap-binary"](tmp_path)
    with (folder / "images.bin").open("wb") as opened:
        opened.write(struct.pack("<Q", MAX_FRAMES + 1))
        opened.truncate(100 * MAX_FRAMES)
    with at_most(1), pytest.raises(CameraError, match=f"at most {MAX_FRAMES}"):
        import_path(folder)


@pytest.mark.parametrize("change", [lambda data: data + b"\0", lambda data: data[:-1]])
@pytest.mark.parametrize("file", ["cameras.bin", "images.bin", "points3D.bin"])
def test_models_must_end_where_their_parts_end(file, change, tmp_path):
    folder = WRITERS["colmap-binary"](tmp_path)
    (folder / file).write_bytes(change((folder / file).read_bytes()))
    with pytest.raises(CameraError, match=f"{file}"):
        import_path(folder)
        import_points(folder)


def test_text_of_more_cameras_than_a_path_may_have_is_refused(tmp_path):
    (tmp_path / "walk.kitti").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * (MAX_FRAMES + 1))
    with pytest.raises(CameraError, match=f"more than {MAX_FRAMES} cameras"):
        import_path(tmp_path / "walk.kitti")


def test_a_line_without_end_does_not_fill_the_memory(tmp_path):
    for name, begin in (("walk.kitti", ""), ("walk.tum", TUM)):
        (tmp_path / name).write_text(begin + "1 " * 2**23)
        with at_most(2), pytest.raises(CameraError, match=f"{name}, line {begin.count(chr(10)) + 1}"):
            import_path(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "deeper than a scene"),
        ('{"frames":' * 100_000, "deeper than a scene"),
        ('{"frames": ' + "[" * 400 + "]" * 400 + "}", "frame 0: must be an object"),
        ('{"frames": [{"transform_matrix": ' + "[" * 400 + "]" * 400 + "}]}", "frame 0: transform_matrix"),
        ("[" + "[0]," * 2_000_000 + "[]]", "may take [0-9]+ MB of memory"),
        ('{"frames": [' + "{}," * (MAX_FRAMES) + "{}]}", f"1 to {MAX_FRAMES}"),
        (NERFSTUDIO[:-10], "not whole JSON"),
        (NERFSTUDIO.replace("[1, 0, 0, 0]", "[1, 0, 0, NaN]"), "frame 0: transform_matrix must be finite"),
        (NERFSTUDIO.replace("200", "2" + "0" * 5000), "w must be a finite number"),
        ("[]", "JSON object with 'frames'"),
        (NERFSTUDIO.encode("utf-16"), "not UTF-8"),
    ],
)
def test_hostile_json_is_refused(text, words, tmp_path):
    file = tmp_path / "transforms.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with at_most(128), pytest.raises(CameraError, match=f"transforms.json.*{words}"):
        import_path(file)


def test_what_is_no_file_is_refused(tmp_path):
    for file in (tmp_path / "none.npy", tmp_path, tmp_path / ("long" * 1000), tmp_path / "nul\0.npy"):
        for name in FORMATS:
            with pytest.raises(CameraError, match="no camera file|cannot be read"):
                import_path(file, format=name, size=SIZE, intrinsics=LENS)
