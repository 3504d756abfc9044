"""Draw the pictures of docs/policies.md: ``make pictures``, or ``draw_policies.py [POLICY ...]``.

Every length in a picture is a figure of ``policy_figures``. The figures are kept as JSON in the
description of the SVG, so that a test can compare them with what the simulator computes today.
"""

import io
import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MultipleLocator
from policy_figures import KIB, MIB, MOMENT_NS, POOL_BYTES, Part, Picture, Row, picture

from jenga_sim.configs.specs import cdiv
from jenga_sim.policies.presets import PRESETS
from jenga_sim.sim.plots import KIND_COLORS, WASTE_COLORS

DOCUMENT = Path(__file__).parent / "policies.md"
FOLDER = DOCUMENT.parent / "pictures" / "policies"
WIDEST_KIB = 480
"""Length of the scale for pages, in all pictures: the large page of ``jenga``."""
COLORS = {
    "full": KIND_COLORS[0],
    "swa(256)": KIND_COLORS[1],
    "mamba": KIND_COLORS[5],
    "mamba.0": KIND_COLORS[5],
    "mamba.1": KIND_COLORS[2],
    **WASTE_COLORS,
}
HATCHES = {"padding": "////", "dead": "xxx", "external": "\\\\\\"}


def figure_of(data: Picture) -> Figure:
    """Pages on a scale of KiB; the parts of a divided pool; the whole pool at the moment."""
    shapes = [(0.34 * len(data.rows), 0.27), (0.36, 0.27), (0.36, 0.27)]
    lefts = (0.26, 0.02, 0.02)
    if not data.parts:
        del shapes[1]
    total = top = sum(height + gap + 0.3 for height, gap in shapes) + 0.4
    figure = Figure(figsize=(8.75, total), facecolor="white")
    FigureCanvasSVG(figure)
    boxes: list[Axes] = []
    for (height, gap), left in zip(shapes, lefts, strict=False):
        top -= height + gap
        boxes.append(figure.add_axes((left, top / total, 0.98 - left, height / total)))
        top -= 0.3
    draw_pages(boxes[0], data)
    if data.parts:
        draw_parts(boxes[1], data.parts)
    draw_pool(boxes[-1], data)
    return figure


def draw_pages(axes: Axes, data: Picture) -> None:
    """One block of each group; where there are large pages, those that it lies in, full."""
    for place, row in enumerate(data.rows):
        units = f", {row.units} unit{'s'[: row.units - 1]}" if row.units else ""
        axes.text(-5, place - 0.2, row.name + units, ha="right", va="center", size=9)
        axes.text(-5, place + 0.2, _caption(row), ha="right", va="center", size=8, color="#444444")
        per_frame = row.in_large or 1
        frames = cdiv(row.pages_per_block, per_frame)
        draw_row(axes, row, frames * per_frame, place)
        edges = [i * per_frame * row.page_bytes / KIB for i in range(frames + 1)]
        _lines(axes, edges, place, "black", 2.0 if row.in_large else 0.9)
        ends = (edges[0], edges[-1], math.nan)
        heights = [place + side * 0.32 for side in (-1, -1, 0, 1, 1, 0)]
        axes.plot(ends * 2, heights, "k", lw=1.6 if row.in_large else 0.9, clip_on=False)
    large = data.rows[0].in_large * data.rows[0].page_bytes
    what = "a block of each group"
    if large:
        what += (
            f", in large pages (thick frames) of {large // KIB} KiB that are full of such blocks"
        )
    _title(axes, f"{data.policy}: {what} (KiB)", -0.333)
    axes.set(xlim=(0, WIDEST_KIB), ylim=(len(data.rows) - 0.5, -0.5), yticks=[])
    _plain(axes, 96)


def _caption(row: Row) -> str:
    size = f"{row.page_bytes / KIB:g} KiB"
    if row.pages_per_block > 1:
        size = f"{row.pages_per_block} x {size}"
    padding = 1 - sum(bytes_ for _, bytes_ in row.layers) / (row.page_bytes * row.pages_per_block)
    share = f", {padding:.0%} padding" if padding else ""
    return f"{row.holds}, {size}{share}"


def draw_row(axes: Axes, row: Row, pages: int, place: int) -> None:
    """So many pages side by side; white lines between layers, black ones between pages."""
    starts: list[float] = []
    run: tuple[str, float, float] = ("", 0, 0)
    for label, low, high in [*_stripes(row, pages), ("", 0, 0)]:
        if label == run[0]:
            starts.append(low)
            run = (label, run[1], high)
            continue
        if run[0]:
            _box(axes, run[1], run[2] - run[1], place, run[0])
        run = (label, low, high)
    if row.page_bytes > 8 * KIB:
        _lines(axes, starts, place, "white", 0.7)
    _lines(axes, [page * row.page_bytes / KIB for page in range(pages)], place, "black", 0.9)


def _stripes(row: Row, pages: int) -> Iterator[tuple[str, float, float]]:
    """Label, start and end (KiB) of what lies in each page: parts of layers, then padding."""
    room = sum(bytes_ for _, bytes_ in row.layers) // row.pages_per_block
    for index in range(pages):
        start, first, end = index * row.page_bytes, index % row.pages_per_block * room, 0
        for label, bytes_ in row.layers:
            low, high = max(end, first), min(end + bytes_, first + room)
            end += bytes_
            if low < high:
                yield label, (start + low - first) / KIB, (start + high - first) / KIB
        if room < row.page_bytes:
            yield "padding", (start + room) / KIB, (start + row.page_bytes) / KIB


def draw_parts(axes: Axes, parts: Sequence[Part]) -> None:
    """A divided pool: each part, pale, and what requests hold of it."""
    for part in parts:
        start, width, held = part.start / MIB, (part.end - part.start) / MIB, part.held / MIB
        _box(axes, start, width, 0, part.name, alpha=0.25)
        _box(axes, start + (width - held if part.from_above else 0), held, 0, part.name)
        _lines(axes, [start, start + width], 0, "black", 1.6)
    sizes = ", ".join(f"{part.name} {(part.end - part.start) / MIB:.1f} MiB" for part in parts)
    _title(axes, f"the pool's parts, dark where held: {sizes}")
    axes.set(xlim=(0, POOL_BYTES / MIB), ylim=(0.36, -0.36), yticks=[])
    _plain(axes, 12)


def draw_pool(axes: Axes, data: Picture) -> None:
    """The whole pool as one bar, its parts with their shares below it."""
    handles: list[Patch] = []
    start = 0
    for label, bytes_ in data.pool:
        if not bytes_:
            continue
        _box(axes, start / MIB, bytes_ / MIB, 0, label)
        start += bytes_
        name = label if label in WASTE_COLORS else f"needed: {label}"
        share = bytes_ / POOL_BYTES
        text = f"{name} {share:.1%}" if share >= 0.0005 else f"{name} < 0.1%"
        handles.append(Patch(fc=COLORS[label], ec="#333333", lw=0.3, hatch=HATCHES.get(label),
                             label=text))  # fmt: skip
    share = data.needed() / POOL_BYTES
    counts = f"{data.running} requests run, {data.waiting} wait, {share:.1%} is needed"
    _title(axes, f"the pool of {POOL_BYTES // MIB} MiB after {MOMENT_NS // 10**6} ms: {counts}")
    axes.set(xlim=(0, POOL_BYTES / MIB), ylim=(0.36, -0.36), yticks=[])
    axes.legend(handles=handles, ncols=5, fontsize=8, frameon=False, loc="upper left",
                bbox_to_anchor=(-0.01, -0.35), handlelength=1.4, columnspacing=1.2)  # fmt: skip
    _plain(axes, 12)


def _box(axes: Axes, x: float, width: float, y: float, label: str, alpha: float = 1) -> None:
    box = Rectangle((x, y - 0.32), width, 0.64, fc=COLORS[label], hatch=HATCHES.get(label))
    box.set(alpha=alpha, edgecolor="#333333", linewidth=0.3 if alpha == 1 else 0)
    axes.add_patch(box).set_clip_on(False)


def _lines(axes: Axes, places: Sequence[float], y: float, color: str, lw: float) -> None:
    """Vertical lines, as one path."""
    xs = [x for place in places for x in (place, place, math.nan)]
    ys = [y - 0.32, y + 0.32, math.nan] * len(places)
    axes.plot(xs, ys, color=color, lw=lw, clip_on=False, solid_capstyle="butt")


def _title(axes: Axes, text: str, x: float = 0) -> None:
    axes.set_title(text, loc="left", size=9.5, x=x, pad=4)


def _plain(axes: Axes, step: int) -> None:
    axes.spines[:].set_visible(False)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.tick_params(labelsize=8, length=2, pad=1)


def write(data: Picture, path: Path) -> None:
    """Write an SVG: equal figures and an equal matplotlib give equal bytes."""
    drawn = io.StringIO()
    with rc_context({"svg.hashsalt": data.policy, "svg.fonttype": "path", "hatch.linewidth": 0.5}):
        metadata = {"Date": None, "Description": data.as_json()}
        figure_of(data).savefig(drawn, format="svg", metadata=metadata)
    path.write_text(plain_svg(drawn.getvalue()), encoding="utf-8")


def plain_svg(text: str) -> str:
    """A smaller file: two decimals but in the scale of glyphs, short names, no indentation."""
    text = re.sub(r"(scale\([^)]*\))|(?<=\.\d\d)\d+", lambda m: m[1] or "", text)
    return re.sub(r" *\n *", "\n", text.replace("DejaVuSans-", "g"))


def with_words(text: str, data: Picture) -> str:
    """The document with the picture's figures in words, as the text in place of the picture."""
    link = f"(pictures/policies/{data.policy}.svg)"
    return re.sub(rf"!\[[^\]]*\]{re.escape(link)}", f"![{data.in_words()}]{link}", text)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PRESETS:
        drawn = picture(name)
        write(drawn, FOLDER / f"{name}.svg")
        DOCUMENT.write_text(with_words(DOCUMENT.read_text("utf-8"), drawn), "utf-8")
