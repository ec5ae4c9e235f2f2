"""Lines of text files: read one at a time, decoded strictly, turned into numbers that are finite."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ..actions import MAX_FRAMES
from .source import open_source

LONGEST_LINE = 4096
_PIECE = 65536


def text_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and the lines of a UTF-8 file, without white space at their ends.

    A line longer than LONGEST_LINE bytes comes cut, so that no line can fill the memory. CameraError if undecodable.
    """
    with open_source(file) as (opened, _):
        number = 0
        while line := opened.readline(LONGEST_LINE + 1):
            number += 1
            cut = not line.endswith(b"\n") and len(line) > LONGEST_LINE
            while cut and (piece := opened.readline(_PIECE)) and not piece.endswith(b"\n"):
                pass
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace" if cut else "strict")
            except UnicodeDecodeError as error:
                raise CameraError(
                    f"{file}, line {number}: is not UTF-8 text ({error.reason}); save it as UTF-8"
                ) from None
            yield number, text.strip()


def says_nothing(text: str) -> bool:
    """Whether a stripped line is blank or a comment."""
    return not text or text.startswith("#")


def read_numbers(text: str, place: str) -> list[float]:
    """The numbers of a line, separated by blanks. `place` begins the CameraError, as in "walk.txt, line 3"."""
    try:
        if "_" in text:  # Python's float takes 1_000
            raise ValueError
        values = [float(word) for word in text.split()]
    except ValueError:
        raise CameraError(f"{place}: wanted numbers separated by blanks, got {text!r:.60}; correct the line") from None
    if not all(map(math.isfinite, values)):
        raise CameraError(f"{place}: numbers must be finite, got {text!r:.60}; remove the camera or fix its numbers")
    return values


def number_rows(lines: Iterable[tuple[int, str]], file: Path, columns: str) -> NDArray:
    """Every line that says something, as (n, width) float64. `columns` names the numbers of a row, one word each."""
    width = len(columns.split())
    flat = array("d")
    for number, text in lines:
        if says_nothing(text):
            continue
        values = read_numbers(text, f"{file}, line {number}")
        if len(values) != width:
            raise CameraError(
                f"{file}, line {number}: wanted {width} numbers ({columns}), got {len(values)}; "
                "correct the line or name another format"
            )
        flat.extend(values)
        if len(flat) > width * MAX_FRAMES:
            raise CameraError(f"{file} has more than {MAX_FRAMES} cameras; split it into takes")
    if not flat:
        raise CameraError(f"{file} holds no camera, wanted a line of {width} numbers ({columns}) for each")
    return np.frombuffer(flat, dtype=np.float64).reshape(-1, width)


def text_rows(rows: NDArray) -> list[str]:
    """One line for each row of (n, width), with ten digits: more than float32 holds."""
    return [" ".join(f"{value:.10g}" for value in row) for row in rows.tolist()]
