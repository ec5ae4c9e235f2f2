"""A film of 401 frames stays what it was: the curves of MODEL_CARD.md. Minutes on two cores, so only on request: pytest -m slow."""

import pytest

from tools.tiny_world.measure import STREAMING, long_rows
from tools.tiny_world.settings import load_settings

BRIGHTNESS, CHROMA = 0.035, 0.03  # of 1, apart from the truth, in the mean of 80 frames
LEAST_SHARPNESS = 0.5  # of that in the first 80 frames
LEAST_RETURN = 19.0  # dB between the first frame and the same view again


@pytest.mark.slow
def test_nothing_drifts_away_in_four_hundred_frames():
    found = long_rows(load_settings())[STREAMING]
    print(found)
    assert max(found["brightness apart"]) <= BRIGHTNESS
    assert max(found["chroma apart"]) <= CHROMA
    first, *later = found["sharpness to truth"]
    assert min(later) >= LEAST_SHARPNESS * first
    assert min(found["psnr on return"]) >= LEAST_RETURN
