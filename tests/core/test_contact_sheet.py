"""tools/contact_sheet.py: the truth stands under each frame, in as many columns as without it."""

import numpy as np

from tools.contact_sheet import GAP, MARGIN, PAIR_GAP, TITLE_SIZE, WIDTH, contact_sheet

COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40)]


def plain(colours):
    return [np.full((32, 56, 3), colour, np.uint8) for colour in colours]


def test_under_each_frame_is_its_truth():
    truth = [tuple(255 - c for c in colour) for colour in COLOURS]
    sheet = np.asarray(contact_sheet(plain(COLOURS), None, ["Seed: 1"], times=[0, 1, 2, 3], truth=plain(truth)))
    alone = contact_sheet(plain(COLOURS), None, ["Seed: 1"], times=[0, 1, 2, 3])
    width = (WIDTH - 2 * MARGIN - 3 * GAP) // 4
    height = round(width * 32 / 56)
    assert sheet.shape[:2] == (alone.height + height + PAIR_GAP, WIDTH)
    middle = MARGIN + TITLE_SIZE + 24 + height // 2
    for i, (colour, true) in enumerate(zip(COLOURS, truth)):
        x = MARGIN + i * (width + GAP) + width // 2
        assert tuple(sheet[middle, x]) == colour and tuple(sheet[middle + height + PAIR_GAP, x]) == true
