"""The Makefile: a step that fails ends it, and leaves nothing that the next run would take for done."""

import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
DEMO = Path(".venv/share/firstclick/demo")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder in which all is made but the demo's bundle."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copy(MAKEFILE, tmp_path)
    for name in (
        "pyproject.toml",
        "stream/demo/towers/towers.json",
        ".venv/bin/python",
        ".venv/stamps/demo",
        "build/encoder/tokenizer.json",
        ".venv/share/firstclick/zero-shot/manifest.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def make(house: Path, *, ends_with: int) -> subprocess.CompletedProcess[str]:
    """`make install` with a `firstclick` that writes a manifest, whatever it is asked, and ends so."""
    command = house / ".venv" / "bin" / "firstclick"
    command.write_text(
        f"#!/bin/sh\necho asked: $*\nmkdir -p {DEMO}\necho {{}} > {DEMO}/manifest.json\nexit {ends_with}\n"
    )
    command.chmod(0o755)
    return subprocess.run(["make", "install"], cwd=house, capture_output=True, text=True, check=False)


def test_towers_that_do_not_fit_end_make_and_leave_no_bundle(house: Path) -> None:
    ran = make(house, ends_with=2)
    assert "asked: model graft" in ran.stdout
    assert ran.returncode != 0
    assert not (house / DEMO).exists()


def test_a_bundle_that_is_there_is_not_made_again(house: Path) -> None:
    assert make(house, ends_with=0).returncode == 0
    assert (house / DEMO / "manifest.json").is_file()
    assert "asked:" not in make(house, ends_with=0).stdout
