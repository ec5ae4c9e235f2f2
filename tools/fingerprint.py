"""Print the fingerprint of a refiner's file, as a row for the table of known ones.

python3 -m tools.fingerprint FILE "what it is" [--stock]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from wm_core.checkpoint import open_refiner
from wm_core.checkpoint.refiner_guard import Known, fingerprint
from wm_core.errors import SanaWMError


def row_of(path: Path, name: str, is_refiner: bool) -> str:
    """A line of wm_core.checkpoint.refiner_guard.KNOWN. SanaWMError if it is not such a file or is quantised."""
    opened = open_refiner(path, rope="split")  # the fingerprint does not depend on it
    mark = fingerprint(opened.file, opened.names)
    if mark is None:
        raise SanaWMError(f"{path.name} is quantised and has no fingerprint; take the file that it was made from")
    return f'    "{mark}": {Known(name, is_refiner)!r},'


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("name")
    parser.add_argument("--stock", action="store_true", help="not SANA-WM's refiner")
    arguments = parser.parse_args()
    try:
        print(row_of(arguments.file, arguments.name, not arguments.stock))
    except SanaWMError as error:
        raise SystemExit(str(error)) from error
