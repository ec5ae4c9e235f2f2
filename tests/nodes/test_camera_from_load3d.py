"""Camera from 3D: the host's camera_info in, a path out that begins at the first camera."""

import numpy as np
from test_conditioning import call, nodes, picture  # noqa: F401


def camera_info(x, y, z, **more):
    return {
        "position": {"x": x, "y": y, "z": z},
        "target": {"x": 0, "y": y, "z": 0},
        "zoom": 1.0,
        "cameraType": "perspective",
    } | more


def test_one_to_four_cameras_make_a_path(nodes):  # noqa: F811
    node = nodes.camera_import.SanaWMCameraFromLoad3D
    first, second = camera_info(0, 1, 4), camera_info(0, 1, 2, fov=35.0)
    (path,) = call(node, first, 33, "smooth", 0.5, 50.0, camera_2=second, image=picture(100, 200))
    assert (path.frames, path.size) == (33, (100, 200))
    np.testing.assert_array_equal(path.c2w[0], np.eye(4))
    np.testing.assert_allclose(path.c2w[-1, :3, 3], (0, 0, 1), atol=1e-6)
    vertical = np.degrees(2 * np.arctan(50 / path.intrinsics[[0, -1], 1]))
    np.testing.assert_allclose(vertical, (50, 35), atol=1e-3)
    all_four = call(node, first, 65, "linear", 1.0, 50.0, second, camera_info(2, 1, 2), camera_info(3, 2, 0))[0]
    assert all_four.frames == 65 and all_four.size == (704, 1280)
