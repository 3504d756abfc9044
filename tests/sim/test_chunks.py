"""Where the chunks of a prompt end when recurrent states are cached at block boundaries."""

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.sim.chunks import cut_at_states
from tests.sim.strategies import examples


class Limits(NamedTuple):
    """What bounds a chunk."""

    max_num_batched_tokens: int
    long_prefill_token_threshold: int = 0
    state_block_size: int = 64
    state_hash_size: int = 0


def chunks(
    prompt: int,
    limits: Limits,
    *,
    start: int = 0,
    junction: int = 0,
    budgets: list[int] | None = None,
) -> list[int]:
    """Chunks of a prompt alone, one a step, as far as the budgets go."""
    longest = limits.max_num_batched_tokens
    threshold = limits.long_prefill_token_threshold
    sizes: list[int] = []
    for budget in budgets or [min(longest, threshold) if threshold else longest] * 20:
        new = min(budget, prompt - start)
        if new <= 0:
            break
        size = cut_at_states(
            start, new, prompt=prompt, num_tokens=prompt, junction=junction, config=limits
        )
        sizes.append(size)
        start += size
    return sizes


def test_120_tokens_in_blocks_of_64_run_as_64_and_56() -> None:
    assert chunks(120, Limits(512)) == [64, 56]


def test_a_prompt_that_ends_at_a_boundary_still_stops_one_block_before() -> None:
    """The last token is never cached: 128 tokens can be hit up to 64."""
    assert chunks(128, Limits(512)) == [64, 64]
    assert chunks(129, Limits(512)) == [128, 1]


def test_a_prompt_within_one_block_runs_at_once() -> None:
    assert chunks(64, Limits(512)) == [64]
    assert chunks(1, Limits(512)) == [1]


def test_a_chunk_that_cannot_span_a_block_runs_up_to_each_boundary() -> None:
    assert chunks(200, Limits(48)) == [48, 16, 48, 16, 48, 16, 8]
    assert chunks(200, Limits(512, long_prefill_token_threshold=48)) == [
        *(48, 16, 48, 16, 48, 16, 8)
    ]


def test_a_chunk_that_can_span_a_block_ends_at_a_boundary_or_waits() -> None:
    limits = Limits(200)
    assert chunks(1000, limits)[:3] == [192, 192, 192]
    assert chunks(1000, limits, budgets=[100]) == [64]
    assert chunks(1000, limits, budgets=[63]) == [0], "waits for a step with more budget"


def test_a_chunk_stops_at_a_junction_to_keep_the_state_there() -> None:
    assert chunks(640, Limits(512), junction=256) == [256, 320, 64]
    assert chunks(640, Limits(512), junction=300)[0] == 256, "at the last boundary before it"
    assert chunks(640, Limits(512), start=256, junction=256) == [320, 64]


def test_a_chunk_stops_where_a_prompt_ends_inside_a_block_if_that_can_be_hit() -> None:
    """Keys of 16 tokens in states of 64: the last place is 16 times 7."""
    limits = Limits(512, state_hash_size=16)
    assert chunks(120, limits) == [64, 48, 8]
    assert chunks(128, limits) == [64, 48, 16]
    assert chunks(65, limits) == [64, 1]


def test_a_chunk_that_starts_inside_a_block_ends_with_it() -> None:
    assert chunks(400, Limits(512, state_hash_size=16), start=48) == [16, 320, 16]


@pytest.mark.parametrize("output", [0, 1, 5])
def test_decodes_are_not_cut(output: int) -> None:
    limits = Limits(512)
    new = cut_at_states(
        120 + output, 1, prompt=120, num_tokens=121 + output, junction=64, config=limits
    )
    assert new == 1


BLOCKS = st.sampled_from([1, 2, 4, 16])


@st.composite
def chunk_calls(draw: st.DrawFn) -> tuple[int, int, int, int, int, Limits]:
    """Start, new tokens, prompt, all known tokens, junction and limits, as the scheduler asks."""
    block = draw(BLOCKS)
    unit = draw(st.sampled_from([0, *[size for size in (1, 2, 4) if size < block]]))
    budget = draw(st.integers(1, 40))
    threshold = draw(st.sampled_from([0, 0, 3, 17]))
    prompt = draw(st.integers(1, 100))
    # Tokens that were generated before a preemption are computed like a prompt.
    known = prompt + draw(st.sampled_from([0, 0, 1, 9]))
    place = draw(st.integers(0, known - 1))
    start = place // (unit or block) * (unit or block) if draw(st.booleans()) else place
    longest = min(budget, threshold) if threshold else budget
    new = draw(st.integers(1, min(longest, known - start)))
    junction = draw(st.sampled_from([0, 0, 1])) * draw(st.integers(0, known))
    return start, new, prompt, known, junction, Limits(budget, threshold, block, unit)


@examples(500)
@given(call=chunk_calls())
def test_a_chunk_is_no_longer_than_asked_and_ends_where_a_state_is_kept_or_at_the_end(
    call: tuple[int, int, int, int, int, Limits],
) -> None:
    start, new, prompt, known, junction, limits = call
    size = cut_at_states(
        start, new, prompt=prompt, num_tokens=known, junction=junction, config=limits
    )
    assert 0 <= size <= new
    block, unit = limits.state_block_size, limits.state_hash_size
    end = start + size
    threshold = limits.long_prefill_token_threshold
    budget = limits.max_num_batched_tokens
    spans = block <= (min(budget, threshold) if threshold else budget)
    places = {start, *range(0, known + block, block)}
    if not spans or start + new >= max(prompt, known - 1):
        places.add(start + new)
    if unit:
        places.add((prompt - 1) // unit * unit)
    if start < junction:
        places.add(start + (junction - start) // block * block)
    assert end in places
    if start % block == 0 and not unit and size:
        last = (known - 1) // block * block
        assert not start < last < end, "ran past the last boundary"


@examples(200)
@given(
    prompt=st.integers(1, 300),
    block=BLOCKS,
    budget=st.integers(16, 100),
    junction=st.integers(0, 300),
)
def test_a_prompt_alone_gets_through_and_stops_at_its_last_boundary(
    prompt: int, block: int, budget: int, junction: int
) -> None:
    limits = Limits(budget, state_block_size=block)
    start, ends = 0, [0]
    while start < prompt:
        (size,) = chunks(prompt, limits, start=start, junction=junction, budgets=[budget])
        assert size > 0
        start += size
        ends.append(start)
    assert (prompt - 1) // block * block in ends
    assert all(end % block == 0 for _, end in pairwise(ends[:-1]))
    if junction < prompt:
        assert junction // block * block in ends
