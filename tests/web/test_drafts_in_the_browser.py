"""The editor's draft: what is undone and done again, held against a plain list of documents."""

import numpy as np
import pytest
from javascript import answer_of


def numbered(calls: int, seed: int) -> list[list]:
    random = np.random.default_rng(seed)
    names = random.choice(
        ["show", "keep", "decide", "drop", "undo", "redo", "goTo"], calls, p=[0.2, 0.25, 0.1, 0.05, 0.2, 0.15, 0.05]
    )
    asked = []
    for number, name in enumerate(names.tolist(), 1):
        argument = {"show": [number], "keep": [number], "goTo": [int(random.integers(-5, 60))]}.get(name, [])
        asked.append(["keep" if name == "decide" else name, *argument])
    return asked


def undone(calls: list[list], most: int = 200) -> list[dict]:
    """The same with a list of all decided documents and a place in it."""
    history, place, shown, kept, states = [0], 0, 0, 0, []
    for name, *given in calls:
        if name in ("show", "keep") and given:
            (shown,) = given
        if name in ("keep", "undo", "redo") and shown != history[place]:  # what is shown is decided first
            history, place, kept = [*history[: place + 1], shown], place + 1, kept + 1
            if place > most:
                history, place = history[1:], most
        elif name == "drop":
            shown = history[place]
        if name in ("undo", "redo"):
            wanted = place + (1 if name == "redo" else -1)
            if 0 <= wanted < len(history):
                place, shown, kept = wanted, history[wanted], kept + 1
        states.append({"number": shown, "canUndo": place > 0, "canRedo": place + 1 < len(history), "kept": kept})
    return states


def test_a_draft_goes_back_and_forth_as_a_list_of_its_documents_does():
    runs = [numbered(120, seed) for seed in range(40)]
    runs.append([["keep", n] for n in range(1, 251)] + [["undo"]] * 220 + [["redo"]] * 220)
    for calls, states in zip(runs, answer_of("drafted.mjs", runs), strict=True):
        for call, state, wanted in zip(calls, states, undone(calls), strict=True):
            assert {name: state[name] for name in wanted} == wanted, call
    last = states[250 + 219]
    assert last["number"] == 50 and not last["canUndo"], "two hundred steps back from 250"
    assert undone(calls, most=300)[250 + 219]["number"] == 30, "the control: the model minds the limit"


def test_what_is_not_the_user_s_changes_in_all_that_can_be_gone_back_to():
    calls = [
        ["keep", 1],
        ["keep", 2],
        ["show", 3],
        ["amend", {"size": [8, 16]}],
        ["undo"],
        ["undo"],
        ["undo"],
        ["redo"],
    ]
    (states,) = answer_of("drafted.mjs", [calls])
    assert [state["number"] for state in states] == [1, 2, 3, 3, 2, 1, 0, 1]
    assert [state["size"] for state in states] == [[704, 1280]] * 3 + [[8, 16]] * 5
    assert [state["isAsBegun"] for state in states] == [False] * 6 + [True, False]


def test_a_draft_s_playhead_and_selection_lie_in_its_document():
    calls = numbered(400, 1)
    (states,) = answer_of("drafted.mjs", [calls])
    for call, state in zip(calls, states, strict=True):
        assert 0 <= state["frame"] < state["frames"] == state["path"], call
        assert -1 <= state["selected"] < state["keys"] and state["key"] is not None
        assert state["camera"][0] == pytest.approx(state["number"]), "the path is that of the document"
        if call[0] == "goTo":
            assert state["frame"] == np.clip(call[1], 0, state["frames"] - 1)
            on_key = state["frame"] % 2 == 1 and state["frame"] < 2 * state["keys"]
            assert not on_key or state["key"] == state["frame"], "the key there is selected"


def test_a_draft_that_begins_with_another_document_has_nothing_to_go_back_to():
    (states,) = answer_of("drafted.mjs", [[["start", 7], ["show", 8], ["drop"], ["undo"], ["keep", 9], ["undo"]]])
    assert [state["number"] for state in states] == [7, 8, 7, 7, 9, 7]
    assert [state["kept"] for state in states] == [0, 0, 0, 0, 1, 2]
    assert not states[3]["canUndo"] and states[4]["canUndo"]
