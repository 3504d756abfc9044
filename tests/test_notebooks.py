"""Each notebook runs, and is the same as its Python file. Run as a script, this stores the output.

A notebook is a pair: the ``.py`` file is what people edit, the ``.ipynb`` file what they read.
"""

import base64
import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("*.py"))
MAX_BYTES = 300_000
PALETTE = 64
"""Colours of a stored picture; text and lines need no more, and it has a third of the bytes."""
TIMEOUT_S = 300
QUIET = {
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "JUPYTER_PLATFORM_DIRS": "1",
    "PYTHONWARNINGS": "default",
}


def from_source(source: Path) -> Any:
    """The notebook that the Python file describes, without output."""
    notebook = jupytext.read(source)
    notebook.metadata = {"kernelspec": dict(notebook.metadata["kernelspec"])}
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02}"
    return notebook


def execute(notebook: Any) -> Any:
    """Run all cells in a kernel of this environment; an error in a cell is an error here."""
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        record_timing=False,
        coalesce_streams=True,
    )
    with environment(QUIET):
        client.execute()
    return notebook


@contextmanager
def environment(variables: dict[str, str]) -> Generator[None]:
    """Set environment variables for a while."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def cells(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def printed(notebook: Any) -> list[str]:
    """What each cell prints and shows as text; white space and pictures do not count.

    A kernel sends what a cell prints in one piece or in several, as time goes.
    """
    return [" ".join(_text(cell.get("outputs", [])).split()) for cell in notebook.cells]


def _text(outputs: list[Any]) -> str:
    shown = ""
    for output in outputs:
        data = output.get("data", {})
        if "image/png" not in data:
            shown += output.get("text", "") + data.get("text/plain", "")
    return shown


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_pair_is_in_step(source: Path) -> None:
    stored: Any = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert cells(stored) == cells(from_source(source)), "run: make notebooks"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_notebook_runs_and_its_stored_output_is_what_it_prints(source: Path) -> None:
    stored: Any = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    ran = execute(from_source(source))
    assert printed(stored) == printed(ran), "run: make notebooks"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_notebook_is_small_and_has_pictures_and_no_complaints(source: Path) -> None:
    path = source.with_suffix(".ipynb")
    stored: Any = nbformat.read(path, as_version=4)
    outputs = [output for cell in stored.cells for output in cell.get("outputs", [])]
    assert path.stat().st_size < MAX_BYTES
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert str(NOTEBOOKS.parent) not in path.read_text(encoding="utf-8")


def with_small_pictures(notebook: Any) -> Any:
    """Pictures with a palette instead of four channels."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
                small = io.BytesIO()
                picture.convert("RGB").quantize(PALETTE).save(small, "PNG", optimize=True)
                data["image/png"] = base64.b64encode(small.getvalue()).decode("ascii")
    return notebook


def store() -> None:
    """Run every notebook and write its ``.ipynb`` file."""
    for source in SOURCES:
        notebook = with_small_pictures(execute(from_source(source)))
        nbformat.write(notebook, source.with_suffix(".ipynb"))
        print(f"wrote notebooks/{source.stem}.ipynb")


if __name__ == "__main__":
    sys.exit(store())
