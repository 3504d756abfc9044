"""Requests that all need the same pages, in Jenga's empty pool: what one takes, how many fit. Pure.

``LCMCarving.could_fit`` counts as if every empty small page could serve anybody. A request whose
large pages are not scarce takes new ones, though (``PagePool.set_quotas``), and leaves room in them
that only requests of the same group can use. So requests one after the other may be fewer than one
request of all their pages would suggest; here is what the placement arrives at, without placing.
"""

from collections.abc import Sequence

from ...configs.specs import cdiv
from ..base import Pages


def large_pages(need: Pages, ratios: Sequence[int]) -> tuple[int, ...]:
    """Large pages, per group, of a request with ``need`` pages that shares none.

    ``ratios``: small pages of each group per large one.
    """
    return tuple(cdiv(pages, ratio) for pages, ratio in zip(need, ratios, strict=True))


def most_alike(need: Pages, ratios: Sequence[int], num_large: int) -> int:
    """How many requests of ``need`` pages, some of them above 0, take them one after the other.

    ``num_large``: large pages beside those of the null pages. The first requests take large pages
    of their own, the generous quota; once these are too few for all groups, a request takes as few
    as it can and fills empty small pages of others.
    """
    whole = large_pages(need, ratios)
    count, left = divmod(num_large, sum(whole))
    # Beside each null page the rest of its large page is empty.
    empty = [
        ratio - 1 + count * (large * ratio - pages)
        for pages, ratio, large in zip(need, ratios, whole, strict=True)
    ]
    while True:
        groups = list(zip(need, ratios, empty, strict=True))
        least = [cdiv(max(0, pages - spare), ratio) for pages, ratio, spare in groups]
        if sum(least) > left:
            return count
        # As long as nobody takes a large page, requests are alike.
        times = 1 if any(least) else min(spare // pages for pages, _, spare in groups if pages)
        count, left = count + times, left - sum(least)
        empty = [
            spare + large * ratio - times * pages
            for (pages, ratio, spare), large in zip(groups, least, strict=True)
        ]
