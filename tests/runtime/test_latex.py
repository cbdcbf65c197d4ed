"""LaTeX tables: well-formed by structure, and by a real engine where one is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from latex_tables import assert_tabular
from torch import nn

from pumice.models import profile
from pumice.runtime import energy_report, paper_report
from pumice.runtime.latex import tabular
from pumice.runtime.paper_data import read_table
from pumice.runtime.paper_tables import compute

ENGINES = {
    "pdflatex": ("-interaction=nonstopmode", "-halt-on-error", "table.tex"),
    "tectonic": ("table.tex",),
}
NASTY = r"a_b^c & 5% of #1 ~ $x$ {y} \z <|> × µ é 日"


@given(st.lists(st.lists(st.text(st.characters(blacklist_categories=("Cs",))), min_size=2, max_size=2)))
def test_any_text_gives_a_well_formed_table(rows: list[list[str]]) -> None:
    assert_tabular(tabular("lr", ("a", "b"), [rows]))


@pytest.mark.parametrize(
    "bad",
    [
        "\\begin{tabular}{lr}\n\\hline\na_b & c \\\\\n\\hline\n\\end{tabular}\n",
        "\\begin{tabular}{lr}\n\\hline\na & b & c \\\\\n\\hline\n\\end{tabular}\n",
        "\\begin{tabular}{lr}\n\\hline\na & {b \\\\\n\\hline\n\\end{tabular}\n",
        "\\begin{tabular}{lr}\n\\hline\na & b\n\\hline\n\\end{tabular}\n",
        "\\begin{tabular}{lr}\n\\hline\n[a] & c \\\\\n\\hline\n\\end{tabular}\n",
        "\\begin{tabular}{lr}\n\\hline\na & 5% \\\\\n\\hline\n\\end{tabular}\n",
    ],
)
def test_the_check_refuses_what_an_engine_refuses(bad: str) -> None:
    with pytest.raises(AssertionError):
        assert_tabular(bad)


def engine() -> str | None:
    return next((name for name in ENGINES if shutil.which(name)), None)


@pytest.mark.skipif(engine() is None, reason="no pdflatex and no tectonic on this machine")
def test_an_engine_compiles_the_tables(tmp_path: Path) -> None:
    name = engine()
    assert name
    network = nn.Sequential()
    network.add_module("with_percent%_and#", nn.Linear(2, 2))
    tables = [
        energy_report.as_latex(profile(network, [torch.ones(1, 2)])),
        paper_report.as_latex(compute(read_table("tp-spikformer"))),
        tabular("lr", ("a", "b"), [[(NASTY, "1"), ("[a]", "2"), ("* b", "3"), ("\n", "4")]]),
    ]
    body = "\n\n".join(tables)
    text = f"\\documentclass{{article}}\n\\begin{{document}}\n\\tiny\n{body}\n\\end{{document}}\n"
    (tmp_path / "table.tex").write_text(text)
    done = subprocess.run(
        [name, *ENGINES[name]], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 1000
