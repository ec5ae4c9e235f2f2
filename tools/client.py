"""ComfyUI's HTTP and websocket API as plain calls, over aiohttp (which ComfyUI ships) on a private event loop."""

from __future__ import annotations

import asyncio
import json
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from .steps import StepError

QUIET_SECONDS = 5.0  # after so long without an event, ask the history whether the run is over
PREVIEW, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4  # kinds of binary messages, see ComfyUI's protocol.py
SECONDS_TO_ANSWER = 60.0


@dataclass(frozen=True)
class Event:
    """One message of a run: its `kind` as ComfyUI names it ("executing", "progress_state", ...; "preview" for pictures)."""

    kind: str
    data: dict = field(default_factory=dict)


class Client:
    """A connection to one server. Not for several threads; `close()` it, or use it in a `with` block."""

    def __init__(self, url: str) -> None:
        self.url, self.client_id = url.rstrip("/"), uuid.uuid4().hex
        self._loop = asyncio.new_event_loop()
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    def __enter__(self) -> Client:  # noqa: PYI034 (typing.Self is newer than Python 3.10)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._session:
            self._loop.run_until_complete(self._close())
        self._loop.close()

    def system_stats(self) -> dict:
        return self._json("GET", "/system_stats")

    def object_info(self, node: str | None = None) -> dict:
        """What every node takes and gives, or one node's."""
        return self._json("GET", f"/object_info/{node}" if node else "/object_info")

    def upload_image(self, file: Path, *, name: str | None = None) -> str:
        """Put a picture into the server's input folder; returns the name that a Load Image node takes."""
        form = aiohttp.FormData()
        form.add_field("image", Path(file).read_bytes(), filename=name or Path(file).name)
        form.add_field("overwrite", "true")
        answer = self._json("POST", "/upload/image", data=form)
        return f"{answer['subfolder']}/{answer['name']}" if answer.get("subfolder") else answer["name"]

    def queue(self, workflow: dict) -> str:
        """Queue an API-format workflow; returns the prompt id. StepError lists what the server finds wrong with it."""
        self._connect()  # before the first event can come
        answer = self._json("POST", "/prompt", json={"prompt": workflow, "client_id": self.client_id})
        if answer.get("node_errors"):  # the server would run the outputs that do not need those nodes
            self._withdraw(answer["prompt_id"])
            words = _refusal(json.dumps({"error": "The workflow cannot run:", **answer}).encode())
            raise StepError(f"The server refused a part of it. {words}", "Mend that, then again.")
        return answer["prompt_id"]

    def follow(self, prompt_id: str) -> Iterator[Event]:
        """Events of that run as they come, until it is over, well or not: see "execution_error" for the latter."""
        self._connect()
        while True:
            try:
                event = self._loop.run_until_complete(asyncio.wait_for(self._next_event(), QUIET_SECONDS))
            except asyncio.TimeoutError:
                if self.history(prompt_id):
                    return
                continue
            if event.data.get("prompt_id", prompt_id) != prompt_id:
                continue
            if event.kind == "executing" and event.data.get("node") is None:
                return
            yield event

    def history(self, prompt_id: str) -> dict:
        """What a finished run left: "outputs" by node, "status"; empty while it is not finished."""
        return self._json("GET", f"/history/{prompt_id}").get(prompt_id, {})

    def interrupt(self) -> None:
        self._request("POST", "/interrupt")

    def _withdraw(self, prompt_id: str) -> None:
        """Take a queued run back, or stop it if the server was quicker."""
        self._request("POST", "/queue", json={"delete": [prompt_id]})
        if any(prompt_id in entry for entry in self._json("GET", "/queue")["queue_running"]):
            self.interrupt()

    def view(self, filename: str, subfolder: str = "", kind: str = "output") -> bytes:
        """A file out of the server's "output", "input" or "temp" folder."""
        return self._request("GET", "/view", params={"filename": filename, "subfolder": subfolder, "type": kind})

    def _json(self, method: str, path: str, **arguments: object) -> dict:
        return json.loads(self._request(method, path, **arguments) or b"{}")

    def _request(self, method: str, path: str, **arguments: object) -> bytes:
        try:
            status, body = self._loop.run_until_complete(self._send(method, path, arguments))
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise StepError(f"The server at {self.url} did not answer {path}: {error}", "Its log says why.") from error
        if status >= 400:
            raise StepError(
                f"The server refused {method} {path} ({status}):\n{_refusal(body)}", "Mend that, then again."
            )
        return body

    async def _send(self, method: str, path: str, arguments: dict) -> tuple[int, bytes]:
        session = self._open_session()
        timeout = aiohttp.ClientTimeout(total=SECONDS_TO_ANSWER)
        async with session.request(method, self.url + path, timeout=timeout, **arguments) as response:
            return response.status, await response.read()

    async def _close(self) -> None:
        if self._socket:
            await self._socket.close()
        await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(loop=self._loop)
        return self._session

    def _connect(self) -> None:
        if self._socket is None:
            address = f"{self.url}/ws?clientId={self.client_id}"
            try:
                self._socket = self._loop.run_until_complete(self._open_socket(address))
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                raise StepError(f"No websocket at {self.url}: {error}", "The server's log says why.") from error

    async def _open_socket(self, address: str) -> aiohttp.ClientWebSocketResponse:
        # max_msg_size 0: previews have any size
        return await self._open_session().ws_connect(address, max_msg_size=0)

    async def _next_event(self) -> Event:
        message = await self._socket.receive()
        if message.type == aiohttp.WSMsgType.TEXT:
            body = json.loads(message.data)
            return Event(body["type"], body.get("data") or {})
        if message.type == aiohttp.WSMsgType.BINARY:
            return _binary_event(message.data)
        raise StepError("The server went away while it was working.", "Its log says why; out of memory is common.")


def _binary_event(message: bytes) -> Event:
    (kind,) = struct.unpack(">I", message[:4])
    if kind == PREVIEW:
        return Event("preview", {"image": message[8:]})
    if kind == TEXT:
        (length,) = struct.unpack(">I", message[4:8])
        node, text = message[8 : 8 + length], message[8 + length :]
        return Event("text", {"node": node.decode(), "text": text.decode()})
    if kind == PREVIEW_WITH_METADATA:
        (length,) = struct.unpack(">I", message[4:8])
        return Event("preview", {**json.loads(message[8 : 8 + length]), "image": message[8 + length :]})
    return Event("binary", {"message": message})


def _refusal(body: bytes) -> str:
    """The server's words: its error, then one line for each input of each node that it names."""
    text = body.decode("utf-8", "replace")
    try:
        answer = json.loads(text)
    except ValueError:
        return text[:2000]
    if not isinstance(answer, dict) or "error" not in answer:
        return text[:2000]
    error = answer["error"]
    lines = [
        f"{error.get('message', '')} {error.get('details', '')}".strip() if isinstance(error, dict) else str(error)
    ]
    for node_id, node in (answer.get("node_errors") or {}).items():
        for item in node.get("errors", []):
            lines.append(f"  node {node_id} ({node.get('class_type')}): {item.get('message')}: {item.get('details')}")
    return "\n".join(lines)
