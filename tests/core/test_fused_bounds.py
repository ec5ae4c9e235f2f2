"""No fused kernel touches memory outside its tensors: on a card that would end every other program that uses it too."""

import os
import signal
import subprocess
import sys

import interpreted  # noqa: F401  (skips without Triton)
import pytest
from cases import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guards its memory with mprotect")


def run(*arguments):
    command = [sys.executable, str(ROOT / "tests" / "guarded_kernels.py"), *arguments]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("edge", ["before", "behind"])
def test_memory_beside_every_tensor_stays_untouched(edge):
    done = run(edge)
    assert (done.returncode, done.stdout) == (0, "untouched\n"), done.stderr[-2000:]


def test_a_kernel_that_reads_one_token_too_many_would_be_seen():
    assert run("behind", "beyond").returncode == -signal.SIGSEGV
