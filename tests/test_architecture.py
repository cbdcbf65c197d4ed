"""The shape of the code: which part may import which, what `import pumice` loads, what the files may name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("compiler", "hwsim", "models", "runtime")

# What each part may import of ours, besides itself, and the leaves pumice.errors, pumice.files, pumice.progress.
ARROWS = {
    "compiler": ("pumice.hwsim.spec", "pumice.hwsim.arith", "pumice.hwsim.programmable", "pumice.hwsim.scoring"),
    "hwsim": (),
    "models": ("pumice.compiler.dialect", "pumice.hwsim.scoring"),
    "runtime": ("pumice.compiler", "pumice.hwsim", "pumice.models"),
}


def module_name(path: Path, root: Path = ROOT) -> str:
    """`compiler/passes/fold.py` -> `pumice.compiler.passes.fold`."""
    parts = ("pumice", *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str, root: Path = ROOT) -> bool:
    """Whether a dotted name under `pumice` is a module or package of ours, and not something defined in one."""
    top, *rest = name.split(".")
    if top != "pumice":
        return False
    base = root if not rest or rest[0] in PARTS else root / "src" / "pumice"
    place = base.joinpath(*rest)
    return place.is_dir() or place.with_suffix(".py").is_file()


def from_base(node: ast.ImportFrom, package: str) -> str:
    """The module that a `from … import` names, relative dots resolved against `package`."""
    if node.level == 0:
        return node.module or ""
    anchor = package.split(".")
    base = anchor[: len(anchor) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def dotted(node: ast.expr) -> str:
    """`a.b.c` as text, or "" where the expression is anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def imported(source: str, module: str, is_package: bool, root: Path = ROOT) -> Iterator[tuple[int, str]]:
    """Every module that a source file reaches, with its line: imports anywhere in the file, also in functions and under
    TYPE_CHECKING; `pumice.x.y` written out after `import pumice`; and strings that are a module's name, which is what
    `import_module` and tables of lazy imports are given.
    """
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = from_base(node, package)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node.lineno, full if is_module(full, root) else base
        elif isinstance(node, ast.Attribute):
            name = dotted(node)
            if name.startswith("pumice.") and is_module(name, root):
                yield node.lineno, name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.partition(":")[0]
            if name.startswith("pumice.") and is_module(name, root):
                yield node.lineno, name


def within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(allowed + ".")


def violations(path: Path, root: Path = ROOT) -> list[str]:
    """The imports of one file of a part that its part's arrows do not allow."""
    part = path.relative_to(root).parts[0]
    allowed = (f"pumice.{part}", "pumice.errors", "pumice.files", "pumice.progress", *ARROWS[part])
    module = module_name(path, root)
    reached = imported(path.read_text(encoding="utf-8"), module, path.name == "__init__.py", root)
    return [
        f"{path.relative_to(root)}:{line}: {part} may not import {name}"
        for line, name in reached
        if name.startswith("pumice.") and not any(within(name, target) for target in allowed)
    ]


def python_files(*folders: str) -> list[Path]:
    """The Python files under the folders; links to folders are not followed, so that each file comes once."""
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts
    )


@pytest.mark.parametrize("part", PARTS)
def test_imports_follow_the_arrows(part: str) -> None:
    found = [line for path in python_files(part) for line in violations(path)]
    assert not found, "\n".join(found)


def test_errors_and_the_package_itself_import_no_part() -> None:
    for path in sorted((ROOT / "src" / "pumice").glob("*.py")):
        name = "pumice" if path.stem == "__init__" else f"pumice.{path.stem}"
        reached = imported(path.read_text(encoding="utf-8"), name, path.stem == "__init__")
        ours = {target for _, target in reached if target.split(".")[0] == "pumice"}
        assert ours <= {"pumice.errors", "pumice.files", "pumice.progress"}, (
            f"{path.relative_to(ROOT)} imports {sorted(ours)}"
        )


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("hwsim", "from pumice.compiler import dialect"),
        ("hwsim", "def f():\n    import pumice.runtime.cli"),
        ("hwsim", "from ..compiler.dialect import DIALECT_VERSION"),
        ("compiler", "from pumice import runtime"),
        ("compiler", "import pumice\ndef f():\n    pumice.models.zoo"),
        ("compiler", "from pumice.hwsim import lava"),
        ("compiler", "from importlib import import_module\nm = import_module('pumice.models')"),
        ("models", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pumice.compiler.passes import x"),
        ("models", "BACKENDS = {'lava': 'pumice.runtime.cli:main'}"),
    ],
)
def test_an_import_against_the_arrows_is_found(tmp_path: Path, part: str, source: str) -> None:
    for folder in ("compiler/passes", "hwsim/lava", "models/zoo", "runtime/cli"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "compiler" / "dialect.py").touch()
    path = tmp_path / part / "wrong.py"
    path.write_text(source)
    assert any(f"{part} may not import pumice." in line for line in violations(path, tmp_path))


def test_the_parts_are_imported_under_their_package() -> None:
    """`import compiler` works by accident of the working directory, and makes a second copy of every class."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files(*PARTS, "src", "tests", "bench", "examples", "scripts", "docs")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] in PARTS for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] in PARTS)
    ]
    assert not found, f"import pumice.… instead: {', '.join(found)}"


CORE_ONLY = """
import sys

CORE = {"pumice", "numpy", "networkx", "nir", "safetensors", "h5py", "tomli"}

class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in CORE or top in sys.stdlib_module_names:
            return None
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import pumice, pumice.compiler, pumice.hwsim
heavy = {"torch", "lava", "numba", "sklearn", "matplotlib", "typer", "rich"}
assert not heavy & set(sys.modules), sorted(heavy & set(sys.modules))
"""


def test_import_pumice_loads_the_core_only(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", CORE_ONLY], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr


# Patterns, so that this file does not match itself.
PACKAGE_INDEX = re.compile(
    rb"pypi\.org|pythonhosted\.org|download\.pytorch\.org|anaconda\.(?:org|com)|/simple[/]|--(?:extra-)?index-url[= ]"
)
MACHINE_PATH = re.compile(rb"(?<![\w.~>})$-])/(?:work|root|home|Users|opt|mnt)/\w|file:/{2,3}\w")


def tree() -> list[Path]:
    """The files git knows or would add."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is no telling which files belong to the project")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=True,
    ).stdout
    paths = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


@pytest.mark.parametrize("pattern", [PACKAGE_INDEX, MACHINE_PATH], ids=["package-index", "machine-path"])
def test_no_file_names_a_package_index_or_a_place_on_one_machine(pattern: re.Pattern[bytes]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode(errors='replace')}"
        for path in tree()
        if (match := pattern.search(path.read_bytes()))
    ]
    assert not found, "\n".join(found)
