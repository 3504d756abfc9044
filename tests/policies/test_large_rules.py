"""The rules of tables over large pages, compiled, beside those that Python asks."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.specs import Kind
from jenga_sim.policies.base import PageGroup, TokenSource
from jenga_sim.policies.compiled import compiled
from jenga_sim.policies.demand import admission_pages
from jenga_sim.policies.large_pages import rule_kernels as kernels
from jenga_sim.policies.large_pages.artifact_rules import first_block, required_pages
from jenga_sim.policies.large_pages.rule_kernels import IntArray, chunked_arrays
from jenga_sim.policies.large_pages.rules import ChunkedRules, TableRules, WholePromptRules
from jenga_sim.policies.large_pages.whole_prompts import whole_prompt_arrays
from tests.policies.test_demand import group_of
from tests.sim.strategies import examples

CHUNKED = ChunkedRules(max_in_flight=40, limit=300, batches=2)
ATTENTION: tuple[Kind, ...] = ("full", "mla", "cross")
RECYCLING: tuple[Kind, ...] = ("sliding_window", "compressor", "chunked_local", "mamba")
TOKENS = st.integers(1, 200)


@compiled
def answers(rules: Any, text: int, cross: int, in_flight: int, out: IntArray) -> None:
    """Everything but ``quiet_until``, for the one group of ``rules``."""
    out[0] = kernels.length(rules, 0, text, cross)
    out[1] = kernels.past(rules, 0, text, in_flight, out[0])
    out[2] = kernels.most(rules, 0, text, cross)
    out[3] = kernels.admission(rules, 0, text, cross)
    out[4] = kernels.unheld(rules, 0, text)


@compiled
def past(rules: Any, computed: int, entries: int) -> int:
    return kernels.past(rules, 0, computed, 0, entries)


@compiled
def quiet_until(rules: Any, entries: int, gone: int, cross: int) -> int:
    return kernels.quiet_until(rules, 0, entries, gone, cross)


@compiled
def grows(rules: Any) -> bool:
    return kernels.grows(rules, 0)


def arrays_of(rules: TableRules, group: PageGroup) -> Any:
    if isinstance(rules, ChunkedRules):
        return chunked_arrays(rules, (group,))
    assert isinstance(rules, WholePromptRules)
    return whole_prompt_arrays(rules, (group,))


def asked(rules: TableRules, group: PageGroup, text: int, cross: int, in_flight: int) -> list[int]:
    out = np.zeros(5, dtype=np.int64)
    answers(arrays_of(rules, group), text, cross, in_flight, out)
    return out.tolist()


@st.composite
def groups(draw: st.DrawFn) -> PageGroup:
    kind = draw(st.sampled_from(ATTENTION + RECYCLING))
    sources: list[TokenSource] = ["text", "all"] if kind == "full" else ["text"]
    source = "cross" if kind == "cross" else draw(st.sampled_from(sources))
    return group_of(
        kind, draw(st.integers(1, 30)), draw(st.integers(1, 12)), source, draw(st.integers(1, 3))
    )


RULES = (CHUNKED, WholePromptRules(True), WholePromptRules(False))


@pytest.mark.parametrize("rules", RULES)
def test_compiled_rules_say_what_python_says(rules: TableRules) -> None:
    @examples(100)
    @given(groups(), TOKENS, TOKENS, st.integers(0, 20))
    def holds(group: PageGroup, text: int, cross: int, in_flight: int) -> None:
        in_flight, each = min(in_flight, text), group.pages_per_block
        length = rules.length(group, text, cross)
        expected = [length, rules.expired(group, text, in_flight, length)]
        expected.append(rules.most(group, text, cross))
        if isinstance(rules, WholePromptRules):
            caching = rules.caching
            expected.append(required_pages(group, text, cross, caching=caching) * each)
            expected.append(first_block(group, text, caching=caching) * each)
        else:
            expected += [admission_pages(group, text, cross, 40, 300), 0]
        assert asked(rules, group, text, cross, in_flight) == expected

    holds()


@pytest.mark.parametrize("rules", RULES)
def test_a_table_stays_as_it_is_while_it_is_quiet(rules: TableRules) -> None:
    """No page is needed for so many tokens, and none is given back before them."""
    seen = [0]

    @examples(100)
    @given(groups(), TOKENS, TOKENS)
    def holds(group: PageGroup, text: int, cross: int) -> None:
        arrays = arrays_of(rules, group)
        entries, gone, *_ = asked(rules, group, text, cross, 0)
        quiet = quiet_until(arrays, entries, gone, cross)
        for later in range(text, min(quiet, text + 40)):
            assert past(arrays, later, entries) <= gone
            assert not grows(arrays) or asked(rules, group, later + 1, cross, 0)[0] <= entries
            seen[0] += 1

    holds()
    assert seen[0] > 300
