"""Cameras as files: this pack's own, keyframe documents, and those of other programs."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..wm_core.camera import (
    CONVENTIONS,
    FORMATS,
    SCENES,
    SceneFormat,
    describe,
    export_path,
    find_scene,
    import_path,
    own_camera,
    save_path,
)
from ..wm_core.errors import CameraError
from .bridge import path_inside, say
from .camera import CATEGORY
from .compat import advanced, check_choice
from .load import AUTO
from .shipped import CAMERAS
from .types import Camera

OWN = "sana-wm"
SUFFIXES = (
    ".safetensors",
    *{suffix for row in SCENES.values() for suffix in row.suffixes},
    *{name for row in FORMATS.values() if not row.is_folder for name in row.names},
)
MODEL_FILES = {row.names[-1] for row in FORMATS.values() if row.is_folder}  # what tells a folder that is a camera
SUBFOLDER = "cameras"


class SanaWMCameraLoad(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMCameraLoad",
            display_name="Load SANA-WM Camera",
            category=CATEGORY,
            description="A camera path from a file in the input or output folder: this pack's own, keyframes, or that of another "
            "program. The path begins at its first camera.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=camera_files(),
                    tooltip="Press R to refresh the list. A COLMAP model is the folder with its images.bin or images.txt.",
                ),
                io.Combo.Input(
                    "convention",
                    options=[AUTO, *CONVENTIONS],
                    default=AUTO,
                    tooltip="Axes that the program writes. auto: those of the format. A path that moves the wrong way has others.",
                ),
                io.Combo.Input(
                    "matrices",
                    options=[AUTO, "c2w", "w2c"],
                    default=AUTO,
                    tooltip="c2w: where the camera stands in the world. w2c: its inverse, called view or extrinsics.",
                ),
                io.Float.Input(
                    "metres",
                    default=1.0,
                    min=0.000001,
                    max=1_000_000.0,
                    step=0.01,
                    tooltip="Length of the file's unit: 0.01 for centimetres (Unreal). COLMAP's has none; see the speed.",
                ),
                io.Float.Input(
                    "fov",
                    default=0.0,
                    min=0.0,
                    max=170.0,
                    step=0.1,
                    tooltip="Horizontal degrees, for files that have no intrinsics. 0: those of the file.",
                ),
                io.Image.Input("image", optional=True, tooltip="Its size counts where the file does not say one."),
                advanced(_combo("format", [AUTO, *FORMATS, *SCENES], "What the file is. auto: by name and content.")),
                advanced(
                    _combo("intrinsics", ["", *camera_files(".npy")], "A second .npy file with K or fx fy cx cy.")
                ),
                advanced(
                    io.Float.Input(
                        "fps", default=0.0, min=0.0, max=1000.0, step=1.0, tooltip="0: those of the file, or 16."
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "transposed", default=False, tooltip="The program writes matrices column by column."
                    )
                ),
            ],
            outputs=[Camera.Output(display_name="camera"), io.String.Output(display_name="summary")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, file, intrinsics=""):
        for name in filter(None, (file, intrinsics)):
            if _place_of(name) is None:
                return (
                    f"camera file {name!r:.80} is not in the input or output folder; put it there and refresh (press R)"
                )
        return True

    @classmethod
    def fingerprint_inputs(cls, file=None, intrinsics="", **_):
        return [_written(name) for name in (file, intrinsics) if name]

    @classmethod
    def execute(
        cls, file, convention=AUTO, matrices=AUTO, metres=1.0, fov=0.0, image=None, format=AUTO, intrinsics="", fps=0.0,
        transposed=False,
    ):  # fmt: skip
        check_choice("convention", convention, [AUTO, *CONVENTIONS])
        check_choice("matrices", matrices, [AUTO, "c2w", "w2c"])
        check_choice("format", format, [AUTO, *FORMATS, *SCENES])
        checked = cls.validate_inputs(file, intrinsics)
        if checked is not True:
            raise CameraError(checked)
        place = _place_of(file)
        path = own_camera(place) if format == AUTO else None
        size = None if image is None else tuple(image.shape[1:3])
        scene = find_scene(place) if format == AUTO and path is None else SCENES.get(format)
        if scene is not None:
            _check_axes(place.name, scene, convention=convention, matrices=matrices, transposed=transposed)
            path = scene.read(place, size=size, fps=fps or None, metres=metres)
        if path is None:
            path = import_path(
                place,
                format=None if format == AUTO else format,
                convention=None if convention == AUTO else convention,
                matrices=None if matrices == AUTO else matrices,
                metres=metres,
                transposed=transposed,
                size=size,
                fps=fps or None,
                intrinsics=str(_place_of(intrinsics)) if intrinsics else None,
                fov_deg=fov or None,
            )
        path = path.relative_to_first()
        told = "\n".join([describe(path), *path.provenance.conversions])
        say(told, cls.hidden.unique_id)
        return io.NodeOutput(path, told)


class SanaWMCameraSave(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMCameraSave",
            display_name="Save SANA-WM Camera",
            category=CATEGORY,
            description="Keep a camera path: whole in this pack's own format, or for another program.",
            inputs=[
                Camera.Input("camera"),
                io.String.Input(
                    "filename_prefix",
                    default="cameras/SanaWM",
                    tooltip="Name below the output folder; a number is added. May name a subfolder and %year% %month% %day%.",
                ),
                io.Combo.Input(
                    "format",
                    options=[OWN, *FORMATS, *SCENES],
                    default=OWN,
                    tooltip="sana-wm keeps everything: poses, intrinsics, rate, and where they came from. gltf is for Blender; "
                    "what it and omnicam cannot hold is said.",
                ),
                io.Combo.Input(
                    "convention", options=[AUTO, *CONVENTIONS], default=AUTO, tooltip="auto: the format's own."
                ),
                io.Combo.Input(
                    "matrices", options=[AUTO, "c2w", "w2c"], default=AUTO, tooltip="auto: the format's own."
                ),
                io.Float.Input(
                    "metres",
                    default=1.0,
                    min=0.000001,
                    max=1_000_000.0,
                    step=0.01,
                    tooltip="Length of the file's unit.",
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Full path of the file, or of COLMAP's folder.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, camera, filename_prefix="cameras/SanaWM", format=OWN, convention=AUTO, matrices=AUTO, metres=1.0):
        check_choice("format", format, [OWN, *FORMATS, *SCENES])
        output = folder_paths.get_output_directory()
        folder, name, counter, _, _ = folder_paths.get_save_image_path(filename_prefix, output)
        target, told = Path(folder) / f"{name}_{counter:05}_", ()
        if format == OWN:
            if (convention, matrices, metres) != (AUTO, AUTO, 1.0):
                raise CameraError(
                    f"{OWN} is always OpenCV c2w in metres; leave convention, matrices and metres, or choose a format"
                )
            target = target.with_name(f"{target.name}.safetensors")
            save_path(camera, target)
        elif format in SCENES:
            _check_axes(target.name, SCENES[format], convention=convention, matrices=matrices)
            target = target.with_name(target.name + SCENES[format].suffix)
            told = SCENES[format].write(camera, target, metres=metres)
        else:
            row = FORMATS[format]
            target = target if row.is_folder else target.with_name(target.name + row.names[0])
            export_path(
                camera,
                target,
                format=format,
                convention=None if convention == AUTO else convention,
                matrices=None if matrices == AUTO else matrices,
                metres=metres,
            )
        return io.NodeOutput(str(target), ui=ui.PreviewText("\n".join([str(target), *told])))


NODES = [SanaWMCameraLoad, SanaWMCameraSave]


def camera_files(*suffixes: str) -> list[str]:
    """Names for the file widget: files of known suffixes, and folders of COLMAP models, in the input folder, below
    output/cameras, and what ships with the pack."""
    found: set[str] = set()
    given, saved = Path(folder_paths.get_input_directory()), Path(folder_paths.get_output_directory()) / SUBFOLDER
    for root, prefix in ((given, ""), (saved, f"output/{SUBFOLDER}/"), (CAMERAS, "")):
        for folder, _, names in os.walk(root):
            here = Path(folder).relative_to(root)
            found |= {prefix + (here / n).as_posix() for n in names if n.lower().endswith(suffixes or SUFFIXES)}
            if not suffixes and here != Path(".") and MODEL_FILES & set(names):
                found.add(prefix + here.as_posix())
    return sorted(found)


def _place_of(name: str) -> Path | None:
    """Where that name lies, the user's own file before one that ships; None if it lies nowhere, or outside of the folders."""
    is_saved = name.startswith("output/")
    roots = (folder_paths.get_output_directory(),) if is_saved else (folder_paths.get_input_directory(), CAMERAS)
    places = (path_inside(root, name.removeprefix("output/")) for root in roots)
    return next((place for place in places if place is not None and place.exists()), None)


def _written(name: str) -> tuple:
    place = _place_of(name)
    files = [] if place is None else sorted(place.iterdir()) if place.is_dir() else [place]
    return name, [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]


def _check_axes(name: str, scene: SceneFormat, **chosen: str | bool) -> None:
    """CameraError if other axes were chosen than those that the format has."""
    wrong = [widget for widget, value in chosen.items() if value not in (AUTO, False)]
    if wrong:
        raise CameraError(f"{name} is {scene.label}, which has one convention; leave {' and '.join(wrong)} alone")


def _combo(name: str, options: list[str], tooltip: str) -> io.Input:
    return io.Combo.Input(name, options=options, default=options[0], tooltip=tooltip)
