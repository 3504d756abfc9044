"""Requests that are all alike on an empty pool: what their pages take, and how many of them fit."""

from collections.abc import Callable

from ..configs.errors import ConfigError
from ..policies.base import Carving, Pages
from ..policies.carving.buddy import Buddy
from ..policies.carving.ideal import Ideal
from ..policies.carving.lcm import LCMCarving
from ..policies.carving.lcm_frugal import FrugalLCMCarving
from ..policies.carving.rebalance import Rebalance
from ..policies.carving.single import SinglePool
from ..policies.carving.static import SGLangPartition, StaticPartition
from ..policies.carving.two_ended import TwoEnded
from ..policies.large_pages.alike import large_pages, most_alike

PAGE_EXACT: frozenset[type[Carving]] = frozenset(
    {SinglePool, StaticPartition, SGLangPartition, Rebalance, TwoEnded, Buddy, Ideal}
)
"""Carvings under which a request takes the bytes of its pages and no others. Classes derived from
them may differ and are asked, as any other is."""
DOUBLINGS = 6
"""Of a pool with room for all pages, until a carving of the user's must have taken them."""


def bytes_taken(carving: Carving, need: Pages) -> int:
    """Bytes that a request alone takes from an empty pool for ``need`` pages. Pure.

    The pool is as large as it must be: where large pages are scarce, Jenga's carving takes fewer of
    them. Under ``lcm`` these are whole large pages; under ``lcm-frugal`` the small ones that lie
    beside the null pages count alone. A class that is not the package's takes the pages for real,
    in a pool of its own, and what is neither free nor reserved afterwards (``Carving.slack``, as in
    ``sim.usage``) is what it took.
    """
    groups = zip(need, carving.groups, strict=True)
    exact = sum(pages * group.page_bytes for pages, group in groups)
    if type(carving) in PAGE_EXACT:
        return exact
    if type(carving) is LCMCarving:
        return sum(large_pages(need, _ratios(carving))) * carving.large_bytes
    if type(carving) is FrugalLCMCarving:
        return _bytes_taken_frugally(carving, need)
    roomy = max(carving.pool_bytes, 2 * exact)
    for doublings in range(DOUBLINGS + 1):
        fresh = type(carving)(carving.groups, roomy << doublings)
        before = _outside(fresh)
        if fresh.take(0, need):
            return before - _outside(fresh)
    raise ConfigError(
        f"{type(carving).__name__} refuses {sum(need):,} pages of one request even in a pool of "
        f"{roomy << DOUBLINGS:,} bytes"
    )


def _ratios(carving: LCMCarving) -> list[int]:
    return [small.ratio for small in carving.pages.small]


def _bytes_taken_frugally(carving: FrugalLCMCarving, need: Pages) -> int:
    """Pages beside the null pages by themselves, and large pages for the rest."""
    total = 0
    for pages, group, ratio in zip(need, carving.groups, _ratios(carving), strict=True):
        large = -(-max(0, pages - (ratio - 1)) // ratio)
        total += large * carving.large_bytes + max(0, pages - large * ratio) * group.page_bytes
    return total


def _outside(carving: Carving) -> int:
    """Bytes that anybody could still take, of whatever group."""
    slack = carving.slack(None)
    return slack.free + sum(slack.external) + sum(slack.cached)


def most_requests(carving: Carving, need: Pages) -> int | None:
    """How many requests of ``need`` pages each an empty pool holds; None for no limit. Pure.

    Where pages are counted, by part (static, rebalance) or by size (buddy), the most for which
    ``could_fit`` says so of all their pages together: requests one after the other take just those,
    and nothing is placed. For Jenga's placement that would be too many (``large_pages.alike``), but
    not for the frugal one, which leaves no small page empty that it can use. Nor would it do for a
    class that is not the package's, as ``could_fit`` speaks of one request: it is given one after
    the other in a pool of its own.
    """
    if not any(need):
        return None
    if type(carving) is LCMCarving:
        large = carving.num_large - len(carving.groups)
        return most_alike(need, _ratios(carving), large)
    if type(carving) in PAGE_EXACT or type(carving) is FrugalLCMCarving:
        return _largest(lambda count: carving.could_fit([count * pages for pages in need]))
    fresh, count = type(carving)(carving.groups, carving.pool_bytes), 0
    while fresh.take(count, need):
        count += 1
    return count


def _largest(holds: Callable[[int], bool]) -> int:
    """The largest count for which ``holds`` does, 0 if it does for none; it must end to."""
    low, high = 0, 1
    while holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
