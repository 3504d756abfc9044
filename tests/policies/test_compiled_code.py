"""Entry points, and the functions that they are made of."""

from typing import Any

from jenga_sim.policies.caching import layout
from tests.policies.cache_pools import FULL, Group, make_pool

SOURCE = """
from jenga_sim.policies.caching.queue import forget, insert
from jenga_sim.policies.compiled import allocating, compiled, inner


@inner
def used_often(pages, buckets, counters):
    for page in range(1, 4):
        insert(pages, buckets, counters, 7, page, 1)
        insert(pages, buckets, counters, 8, page, 2)
        insert(pages, buckets, counters, 9, page, 3)
    forget(pages, buckets, counters, 1)
    forget(pages, buckets, counters, 2)
    insert(pages, buckets, counters, 7, 1, 1)


@compiled
def first(pages, buckets, counters):
    used_often(pages, buckets, counters)


@allocating
def second(pages, buckets, counters):
    used_often(pages, buckets, counters)
"""
"""Not in a file, so that nothing of it is on disk and the compiler makes it here."""


def test_what_one_entry_point_calls_another_one_can_call_too() -> None:
    """Each has its own copy of ``insert``; the linker must not lead one to the other's."""
    made: dict[str, Any] = {}
    exec(SOURCE, made)
    results: list[list[int]] = []
    for name in ("first", "second"):
        pool = make_pool([Group(FULL, 1)], num_pages=8)
        made[name](pool.pages, pool.buckets, pool.counters)
        assert pool.counters[layout.KEYS] == 3
        results.append(pool.pages.ravel().tolist())
    assert results[0] == results[1]
