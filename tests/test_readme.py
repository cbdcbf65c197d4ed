"""The README's step-by-step example and its Python snippet, run as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pumice.runtime.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_commands_and_the_snippet_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "tests").symlink_to(Path(__file__).parent)  # the README's commands are given from a clone
    lines = [line for block in blocks("console") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if re.match(r"\$ (pumice|python|cp) ", line)]
    assert len(commands) >= 12
    for program, *words in commands:
        if program == "pumice":
            assert main(words) == 0, words
        else:
            subprocess.run([sys.executable if program == "python" else program, *words], check=True, timeout=60)
    (snippet,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_file_the_readme_points_to_exists() -> None:
    root = Path(__file__).parents[1]
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert targets
    assert not [target for target in targets if not (root / target).exists()]
