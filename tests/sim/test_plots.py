"""The pictures show the bytes of the steps table, and say whose they are."""

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

import jenga_sim
from jenga_sim import Trace
from jenga_sim.sim.engine import Hooks
from jenga_sim.sim.plots import GIB, WASTE_COLORS, batch_figure, memory_figure
from jenga_sim.sim.result import Result

TRACE = Trace.from_columns(
    [int(5e9 + i * 70e6) for i in range(20)], [200 + 150 * i for i in range(20)], [60] * 20
)


def run(policy: str = "paged", **settings: Any) -> Result:
    settings = {"kv_cache_memory_bytes": 3 << 30} | settings
    return jenga_sim.run(TRACE, policy=policy, **settings)


@pytest.fixture(scope="module")
def result() -> Result:
    return run()


def legend_of(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("draw", [memory_figure, batch_figure])
def test_title_names_model_gpu_and_policy(draw: Any, result: Result) -> None:
    title = draw(result).get_suptitle()

    assert title.endswith("gemma-3-27b, 1 x h100-sxm, paged")


@pytest.mark.parametrize("draw", [memory_figure, batch_figure])
def test_title_of_an_interrupted_run_says_so(draw: Any) -> None:
    interrupted = run(hooks=Hooks(should_stop=lambda: True))

    assert draw(interrupted).get_suptitle().endswith("(interrupted)")


@pytest.mark.parametrize("policy", ["paged", "vllm", "lcm", "static"])
def test_layers_of_the_memory_picture_stack_up_to_the_pool(policy: str) -> None:
    result = run(policy)
    figure = memory_figure(result)
    pool = result.summary["kv_pool"]["bytes"] / GIB

    axes = figure.axes[0]
    areas = [area for area in axes.collections if isinstance(area, PolyCollection)]
    tops = [float(area.get_paths()[0].vertices[:, 1].max()) for area in areas]  # type: ignore[index]
    assert max(tops) == pytest.approx(pool)
    low, high = axes.get_ylim()
    assert low == 0
    assert high == pytest.approx(pool)
    assert len(areas) == len(legend_of(figure))


def test_legend_of_the_memory_picture_names_every_kind_and_the_parts_that_occur(
    result: Result,
) -> None:
    legend = legend_of(memory_figure(result))

    occurring = {part for part in WASTE_COLORS if result.steps[part].any()}
    assert {"dead", "free", "reserved"} <= occurring
    assert "cached" not in occurring
    assert set(legend) == {"needed: swa(1024)", "needed: full", *occurring}
    assert legend[-1].startswith("needed: "), "the legend lists the layers from the top down"


def test_colors_of_the_memory_picture_are_told_apart(result: Result) -> None:
    areas = memory_figure(result).axes[0].collections
    colors = {tuple(area.get_facecolor()[0]) for area in areas}  # type: ignore[index]

    assert len(colors) == len(areas)


def test_batch_picture_draws_running_and_waiting_of_the_steps_table(result: Result) -> None:
    figure = batch_figure(result)
    running, waiting = (axes.get_lines()[0] for axes in figure.axes)

    assert np.array_equal(running.get_ydata(), result.steps["running"])
    assert np.array_equal(waiting.get_ydata(), result.steps["waiting"])
    assert result.steps["waiting"].max() > 0
    seconds = np.asarray(running.get_xdata(), dtype=float)
    assert seconds[0] == 0
    assert seconds[-1] == pytest.approx(
        (result.steps["start_ms"].iloc[-1] - result.steps["start_ms"].iloc[0]) / 1e3
    )
    assert legend_of(figure) == ["running", "waiting"]


@pytest.mark.parametrize("draw", [memory_figure, batch_figure])
def test_a_run_without_steps_is_drawn_as_words(draw: Any) -> None:
    figure = draw(run(hooks=Hooks(should_stop=lambda: True)))

    assert [text.get_text() for text in figure.axes[0].texts] == ["no step was simulated"]


@pytest.mark.parametrize("draw", [memory_figure, batch_figure])
def test_a_run_in_which_everything_was_rejected_can_be_drawn(draw: Any) -> None:
    result = run(max_model_len=20)
    assert result.summary["rejected"] == len(TRACE)

    draw(result).canvas.draw()


@pytest.mark.parametrize("draw", [memory_figure, batch_figure])
def test_a_run_of_one_step_can_be_drawn(draw: Any) -> None:
    result = jenga_sim.run(Trace.from_columns([0], [10], [1]), model="llama-3.1-8b")
    assert len(result.steps) == 1

    figure = draw(result)

    figure.canvas.draw()
    assert legend_of(figure)
