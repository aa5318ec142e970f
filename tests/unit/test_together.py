"""Two processes learn what one does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.training import together
from tests.one_of_several import learned

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.mark.timeout(240)
def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    told = subprocess.run(
        [*TORCHRUN, "-m", "tests.one_of_several", str(tmp_path / "own.npy")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert told.returncode == 0, told.stderr
    assert np.load(tmp_path / "own.npy") == pytest.approx(learned(), abs=1e-4)


@pytest.mark.timeout(240)
def test_the_command_is_started_as_its_help_says(tmp_path: Path) -> None:
    """Without the two dashes torchrun takes --log for its own."""
    told = subprocess.run(
        [
            *TORCHRUN,
            "-m",
            "--",
            "stream.cli",
            "train",
            "--log",
            str(tmp_path / "nowhere"),
            "--out",
            str(tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{tmp_path / 'nowhere'}" in told.stderr
    assert "ambiguous" not in told.stderr
    assert "-m -- stream.cli train" in (together.__doc__ or "")


def test_alone_a_process_is_the_first_and_has_the_whole_batch() -> None:
    assert (together.rank(), together.size()) == (0, 1)
    assert together.join("cuda:1", 1) == "cuda:1"
    assert together.share(torch.arange(5)).tolist() == [0, 1, 2, 3, 4]
