"""Whether a large page is too large for its pool, and which policy would do better: in figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..configs.specs import cdiv
from .base import PageGroup
from .page_shapes import LENGTHS, expected_waste, reshaped, tiling_shapes
from .page_sizes import divisibility_chain

MOST_SHARE = 0.01
"""Share of the pool above which a large page is too large: every request leaves one partly filled
for each kind, so a hundred requests could not be served at once."""

Groups = Sequence[PageGroup]


def large_page_warning(groups: Groups, pool_bytes: int, others: Mapping[str, Groups]) -> list[str]:
    """At most one warning. ``others``: further policies to compare with, and their groups."""
    large = _large(groups)
    if large <= MOST_SHARE * pool_bytes:
        return []
    sizes = ", ".join(f"{group.name} {group.page_bytes:,}" for group in groups)
    better = better_policy(groups, pool_bytes, others, below=expected_waste(groups))
    advice = f" Better: {better}" if better else ""
    return [
        f"the large page, lcm({sizes}) = {large:,} bytes, is {_percent(large / pool_bytes)} of the "
        f"pool, which holds {_num_large(groups, pool_bytes)}; a request alone is expected to waste "
        f"{_percent(expected_waste(groups))} of what it holds (mean over {_lengths()} tokens)."
        f"{advice}"
    ]


def better_policy(
    groups: Groups,
    pool_bytes: int,
    others: Mapping[str, Groups] | None = None,
    *,
    below: float = 1.0,
) -> str | None:
    """The policy with smaller large pages that wastes least, with its figures; None if none is.

    Only policies that this pool has room for and whose expected waste is ``below`` a share. One
    whose large page is at most 1 % of the pool goes before one whose is not.
    """
    found = {**_padded(groups), **(others or {})}
    smaller = {
        name: each
        for name, each in found.items()
        if _large(each) < _large(groups)
        and _has_room(each, pool_bytes)
        and expected_waste(each) < below
    }
    if not smaller:
        return None

    def rank(name: str) -> tuple[bool, float]:
        return _large(smaller[name]) > MOST_SHARE * pool_bytes, expected_waste(smaller[name])

    name = min(smaller, key=rank)
    large = _large(smaller[name])
    what = "a page" if name in (others or {}) else "a large page"
    return (
        f"--policy {name} ({what} of {large:,} bytes, {_percent(large / pool_bytes)} of the pool; "
        f"expected waste {_percent(expected_waste(smaller[name]))})"
    )


def _large(groups: Groups) -> int:
    return math.lcm(*(group.page_bytes for group in groups))


def _has_room(groups: Groups, pool_bytes: int) -> bool:
    """Whether there are large pages beside the null pages, of which each group has one."""
    return _num_large(groups, pool_bytes) > len(groups)


def _num_large(groups: Groups, pool_bytes: int) -> int:
    """Large pages of a pool, as ``carving/lcm.py`` counts them."""
    return cdiv(pool_bytes, _large(groups)) - 1


def _padded(groups: Groups) -> dict[str, tuple[PageGroup, ...]]:
    """The same layers under ``pad-lcm`` and ``lcm-blocks``; nothing if kinds share a page."""
    if any(len(group.contents) > 1 for group in groups):
        return {}
    plain = tuple(
        replace(group, page_bytes=group.content_bytes, pages_per_block=1) for group in groups
    )
    chain = divisibility_chain([group.page_bytes for group in plain])
    return {
        "pad-lcm": tuple(
            replace(group, page_bytes=size) for group, size in zip(plain, chain, strict=True)
        ),
        "lcm-blocks": reshaped(plain, tiling_shapes(plain)),
    }


def _lengths() -> str:
    *most, last = (f"{tokens:,}" for tokens in LENGTHS)
    return f"{', '.join(most)} and {last}"


def _percent(share: float) -> str:
    digits = 1 if share >= 0.01 else 2 if share >= 0.0001 else 4
    return f"{100 * share:.{digits}f} %"
