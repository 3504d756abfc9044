"""Whether large pages suffice for what a request needs, and how many each group may use of them."""

from ..compiled import inner
from . import empty_pages, idle_pages
from . import layout as at
from .layout import IntArray, Pool


@inner
def available(pool: Pool) -> int:
    """Large pages that are empty or can be evicted."""
    return empty_pages.free_large(pool) + pool.counts[at.EVICTABLES]


@inner
def num_apart(pool: Pool, group: int) -> int:
    """Idle pages of a group outside of large pages that can be evicted."""
    return pool.groups[group, at.IDLES] - pool.groups[group, at.IDLES_IN_LARGE]


@inner
def in_large(pages: int, ratio: int) -> int:
    """Large pages for so many small ones; none for a number below zero."""
    if pages <= ratio:
        return 1 if pages > 0 else 0
    return (pages + ratio - 1) // ratio


@inner
def lacking_large(pool: Pool, group: int, pages: int) -> int:
    """Large pages of a group without which it cannot have so many pages."""
    supply = pool.groups[group, at.EMPTIES] + num_apart(pool, group)
    return in_large(pages - supply, pool.groups[group, at.RATIO])


@inner
def least_large(pool: Pool, need: IntArray) -> int:
    """Large pages without which ``need`` cannot be met; LEAST of each group says how many."""
    total = 0
    for group in range(len(need)):
        pool.groups[group, at.LEAST] = lacking_large(pool, group, need[group])
        total += pool.groups[group, at.LEAST]
    return total


@inner
def after_hits(pool: Pool, group: int, hits: IntArray, count: int) -> tuple[int, int]:
    """Small pages gained beside the empty ones, and large pages lost, if ``hits`` were held.

    Of ``hits`` the first ``count``: pages that a lookup found.
    """
    mine = pool.groups[group]
    gained, lost = 0, 0
    pool.counts[at.QUESTION] += 1
    for index in range(count):
        if not pool.nodes[mine[at.BASE] + hits[index], at.REFS]:
            gained -= 1
            large = hits[index] // mine[at.RATIO]
            row = pool.large[large]
            asked = row[at.ASKED] == pool.counts[at.QUESTION]
            if not asked and idle_pages.is_evictable(pool, large):
                row[at.ASKED] = pool.counts[at.QUESTION]
                gained += row[at.NUM_IDLE] + row[at.EMPTY]
                lost += 1
    return gained, lost


@inner
def set_quotas(pool: Pool, need: IntArray) -> bool:
    """Allow the next pages as many large ones as ``need`` can use, or at least must have.

    Generous if there are enough for the generous quotas of all groups, as in the artifact; False,
    and nothing is allowed, if ``need`` cannot be met.
    """
    groups, counts, enough = pool.groups, pool.counts, available(pool)
    if least_large(pool, need) > enough:
        return False
    most, lacking = 0, 0
    for group in range(len(need)):
        ratio = groups[group, at.RATIO]
        groups[group, at.QUOTA] = in_large(need[group], ratio)
        most += groups[group, at.QUOTA]
        lacking += in_large(need[group] - groups[group, at.EMPTIES], ratio)
    frugal = counts[at.FRUGAL] and lacking <= enough
    if counts[at.THRIFTY] or (most > enough and not frugal):
        for group in range(len(need)):
            groups[group, at.QUOTA] = groups[group, at.LEAST]
    elif frugal:
        # Cached pages do not count as empty: large ones are taken before those.
        for group in range(len(need)):
            empties = groups[group, at.EMPTIES]
            groups[group, at.QUOTA] = in_large(need[group] - empties, groups[group, at.RATIO])
    counts[at.REFUSED] = 0
    return True


@inner
def refuse(pool: Pool, owner: int) -> None:
    """A request does not get what it needs: see ``empty_pages.join``."""
    alone = pool.counts[at.RUNNING] == 1 and empty_pages.is_joined(pool, owner)
    pool.counts[at.REFUSED] = 1 if alone else 0
