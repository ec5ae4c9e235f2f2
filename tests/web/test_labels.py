"""What the editor says: every text is there in every language, is used, and is given what it has places for."""

import re
from pathlib import Path

import pytest
from javascript import EDITOR, answer_of

LANGUAGES = ("en", "zh", "ja")
OTHERS = ("three.mjs", "labels.mjs")  # the bundle, and the texts themselves
PLACE = re.compile(r"\{(\w+)\}")
NAMED = re.compile(r'\blabel\("(\w+)"(?:, \{([^}]*)\})?\)')  # label("name"), label("name", { given })
LITERAL = re.compile(r'"(\w+)"')
COMMENT = re.compile(r"/\*.*?\*/|(?:^|\s)//[^\n]*", re.DOTALL)


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    return answer_of("texts.mjs", [])["texts"]


def sources() -> dict[str, str]:
    files = [file for file in sorted(EDITOR.glob("*.mjs")) if file.name not in OTHERS]
    return {file.name: COMMENT.sub("", Path(file).read_text(encoding="utf-8")) for file in files}


def test_every_text_is_there_in_three_languages_with_the_same_places(texts):
    for name, given in texts.items():
        assert len(given) == len(LANGUAGES) and all(text.strip() for text in given), name
        places = [sorted(PLACE.findall(text)) for text in given]
        assert places[0] == places[1] == places[2], name


def test_no_two_names_say_the_same_and_chinese_and_japanese_are_not_english(texts):
    english = [given[0] for given in texts.values()]
    assert len(set(english)) == len(english)
    assert not [name for name, given in texts.items() if given[0] in given[1:]]


def test_every_label_that_is_asked_for_is_there_and_none_is_unused(texts):
    asked = {name: {n for n, _ in NAMED.findall(text)} for name, text in sources().items()}
    assert sum(map(len, asked.values())) > 30, "the calls are found"
    for file, names in asked.items():
        assert names <= texts.keys(), (file, names - texts.keys())
    # many are asked for by a variable, out of a list or an object's keys
    handles = {f"{part}_{axis}" for part in ("arrives", "leaves") for axis in "xyz"}  # of which fields.mjs makes the names
    written = handles | set(LITERAL.findall(" ".join(sources().values()))) | set(
        re.findall(r"\b(\w+):", " ".join(sources().values()))
    )
    assert not texts.keys() - written, "nobody asks for these"


def test_every_place_in_a_text_is_given_a_value(texts):
    places = {name for name, given in texts.items() if PLACE.search(given[0])}
    given = {name: values for text in sources().values() for name, values in NAMED.findall(text) if name in places}
    assert given.keys() == places
    for name, values in given.items():
        assert set(PLACE.findall(texts[name][0])) <= set(re.findall(r"\w+", values)), (name, values)
