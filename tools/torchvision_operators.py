"""Lets the registry's torchvision be imported beside a CPU build of torch (set-up copies this file into the venv).

torchvision reads its compiled operators from a library built for exactly one build of torch. Beside another build (a
torch from the index is a CUDA build on Linux; a CPU build of the same version is not it) that library does not load,
torchvision goes on without it, and then stops at the first Python line that describes an operator nobody declared:
"operator torchvision::nms does not exist". ComfyUI needs torchvision's picture transforms only, never those
operators, so it is enough to declare their signatures before torchvision is imported.

A `.pth` line in site-packages imports this module in every process of the venv; it loads torch only when torchvision
is imported. Set-up writes that line only where `import torchvision` fails for this reason.
"""

from __future__ import annotations

import sys

SIGNATURES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept = []  # a torch.library.Library takes its operators back when it is collected


class DeclareBeforeTorchvision:
    """An import finder that finds nothing: it declares the operators when torchvision is asked for, once."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for signature in SIGNATURES:
                library.define(signature)
            _kept.append(library)


sys.meta_path.insert(0, DeclareBeforeTorchvision())
