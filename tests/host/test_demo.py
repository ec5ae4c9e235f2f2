"""The demo from end to end: what was asked for is what comes out, and a failing run says why."""

import av
import pytest
from PIL import Image

from tools import host
from tools.demo import INPUTS, Request, apply, load_workflow, run
from tools.steps import StepError
from tools.trial_graph import on_trial_world

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
    assert len(frames) == 17 and frames[0].shape == (64, 96, 3)
    red, green, blue = frames[0].mean((0, 1))
    assert blue > green > red, "the first frame is the given picture"
    sheet = Image.open(video.with_suffix(".png"))
    assert sheet.width >= 1000 and sheet.height >= 600 and len(sheet.getcolors(2**24)) > 500
    told = capsys.readouterr().out
    assert str(video) in told and str(video.with_suffix(".png")) in told
    assert "step 2/2" in told and "yours is written on the sheet" in told


def test_every_option_has_an_input_to_set():
    workflow = load_workflow()
    asked = Request(None, "p", "w-3", 9, 4, 2, released=True)
    apply(asked, workflow)
    by_title = {node["_meta"]["title"]: node["inputs"] for node in workflow.values()}
    for option, places in INPUTS.items():
        for title, name in places:
            assert name in by_title[title]
            wanted = getattr(asked, option)
            assert wanted is None or by_title[title][name] == wanted
    assert on_trial_world(load_workflow()), "the example graph has every title that the trial world sets"


def test_a_failing_run_says_which_node_and_why(folder, tmp_path):
    with pytest.raises(StepError, match=r"Camera.*q-3"):
        run(Request(actions="w-8,q-3", out=tmp_path), folder)
    assert not list(tmp_path.iterdir()), "nothing half-done is left behind"


def test_a_missing_picture_is_named_before_anything_starts(folder, tmp_path):
    with pytest.raises(StepError, match=r"nowhere\.png"):
        run(Request(image=tmp_path / "nowhere.png"), folder)
