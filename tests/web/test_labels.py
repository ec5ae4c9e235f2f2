"""What the editor says: every text is there in every language, is used, and is given what it has places for."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from javascript import EDITOR, answer_of

LANGUAGES = ("en", "zh", "ja")
OTHERS = ("three.mjs", "labels.mjs")  # the bundle, and the texts themselves
PLACE = re.compile(r"\{(\w+)\}")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
CALL = re.compile(r"\blabel\(")
HELPER = re.compile(r"const (\w+) = \((\w+)")  # an arrow function with a name for its first parameter
ARRAY = re.compile(r"\[([^\[\]]*)\]\.map\(\((\w+)")


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    return answer_of("texts.mjs", [])["texts"]


def sources() -> dict[str, str]:
    return {file.name: without_comments(file) for file in sorted(EDITOR.glob("*.mjs")) if file.name not in OTHERS}


def without_comments(file: Path) -> str:
    text = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"(^|\s)//.*", "", text)


def parts(text: str, start: int, at_end: str, between: str = "") -> list[str]:
    """What stands from `start` to the first letter of `at_end` that is inside of nothing, cut at letters of `between`."""
    found, depth, quote = [""], 0, ""
    for at in range(start, len(text)):
        letter = text[at]
        if quote:
            quote = "" if letter == quote and text[at - 1] != "\\" else quote
        elif letter in "\"'`":
            quote = letter
        elif not depth and letter in at_end:
            break
        elif not depth and letter in between:
            found.append("")
            continue
        else:
            depth += (letter in "([{") - (letter in ")]}")
        found[-1] += letter
    return [part.strip() for part in found]


def arguments(text: str, start: int) -> list[str]:
    """Arguments of a call, or members of an object, whose bracket ends at `start`."""
    return parts(text, start, ")]}", ",")


def calls(text: str, name: str) -> Iterator[list[str]]:
    return (arguments(text, call.end()) for call in re.finditer(rf"\b{name}\(", text))


def through(text: str, parameter: str) -> set[str]:
    """Names that label(parameter) stands for: of a list that is mapped, or handed to the function around it."""
    names = set()
    for helper in HELPER.finditer(text):
        (body,) = parts(text, helper.start(), ";")
        handed, mapped = helper[2] == parameter, re.search(rf"\b{helper[2]}\.map\(\({parameter}\b", body)
        if f"label({parameter})" in body and (handed or mapped):
            names |= {name for given in calls(text, helper[1]) for name in LITERAL.findall(given[0])}
    for array in ARRAY.finditer(text):
        if array[2] == parameter and f"label({parameter})" in "".join(
            arguments(text, text.index("(", array.end(1)) + 1)
        ):
            names |= set(LITERAL.findall(array[1]))
    return names


def used(text: str) -> Iterator[tuple[set[str], list[str]]]:
    """For each call of label its names, and its arguments."""
    for call in CALL.finditer(text):
        given = arguments(text, call.end())
        yield set(LITERAL.findall(given[0])) or through(text, given[0]), given


def test_every_text_is_there_in_three_languages_with_the_same_places(texts):
    assert len(texts) > 50
    for name, versions in texts.items():
        assert len(versions) == len(LANGUAGES), name
        english, *translated = versions
        assert all(isinstance(text, str) and text.strip() == text != "" for text in versions), name
        assert all(sorted(PLACE.findall(text)) == sorted(PLACE.findall(english)) for text in translated), name
        assert not re.search(r"[\u3000-\uffff]", english), f"{name} is not English"
        assert all(re.search(r"[\u3040-\u9fff]", text) for text in translated), f"{name} is not translated"


def test_no_text_is_written_twice(texts):
    names = re.findall(r"^  (\w+): \[", (EDITOR / "labels.mjs").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(names) == sorted(texts)


def test_every_label_that_the_editor_uses_is_there_and_none_is_unused(texts):
    names = set()
    for file, text in sources().items():
        for found, given in used(text):
            assert found, f"{file}: label({given[0]}) - this test cannot follow where that name comes from"
            assert found <= set(texts), f"{file}: no text for {sorted(found - set(texts))}"
            names |= found
    assert not set(texts) - names, f"no longer used: {sorted(set(texts) - names)}"


def test_every_place_in_a_text_is_given_a_value(texts):
    filled = 0
    for file, text in sources().items():
        for names, given in used(text):
            values = {part.split(":")[0].strip() for part in arguments(given[1], 1)} if len(given) > 1 else set()
            wanted = {place for name in names for place in PLACE.findall(texts[name][0])}
            assert values == wanted, f"{file}: label({', '.join(given)})"
            filled += bool(wanted)
    assert filled >= 3


def test_a_language_of_any_country_is_found_and_others_are_english(texts):
    asked = {"en": 0, "en-GB": 0, "zh": 1, "zh-TW": 1, "ZH": 1, "ja": 2, "fr": 0, "": 0}
    said = answer_of("texts.mjs", [[language, "undo"] for language in asked])["said"]
    assert said == [texts["undo"][column] for column in asked.values()]
    (key,) = answer_of("texts.mjs", [["en", "key", {"number": 3, "frame": 40}]])["said"]
    assert key == "Key 3 at frame 40"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('x(this.label("a"), label(is ? "b" : "c"))', {"a", "b", "c"}),
        ('const made = (name, on = acts[name]) => button(label(name), on); f(made("a"), made("b", () => 1))', {"a", "b"}),
        ('const either = (names) => names.map((name, i) => label(name)); either(["a", "b"], 1)', {"a", "b"}),
        ('["a", "b"].map((name) => button(label(name)))', {"a", "b"}),
        ("const made = (name) => button(label(name))", set()),
        ('labelled("a"); const made = (name) => label(name); unmade("b")', set()),
    ],
)  # fmt: skip
def test_names_are_found_however_they_are_handed_on(source, names):
    """The control of the tests above."""
    assert set().union(*(found for found, _ in used(source))) == names
