"""Camera files of other programs: read into a CameraPath, and written from one. FORMATS and SCENES have a row for each."""

from .gltf import gltf_path
from .gltf_writer import gltf_export
from .omnicam import omnicam_path
from .omnicam_writer import omnicam_export, omnicam_text
from .points import Points, import_points
from .scenes import SCENES, SceneFormat, find_scene
from .stored import StoredCameras
from .table import FORMATS, Format
from .transfer import export_path, exported_text, import_path

__all__ = [
    "FORMATS",
    "SCENES",
    "Format",
    "Points",
    "SceneFormat",
    "StoredCameras",
    "export_path",
    "exported_text",
    "find_scene",
    "gltf_export",
    "gltf_path",
    "import_path",
    "import_points",
    "omnicam_export",
    "omnicam_path",
    "omnicam_text",
]
