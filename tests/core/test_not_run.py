"""The last lines of a run: what was left out, grouped by why."""

from not_run import lines_about


def test_skips_of_one_reason_share_a_line():
    no_card = "Skipped: needs a CUDA device"
    skips = [
        ("tests/core/test_on_gpu.py::test_a", no_card),
        ("tests/browser/test_frontend_loads.py::test_b[pinned-vue]", "Skipped: no chromium: none on PATH\nand more"),
        ("tests/nodes/test_generate.py::test_c", no_card),
        ("tests/core/test_on_gpu.py::test_d", no_card),
        ("tests/core/test_e.py", "Skipped: "),
    ]
    assert lines_about(skips) == [
        "not run: 3 in tests/core, tests/nodes: needs a CUDA device",
        "not run: 1 in tests/browser: no chromium: none on PATH",
        "not run: 1 in tests/core: no reason given",
    ]
    assert lines_about([]) == []
