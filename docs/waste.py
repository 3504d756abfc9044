"""Measure and show what every policy wastes on a trace: the last section of docs/policies.md.

``waste.py TRACE`` runs what waste.json lacks, one run after another, and keeps what is done; then,
or without a trace, it writes the tables and the picture anew. With the trace of the document a run
takes from a quarter of a minute to four.
"""

import io
import json
import re
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from draw_policies import HATCHES, plain_svg
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from jenga_sim import run
from jenga_sim.configs.errors import ConfigError
from jenga_sim.policies.presets import PRESETS
from jenga_sim.sim.plots import KIND_COLORS, WASTE_COLORS

HERE = Path(__file__).parent
RESULTS, DOCUMENT, PICTURE = HERE / "waste.json", HERE / "policies.md", HERE / "pictures/waste.svg"
GPU = "h100-sxm"
NUM_GPUS = {
    "gemma-3-27b": 2,
    "jamba-1.5-mini": 4,
    "qwen3-next-80b": 4,
    "bamba-9b": 1,
    "gpt-oss-120b": 2,
}
BUSIEST = "gemma-3-27b"
"""The model whose pool is full most of the time."""
PARTS = ("needed", "dead", "padding", "internal", "external")
COLORS = {"needed": KIND_COLORS[1], **WASTE_COLORS}

Outcome = dict[str, Any]
Results = dict[str, dict[str, Outcome]]
"""By model and policy."""


def outcome_of(summary: dict[str, Any]) -> Outcome:
    """What the tables need of a run: parts as shares of the bytes that are held or stranded."""
    memory = summary["memory"]
    held = sum(memory[part] for part in PARTS)
    return {
        "parts": {part: round(memory[part] / held, 5) for part in PARTS},
        "free": round(memory["free"], 5),
        "batch": round(summary["batch_size"]["mean"], 1),
        "preemptions": summary["num_preemptions"],
        "rejected": summary["rejected"],
        "output_throughput": round(summary["output_throughput"], 1),
    }


def known_results() -> Results:
    """What waste.json has."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))["results"] if RESULTS.exists() else {}


def measure(trace: Path, results: Results) -> None:
    """Run every policy on every model, without a prefix cache; keep what is already there.

    The figures belong to one trace: delete waste.json before you use another.
    """
    source = {"trace": trace.name, "sha256": sha256(trace.read_bytes()).hexdigest()}
    if RESULTS.exists():
        known = json.loads(RESULTS.read_text(encoding="utf-8"))
        if known["sha256"] != source["sha256"]:
            sys.exit(f"{RESULTS.name} has figures of {known['trace']}: delete it first")
    for model, gpus in NUM_GPUS.items():
        for policy in PRESETS:
            known = results.setdefault(model, {})
            if policy in known:
                continue
            print(f"{model}, {policy}", file=sys.stderr)
            try:
                result = run(
                    trace,
                    model=model,
                    gpu=GPU,
                    policy=policy,
                    tensor_parallel_size=gpus,
                    enable_prefix_caching=False,
                )
                known[policy] = outcome_of(result.summary)
            except ConfigError as error:
                known[policy] = {"error": str(error)}
            kept = json.dumps({**source, "results": results}, indent=1)
            RESULTS.write_text(kept + "\n", encoding="utf-8")


def wasted(outcome: Outcome) -> float:
    """Share of the bytes held or stranded that is not needed."""
    return 1 - float(outcome["parts"]["needed"])


def waste_table(results: Results) -> str:
    """Waste in percent, one column per model."""
    lines = [f"| | {' | '.join(NUM_GPUS)} |", f"|---|{'---:|' * len(NUM_GPUS)}"]
    for policy in PRESETS:
        cells: list[str] = []
        for model in NUM_GPUS:
            outcome = results[model][policy]
            cells.append("does not fit" if "error" in outcome else f"{wasted(outcome):.1%}")
        lines.append(f"| `{policy}` | {' | '.join(cells)} |")
    return "\n".join(lines).replace("%", " %")


def busy_table(results: Results) -> str:
    """Parts, batch and throughput of the model whose pool is full."""
    names = [*PARTS[1:], "running", "preemptions", "output tok/s"]
    lines = [f"| `{BUSIEST}` | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for policy in PRESETS:
        outcome = results[BUSIEST][policy]
        cells = [f"{outcome['parts'][part]:.1%}".replace("%", " %") for part in PARTS[1:]]
        cells += [f"{outcome['batch']:.1f}", f"{outcome['preemptions']:,}"]
        cells.append(f"{outcome['output_throughput']:.0f}")
        lines.append(f"| `{policy}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def figure_of(results: Results) -> Figure:
    """A panel per model, a bar per policy, split into the parts."""
    figure = Figure(figsize=(8.75, 4.3), facecolor="white")
    FigureCanvasSVG(figure)
    panels: list[Axes] = list(figure.subplots(1, len(NUM_GPUS), sharey=True))
    for axes, model in zip(panels, NUM_GPUS, strict=True):
        _draw_panel(axes, results[model])
        axes.set_title(f"{model}\n{NUM_GPUS[model]} x H100", fontsize=9)
    panels[0].set_yticks(range(len(PRESETS)), list(PRESETS))
    panels[0].invert_yaxis()
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, ncols=len(PARTS), loc="lower center", fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1), w_pad=0.6)
    return figure


def _draw_panel(axes: Axes, outcomes: dict[str, Outcome]) -> None:
    places = [at for at, policy in enumerate(PRESETS) if "parts" in outcomes[policy]]
    ends = [0.0] * len(places)
    measured = [outcomes[policy]["parts"] for policy in PRESETS if "parts" in outcomes[policy]]
    for part in PARTS:
        widths = [100 * float(parts[part]) for parts in measured]
        axes.barh(places, widths, 0.76, ends, label=part, color=COLORS[part],
                  hatch=HATCHES.get(part), edgecolor="#333333", linewidth=0.3)  # fmt: skip
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for at, policy in enumerate(PRESETS):
        if "error" in outcomes[policy]:
            axes.text(2, at, "does not fit", va="center", fontsize=8)
    axes.set(xlim=(0, 100), xticks=[0, 50, 100], xticklabels=["0", "50", "100 %"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, length=2)


def render(results: Results) -> None:
    """Write the tables into the document, and the picture."""
    tables = f"{waste_table(results)}\n\n{busy_table(results)}"
    text = DOCUMENT.read_text(encoding="utf-8")
    place = re.compile(r"(?<=<!-- waste tables -->\n).*?(?=<!-- end -->)", re.DOTALL)
    DOCUMENT.write_text(place.sub(lambda _: f"\n{tables}\n\n", text), encoding="utf-8")
    drawn = io.StringIO()
    with rc_context({"svg.hashsalt": "waste", "svg.fonttype": "path", "hatch.linewidth": 0.5}):
        figure_of(results).savefig(drawn, format="svg", metadata={"Date": None})
    PICTURE.write_text(plain_svg(drawn.getvalue()), encoding="utf-8")


if __name__ == "__main__":
    figures = known_results()
    for path in sys.argv[1:]:
        measure(Path(path), figures)
    render(figures)
