"""Cameras: paths, the action strings and presets that make them, and the conditions the world model reads."""

from . import quaternion, reshaping, retiming
from .actions import Segment, actions_to_path, integrate, parse_actions
from .any_file import camera_of_file, own_camera
from .conditions import CameraConditions, build_conditions
from .conventions import CONVENTIONS, from_opencv, to_opencv
from .dialects import DEFAULT_DIALECT, DIALECTS, NO_INERTIA, Dialect, Inertia
from .exchange import (
    FORMATS,
    SCENES,
    Format,
    Points,
    SceneFormat,
    export_path,
    exported_text,
    find_scene,
    gltf_export,
    gltf_path,
    import_path,
    import_points,
    omnicam_export,
    omnicam_path,
    omnicam_text,
)
from .fitting import Fit, keyframes_of, preset_keyframes
from .formats import load_path, save_path
from .frame_overlay import Layers, held_keys, overlaid
from .intrinsics import Crop, choose_intrinsics, field_of_view_deg, fit_crop, from_fov, resample_intrinsics
from .keyframe_document import read_keyframes, write_keyframes
from .keyframes import Key, Keyframes, keyframed_path
from .load3d import load3d_path, to_load3d
from .motion import Motion, measure
from .narrate import describe
from .overlay import path_plan, preview_picture
from .path import CameraPath, Provenance
from .photo import Photo, from_focal_length, read_photo
from .preflight import Finding, Preflight, preflight
from .revisits import Revisit, find_revisits
from .rotation import angle_between, relative_to_first, rigid_inverse
from .trajectories import EASINGS, PRESETS, preset_path
from .translation import Translation, translated
from .wan import wan_embedding

__all__ = [
    "CONVENTIONS",
    "DEFAULT_DIALECT",
    "DIALECTS",
    "EASINGS",
    "FORMATS",
    "NO_INERTIA",
    "PRESETS",
    "SCENES",
    "CameraConditions",
    "CameraPath",
    "Crop",
    "Dialect",
    "Finding",
    "Fit",
    "Format",
    "Inertia",
    "Key",
    "Keyframes",
    "Layers",
    "Motion",
    "Photo",
    "Points",
    "Preflight",
    "Provenance",
    "Revisit",
    "SceneFormat",
    "Segment",
    "Translation",
    "actions_to_path",
    "angle_between",
    "build_conditions",
    "camera_of_file",
    "choose_intrinsics",
    "describe",
    "export_path",
    "exported_text",
    "field_of_view_deg",
    "find_revisits",
    "find_scene",
    "fit_crop",
    "from_focal_length",
    "from_fov",
    "from_opencv",
    "gltf_export",
    "gltf_path",
    "held_keys",
    "import_path",
    "import_points",
    "integrate",
    "keyframed_path",
    "keyframes_of",
    "load3d_path",
    "load_path",
    "measure",
    "omnicam_export",
    "omnicam_path",
    "omnicam_text",
    "overlaid",
    "own_camera",
    "parse_actions",
    "path_plan",
    "preflight",
    "preset_keyframes",
    "preset_path",
    "preview_picture",
    "quaternion",
    "read_keyframes",
    "read_photo",
    "relative_to_first",
    "resample_intrinsics",
    "reshaping",
    "retiming",
    "rigid_inverse",
    "save_path",
    "to_load3d",
    "to_opencv",
    "translated",
    "wan_embedding",
    "write_keyframes",
]
