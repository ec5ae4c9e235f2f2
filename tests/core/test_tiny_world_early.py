"""Training from the committed config opens the camera gap early. Eight minutes, so only on request: pytest -m slow."""

import json

import pytest

from tools.tiny_world.export import unpack_set
from tools.tiny_world.latents import encode_clips
from tools.tiny_world.settings import load_settings
from tools.tiny_world.train_world import train_world
from wm_core.tiny_world import HELD_OUT

MINUTES = 5
GAP = 0.04  # of the loss at noise level 0.9; MODEL_CARD.md has 0.07 after 5 minutes, on cores that other work shared


@pytest.mark.slow
def test_five_minutes_of_training_tell_the_right_camera_from_a_wrong_one(tmp_path):
    settings = load_settings()
    unpack_set(settings, tmp_path)
    (tmp_path / "world.pt").unlink()  # begin where the shipped one began
    encode_clips(settings, tmp_path, "held_out", range(HELD_OUT + 1000, HELD_OUT + 1016), settings.frames)
    encode_clips(settings, tmp_path, "train", range(120), settings.frames)
    train_world(settings, tmp_path, MINUTES, 78, "cpu")
    rows = [json.loads(row) for row in (tmp_path / "world.jsonl").read_text().splitlines()]
    end = next(row for row in rows if row.get("event") == "end")
    assert end["other_0.9"] - end["own_0.9"] > GAP, end
