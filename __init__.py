"""SANA-WM for ComfyUI: the camera-controlled world model as native nodes. The host imports this file; see nodes/."""

from __future__ import annotations

import logging

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The extension ComfyUI asks for. The nodes are imported here, so that importing the pack alone costs nothing."""
    from comfy_api.latest import ComfyExtension

    try:
        from server import PromptServer

        from .nodes import NODES
        from .nodes.editor_server import offer_camera_editor
        from .nodes.record import note_models
        from .nodes.shipped import offer_shipped_models
    except Exception:  # the host shows one line of an error raised here, so the rest of it is logged first
        logging.getLogger("sana_wm").exception("SANA-WM's nodes could not be imported")
        raise
    PromptServer.instance.add_on_prompt_handler(note_models)
    offer_shipped_models()
    offer_camera_editor(PromptServer.instance)

    class SanaWMExtension(ComfyExtension):
        async def get_node_list(self) -> list[type]:
            return list(NODES)

    return SanaWMExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
