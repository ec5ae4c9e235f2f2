"""Camera files of other programs: read into a CameraPath, and written from one. FORMATS has a row for each."""

from .gltf import gltf_path
from .points import Points, import_points
from .stored import StoredCameras
from .table import FORMATS, Format
from .transfer import export_path, import_path

__all__ = ["FORMATS", "Format", "Points", "StoredCameras", "export_path", "gltf_path", "import_path", "import_points"]
