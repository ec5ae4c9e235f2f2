"""The demo from end to end: what was asked for is what comes out, and a failing run says why."""

import re
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from tools import host
from tools.demo import Request, find_truth, make_sheet, run
from tools.demo_graph import DENSE, FOLDER, STREAMING, Route, set_input
from tools.steps import StepError
from tools.tiny_graph import SETTINGS, SIZE, on_tiny_world

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def folder():
    return host.prepare("test").folder


def test_options_reach_the_video_and_the_contact_sheet(folder, tmp_path, capsys):
    picture = tmp_path / "mine.png"
    Image.new("RGB", (300, 200), (90, 140, 220)).save(picture)
    asked = Request(picture, "a lake", "w-8,jw-8", frames=17, seed=5, steps=2, out=tmp_path / "out")
    assert run(asked, folder) == 0
    (video,) = (tmp_path / "out").glob("*.mp4")
    with av.open(str(video)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 17 and frames[0].shape == (*SIZE, 3)
    red, green, blue = frames[0].mean((0, 1))
    assert blue > green > red, "the first frame is the given picture"
    sheet = Image.open(video.with_suffix(".png"))
    assert sheet.width >= 1000 and sheet.height >= 600 and len(sheet.getcolors(2**24)) > 500
    told = capsys.readouterr().out
    assert str(video) in told and str(video.with_suffix(".png")) in told
    assert "step 2/2" in told and "knows these words and no others: red, orange" in told
    assert "exact render" not in told, "of a picture of one's own no truth is known"


@pytest.mark.parametrize("steps", [None, 2], ids=["streaming", "dense"])
def test_a_film_of_the_tiny_world_is_shown_beside_the_truth(folder, tmp_path, capsys, steps):
    asked = Request(actions="l-8,w-8", frames=25, steps=steps, out=tmp_path / "out")
    assert asked.route is (DENSE if steps else STREAMING)
    assert run(asked, folder) == 0
    (video,) = (tmp_path / "out").glob("*.mp4")
    told = capsys.readouterr().out
    psnr = float(re.search(r"PSNR ([\d.]+) dB of the film against the exact render", told)[1])
    assert psnr > 16, "the camera goes where the truth's does"
    sheet = np.asarray(Image.open(video.with_suffix(".png")))
    workflow = asked.workflow()
    assert np.array_equal(sheet, np.asarray(make_sheet(video, asked, workflow, find_truth(video, asked, workflow))))
    other = replace(asked, actions="j-8,s-8")
    assert find_truth(video, other, other.workflow()).psnr < psnr - 2, "the control: another camera's truth"


@pytest.mark.parametrize("asked", [Request(None, "p", "w-3", 9, 4, 2), Request(None, "p", "w-3", 9, 4)])
def test_every_option_has_an_input_to_set(asked):
    by_title = {node["_meta"]["title"]: node["inputs"] for node in asked.workflow().values()}
    for option, (title, name) in asked.route.inputs.items():
        wanted = getattr(asked, option)
        assert name in by_title[title]
        assert wanted is None or by_title[title][name] == wanted


def test_released_weights_take_the_dense_workflow_as_it_is():
    assert Request(released=True).workflow() == DENSE.load()
    assert Request(released=True).route is DENSE and not Request(released=True).has_truth


def test_ones_own_picture_takes_the_dense_workflow_on_the_tiny_world(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "mine.png")
    asked = Request(tmp_path / "mine.png")
    assert asked.route is DENSE and not asked.has_truth
    wanted = on_tiny_world(DENSE.load())
    set_input(wanted, "Start picture", "image", "mine.png")
    assert asked.workflow() == wanted


def test_every_setting_of_the_tiny_world_has_a_node_of_its_title():
    known = {}
    for name in ("start", "stitch_two_clips"):
        workflow = on_tiny_world(Route(FOLDER / f"{name}.json", {}, "Save").load())
        known |= {node["_meta"]["title"]: node["inputs"] for node in workflow.values()}
    for title, inputs in SETTINGS.items():
        assert known[title].items() >= inputs.items(), title


def test_a_failing_run_says_which_node_and_why(folder, tmp_path):
    with pytest.raises(StepError, match=r"Camera.*q-3"):
        run(Request(actions="w-8,q-3", out=tmp_path), folder)
    assert not list(tmp_path.iterdir()), "nothing half-done is left behind"


def test_a_missing_picture_is_named_before_anything_starts(folder, tmp_path):
    with pytest.raises(StepError, match=r"nowhere\.png"):
        run(Request(image=tmp_path / "nowhere.png"), folder)
