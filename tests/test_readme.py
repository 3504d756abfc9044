"""What the documents say is so: their commands and snippets run, their output is what is printed.

UPDATE_GOLDEN=1 puts new output into the README; read the difference.
"""

import doctest
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jenga_sim import gpu_names, load_gpu, load_model, model_names
from jenga_sim.cli import VERBS, main
from jenga_sim.policies.presets import PRESETS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+?)\)")


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [code for found, code in CODE.findall(text) if found == language]


def commands(document: str) -> list[list[str]]:
    """Commands of the shell blocks, without comments."""
    lines = (line for block in blocks(document, "sh") for line in block.splitlines())
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def jenga_commands(document: str) -> list[str]:
    return [shlex.join(words[1:]) for words in commands(document) if words[0] == "jenga-sim"]


def examples(document: str) -> Iterator[tuple[list[str], str]]:
    """Commands of the console blocks, each with the output that the document shows."""
    for block in blocks(document, "console"):
        for part in block.split("$ jenga-sim ")[1:]:
            command, _, output = part.partition("\n")
            yield shlex.split(command), output


def call(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Call jenga-sim in this process; returns what it printed without trailing blanks."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["jenga-sim", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == 0, printed.err
    return "".join(f"{line.rstrip()}\n" for line in printed.out.splitlines())


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the README's trace and the repository's docs."""
    (tmp_path / "trace.jsonl").write_text(blocks("README.md", "jsonl")[0], encoding="utf-8")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [pytest.param(*example, id=shlex.join(example[0])) for example in examples("README.md")],
)
def test_output_in_the_readme_is_what_is_printed(
    arguments: list[str],
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = call(arguments, monkeypatch, capsys)
    if arguments[0] != "run":
        assert stands_in_order(shown, whole)
        return
    printed = excerpt(whole)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        readme = ROOT / "README.md"
        text = readme.read_text(encoding="utf-8")
        readme.write_text(text.replace(shown, printed, 1), encoding="utf-8")
    else:
        assert shown == printed


def stands_in_order(shown: str, printed: str) -> bool:
    """Whether the lines shown are printed in this order; "..." and more may stand between."""
    lines = iter(printed.splitlines())
    return all(line in lines for line in shown.splitlines() if line != "...")


def excerpt(printed: str) -> str:
    """What the README shows of a table: the head, and the memory by layer kind."""
    lines = printed.splitlines()
    starts = next(i for i, line in enumerate(lines) if line.startswith("KV pool"))
    ends = next(i for i, line in enumerate(lines) if line.startswith("| total"))
    shown = [*lines[:2], "...", *lines[starts : ends + 1], "..."]
    return "".join(f"{line}\n" for line in shown)


@pytest.mark.parametrize("line", jenga_commands("README.md"))
def test_commands_of_the_readme_run(
    line: str,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(shlex.split(line), monkeypatch, capsys)


def test_files_that_out_writes_are_named(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(["run", "trace.jsonl", "--out", "results", "--quiet"], monkeypatch, capsys)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    written = {path.name for path in (workplace / "results").iterdir()}
    assert written >= {"summary.json", "requests.csv", "steps.csv", "provenance.json"}
    for name in ("summary.json", "requests.csv", "steps.csv", "provenance.json"):
        assert name in readme
    assert sum(name.endswith(".png") for name in written) == 2


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_python_snippets_run(document: str, workplace: Path) -> None:
    snippets = blocks(document, "python")
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, document, "exec"), {"__name__": "snippet"})


@pytest.mark.parametrize("document", ["docs/memory-accounting.md", "docs/prefix-caching.md"])
def test_calculations_in_the_docs_are_right(document: str) -> None:
    outcome = doctest.testfile(str(ROOT / document), module_relative=False)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_the_model_and_gpu_of_contributing_can_be_loaded(workplace: Path) -> None:
    for text in blocks("CONTRIBUTING.md", "yaml"):
        name = text.splitlines()[0].removeprefix("# ")
        (workplace / name).write_text(text, encoding="utf-8")
    model = load_model(workplace / "model.yaml")
    assert len(model.layers) == model.num_layers
    assert load_gpu(workplace / "gpu.yaml").flops["bf16"] > 0


def test_make_has_the_targets_that_the_documents_name() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for document in DOCUMENTS:
        for words in commands(str(document.relative_to(ROOT))):
            if words[0] == "make":
                assert {word for word in words[1:] if "=" not in word} <= targets, document


def test_the_readme_lists_all_models_gpus_policies_and_verbs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = {word.strip(".,;:`") for word in readme.split()}
    assert {*gpu_names(), *PRESETS, *VERBS} <= listed
    assert f"{len(model_names())} models come with the package" in readme


def test_architecture_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = ("jenga_sim/cli", "configs", "traces", "policies", "sim", "calibrate")
    modules = [path.name for folder in folders for path in (ROOT / folder).rglob("*.py")]
    missing = {name for name in modules if name not in text and name != "__init__.py"}
    assert not missing, "give each a line in the tree of docs/architecture.md"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target
