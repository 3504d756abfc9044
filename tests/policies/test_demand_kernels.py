"""The compiled arithmetic of demand says what ``policies.demand`` says, for every kind."""

from typing import get_args

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.specs import Kind, KVCacheSpec
from jenga_sim.policies import demand as plain
from jenga_sim.policies import demand_kernels as kernels
from jenga_sim.policies.base import Content, PageGroup, TokenSource
from jenga_sim.policies.compiled import compiled
from jenga_sim.policies.demand_kernels import IntArray
from tests.sim.strategies import examples

TOKENS = st.integers(0, 4000)
BATCHES = st.integers(1, 3)


@st.composite
def groups(draw: st.DrawFn) -> PageGroup:
    kind = draw(st.sampled_from(get_args(Kind)))
    window = draw(st.integers(1, 300))
    aligned = kind in ("mamba", "linear") and draw(st.booleans())
    spec = KVCacheSpec(
        kind=kind,
        variant=kind,
        block_size=16,
        mamba_cache_mode="align" if aligned else "none",
        num_speculative_blocks=draw(st.integers(0, 3)),
    )
    return PageGroup(
        name=kind,
        kind=kind,
        block_size=draw(st.integers(1, 100)),
        page_bytes=1,
        contents=(Content(label=kind, kind=kind, layers=1, entry_bytes=1, window=window),),
        window=window,
        source=draw(st.sampled_from(get_args(TokenSource))),
        pages_per_block=draw(st.integers(1, 4)),
        spec=draw(st.sampled_from([spec, None])),
    )


@compiled
def ask(rules: IntArray, numbers: IntArray, answers: IntArray) -> None:
    """Every answer for column 0."""
    text, cross, new, in_flight, most_in_flight, limit, batches = numbers
    kind, window = rules[kernels.KIND, 0], rules[kernels.WINDOW, 0]
    answers[0] = kernels.demand(rules, 0, text, cross)
    answers[1] = kernels.skipped_tokens(kind, window, text)
    answers[2] = kernels.expired(rules, 0, text, in_flight)
    answers[3] = kernels.admission_pages(rules, 0, text, cross, most_in_flight, limit)
    answers[4] = kernels.most_pages(rules, 0, text, cross, most_in_flight, limit, batches)
    answers[5] = kernels.live_tokens(kind, window, text, cross, new, in_flight)


@examples(500)
@given(groups(), TOKENS, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS, BATCHES)
def test_the_compiled_arithmetic_of_demand_is_the_plain_one(
    group: PageGroup,
    text: int,
    cross: int,
    new: int,
    in_flight: int,
    most_in_flight: int,
    limit: int,
    batches: int,
) -> None:
    new = min(new, text)
    in_flight = min(in_flight, text - new)
    numbers = [text, cross, new, in_flight, most_in_flight, limit, batches]
    answers = np.zeros(6, dtype=np.int64)
    ask(kernels.rule_rows([group]), np.array(numbers, dtype=np.int64), answers)
    assert answers.tolist() == [
        plain.demand(group, text, cross),
        plain.skipped_tokens(group.kind, group.window, text),
        plain.expired(group, text, in_flight),
        plain.admission_pages(group, text, cross, most_in_flight, limit),
        plain.most_pages(group, text, cross, most_in_flight, limit, batches),
        plain.live_tokens(group.kind, group.window, text, cross, new, in_flight),
    ]


def test_there_are_no_rules_without_groups() -> None:
    assert kernels.rule_rows([]).shape == (len(kernels.RULES), 0)
