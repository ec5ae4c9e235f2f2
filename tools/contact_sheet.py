"""A video on one picture: frames in a grid with their times, the camera path from above, and what was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH = 1600
MARGIN, GAP, PAIR_GAP = 36, 12, 3
BACKGROUND, PANEL = (17, 19, 24), (27, 30, 37)
BRIGHT, DIM, ACCENT = (236, 238, 242), (150, 156, 168), (118, 185, 0)
TITLE_SIZE, TEXT_SIZE, STAMP_SIZE = 30, 20, 18
LINE_HEIGHT = 1.45
LABEL_WIDTH = 120

Picture = Image.Image | np.ndarray


def contact_sheet(
    frames: Sequence[Picture],
    plan_picture: Picture | None,
    caption: Sequence[str],
    *,
    times: Sequence[float] | None = None,
    title: str = "SANA-WM",
    columns: int | None = None,
    truth: Sequence[Picture] | None = None,
) -> Image.Image:
    """Lay out `frames` (RGB, PIL or uint8 / 0..1 float (h, w, 3)) above the plan and the caption.

    caption: lines; "Prompt: a lake at dawn" sets the part before the first colon as a label. times: seconds, one
    per frame. plan_picture: the camera path from above, or None. truth: what each frame should be, shown under it.
    """
    if not len(frames):
        raise ValueError("a contact sheet needs at least one frame, got none")
    pictures = [_as_image(frame) for frame in frames]
    columns = columns or _columns(len(pictures), pictures[0].size)
    cell_width = (WIDTH - 2 * MARGIN - GAP * (columns - 1)) // columns
    cell_height = round(cell_width * pictures[0].height / pictures[0].width)
    rows = -(-len(pictures) // columns)
    grid_top = MARGIN + TITLE_SIZE + 24
    row_height = cell_height + GAP + (cell_height + PAIR_GAP if truth else 0)
    panel_top = grid_top + rows * row_height - GAP + 28

    plan = _as_image(plan_picture) if plan_picture is not None else None
    plan_width = (plan.width + 40) if plan else 0
    lines = _wrap(caption, WIDTH - 2 * MARGIN - plan_width - 60 - LABEL_WIDTH)
    text_height = round(len(lines) * TEXT_SIZE * LINE_HEIGHT)
    panel_height = max(plan.height if plan else 0, text_height) + 48

    sheet = Image.new("RGB", (WIDTH, panel_top + panel_height + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((MARGIN, MARGIN + 5, MARGIN + 6, MARGIN + TITLE_SIZE + 3), ACCENT)
    draw.text((MARGIN + 20, MARGIN + TITLE_SIZE // 2 + 4), title, BRIGHT, _font(TITLE_SIZE), anchor="lm")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        left, top = MARGIN + column * (cell_width + GAP), grid_top + row * row_height
        words = ["film"] * bool(truth) + [f"{times[index]:.2f} s"] * (times is not None)
        _place(sheet, picture, (left, top), (cell_width, cell_height), "  ".join(words))
        if truth:
            below = (left, top + cell_height + PAIR_GAP)
            _place(sheet, _as_image(truth[index]), below, (cell_width, cell_height), "truth")

    box = (MARGIN, panel_top, WIDTH - MARGIN, panel_top + panel_height)
    draw.rounded_rectangle(box, 10, PANEL)
    if plan:
        sheet.paste(plan, (MARGIN + 24, panel_top + (panel_height - plan.height) // 2))
    _write(draw, lines, (MARGIN + 24 + plan_width, panel_top + 24))
    return sheet


def _columns(count: int, size: tuple[int, int]) -> int:
    """Columns that leave the fewest empty cells among those that give cells a readable width."""
    least, most = (2, 4) if size[0] >= size[1] else (4, 6)
    return min(range(min(most, count), min(least, count) - 1, -1), key=lambda n: -count % n)


def _as_image(picture: Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    array = np.asarray(picture)
    if array.dtype != np.uint8:
        array = (array.clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(array).convert("RGB")


def _place(
    sheet: Image.Image, picture: Image.Image, corner: tuple[int, int], size: tuple[int, int], words: str
) -> None:
    sheet.paste(_resize(picture, size), corner)
    if words:
        _stamp(sheet, corner, size[1], words)


def _resize(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Small pictures are enlarged without smoothing by whole factors first, so that their pixels stay honest."""
    factor = min(size[0] // picture.width, size[1] // picture.height)
    if factor >= 2:
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    return picture.resize(size, Image.Resampling.LANCZOS)


def _stamp(sheet: Image.Image, corner: tuple[int, int], height: int, text: str) -> None:
    font = _font(STAMP_SIZE)
    left, bottom = corner[0], corner[1] + height
    draw = ImageDraw.Draw(sheet, "RGBA")
    draw.rectangle((left, bottom - 28, left + font.getlength(text) + 18, bottom - 1), (0, 0, 0, 170))
    draw.text((left + 9, bottom - 14), text, BRIGHT, font, anchor="lm")


def _wrap(caption: Sequence[str], width: int) -> list[tuple[str, str]]:
    """(label, text) rows that fit `width`; rows that go on from the one above have no label."""
    font, rows = _font(TEXT_SIZE), []
    for line in caption:
        label, colon, text = line.partition(":")
        label, text = (label.strip(), text.strip()) if colon else ("", line.strip())
        row = ""
        for word in _breakable(text, font, width):
            longer = f"{row} {word}".strip()
            if row and font.getlength(longer) > width:
                rows.append((label, row))
                label, row = "", word
            else:
                row = longer
        rows.append((label, row))
    return rows


def _breakable(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Words, those longer than a line (an action string has no spaces) cut at commas."""
    words = []
    for word in text.split():
        fits = font.getlength(word) <= width
        words += [word] if fits else [part for part in word.replace(",", ", ").split(" ") if part]
    return words


def _write(draw: ImageDraw.ImageDraw, rows: list[tuple[str, str]], corner: tuple[int, int]) -> None:
    font, (left, top) = _font(TEXT_SIZE), corner
    for index, (label, text) in enumerate(rows):
        y = top + round(index * TEXT_SIZE * LINE_HEIGHT)
        draw.text((left, y), label, DIM, font)
        draw.text((left + LABEL_WIDTH, y), text, BRIGHT, font)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # the one that comes inside Pillow: the same on every machine
