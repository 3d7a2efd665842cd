import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MIN_SHARED_MEMORY = 64 * 1024
"""Bytes of shared memory of a thread block on the smallest of these GPUs (Turing)."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Triton supports only Linux")
def test_every_cuda_kernel_compiles_for_several_gpu_generations() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    program = Path(__file__).parents[1] / "compile_kernels.py"
    completed = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr[-2000:]
    compiled = [json.loads(line) for line in completed.stdout.splitlines()]
    for generation in (75, 80, 90):
        names = {
            each["kernel"].removeprefix("midframe.")
            for each in compiled
            if each["generation"] == generation
        }
        expected = 9 + 1 + 5 + 7 + 5 + 2 + 1
        assert len(names) == expected, (
            f"convolutions, a split, steps of FlowSep, activation, crops: {names}"
        )
    assert max(each["shared"] for each in compiled) <= MIN_SHARED_MEMORY
    assert {dtype for each in compiled for dtype in each["types"]} >= {"*fp32", "*fp16", "*bf16"}
