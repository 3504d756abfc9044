"""The build table, the links and the tree agree; a wheel holds the package and nothing else."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import jenga_sim

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TABLE: dict[str, Any] = PYPROJECT["tool"]["setuptools"]
SAME_DISTRIBUTION = {"yaml": "pyyaml", "pydantic_core": "pydantic"}
"""Modules whose name is not that of the requirement."""
FOLDERS = ("calibrate", "configs", "policies", "sim", "traces")
HEAVY = ("matplotlib", "msgspec", "numba", "numpy", "pandas", "pydantic", "simpy", "torch", "yaml")


def modules() -> list[Path]:
    """All Python files of the package, once each."""
    own = [path for path in (ROOT / "jenga_sim").glob("**/*.py") if not through_link(path)]
    return sorted([*own, *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))])


def through_link(path: Path) -> bool:
    return path.relative_to(ROOT).parts[1] in FOLDERS


def in_package(path: Path) -> str:
    """Path of a file inside the package: ``sim/run.py`` is ``jenga_sim/sim/run.py``."""
    relative = path.relative_to(ROOT).as_posix()
    return relative if relative.startswith("jenga_sim/") else f"jenga_sim/{relative}"


def data_files() -> list[str]:
    """Files beside the code that the package needs at run time."""
    found = [ROOT / "jenga_sim" / "py.typed"]
    found += (ROOT / "configs").rglob("*.yaml")
    profiles = ROOT / "configs" / "profiles"
    found += [profiles / "README.md", *profiles.rglob("*.csv"), *profiles.rglob("*.csv.gz")]
    found += (ROOT / "traces" / "samples").glob("*.json*")
    return [in_package(path) for path in found]


def test_the_folders_are_linked_into_the_package() -> None:
    links = {path.name for path in (ROOT / "jenga_sim").iterdir() if path.is_symlink()}
    assert links == set(FOLDERS)
    for name in links:
        assert os.readlink(ROOT / "jenga_sim" / name) == f"../{name}"


def test_the_build_table_lists_every_folder_with_code() -> None:
    expected = {Path(in_package(path)).parent.as_posix().replace("/", ".") for path in modules()}
    assert sorted(TABLE["packages"]) == sorted(expected)
    assert sorted(TABLE["package-dir"]) == sorted(expected)
    for package, folder in TABLE["package-dir"].items():
        init = ROOT / folder / "__init__.py"
        assert init.is_file()
        assert in_package(init) == f"{package.replace('.', '/')}/__init__.py"


def test_types_are_checked_in_every_linked_folder() -> None:
    """The checker follows no link that is not listed."""
    included = PYPROJECT["tool"]["pyright"]["include"]
    assert {f"jenga_sim/{folder}" for folder in FOLDERS} <= set(included)


def test_every_import_of_another_package_is_declared() -> None:
    project = PYPROJECT["project"]
    declared = {requirement_name(text) for text in project["dependencies"]}
    extra = {requirement_name(text) for text in project["optional-dependencies"]["calibrate"]}
    for path in modules():
        allowed = declared | (extra if path.is_relative_to(ROOT / "calibrate") else set())
        for name in imported(path):
            known = name in sys.stdlib_module_names or name == "jenga_sim"
            known = known or SAME_DISTRIBUTION.get(name, name) in allowed
            assert known, f"{path.relative_to(ROOT)} imports {name}, which is not declared"


def requirement_name(text: str) -> str:
    match = re.match(r"[A-Za-z0-9_.-]+", text)
    assert match is not None
    return match.group().lower().replace("-", "_")


def imported(path: Path) -> set[str]:
    """Top-level names of all absolute imports of a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A source archive and a wheel, built from a copy so that the tree stays clean."""
    pytest.importorskip("setuptools", minversion="77")
    place = tmp_path_factory.mktemp("build")
    tree, out = place / "tree", place / "out"
    out.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*", "build", "dist", "out")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignore)
    archive = out / build(tree, "sdist", out)
    with tarfile.open(archive) as file:
        file.extractall(place / "unpacked", filter="data")
    (unpacked,) = (place / "unpacked").iterdir()
    wheel = out / build(tree, "wheel", out)
    again = place / build(unpacked, "wheel", place)
    return {"sdist": archive, "wheel": wheel, "wheel from sdist": again}


def build(tree: Path, what: str, out: Path) -> str:
    """Build with the setuptools of this environment; returns the name of the file."""
    code = f"from setuptools import build_meta; print(build_meta.build_{what}({str(out)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return {name for name in file.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(
    built: dict[str, Path],
) -> None:
    expected = {in_package(path) for path in modules()} | set(data_files())
    assert contents(built["wheel"]) == expected


def test_the_wheel_of_the_source_archive_is_the_same(built: dict[str, Path]) -> None:
    assert contents(built["wheel from sdist"]) == contents(built["wheel"])


def test_the_wheel_works_without_the_checkout(built: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built["wheel"]) as file:
        file.extractall(tmp_path)
    code = (
        "import jenga_sim; result = jenga_sim.run(jenga_sim.read_trace(jenga_sim.sample_path())"
        ".head(20)); print(jenga_sim.__file__, result.summary['completed'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(tmp_path / "jenga_sim" / "__init__.py"), "20"], done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom jenga_sim.cli import main\n"
        f"sys.argv = ['jenga-sim', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
        f"print('imported:', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"


def test_import_of_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, jenga_sim\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_all_is_what_can_be_imported() -> None:
    homes: dict[str, str] = vars(jenga_sim)["_HOMES"]
    assert jenga_sim.__all__ == sorted(jenga_sim.__all__)
    assert set(jenga_sim.__all__) == {*homes, "__version__"} == set(dir(jenga_sim))
    for name, home in homes.items():
        module = importlib.import_module(f"jenga_sim.{home}")
        assert getattr(jenga_sim, name) is getattr(module, name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = jenga_sim.nonsense


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "jenga_sim" / "__init__.py").read_text(encoding="utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == vars(jenga_sim)["_HOMES"]


def documented(node: ast.AST) -> list[ast.AST]:
    """Public functions, classes and their public methods below ``node``."""
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if child.name.startswith("_"):
                continue
            found.append(child)
            if isinstance(child, ast.ClassDef):
                found.extend(documented(child))
    return found


@pytest.mark.parametrize("path", modules(), ids=in_package)
def test_every_public_name_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the module has no docstring"
    for node in documented(tree):
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        assert ast.get_docstring(node), f"line {node.lineno}: {node.name} has no docstring"
