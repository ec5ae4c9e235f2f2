"""wm_core.rollout.tensor_file: what it writes is what the safetensors library reads, and it holds one tensor at a time."""

import hashlib
import subprocess
import sys

import pytest
import torch
from cases import ROOT
from safetensors.torch import load_file

from wm_core.errors import ShapeError
from wm_core.rollout.tensor_file import WORDS, write_tensors


def test_the_library_reads_what_was_written(tmp_path):
    g = torch.Generator().manual_seed(0)
    tensors = {f"{i}.{word}": (100 * torch.randn(3, 5, generator=g)).to(d) for i, (d, word) in enumerate(WORDS.items())}
    tensors |= {"empty": torch.zeros(1, 8, 0, 2), "scalar": torch.tensor(3.5), "view": torch.randn(4, 6, generator=g).T}
    told = write_tensors(tmp_path / "x.safetensors", tensors)
    assert told == hashlib.sha256((tmp_path / "x.safetensors").read_bytes()).hexdigest()
    read = load_file(tmp_path / "x.safetensors")
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype and torch.equal(read[name], tensor)


def test_a_dtype_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ShapeError, match="odd must be one of F64"):
        write_tensors(tmp_path / "x.safetensors", {"odd": torch.zeros(2, dtype=torch.complex64)})
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memory_is_that_of_the_largest_tensor(tmp_path):
    """Views that must be made whole before they are written, as tensors of another device must be copied."""
    code = f"""
import torch
from pathlib import Path
from wm_core.rollout.tensor_file import write_tensors
peak = lambda: int(next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM")).split()[1])
base = torch.zeros(2000, 2000).T  # 16 MB
write_tensors({str(tmp_path / "a")!r}, {{"a": base}})
before = peak()
write_tensors({str(tmp_path / "b")!r}, {{str(i): base for i in range(20)}})
print((peak() - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40, f"{done.stdout.strip()} MB more for 320 MB in twenty tensors"
