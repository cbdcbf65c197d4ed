"""The examples of docs/sweep.md, run as they stand; the cluster is one of the test's own."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from sweeps import cluster

from pumice.runtime.cli import main

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    text = (ROOT / "docs" / "sweep.md").read_text()
    lines = [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    commands = [shlex.split(line)[2:] for line in lines if line.startswith("$ pumice ")]
    assert len(commands) == 4
    with cluster(tmp_path, 2) as found:
        for words in commands:
            assert main([word.replace("tcp://127.0.0.1:8786", found.address) for word in words]) == 0, words
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "energy_nj_loihi1_sanafe" in done.stdout
