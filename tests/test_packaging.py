"""The wheel: all of Pumice is in it, and works from where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("compiler", "hwsim", "models", "runtime")
NOT_SHIPPED = {".md", ".pyc"}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built without the network, from a copy, so that no earlier build's leftovers get in."""
    source = tmp_path_factory.mktemp("source") / "pumice"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in ("src", *PARTS):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=ignored)
    out = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "pip", "wheel", source, "--wheel-dir", out),
        *("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"),
        cwd=out,
    )
    (built,) = out.glob("pumice-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    pip = (sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check", "--quiet")
    run(*pip, "--target", target, wheel, cwd=target)
    return target


def shipped() -> set[str]:
    """Every file of the four folders, and of `src/pumice`, under its name in the wheel."""
    files = {
        path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "pumice").iterdir() if path.is_file()
    }
    for part in PARTS:
        for path in (ROOT / part).rglob("*"):
            if path.is_file() and path.suffix not in NOT_SHIPPED and "__pycache__" not in path.parts:
                files.add(f"pumice/{path.relative_to(ROOT).as_posix()}")
    return files


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = sorted(shipped() - names)
    assert not missing, f"not in the wheel, see package-data in pyproject.toml: {missing}"
    assert "pumice/py.typed" in names
    foreign = sorted(name for name in names if not name.startswith(("pumice/", "pumice-")))
    assert not foreign, f"not ours to install: {foreign}"


def test_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = next(name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name)
        metadata = archive.read(f"{info}/METADATA").decode()
        scripts = archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert "License-Expression: Apache-2.0" in metadata
    assert "[console_scripts]\npumice = pumice.runtime.cli:" in scripts


def test_installed_wheel_imports_from_where_it_is(installed: Path) -> None:
    code = "import pumice, pumice.compiler, pumice.hwsim; print(pumice.__file__, *pumice.compiler.__path__)"
    places = run(sys.executable, "-c", code, cwd=installed.parent, PYTHONPATH=str(installed)).split()
    assert all(Path(place).is_relative_to(installed) for place in places), places


def test_installed_wheel_has_the_command(installed: Path) -> None:
    command = installed / "bin" / "pumice"
    assert "demo" in run(sys.executable, command, "--help", cwd=installed.parent, PYTHONPATH=str(installed))
