"""Keys of prefixes: equal where prefixes are equal, as far as a trace or its tokens can say."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.sim.compiled.keys import GivenKeys, fill_keys
from jenga_sim.sim.prefix_keys import TokenKeys, TraceKeys
from jenga_sim.traces import Trace
from tests.sim.strategies import examples

Line = tuple[int, int, list[int]]
"""Prompt, output, hash ids."""


def trace_of(lines: Sequence[Line], block: int) -> Trace:
    prompts, outputs, ids = (list(column) for column in zip(*lines, strict=True))
    return Trace.from_columns(
        [0] * len(lines), prompts, outputs, hash_ids=ids, block_size=block, name="keys"
    )


def keys_of(lines: Sequence[Line], block: int, unit: int) -> list[list[int]]:
    keys = TraceKeys(trace_of(lines, block))
    return [keys.of(slot, unit).tolist() for slot in range(len(lines))]


@st.composite
def traces(draw: st.DrawFn) -> tuple[list[Line], int]:
    """Few ids, so that prefixes are shared; an id stands for its block and all before it."""
    block = draw(st.sampled_from([1, 2, 4, 6]))
    tree: dict[tuple[int, ...], int] = {}
    lines: list[Line] = []
    for _ in range(draw(st.integers(1, 6))):
        path = draw(st.lists(st.integers(0, 1), min_size=1, max_size=4))
        nodes = [tuple(path[: end + 1]) for end in range(len(path))]
        ids = [tree.setdefault(node, 100 - 3 * len(tree)) for node in nodes]
        # The last id may stand for a block that the prompt fills in part, or that one have no id.
        prompt = len(ids) * block + draw(st.integers(1 - block, block - 1))
        lines.append((prompt, draw(st.integers(1, 9)), ids))
    return lines, block


def shared_tokens(one: Line, other: Line, block: int) -> int:
    """Leading tokens that two prompts are known to share."""
    blocks = 0
    for mine, theirs in zip(one[2], other[2], strict=False):
        if mine != theirs:
            break
        blocks += 1
    return min(blocks * block, one[0], other[0])


@examples(200)
@given(drawn=traces(), unit=st.integers(1, 13))
def test_two_requests_have_the_key_of_a_prefix_in_common_iff_they_share_it(
    drawn: tuple[list[Line], int], unit: int
) -> None:
    """With keys finer than the trace's blocks, as coarse, coarser, or not dividing them."""
    lines, block = drawn
    keys = keys_of(lines, block, unit)
    for slot, line in enumerate(lines):
        assert len(keys[slot]) == (line[0] + line[1]) // unit
        for other, mine in enumerate(keys[:slot]):
            known = shared_tokens(line, lines[other], block)
            both = min(len(mine), len(keys[slot]))
            equal = [mine[index] == keys[slot][index] for index in range(both)]
            assert equal == [(index + 1) * unit <= known for index in range(both)]


@examples(100)
@given(drawn=traces(), unit=st.integers(1, 13))
def test_no_key_stands_for_two_lengths(drawn: tuple[list[Line], int], unit: int) -> None:
    lines, block = drawn
    places: dict[int, int] = {}
    for keys in keys_of(lines, block, unit):
        assert len(set(keys)) == len(keys)
        for place, key in enumerate(keys):
            assert places.setdefault(key, place) == place


def test_generated_tokens_are_shared_with_nobody() -> None:
    """Two requests with the same prompt of two blocks, and room for two blocks of output."""
    first, second = keys_of([(8, 8, [5, 9]), (8, 8, [5, 9])], block=4, unit=4)
    assert first[:2] == second[:2]
    assert not set(first[2:]) & set(second)


def test_a_prompt_without_ids_or_beyond_them_is_shared_with_nobody() -> None:
    bare, short, whole = keys_of([(12, 1, []), (11, 2, [7, 8]), (12, 1, [7, 8, 9])], 4, 4)
    assert not set(bare) & {*short, *whole}
    assert short[:2] == whole[:2]
    assert not set(short[2:]) & set(whole)


def test_prompts_that_part_inside_a_block_share_nothing_of_it() -> None:
    """Prompts of six and of eight tokens end in blocks with different ids."""
    short, whole = keys_of([(6, 3, [7, 8]), (8, 3, [7, 9])], block=4, unit=2)
    equal = [mine == theirs for mine, theirs in zip(short, whole, strict=False)]
    assert equal == [True, True, False, False]


@pytest.mark.parametrize("unit", [1, 4, 5])
def test_a_trace_without_any_ids_shares_nothing(unit: int) -> None:
    keys = keys_of([(12, 3, [])] * 3, 4, unit)
    assert len({key for of_slot in keys for key in of_slot}) == sum(map(len, keys))


# --- keys of known tokens


@examples(200)
@given(
    sequences=st.lists(st.lists(st.sampled_from([10, 11]), max_size=12), min_size=1, max_size=6),
    unit=st.integers(1, 4),
)
def test_token_keys_are_equal_iff_the_tokens_up_to_there_are(
    sequences: list[list[int]], unit: int
) -> None:
    """Tokens of recordings start at 10; a token 0 would add nothing to a key."""
    keys = TokenKeys(lambda slot: np.array(sequences[slot], dtype=np.int64), longest=12)
    seen: dict[int, tuple[int, ...]] = {}
    tokens: dict[tuple[int, ...], int] = {}
    for slot, sequence in enumerate(sequences):
        found = keys.of(slot, unit).tolist()
        assert len(found) == len(sequence) // unit
        for index, key in enumerate(found):
            prefix = tuple(sequence[: (index + 1) * unit])
            assert seen.setdefault(key, prefix) == prefix
            assert tokens.setdefault(prefix, key) == key


def test_token_keys_tell_large_tokens_apart_that_swap_places() -> None:
    rows = [[29_999, 10, 7], [10, 29_999, 7], [29_999, 10, 7]]
    keys = TokenKeys(lambda slot: rows[slot], longest=3)
    first, second, third = (keys.of(slot, 3).tolist() for slot in range(3))
    assert first == third
    assert first != second


# --- keys for compiled code


@examples(100)
@given(drawn=traces(), unit=st.integers(1, 13), most=st.integers(0, 12))
def test_filling_writes_the_first_keys_and_nothing_behind_them(
    drawn: tuple[list[Line], int], unit: int, most: int
) -> None:
    """Keys of a trace, and keys that were given: the same contract."""
    lines, block = drawn
    keys = TraceKeys(trace_of(lines, block))
    for slot in range(len(lines)):
        whole = keys.of(slot, unit)
        given_keys = GivenKeys(np.append(whole, 77), np.array([len(whole)]))
        for source in (keys.arrays, given_keys):
            out = np.full(40, -1, dtype=np.int64)
            count = fill_keys(source, slot, unit, most, out)
            assert count == min(most, len(whole))
            assert out[:count].tolist() == whole[:count].tolist()
            assert (out[count:] == -1).all()
