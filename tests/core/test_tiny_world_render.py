"""The tiny world's renderer: solids lie where they project, the world moves against the camera, light multiplies."""

import math
from dataclasses import replace

import numpy as np
import pytest

from wm_core.camera import actions_to_path
from wm_core.errors import ShapeError
from wm_core.tiny_world import CAMERA_HEIGHT, HELD_OUT, TIMES, light_between, make_scene, render, rendered
from wm_core.tiny_world.scene import Ground, Scene, Solid

SIZE = (64, 112)
FOCAL = 78.0
K = np.array([[FOCAL, FOCAL, 56, 32]])
LARGE, LARGE_K = (128, 224), np.array([[FOCAL, FOCAL, 112, 64]])
STANDING = np.eye(4)[None]
MAGENTA = (0.9, 0.0, 0.9)
BALL = Solid("ball", 0.3, 4.0, (0.6, 0.6), 1.2, 0.0, MAGENTA)
BOX = Solid("box", -0.4, 3.8, (0.5, 0.7), 1.5, 0.5, MAGENTA)
PILLAR = Solid("pillar", 0.2, 3.5, (0.3, 0.3), 2.2, 0.0, MAGENTA)


def world(*solids, pattern="checks"):
    """A gray world in which only the solids have a colour."""
    return Scene(
        0, Ground("gray", (0.3, 0.3, 0.3), (0.5, 0.5, 0.5), pattern, 1.1, (0.3, 0.8), 0.4), "gray", solids, 0.7
    )


def camera(x=0.0, y=0.0, z=0.0, yaw_deg=0.0, pitch_deg=0.0):
    """c2w (1, 4, 4): turned right by yaw, looking up by pitch."""
    a, b = math.radians(yaw_deg), math.radians(pitch_deg)
    yaw = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    pitch = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = yaw @ pitch, (x, y, z)
    return c2w[None]


def see(scene, c2w=STANDING, k=K, size=SIZE, **options):
    return render(scene, c2w, np.tile(k, (len(c2w), 1)), size, **options)


def painted(picture):
    """Where a picture of a gray world shows a solid."""
    return picture[..., 0].astype(int) - picture[..., 1] > 8


def assert_same(one, other):
    """Up to a rounded level, but for a few pixels on edges that rounding may move."""
    far = np.abs(one.astype(int) - other)
    assert far.mean() < 0.05 and (far > 1).mean() < 2e-3, (
        f"mean {far.mean():.3f}, more than 1 in {(far > 1).mean():.4f}"
    )


def seen_points(solid, c2w):
    """Points of the outline in the camera's axes (n, 3): corners of a box, rims of a pillar."""
    if solid.kind == "box":
        flat = np.array([(sx * solid.half[0], sz * solid.half[1]) for sx in (-1, 1) for sz in (-1, 1)])
        c, s = math.cos(solid.turn), math.sin(solid.turn)
        flat = flat @ np.array([[c, s], [-s, c]])
    else:
        around = np.linspace(0, 2 * math.pi, 400)
        flat = solid.half[0] * np.stack([np.cos(around), np.sin(around)], 1)
    points = [(solid.x + x, CAMERA_HEIGHT - y, solid.z + z) for x, z in flat for y in (0, solid.height)]
    w2c = np.linalg.inv(c2w)
    return np.array(points) @ w2c[:3, :3].T + w2c[:3, 3]


def outline(solid, c2w):
    """Leftmost, rightmost, upmost and lowest coordinate of a solid in a LARGE picture, by projection."""
    if solid.kind != "ball":
        x, y, z = seen_points(solid, c2w).T
        u, v = FOCAL * x / z + 112, FOCAL * y / z + 64
        return u.min(), u.max(), v.min(), v.max()
    w2c = np.linalg.inv(c2w)
    x, y, z = w2c[:3, :3] @ (solid.x, CAMERA_HEIGHT - solid.height / 2, solid.z) + w2c[:3, 3]
    radius, edges = solid.half[0], []
    for across, centre in ((x, 112), (y, 64)):  # the planes through the eye that touch the ball
        middle, half = math.atan2(across, z), math.asin(radius / math.hypot(across, z))
        edges += [centre + FOCAL * math.tan(middle - half), centre + FOCAL * math.tan(middle + half)]
    return tuple(edges)


@pytest.mark.parametrize("solid", [BALL, BOX, PILLAR], ids=lambda solid: solid.kind)
@pytest.mark.parametrize(
    "where",
    [{}, {"yaw_deg": 14}, {"x": 0.7, "y": -0.8, "z": -0.5, "yaw_deg": -9, "pitch_deg": -12}, {"z": -3}, {"y": 0.4}],
)
def test_a_solid_s_outline_is_where_it_projects(solid, where):
    c2w = camera(**where)
    rows, columns = np.nonzero(painted(see(world(solid), c2w, LARGE_K, LARGE, samples=1)[0]))
    got = (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1)
    assert got == pytest.approx(outline(solid, c2w[0]), abs=1.0)


def test_the_nearest_solid_of_a_drawn_scene_is_where_it_projects():
    """Repainting it changes the pixel of its centre, and none beyond the cylinder around it."""
    for seed in range(HELD_OUT, HELD_OUT + 12):
        scene = make_scene(seed)
        nearest = min(scene.solids, key=lambda s: math.hypot(s.x, s.z))
        c2w = camera(yaw_deg=math.degrees(math.atan2(nearest.x, nearest.z)) + 15)
        w2c = np.linalg.inv(c2w[0])
        x, y, z = w2c[:3, :3] @ (nearest.x, CAMERA_HEIGHT - nearest.height / 2, nearest.z) + w2c[:3, 3]
        other = tuple(replace(s, colour=MAGENTA) if s is nearest else s for s in scene.solids)
        pictures = (see(one, c2w, LARGE_K, LARGE, samples=1)[0] for one in (scene, replace(scene, solids=other)))
        changed = np.not_equal(*pictures).any(-1)
        assert changed[int(64 + FOCAL * y / z), int(112 + FOCAL * x / z)], f"seed {seed}"
        edge = math.atan2(x, z) + math.asin(nearest.reach / math.hypot(x, z))
        assert not changed[:, math.ceil(112 + FOCAL * math.tan(edge)) :].any(), f"seed {seed}"


@pytest.mark.parametrize("pattern", ["checks", "stripes"])
@pytest.mark.parametrize("dx, dz", [(0.5, 0.0), (0.0, 1.3), (-0.9, 0.4)])
def test_moving_the_camera_is_moving_the_world_the_other_way(pattern, dx, dz):
    scene = replace(world(BALL, BOX, PILLAR, pattern=pattern), light=2.0)
    ground = scene.ground
    c, s = math.cos(ground.turn), math.sin(ground.turn)
    shift = (ground.shift[0] + (dx * c + dz * s) / ground.cell, ground.shift[1] + (-dx * s + dz * c) / ground.cell)
    moved = tuple(replace(solid, x=solid.x - dx, z=solid.z - dz) for solid in scene.solids)
    assert_same(see(scene, camera(dx, 0, dz)), see(replace(scene, solids=moved, ground=replace(ground, shift=shift))))


@pytest.mark.parametrize("degrees", [25, -70])
def test_turning_the_camera_is_turning_the_world_the_other_way(degrees):
    scene, a = world(BALL, replace(BOX, x=1.5), replace(PILLAR, x=-1.6)), -math.radians(degrees)
    turned = tuple(
        replace(
            solid,
            x=solid.x * math.cos(a) + solid.z * math.sin(a),
            z=-solid.x * math.sin(a) + solid.z * math.cos(a),
            turn=solid.turn - a,
        )
        for solid in scene.solids
    )
    other = replace(
        scene, solids=turned, light=scene.light + a, ground=replace(scene.ground, turn=scene.ground.turn - a)
    )
    assert_same(see(scene, camera(yaw_deg=degrees)), see(other))


def test_a_mirrored_world_is_a_mirrored_picture():
    scene = make_scene(HELD_OUT + 4)
    ground = scene.ground
    mirrored = replace(
        scene,
        solids=tuple(replace(solid, x=-solid.x, turn=-solid.turn) for solid in scene.solids),
        ground=replace(ground, shift=(-ground.shift[0], ground.shift[1]), turn=-ground.turn),
        light=-scene.light,
    )
    assert_same(see(mirrored)[:, :, ::-1], see(scene))


def test_the_ground_repeats_every_two_cells():
    scene = world()
    step = 2 * scene.ground.cell
    c, s = math.cos(scene.ground.turn), math.sin(scene.ground.turn)
    assert_same(see(scene), see(scene, camera(step * c, 0, step * s)))
    assert_same(see(scene), see(scene, camera(-step * s, 0, step * c)))
    assert np.abs(see(scene).astype(int) - see(scene, camera(step / 2 * c, 0, step / 2 * s))).mean() > 2


def test_a_whole_turn_returns_the_picture():
    scene = make_scene(HELD_OUT)
    path = actions_to_path("l-60", dialect="nvlabs-v1", size=SIZE, intrinsics=K[0], rotation_speed_deg=6.0)
    first, half, last = render(scene, path.c2w[[0, 30, 60]], path.intrinsics[:3], SIZE)
    assert_same(first, last)
    assert np.abs(first.astype(int) - half).mean() > 5


def test_the_order_of_solids_does_not_matter():
    scene = world(
        BALL, replace(BOX, x=0.2, z=5.2, colour=(0, 0.8, 0.2)), replace(PILLAR, z=2.5, colour=(0.1, 0.2, 0.9))
    )
    np.testing.assert_array_equal(see(scene), see(replace(scene, solids=scene.solids[::-1])))


def test_four_rays_a_pixel_are_a_picture_twice_as_large():
    scene, large = make_scene(HELD_OUT + 1), (2 * SIZE[0], 2 * SIZE[1])
    fine = see(scene, k=2 * K, size=large, samples=1)[0].astype(float)
    coarse = see(scene, samples=2)[0]
    assert np.abs(fine.reshape(SIZE[0], 2, SIZE[1], 2, 3).mean((1, 3)) - coarse).max() <= 1


def test_a_moved_principal_point_cuts_another_window():
    scene, k, size = make_scene(HELD_OUT + 2), K - np.array([0, 0, 20, 8]), (40, 60)
    np.testing.assert_array_equal(see(scene, k=k, size=size)[0], see(scene)[0, 8:48, 20:80])


def test_light_multiplies_the_picture():
    scene = make_scene(HELD_OUT + 3)
    light = light_between("day", "night", 3, change=(0, 2))
    frames = see(scene, np.tile(STANDING, (3, 1, 1)), light=light)
    day = see(scene)[0]
    np.testing.assert_array_equal(frames[0], day)
    for frame, colour in zip(frames, light):
        assert np.abs(frame - day * colour).max() <= 1.01
    np.testing.assert_array_equal(light[2], TIMES["night"])


@pytest.mark.parametrize(("actions", "way"), [("d-10", -1), ("a-10", 1), ("l-10", -1), ("j-10", 1)])
def test_what_lies_ahead_moves_against_the_camera(actions, way):
    path = actions_to_path(actions, dialect="nvlabs-v1", size=SIZE, intrinsics=K[0])
    first, last = (np.nonzero(painted(f))[1].mean() for f in see(world(BALL), path.c2w[[0, -1]]))
    if actions[0] in "da":  # half a metre to the side, 4 metres away
        wanted = way * FOCAL * 0.5 / BALL.z
    else:  # 12 degrees
        bearing = math.atan2(BALL.x, BALL.z)
        wanted = FOCAL * (math.tan(bearing + way * math.radians(12)) - math.tan(bearing))
    assert last - first == pytest.approx(wanted, abs=1.0)


@pytest.mark.parametrize(("actions", "way"), [("w-10", 1), ("s-10", -1)])
def test_what_lies_ahead_grows_when_the_camera_goes_there(actions, way):
    path = actions_to_path(actions, dialect="nvlabs-v1", size=SIZE, intrinsics=K[0])
    first, last = (np.sqrt(painted(f).sum()) for f in see(world(BALL), path.c2w[[0, -1]]))
    assert last / first == pytest.approx(4 / (4 - way * 0.5), rel=0.05)


@pytest.mark.parametrize(("actions", "way"), [("i-8", 1), ("k-8", -1)])
def test_the_horizon_sinks_when_the_camera_looks_up(actions, way):
    path = actions_to_path(actions, dialect="nvlabs-v1", size=SIZE, intrinsics=K[0])
    rows = [int(f.sum((1, 2)).argmax()) for f in see(world(), path.c2w[[0, -1]])]  # the horizon is what is palest
    assert rows[0] == pytest.approx(K[0, 3], abs=1.0)
    assert rows[1] - rows[0] == pytest.approx(way * FOCAL * math.tan(math.radians(9.6)), abs=1.0)


def test_frames_come_one_by_one_and_are_those_of_the_whole():
    path = actions_to_path("dw-3", dialect="nvlabs-v1", size=SIZE, intrinsics=K[0])
    scene = make_scene(HELD_OUT)
    frames = rendered(scene, path.c2w, path.intrinsics, SIZE)
    whole = render(scene, path.c2w, path.intrinsics, SIZE)
    assert whole.shape == (4, *SIZE, 3) and whole.dtype == np.uint8
    np.testing.assert_array_equal(next(frames), whole[0])
    np.testing.assert_array_equal(np.stack(list(frames)), whole[1:])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"c2w": np.eye(4)}, "one f >= 1, got"),
        ({"c2w": np.zeros((0, 4, 4)), "intrinsics": np.zeros((0, 4))}, "one f >= 1, got"),
        ({"c2w": np.eye(4)[None, :3]}, r"got \(1, 3, 4\)"),
        ({"intrinsics": K[0]}, "give one fx, fy, cx, cy for each camera"),
        ({"intrinsics": np.tile(K, (2, 1))}, r"got \(1, 4, 4\) and \(2, 4\)"),
        ({"light": np.ones(3)}, r"one colour per frame, \(1, 3\), got \(3,\)"),
        ({"size": (0, 10)}, "at least 1"),
        ({"samples": 0}, "at least 1"),
    ],
)
def test_wrong_shapes_are_refused_at_the_call(change, words):
    given = {"scene": world(), "c2w": STANDING, "intrinsics": K, "size": SIZE} | change
    with pytest.raises(ShapeError, match=words):
        rendered(**given)
