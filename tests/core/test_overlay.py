"""The preview card, the path plan and the sentence: they must show what the path does, at any size and length."""

import numpy as np
import pytest

from wm_core.camera import actions_to_path, describe, measure, path_plan, preset_path, preview_picture, reshaping
from wm_core.camera.canvas import BACKGROUND, WARNING, Canvas
from wm_core.camera.views import time_colour
from wm_core.errors import ShapeError

SIZE = (704, 1280)


def made(text: str, **options):
    return actions_to_path(text, size=SIZE, **options)


def preset(name: str, **options):
    return preset_path(name, frames=33, size=SIZE, **options)


def where(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> np.ndarray:
    """(n, 2) x, y of the pixels of about this colour."""
    near = np.abs(picture.astype(int) - colour).max(-1) <= tolerance
    return np.argwhere(near)[:, ::-1]


@pytest.mark.parametrize(("width", "height"), [(1024, 576), (640, 640), (1920, 1080), (320, 180)])
def test_card_has_the_size_asked_for(width, height):
    card = preview_picture(made("w-20,d-10"), width=width, height=height)
    assert card.shape == (height, width, 3) and card.dtype == np.uint8
    assert tuple(card[0, 0]) == BACKGROUND and len(where(card, BACKGROUND, 0)) < 0.7 * width * height


@pytest.mark.parametrize(
    "path",
    [
        made("none-80"),
        made("d-60"),
        made("w-1").slice(0, 1),
        made("i-99,k-199"),
        made("w-960"),
        made(",".join(f"{key}-1" for key in "wasdijkl" * 100)),
        preset("dolly-in", amount=1e-4),
        preset("dolly-in", amount=1e5),
        made("w-20", fps=0.1),
        made("w-20", fps=1000),
    ],
)
def test_extreme_paths_can_be_drawn(path):
    for picture in (preview_picture(path), path_plan(path, (120, 160))):
        assert len(where(picture, time_colour(0.0))) > 0  # the start is marked


@pytest.mark.parametrize(
    ("name", "towards"),
    [("dolly-in", (0, -1)), ("dolly-out", (0, 1)), ("truck-right", (1, 0)), ("truck-left", (-1, 0))],
)
def test_plan_shows_right_to_the_right_and_forward_upwards(name, towards):
    plan = path_plan(preset(name), (240, 240))
    start, end = (where(plan, time_colour(share)).mean(0) for share in (0.0, 1.0))
    moved = (end - start) / np.linalg.norm(end - start)
    assert moved @ towards > 0.97


def test_card_shows_height_in_the_side_view():
    def end_height(name: str) -> float:
        side = preview_picture(preset(name))[418:562, 14:566]
        return where(side, time_colour(1.0))[:, 1].mean() - where(side, time_colour(0.0))[:, 1].mean()

    assert end_height("pedestal-up") < -30 and end_height("pedestal-down") > 30


def test_card_warns_of_guessed_intrinsics_only():
    guessed, known = (preview_picture(made("w-20", fov_deg=fov)) for fov in (None, 90))
    assert len(where(guessed, WARNING)) > 10 and len(where(known, WARNING)) == 0


def test_card_holds_the_first_picture_in_its_corner():
    green = np.zeros((90, 160, 3), np.uint8)
    green[..., 1] = 250
    seen = where(preview_picture(made("w-20"), picture=green), (0, 250, 0))
    assert np.ptp(seen[:, 0]) == pytest.approx(154, abs=2) and seen[:, 0].max() < 1000


def test_unusable_sizes_and_pictures_are_refused():
    with pytest.raises(ShapeError, match="320 x 180"):
        preview_picture(made("w-2"), width=100)
    with pytest.raises(ShapeError, match="float64"):
        preview_picture(made("w-2"), picture=np.zeros((9, 9, 3)))
    with pytest.raises(ShapeError, match="64 x 64"):
        path_plan(made("w-2"), (10, 100))


def test_wrapped_text_keeps_every_word_until_it_runs_out_of_lines():
    canvas = Canvas(100, 100)
    text = ",".join(f"w-{n}" for n in range(1, 60))
    assert "".join(canvas.wrap(text, 12, 200, 99)) == text
    cut = canvas.wrap(text, 12, 200, 2)
    assert len(cut) == 2 and cut[-1].endswith("\u2026") and text.startswith("".join(cut)[:-1])
    assert canvas.wrap("w" * 500, 12, 200, 3)[0].endswith("\u2026")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (made("w-100,d-60"), "forward 2.5 m over 6.2 s, then turns right 36 degrees over 3.8 s"),
        (made("s-40"), "back 1.0 m over 2.5 s"),
        (made("j-40,none-160"), "left 1.3 m over 4.4 s, then still for 8.1 s"),
        (made("a-20", dialect="nvlabs-v1"), "left 1.0 m over 1.2 s"),
        (made("i-40"), "looks up 24 degrees over 2.5 s"),
        (made("none-32"), "still for 2.0 s"),
        (made("w-1").slice(0, 1), "one frame, no motion"),
        (preset("orbit-left"), "left 3.1 m, turning right 60 degrees over 2.0 s"),
        (preset("crane-up", distance=1.0), "up 1.0 m, looking down 45 degrees over 2.0 s"),
    ],
)
def test_sentence_tells_the_moves_in_order(path, words):
    assert describe(path) == words


def test_sentence_of_a_long_walk_counts_the_rest():
    sentence = describe(made("w-16,d-16,w-16,a-16,w-16,d-16,w-16,a-16", dialect="nvlabs-v1"))
    assert sentence.count(", then ") == 6 and sentence.endswith("over 1.0 s, then 2 more moves")


def test_short_twitches_are_told_as_part_of_the_longer_move():
    assert describe(made("w-40,l-2,w-40", dialect="nvlabs-v1")) == "forward 4.0 m over 5.1 s"


def test_net_yaw_counts_whole_turns():
    assert measure(made("d-700")).yaw_deg[-1] == pytest.approx(420, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_what_would_be_told_as_nothing_is_not_told(seed):
    """A hand sways by tenths of a degree and millimetres, back and forth."""
    path = reshaping.shaken(preset_path("pan-right", frames=97, size=(704, 1280)), seed, degrees=0.3, metres=0.004)
    sentence = describe(path)
    assert "right" in sentence and " 0 degrees" not in sentence and " 0.0 m" not in sentence, sentence
