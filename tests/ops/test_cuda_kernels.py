import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEAST_SHARED = 64 * 1024
"""Bytes of shared memory that a program may take on the smallest of these cards (Turing)."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is there for Linux")
def test_every_cuda_kernel_compiles_for_cards_of_several_generations() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    program = Path(__file__).parents[1] / "compile_kernels.py"
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    compiled = [json.loads(line) for line in done.stdout.splitlines()]
    for generation in (75, 80, 90):
        names = {
            each["kernel"].removeprefix("midframe.")
            for each in compiled
            if each["generation"] == generation
        }
        expected = 9 + 1 + 5 + 7 + 5 + 2 + 1
        assert len(names) == expected, (
            f"convolutions, a split, FlowSep's steps, activation, crops: {names}"
        )
    assert max(each["shared"] for each in compiled) <= LEAST_SHARED
    assert {kind for each in compiled for kind in each["types"]} >= {"*fp32", "*fp16", "*bf16"}
