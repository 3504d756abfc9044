"""The layers of a model file: from patterns of names to caches in layer order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .shapes import Run
from .specs import LayerSpec

NO_CACHE = "none"
SHARED = "shared:"


def names_of(item: str) -> list[str]:
    """Names of ``kinds`` in one item of a pattern: of ``mla+indexer`` both, of ``none`` no one."""
    if item == NO_CACHE:
        return []
    return item.removeprefix(SHARED).split("+")


def lay_out(
    runs: Sequence[Run], kinds: Mapping[str, LayerSpec]
) -> tuple[tuple[LayerSpec, ...], tuple[tuple[int, int], ...]]:
    """Caches in layer order, and the layers that share: pairs of a layer and the cache's owner.

    Raises:
        ValueError: A layer shares a cache that no layer before it has; the text says which.
    """
    layers: list[LayerSpec] = []
    shared: list[tuple[int, int]] = []
    owners: dict[str, int] = {}
    items = [item for run in runs for item in run.pattern * run.repeat]
    for block, item in enumerate(items):
        names = names_of(item)
        if item.startswith(SHARED):
            if names[0] not in owners:
                raise ValueError(
                    f"layer {block} shares {names[0]!r}, but no layer before it has it"
                )
            shared.append((block, owners[names[0]]))
            continue
        layers += [replace(kinds[name], block=block) for name in names]
        owners |= dict.fromkeys(names, block)
    return tuple(layers), tuple(shared)
