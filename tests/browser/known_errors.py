"""Errors of a page: which are the frontend's own. All others fail a test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

KNOWN = {
    r"Failed to load resource.* at https://": "the frontend asks its makers' servers, and the tests' browser has no network",
    r"status of 404 .*/(api/)?(userdata[/?]|user\.css|favicon\.ico)": "files that a new user does not have yet",
    r"status of 404 .*/templates/index_logo\.json": "the newest frontend; the templates beside the pinned host lack it",
    r"status of 404 .*/api/jobs\?|JobsApiError: Failed to fetch jobs: 404": "the newest frontend; the pinned host lacks it",
    r"TypeError: Cannot read properties of undefined \(reading 'id'\)": "frontend 1.32 as it opens its first workflow",
}


def is_known(error: str) -> bool:
    """Whether it is one of KNOWN; never, if it names the file of an extension, for that may be this pack's."""
    return "/extensions/" not in error and any(re.search(pattern, error, re.DOTALL) for pattern in KNOWN)


def collect_errors(page: Page, errors: list[str]) -> None:
    """From now on put what goes wrong in the page into `errors`, unless it is known."""

    def keep(error: str) -> None:
        if not is_known(error):
            errors.append(error)

    page.on("console", lambda m: keep(f"{m.text} at {m.location['url']}") if m.type == "error" else None)
    page.on("pageerror", lambda error: keep(f"{error.message}\n{error.stack}"))
