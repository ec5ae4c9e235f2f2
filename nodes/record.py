"""What a video is made with, for its metadata: noted when a prompt is queued.

The loader node could not note it: in a second run the host takes its result from the cache, and a prompt that comes
through the API brings it nothing to write to.
"""

from __future__ import annotations

from ..wm_core.errors import SanaWMError
from .load import SanaWMModelLoader, open_chosen

KEY = "sana_wm"  # beside `prompt` and `workflow` in pictures and videos


def note_models(request: dict) -> dict:
    """The body of a /prompt request with every stage-1 model of its graph in `extra_pnginfo`, where savers find it."""
    found = []
    prompt = request.get("prompt")
    for node in prompt.values() if isinstance(prompt, dict) else ():
        if isinstance(node, dict) and node.get("class_type") == SanaWMModelLoader.define_schema().node_id:
            found += _noted(node.get("inputs", {}))
    if found:
        extra = request.setdefault("extra_data", {})
        extra["extra_pnginfo"] = {**(extra.get("extra_pnginfo") or {}), KEY: {"models": found}}
    return request


def _noted(inputs: dict) -> list[dict[str, str]]:
    """One entry; none for a file that cannot be opened, which the loader will say when it runs."""
    chosen = {name: inputs[name] for name in ("file", "variant", "reference") if name in inputs}
    if not all(isinstance(value, str) for value in chosen.values()) or "file" not in chosen:
        return []
    try:
        opened = open_chosen(**chosen)
    except SanaWMError:
        return []
    return [{"model": opened.info.name, "variant": opened.info.variant, "reference": opened.config.reference.name}]
