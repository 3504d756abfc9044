"""Jenga's pool as ``run`` has it beside its artifact's, mistakes and all, on the same cases.

Where memory is scarce they may part, for the artifact

* admits a prompt as if nothing of it were cached, and asks for a page per decode, needed or not;
* hands a page out twice once it has lost its owner, and never gives a large page to another group
  of which some small pages are cached and the others empty;
* exchanges what was cached behind a hit for empty pages, after the whole prompt has its pages, and
  breaks if that prompt's quota of large pages is spent by then;
* shares pages of prompts that start in the same step.

None of this but the break changes a decision where there is room for everybody.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.policies.carving.lcm import LCMCarving
from jenga_sim.policies.large_pages.rules import WholePromptRules
from jenga_sim.sim.cases import CaseSetup, prompt_tokens, read_case
from jenga_sim.sim.jenga_replay import JengaReplay, Log
from jenga_sim.sim.large_tables import LargePageTables
from jenga_sim.sim.prefix_keys import TokenKeys
from jenga_sim.sim.scheduler_v0 import WATERMARK, SchedulerV0
from tests.sim.strategies import examples

DECISIONS = ("step", "prefill", "decode", "preempted", "ignored", "hits", "finished")
BLOCK = 8
FULL = {"kind": "full", "kv_heads": 1, "head_size": 16}
WINDOW = {"kind": "sliding_window", "kv_heads": 1, "head_size": 16}
STATE = {"kind": "mamba", "kv_heads": 1, "head_size": 1}


class OurReplay(JengaReplay):
    """The same case and scheduler over ``LargePageTables``."""

    def __init__(self, setup: CaseSetup) -> None:
        super().__init__(setup)
        case, caching = setup.case, setup.case.enable_prefix_caching
        carving = LCMCarving(self.groups, case.kv_bytes)
        keys = TokenKeys(lambda slot: prompt_tokens(case, slot), case.max_model_len)
        self.ours = LargePageTables(
            self.requests,
            carving,
            keys if caching else None,
            WholePromptRules(caching),
            watermark=WATERMARK,
            counts_steps=True,
        )
        self.scheduler = SchedulerV0(self.requests, self.ours, self.scheduler.config)
        assert carving.num_large == self.pool.num_large
        self.small = carving.pages.small
        self.free_large: list[int] = []

    def _group_record(self, index: int) -> Log:
        self.ours.check()
        if not index:
            self.free_large.append(self.ours.pool.free_large)
        return {"large": self.small[index].num_large, "free_small": self.small[index].num_empty}


@st.composite
def layers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One to three kinds, each a few times; states of one tensor or two."""
    kinds = draw(st.sampled_from(["f", "w", "fw", "fw", "fs", "ws", "fws"]))
    found: list[dict[str, Any]] = []
    if "f" in kinds:
        found.append(FULL | {"count": draw(st.integers(1, 3))})
    if "w" in kinds:
        sizes = draw(st.lists(st.sampled_from([5, 8, 20, 33]), min_size=1, max_size=2, unique=True))
        found += [WINDOW | {"count": draw(st.integers(1, 3)), "window": size} for size in sizes]
    if "s" in kinds:
        chunk = draw(st.sampled_from([BLOCK, 2 * BLOCK]))
        shapes = draw(st.sampled_from([[[256]], [[256], [768]]]))
        found.append(STATE | {"count": draw(st.integers(1, 2)), "chunk": chunk, "states": shapes})
    return found


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Prompts that share beginnings, at least as long as any window, in a pool for all of them.

    A prompt shorter than a window breaks the artifact where nothing is cached.
    """
    requests: list[dict[str, Any]] = []
    for index in range(draw(st.integers(2, 10))):
        known = draw(st.sampled_from([0, 8, 24, 40, 64, 70]))
        own = [1000 + index, draw(st.integers(40, 90))]
        text = draw(st.integers(0, 1))
        requests.append(
            {
                "arrival_step": draw(st.integers(0, 40)),
                "prompt": [[text, known], own] if known else [own],
                "output_len": draw(st.integers(1, 30)),
            }
        )
    return {
        "name": "drawn",
        "layers": draw(layers()),
        "block_size": BLOCK,
        "kv_bytes": 1 << 24,
        "max_model_len": 256,
        "enable_prefix_caching": draw(st.booleans()),
        "requests": requests,
        "jenga": {},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cases")


def decisions(log: Log) -> list[dict[str, Any]]:
    return [{name: step[name] for name in DECISIONS} for step in log["steps"]]


def test_where_there_is_room_both_pools_decide_alike_and_hit_alike(folder: Path) -> None:
    seen: Counter[str] = Counter()

    @examples(60)
    @given(case=cases())
    def holds(case: dict[str, Any]) -> None:
        path = folder / "case.json"
        path.write_text(json.dumps(case))
        setup = read_case(path)
        artifact, ours = JengaReplay(setup).run(), OurReplay(setup).run()
        expected = decisions(artifact)
        if "error" in artifact:
            # After that it decides nothing any more.
            assert case["enable_prefix_caching"]
            seen["breaks"] += 1
            assert decisions(ours)[: len(expected)] == expected
        else:
            assert decisions(ours) == expected
        seen["cases"] += 1
        seen["hits"] += any(artifact["first_admission_hit_tokens"].values())
        seen["groups"] += len(artifact["config"]["groups"]) > 1

    holds()
    print(dict(seen))
    assert seen["hits"] >= 10
    assert seen["groups"] >= 20
    assert seen["breaks"] <= 0.05 * seen["cases"]


GOLDEN = Path(__file__).parents[1] / "golden" / "jenga"
ALIKE = ("cross-docqa-off-1", "gemma2-prefix-off-1", "window-only-plain-off-1", "windows-prefix-3")


@pytest.mark.parametrize("case", ALIKE)
def test_crowded_recordings_without_any_of_this_are_decided_alike(case: str) -> None:
    """Most other recordings part at a step in which the artifact asks for more than it needs."""
    setup = read_case(GOLDEN / f"{case}.case.json")
    assert decisions(OurReplay(setup).run()) == decisions(JengaReplay(setup).run())


def test_where_nothing_is_cached_both_hold_the_same_pages_in_every_step(folder: Path) -> None:
    seen: Counter[str] = Counter()

    @examples(60)
    @given(case=cases())
    def holds(case: dict[str, Any]) -> None:
        path = folder / "case.json"
        path.write_text(json.dumps(case | {"enable_prefix_caching": False}))
        setup = read_case(path)
        replay = OurReplay(setup)
        artifact, ours = JengaReplay(setup).run(), replay.run()
        assert replay.free_large == [step["free_large"] for step in artifact["steps"]]
        for mine, theirs in zip(ours["steps"], artifact["steps"], strict=True):
            assert mine["groups"] == theirs["groups"]
        seen["steps"] += len(ours["steps"])
        ratios = [group["small_per_large"] for group in artifact["config"]["groups"].values()]
        seen["small pages"] += max(ratios) > 1

    holds()
    print(dict(seen))
    assert seen["steps"] >= 1000
    assert seen["small pages"] >= 15
