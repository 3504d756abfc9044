"""docs/policies.md has every policy, and its pictures are those that would be drawn today."""

import doctest
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
import waste
from draw_policies import DOCUMENT, FOLDER, figure_of, with_words, write
from matplotlib.patches import Rectangle
from policy_figures import MIB, MOMENT_NS, POOL_BYTES, Picture, picture, trace

from jenga_sim import run
from jenga_sim.policies.presets import PRESETS

DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
DRAWN_BY = f"Matplotlib v{mpl.__version__},"
MOST_BYTES = 60_000

every_policy = pytest.mark.parametrize("name", PRESETS)
figures = cache(picture)


def section(name: str) -> str:
    """What the document says under a heading."""
    pieces = re.split(r"^## (.+)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))[name]


def shape(text: str) -> str:
    """An SVG without its numbers: they follow from the figures, and may differ in a last digit."""
    return re.sub(r"-?\d+(\.\d+)?|[0-9a-f]{10}", "#", re.sub(r"<!--.*?-->", "", text))


@every_policy
def test_a_policy_has_a_paragraph_a_picture_and_a_source(name: str) -> None:
    text = section(name)
    policy = PRESETS[name]
    assert text.strip().splitlines()[0] == (
        f"*grouping `{policy.grouping}`, carving `{policy.carving}`, "
        f"scheduler `{policy.scheduler}`, retention `{policy.retention}`*"
    )
    assert re.findall(r"!\[[^]]*\]\((.*?)\)", text) == [f"pictures/policies/{name}.svg"]
    assert len(re.findall(r"^Source: .+", text, re.MULTILINE)) == 1


def test_the_document_says_which_requests_are_in_the_pictures() -> None:
    text, requests = " ".join(section("How to read the pictures").split()), trace()
    prompts, outputs = requests.input_tokens, requests.output_tokens
    assert f"{len(prompts)} requests" in text
    assert f"prompts of {prompts.min()} to {prompts.max():,} tokens" in text
    assert f"outputs of {outputs.min()} to {outputs.max()}." in text
    assert f"{POOL_BYTES // MIB} MiB" in text
    assert f"{MOMENT_NS // 10**6} ms after the first arrival" in text


def test_there_is_a_picture_of_each_policy_and_no_other() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(PRESETS)


@every_policy
def test_the_pictures_are_what_is_drawn_today(name: str, tmp_path: Path) -> None:
    """``make pictures`` draws them again; read the difference."""
    path = FOLDER / f"{name}.svg"
    kept = path.read_text(encoding="utf-8")
    descriptions = [each.text for each in ElementTree.parse(path).iter(DESCRIPTION)]
    assert descriptions == [figures(name).as_json()]
    assert path.stat().st_size < MOST_BYTES
    write(figures(name), tmp_path / "now.svg")
    now = (tmp_path / "now.svg").read_text(encoding="utf-8")
    if DRAWN_BY in kept:
        assert shape(kept) == shape(now)


@every_policy
def test_the_words_in_place_of_a_picture_are_its_figures(name: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_words(text, figures(name)) == text


@every_policy
def test_the_figures_sum_to_the_pool_and_are_drawn_to_scale(name: str) -> None:
    data = figures(name)
    assert sum(bytes_ for _, bytes_ in data.pool) == POOL_BYTES
    bar = figure_of(data).axes[-1]
    widths = [patch.get_width() for patch in bar.patches if isinstance(patch, Rectangle)]
    assert [round(width * MIB) for width in widths] == [size for _, size in data.pool if size]


@every_policy
def test_parts_lie_in_the_pool_and_hold_what_requests_hold(name: str) -> None:
    data = figures(name)
    ends = [0, *(edge for part in data.parts for edge in (part.start, part.end)), POOL_BYTES]
    assert ends == sorted(ends)
    assert all(0 <= part.held <= part.end - part.start for part in data.parts)
    if data.parts:
        assert sum(part.held for part in data.parts) == held_in_pages(data)


def held_in_pages(data: Picture) -> int:
    """Bytes of pages that requests hold: all but what the carving has."""
    outside = ("external", "reserved", "free")
    return sum(bytes_ for label, bytes_ in data.pool if label not in outside)


def test_drawing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write(figures("pad-lcm"), tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_calculations_in_the_document_are_right() -> None:
    outcome = doctest.testfile(str(DOCUMENT), module_relative=False)
    assert outcome.attempted > 0
    assert outcome.failed == 0


# --- what wastes how much


def test_every_policy_was_measured_on_every_model() -> None:
    results = waste.known_results()
    assert {model: set(known) for model, known in results.items()} == {
        model: set(PRESETS) for model in waste.NUM_GPUS
    }
    for known in results.values():
        for outcome in known.values():
            shares = outcome.get("parts", {"error": 1.0})
            assert sum(shares.values()) == pytest.approx(1, abs=1e-4)


def test_the_tables_are_those_of_the_measurements() -> None:
    results = waste.known_results()
    text = section("What wastes how much")
    assert waste.waste_table(results) in text
    assert waste.busy_table(results) in text


def test_a_summary_is_condensed_to_shares_of_what_is_held_or_stranded() -> None:
    summary = run(
        trace().head(8), model="gemma-3-27b", policy="static", enable_prefix_caching=False
    ).summary
    outcome = waste.outcome_of(summary)
    assert waste.wasted(outcome) == pytest.approx(summary["waste"], abs=1e-4)
