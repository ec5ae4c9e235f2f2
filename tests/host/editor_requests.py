"""What a test asks of the server in the camera editor's place, and what it must find in every answer."""

from __future__ import annotations

import http.client
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest

from wm_core.camera import (
    CameraPath,
    Keyframes,
    angle_between,
    describe,
    field_of_view_deg,
    keyframed_path,
    read_keyframes,
)

METRES, DEGREES = 0.01, 0.25  # what a fit promises
SECONDS = 60


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


def asking(url: str) -> Callable[..., Answer]:
    """ask("choices"), ask("file", body, name=...): what the server at that address answers."""

    def send(what: str, body: bytes | str | Iterable[bytes] | None = None, **query) -> Answer:
        address = what if what.startswith("/") else f"/sana_wm/camera/{what}"
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
        try:
            method = "GET" if body is None else "POST"
            connection.request(method, f"{address}?{urlencode(query)}" if query else address, body=body)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    return send


def document_of(answer: Answer) -> Keyframes:
    assert answer.status == 200, answer.body
    return read_keyframes(json.dumps(answer.json["document"]))


def assert_within(answer: Answer, wanted: CameraPath, metres: float = METRES, degrees: float = DEGREES) -> None:
    """The document's path is the wanted one, as near as a fit promises."""
    path = keyframed_path(document_of(answer))
    assert (path.frames, path.size) == (wanted.frames, wanted.size) and path.fps == pytest.approx(wanted.fps)
    off = np.linalg.norm(path.c2w[:, :3, 3] - wanted.c2w[:, :3, 3], axis=1).max()
    turned = np.degrees(angle_between(path.c2w[:, :3, :3], wanted.c2w[:, :3, :3])).max()
    seen = (field_of_view_deg(each.intrinsics[-1], each.size)[0] for each in (path, wanted))
    assert off <= metres * 1.01 and turned <= degrees * 1.01 and abs(next(seen) - next(seen)) <= DEGREES * 1.01
    assert answer.json["told"] == describe(path)


def assert_refused(answer: Answer, *words: str) -> None:
    assert answer.status == 400 and answer.headers.get_content_type() == "application/json", answer
    assert set(answer.json) == {"error"}
    text = answer.json["error"]
    assert text and "\n" not in text and "Traceback" not in text and len(text) < 600, text
    assert tempfile.gettempdir() not in text, "a folder that is gone says nothing to the user"
    for word in words:
        assert word in text, text
