"""wm_core.sampling.quality: where guidance ends, and that a preset says what it costs."""

import pytest

from wm_core.errors import ConfigError
from wm_core.sampling import QUALITIES, describe_cost, lowest_guided, released_schedule


@pytest.mark.parametrize("steps", [10, 40, 60, 100])
@pytest.mark.parametrize("shift", [4.0, 8.0, 9.8])
def test_half_of_any_released_levels_is_guided_also_rounded(steps, shift):
    lowest = lowest_guided(released_schedule(40, shift), 20)
    levels = released_schedule(steps, shift)[:-1]
    assert (levels >= lowest).sum() == steps // 2
    if steps <= 40:
        assert (levels.bfloat16() >= lowest).sum() == steps // 2


@pytest.mark.parametrize("guided", [0, 5])
def test_a_share_outside_the_steps_is_refused(guided):
    with pytest.raises(ConfigError, match=f"guided must be from 1 to the 4 steps, got {guided}"):
        lowest_guided(released_schedule(4, 9.8), guided)
    assert lowest_guided(released_schedule(4, 9.8), 4) == 0


@pytest.mark.parametrize(
    "name, cfg, words",
    [
        ("full", 5.0, "full: 60 steps, all guided: 120 model calls."),
        ("balanced", 5.0, "balanced: 40 steps, the first 20 guided: 60 model calls."),
        ("balanced", 1.0, "balanced: 40 steps, none guided: 40 model calls."),
        ("preview", 1.0, "preview: 4 steps, none guided: 4 model calls for each chunk of 24 frames."),
    ],
)
def test_the_cost_counts_model_calls(name, cfg, words):
    assert describe_cost(QUALITIES[name], cfg).startswith(words)
