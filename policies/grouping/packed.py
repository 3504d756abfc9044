"""Groups of the block-outermost layouts, where pages of several sizes lie packed in one block.

vLLM 0.33, ``v1/core/kv_cache_planning.py``: ``_get_packed_kv_cache_groups``. There a block is one
piece of memory, so nothing has to be padded layer by layer. Layers of a uniform type are split into
groups so that the groups' blocks are about equally large.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...configs.specs import KVCacheSpec, cdiv
from .layer_groups import LayerGroup, layer_name, refused, uniform_type

_ADVICE = "Use a layout with the layers outermost, such as LBNHC, vLLM's default."


@dataclass(frozen=True)
class _Bucket:
    """Layers of one uniform type, by the size of their pages."""

    specs: tuple[KVCacheSpec, ...]

    @property
    def by_page_size(self) -> dict[int, list[KVCacheSpec]]:
        found: dict[int, list[KVCacheSpec]] = {}
        for spec in self.specs:
            found.setdefault(spec.page_size_bytes, []).append(spec)
        return found

    @property
    def repeats(self) -> int:
        """Layers of the most frequent page size: how often a balanced pattern repeats."""
        return max(Counter(spec.page_size_bytes for spec in self.specs).values())

    @property
    def balanced(self) -> bool:
        """Whether every page size occurs equally often."""
        return len({len(same) for same in self.by_page_size.values()}) == 1

    @property
    def mixed(self) -> bool:
        """Whether there are several page sizes."""
        return len(self.by_page_size) > 1

    def widest(self, groups: int) -> int:
        """Bytes of a block of the largest of so many groups."""
        return sum(cdiv(len(same), groups) * page for page, same in self.by_page_size.items())


def packed_groups(specs: Sequence[KVCacheSpec]) -> list[LayerGroup]:
    """Split layers of several page sizes into groups; refuses what vLLM's own check refuses."""
    buckets = _buckets(specs)
    repeats = _repeats_per_group(buckets)
    anchor = max(_anchor_bytes(bucket, repeats) for bucket in buckets)
    groups: list[LayerGroup] = []
    for bucket in buckets:
        groups += _split(bucket, _number_of_groups(bucket, repeats, anchor))
    _check_partition(specs, groups)
    return groups


def _buckets(specs: Sequence[KVCacheSpec]) -> list[_Bucket]:
    """Layers of a uniform type together, in order of first appearance."""
    buckets: list[list[KVCacheSpec]] = []
    for spec in specs:
        for bucket in buckets:
            # One layer is enough to compare with: a uniform type is the same for all its layers.
            if uniform_type([bucket[0], spec]):
                bucket.append(spec)
                break
        else:
            buckets.append([spec])
    return [_Bucket(tuple(bucket)) for bucket in buckets]


def _repeats_per_group(buckets: list[_Bucket]) -> int | None:
    """Repeats of the pattern in each group of a balanced bucket; None if no pattern mixes pages."""
    balanced = [bucket for bucket in buckets if bucket.balanced]
    lowest = max((bucket.repeats for bucket in balanced if bucket.mixed), default=0)
    return approximate_gcd([bucket.repeats for bucket in balanced], lowest) if lowest else None


def approximate_gcd(values: Sequence[int], lowest: int) -> int:
    """The divisor from ``lowest`` up that pads ``values`` least; of equals the largest."""
    if lowest > max(values):
        return lowest
    return min(
        range(lowest, max(values) + 1), key=lambda d: (sum(-value % d for value in values), -d)
    )


def _balanced_groups(bucket: _Bucket, repeats: int | None) -> int:
    return cdiv(bucket.repeats, repeats) if bucket.balanced and repeats is not None else 1


def _is_spread(bucket: _Bucket, repeats: int | None) -> bool:
    """States fill whatever blocks the others need; so do windows if there is no mixed pattern."""
    first = bucket.specs[0]
    return first.is_state or (repeats is None and first.grows_as == "sliding_window")


def _anchor_bytes(bucket: _Bucket, repeats: int | None) -> int:
    """Bytes of a block that this bucket asks for: of a single layer if the bucket is spread."""
    spread = _is_spread(bucket, repeats)
    return bucket.widest(len(bucket.specs) if spread else _balanced_groups(bucket, repeats))


def _number_of_groups(bucket: _Bucket, repeats: int | None, anchor: int) -> int:
    groups = _balanced_groups(bucket, repeats)
    if not _is_spread(bucket, repeats):
        return groups
    layers_per_block = max(anchor // bucket.specs[0].page_size_bytes, 1)
    return max(groups, cdiv(len(bucket.specs), layers_per_block))


def _split(bucket: _Bucket, count: int) -> list[LayerGroup]:
    """Deal out the repeats of the pattern. Like vLLM, drop what is left where sizes are uneven."""
    if count == 1:
        return [LayerGroup(bucket.specs, uniform_type=True)]
    patterns = list(zip(*bucket.by_page_size.values(), strict=False))
    if count > len(patterns):
        raise refused(
            "StopIteration",
            f"It deals {len(patterns)} complete patterns of page sizes out to {count} groups, "
            f"which leaves a group empty. {_ADVICE}",
        )
    return [
        LayerGroup(
            tuple(spec for pattern in patterns[index::count] for spec in pattern),
            uniform_type=True,
        )
        for index in range(count)
    ]


def _check_partition(specs: Sequence[KVCacheSpec], groups: list[LayerGroup]) -> None:
    """Refuse groups without some layer (``_check_exact_partition``)."""
    grouped = {id(spec) for group in groups for spec in group.specs}
    missing = sorted(layer_name(spec) for spec in specs if id(spec) not in grouped)
    if missing:
        raise refused(
            f"AssertionError: KV cache groups miss layers: {missing}.",
            "Its groups of a block-outermost layout leave out layers where windowed layers have "
            f"pages of several sizes in unequal numbers. {_ADVICE}",
        )
