from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.stats import PrefixFigures, PromptFigures, prompt_figures
from jenga_sim.traces.stats.reuse import NONE, walk
from tests.sim.strategies import examples
from tests.traces.stats.prompts import BLOCK, Drawn, chained, prompts, unchained


def prefixes(figures: PromptFigures) -> PrefixFigures:
    assert figures.prefixes is not None
    return figures.prefixes


def test_three_prompts_by_hand() -> None:
    # The last block of the second prompt holds 1 token, that of the third 3; both have it.
    trace = prompts([[0, 1, 2], [0, 1, 5], [0, 1, 5]], [0, 10, 70], [0, -3, -1])

    found = prefixes(prompt_figures(trace))

    assert (found.references, found.unique) == (9, 4)
    assert found.block_hit == found.any_hit == 5 / 9
    assert found.token_hit == (8 + 11) / (12 + 9 + 11)
    assert found.requests_with_hit == 2 / 3
    assert found.used_once == 1 / 4
    assert found.widest_fork == 2
    assert found.conflicts == 0
    assert found.reuse_s is not None
    assert (found.reuse_s.count, found.reuse_s.p50, found.reuse_s.max) == (5, 60.0, 60.0)


@examples(200)
@given(st.one_of(chained(), unchained()))
def test_hits_are_those_of_a_set_of_all_earlier_blocks(drawn: Drawn) -> None:
    reuse = walk(drawn.prompts())

    known: set[int] = set()
    for row, blocks, tokens, tail in zip(
        drawn.ids, reuse.hit_blocks, reuse.hit_tokens, drawn.tails, strict=True
    ):
        misses = [place for place, block in enumerate(row) if block not in known]
        assert blocks == (misses[0] if misses else len(row))
        assert tokens == min(blocks * BLOCK, max(len(row) * BLOCK + tail, 1))
        known.update(row)


@examples(200)
@given(st.one_of(chained(), unchained()))
def test_reuse_is_what_a_dictionary_of_last_users_tells(drawn: Drawn) -> None:
    reuse = walk(drawn.prompts())

    last: dict[int, int] = {}
    times: list[int] = []
    for request, row in enumerate(drawn.ids):
        for block in row:
            if last.get(block, request) != request:
                times.append(drawn.arrivals_s[request] - drawn.arrivals_s[last[block]])
            last[block] = request
    uses = np.unique([block for row in drawn.ids for block in row], return_counts=True)[1]
    seconds, counts = reuse.times_ns.table()
    assert np.repeat(seconds // 10**9, counts).tolist() == sorted(times)
    assert reuse.used_once == (uses == 1).sum()


@examples(200)
@given(chained())
def test_the_source_of_a_hit_is_the_last_request_with_its_deepest_block(drawn: Drawn) -> None:
    reuse = walk(drawn.prompts())

    for request, hit in enumerate(reuse.hit_blocks.tolist()):
        block = drawn.ids[request][hit - 1] if hit else None
        users = [other for other in range(request) if block in drawn.ids[other]]
        assert reuse.source[request] == (users[-1] if hit else NONE)


@examples(200)
@given(st.one_of(chained(), unchained()))
def test_conflicts_are_blocks_that_follow_different_blocks(drawn: Drawn) -> None:
    before: dict[int, list[int]] = {}
    for row in drawn.ids:
        for previous, block in zip([NONE, *row], row, strict=False):
            before.setdefault(block, []).append(previous)

    reuse = walk(drawn.prompts())

    assert reuse.conflicts == sum(len(set(blocks)) > 1 for blocks in before.values())
    order = sorted(before)
    names = [NONE if number == NONE else order[number] for number in reuse.before]
    assert names == [before[block][0] for block in order]


@examples(100)
@given(chained())
def test_chained_blocks_hit_in_prefixes_alone(drawn: Drawn) -> None:
    figures = prompt_figures(drawn.prompts())

    if figures.prefixes is not None:
        assert figures.prefixes.conflicts == 0
        assert figures.prefixes.block_hit == figures.prefixes.any_hit


def test_blocks_of_equal_content_hit_more_often_than_prefixes_do() -> None:
    figures = prompt_figures(prompts([[0, 1, 2], [5, 1, 2], [0, 7, 2]]))

    found = prefixes(figures)
    assert (found.block_hit, found.any_hit) == (1 / 9, 4 / 9)
    assert found.conflicts == 2
    assert found.chain_share is None
    assert figures.sessions is None


def test_prompts_without_block_ids_have_no_prefixes() -> None:
    assert prompt_figures(prompts([[], []])) == PromptFigures(None, None, None)
    assert prompt_figures(prompts([])) == PromptFigures(None, None, None)


def test_hits_split_by_given_sessions() -> None:
    # The second session finds block 0 of the first one, and then its own 5 beside it.
    trace = prompts([[0, 1], [0, 5], [0, 5, 6], [0, 1]])
    codes = np.array([3, 8, 8, 3])

    found = prefixes(prompt_figures(trace, codes))

    assert found.block_hit == 5 / 9
    assert (found.chain_share, found.chain_inferred) == (4 / 5, False)


@examples(100)
@given(chained(), st.data())
def test_own_hits_are_those_of_one_cache_per_session(drawn: Drawn, data: st.DataObject) -> None:
    count = len(drawn.ids)
    codes = data.draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count))
    found = prompt_figures(drawn.prompts(), np.array(codes)).prefixes

    hits, own = 0, 0
    known: set[int] = set()
    caches: dict[int, set[int]] = {code: set() for code in range(3)}
    for row, code in zip(drawn.ids, codes, strict=True):
        cache = caches.get(code, set())
        hits += sum(block in known for block in row)
        own += sum(block in cache for block in row)
        known.update(row)
        cache.update(row)
    assert (found.chain_share if found else None) == (own / hits if hits else None)
