"""The layers of a model file: from patterns of names to caches in layer order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .specs import LayerSpec

NO_CACHE = "none"
SHARED = "shared-"


def names_of(item: str) -> list[str]:
    """Names of ``kinds`` in one item of a pattern: of ``mla+indexer`` both, of ``none`` no one."""
    if item == NO_CACHE:
        return []
    return [part.removeprefix(SHARED) for part in item.split("+")]


def lay_out(
    items: Sequence[str], kinds: Mapping[str, LayerSpec]
) -> tuple[tuple[LayerSpec, ...], tuple[tuple[int, int], ...]]:
    """Caches in layer order, and the layers that share: pairs of a layer and the cache's owner.

    Args:
        items: One per layer, as patterns have them.
        kinds: Caches by the names in ``items``.

    Raises:
        ValueError: A layer shares a cache that no layer before it has; the text says which.
    """
    layers: list[LayerSpec] = []
    shared: list[tuple[int, int]] = []
    owners: dict[str, int] = {}
    for block, item in enumerate(items):
        for part in [] if item == NO_CACHE else item.split("+"):
            name = part.removeprefix(SHARED)
            if name == part:
                layers.append(replace(kinds[name], block=block))
                owners[name] = block
            elif name in owners:
                shared.append((block, owners[name]))
            else:
                raise ValueError(f"layer {block} shares {name!r}, but no layer before it has it")
    return tuple(layers), tuple(shared)
