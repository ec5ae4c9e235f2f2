"""What a run of the tests left out, in a few lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable


def lines_about(skips: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each reason, with the folders and the number of tests; `skips` are (node id, what pytest says)."""
    folders = defaultdict(list)
    for node, words in skips:
        reason = (words.removeprefix("Skipped:").strip().splitlines() or ["no reason given"])[0]
        folders[reason].append(node.split("::")[0].rpartition("/")[0])
    return [f"not run: {len(where)} in {', '.join(sorted(set(where)))}: {reason}" for reason, where in folders.items()]
