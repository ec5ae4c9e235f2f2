"""The preview card, the path plan and the sentence: they must show what the path does, at any size and length."""

import numpy as np
import pytest

from wm_core.camera import (
    actions_to_path,
    describe,
    measure,
    path_plan,
    preflight,
    preset_path,
    preview_picture,
    reshaping,
    retiming,
)
from wm_core.camera.canvas import ALERT, BACKGROUND, WARNING, Canvas
from wm_core.camera.marks import RETURN, list_warnings
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


PLAN, CHART = (slice(62, 300), slice(14, 566)), (slice(324, 438), slice(576, 1010))


def checked(path, **options):
    return preview_picture(path, preflight=preflight(path, **options))


def test_frames_of_warnings_are_red_on_the_plan_and_the_speed_curve():
    slow, fast = (made("w-40", dialect="nvlabs-v1", fov_deg=70, translation_speed=speed) for speed in (0.05, 0.2))
    clean, warned = checked(slow.then(slow)), checked(slow.then(fast))
    assert len(where(clean, ALERT)) == 0, "nowhere on a card without warnings"
    plan, chart = where(warned[PLAN], ALERT), where(warned[CHART], ALERT)
    assert len(plan) > 300 and len(chart) > 100
    middle = (CHART[1].stop - CHART[1].start) / 2
    assert chart[:, 0].min() == pytest.approx(middle + 16, abs=12), "the second half of the time"
    start = where(warned[PLAN], time_colour(0.0))[:, 1].max()
    assert plan[:, 1].max() < start - 20, "the first metres are slow"


def test_a_collision_is_red_from_where_it_begins_and_a_turn_on_the_spot_is_a_dot():
    path = made("w-40", dialect="nvlabs-v1", fov_deg=70)  # 2 m, of which 0.95 are free
    free, hit = checked(path), checked(path, depth=np.full((44, 80), 1.0))
    start, end = (where(hit[PLAN], time_colour(share))[:, 1].mean() for share in (0.0, 1.0))
    red = where(hit[PLAN], ALERT)[:, 1]
    assert len(where(free, ALERT)) == 0 and red.max() == pytest.approx(start + (end - start) * 0.95 / 2, abs=6)
    spun = where(checked(preset("pan-right", amount=90, fov_deg=70))[PLAN], ALERT)
    assert 9 < len(spun) < 60 and np.ptp(spun, axis=0).max() < 8


def test_places_come_back_to_are_ringed():
    out = made("w-80", fov_deg=70)
    assert len(where(checked(retiming.there_and_back(out)), RETURN)) > 100
    assert len(where(checked(out), RETURN)) == 0 == len(where(preview_picture(retiming.there_and_back(out)), RETURN))


def test_warnings_are_listed_and_no_more_than_there_is_room_for():
    canvas = Canvas(576, 1024)
    bad = made("w-20,k-70,d-40", dialect="nvlabs-v1", rotation_speed_deg=4, pitch_limit_deg=85, translation_speed=0.3)
    found = preflight(bad)
    assert len(found.warnings) == 4, found.text
    listing = list_warnings(canvas, found, 552)
    assert [line for line, begins in listing.lines if begins] == [
        canvas.wrap(f.text, 12, 518, 2)[0] for f in found.warnings[:3]
    ]
    assert listing.lines[-1] == ("and 1 more", False)
    wrapped = " ".join(line for line, _ in listing.lines)
    assert all(finding.text in wrapped for finding in found.warnings[:3]), "no text is cut"
    assert list_warnings(canvas, preflight(made("w-8", fov_deg=70)), 552).height == 0


def test_a_clean_card_differs_from_one_without_a_preflight_in_its_key_only():
    path = made("w-20,d-10", fov_deg=70)
    plain, clean = preview_picture(path), checked(path)
    rows, columns = np.nonzero((plain != clean).any(-1))
    assert 380 < rows.min() and rows.max() < 408 and columns.min() > 180 and columns.max() < 300


@pytest.mark.parametrize(
    "path",
    [
        made("w-1").slice(0, 1),
        made("none-80"),
        made("i-99,k-199", dialect="nvlabs-v1", fov_deg=10),
        made(",".join(f"{key}-1" for key in "wasdijkl" * 100), translation_speed=3.0),
        preset("dolly-in", amount=1e5),
        made("w-4000", dialect="nvlabs-v1", translation_speed=1.0),
        made("w-30", translation_speed=0.05).then(made("w-1", translation_speed=0.2)),
    ],
)
def test_extreme_paths_can_be_drawn_with_their_warnings(path):
    for width, height in ((1024, 576), (320, 180)):
        card = preview_picture(path, width=width, height=height, preflight=preflight(path))
        assert card.shape == (height, width, 3) and len(where(card, time_colour(0.0))) > 0
