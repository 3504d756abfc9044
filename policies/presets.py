"""Named policies: each names all its choices, and how a user's own class joins them."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ..configs.errors import ConfigError
from .base import Carving, Grouping
from .carving.buddy import Buddy
from .carving.ideal import Ideal
from .carving.lcm import LCMCarving
from .carving.lcm_frugal import FrugalLCMCarving
from .carving.rebalance import Rebalance
from .carving.single import SinglePool
from .carving.static import SGLangPartition, StaticPartition
from .carving.two_ended import TwoEnded
from .grouping.buddy import buddy_bytes, buddy_layers
from .grouping.by_kind import by_kind, by_kind_exact
from .grouping.by_property import by_property
from .grouping.gcd_page import gcd_page
from .grouping.lcm_blocks import lcm_blocks
from .grouping.max_page import max_page
from .grouping.pad_lcm import pad_lcm
from .grouping.uniform import uniform
from .grouping.vllm import vllm, vllm_nohybrid
from .retention import NAMES, parse_retention

CarvingFactory = Callable[..., Carving]

GROUPINGS: dict[str, Grouping] = {
    "uniform": uniform,
    "by_kind": by_kind,
    "by_kind_exact": by_kind_exact,
    "by_property": by_property,
    "max_page": max_page,
    "gcd_page": gcd_page,
    "buddy_layers": buddy_layers,
    "buddy_bytes": buddy_bytes,
    "pad_lcm": pad_lcm,
    "lcm_blocks": lcm_blocks,
    "vllm": vllm,
    "vllm_nohybrid": vllm_nohybrid,
}
CARVINGS: dict[str, CarvingFactory] = {
    "single": SinglePool,
    "static": StaticPartition,
    "static-sglang": SGLangPartition,
    "rebalance": Rebalance,
    "two-ended": TwoEnded,
    "lcm": LCMCarving,
    "lcm-frugal": FrugalLCMCarving,
    "buddy": Buddy,
    "ideal": Ideal,
}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A memory policy: how layers share pages and how pages come out of the pool."""

    name: str
    grouping: str
    carving: str
    scheduler: str = "v1"
    retention: str = "none"
    """What stays cached for later requests: see ``policies.retention``."""
    eviction: str = "lru"
    """What goes first when cached pages are in the way."""
    summary: str = ""

    @property
    def group(self) -> Grouping:
        """The grouping function."""
        if self.grouping not in GROUPINGS:
            raise ConfigError(f"policy.grouping: {self.grouping!r} is none of {sorted(GROUPINGS)}")
        return GROUPINGS[self.grouping]

    @property
    def make_carving(self) -> CarvingFactory:
        """The carving class; a name with a colon is looked up as a user's class."""
        if self.carving not in CARVINGS and ":" not in self.carving:
            raise ConfigError(f"policy.carving: {self.carving!r} is none of {sorted(CARVINGS)}")
        return CARVINGS.get(self.carving) or load_class(self.carving)

    @property
    def has_large_pages(self) -> bool:
        """Whether the pool is Jenga's, which caches prefixes in its own way."""
        carving = self.make_carving
        return isinstance(carving, type) and issubclass(carving, LCMCarving)

    @property
    def aligns_blocks(self) -> bool:
        """Whether attention blocks grow until a page holds a state, as vLLM does at start-up."""
        return self.grouping.startswith("vllm")


PRESETS: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            name="paged",
            grouping="uniform",
            carving="single",
            summary="PagedAttention: one page for all layers, every layer keeps every token",
        ),
        Policy(
            name="vllm",
            grouping="vllm",
            carving="single",
            retention="junction",
            summary="vLLM 0.33: groups of equal pages, windows recycled, padding, prefix cache",
        ),
        Policy(
            name="vllm-nohybrid",
            grouping="vllm_nohybrid",
            carving="single",
            retention="junction",
            summary="vLLM 0.33 with --disable-hybrid-kv-cache-manager: windows kept in full",
        ),
        Policy(
            name="static",
            grouping="by_kind",
            carving="static",
            summary="one fixed part of the pool per layer kind",
        ),
        Policy(
            name="static-sglang",
            grouping="by_kind",
            carving="static-sglang",
            summary="SGLang 0.5: fixed parts, 0.8 tokens in windows per token in full attention",
        ),
        Policy(
            name="rebalance",
            grouping="by_kind",
            carving="rebalance",
            summary="TensorRT-LLM V2: parts per page size, divided anew every two minutes at most",
        ),
        Policy(
            name="two-ended",
            grouping="by_kind",
            carving="two-ended",
            summary="SGLang's unified memory: groups grow from both ends, pages are copied",
        ),
        Policy(
            name="lcm",
            grouping="by_kind",
            carving="lcm",
            retention="dense",
            summary="Jenga: large pages of the LCM of the kinds' pages, request-aware, cached",
        ),
        Policy(
            name="lcm-frugal",
            grouping="by_kind",
            carving="lcm-frugal",
            retention="dense",
            summary="Jenga's large pages, but none for what fits others' empty small pages",
        ),
        Policy(
            name="jenga",
            grouping="by_property",
            carving="lcm",
            scheduler="v0",
            retention="dense",
            summary="Jenga's artifact: lcm under a scheduler that computes whole prompts first",
        ),
        Policy(
            name="pad-lcm",
            grouping="pad_lcm",
            carving="lcm",
            retention="dense",
            summary="Jenga's large pages, larger pages padded to multiples of smaller ones",
        ),
        Policy(
            name="lcm-blocks",
            grouping="lcm_blocks",
            carving="lcm",
            retention="dense",
            summary="Jenga's large pages, blocks shaped and padded to tile a small one",
        ),
        Policy(
            name="max-page",
            grouping="max_page",
            carving="single",
            summary="every kind's page padded to the largest (Jenga's baseline Max Page)",
        ),
        Policy(
            name="gcd-page",
            grouping="gcd_page",
            carving="single",
            summary="blocks in pages of the kinds' common divisor: no kernel can read them",
        ),
        Policy(
            name="buddy-layers",
            grouping="buddy_layers",
            carving="buddy",
            summary="buddy allocator, a kind's layers filled up to a power of two",
        ),
        Policy(
            name="buddy-bytes",
            grouping="buddy_bytes",
            carving="buddy",
            summary="buddy allocator, pages the smallest one times a power of two",
        ),
        Policy(
            name="ideal",
            grouping="by_kind_exact",
            carving="ideal",
            summary="byte-exact bound: no allocator can hold less",
        ),
    )
}


def get_policy(name: str) -> Policy:
    """Return a preset, an installed plug-in, or a user's class named ``file.py:Class``.

    A user's class is a ``Carving`` and brings its grouping as a class attribute. Packages register
    classes in the entry-point group ``jenga_sim.policies``.
    """
    if name in PRESETS:
        return PRESETS[name]
    plugins = {point.name: point for point in entry_points(group="jenga_sim.policies")}
    if ":" in name or name in plugins:
        target = name if ":" in name else plugins[name].value
        grouping = load_class(target).grouping
        if grouping not in GROUPINGS:
            raise ConfigError(f"{target}: grouping {grouping!r} is none of {sorted(GROUPINGS)}")
        return Policy(name=name, grouping=grouping, carving=target, summary="user's class")
    if name.endswith(".py"):
        raise ConfigError(f"policy {name}: name the class too, {name}:MyCarving")
    known = [*PRESETS, *plugins]
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ConfigError(
        f"unknown policy {name!r}.{hint} Known: {', '.join(known)}; "
        "or your own, ./mine.py:MyCarving"
    )


def customize(policy: Policy, settings: dict[str, Any]) -> Policy:
    """Replace choices of a policy; an unknown choice or value is a ConfigError."""
    allowed = {
        "grouping": sorted(GROUPINGS),
        "carving": sorted(CARVINGS),
        "scheduler": ["v1", "v0"],
        "eviction": ["lru"],
        "retention": list(NAMES),
    }
    for name, value in settings.items():
        if name not in allowed:
            raise ConfigError(f"policy.{name}: unknown choice. Known: {', '.join(allowed)}")
        if name == "retention":
            parse_retention(str(value))
        elif value not in allowed[name] and not (name == "carving" and ":" in str(value)):
            raise ConfigError(f"policy.{name}: {value!r} is none of {', '.join(allowed[name])}")
    changes = "".join(f"+{name}={value}" for name, value in settings.items())
    return replace(policy, name=policy.name + changes, **settings)


def load_class(target: str) -> type[Carving]:
    """Load ``path/to/file.py:Class`` or ``package.module:Class``."""
    module_name, _, class_name = target.rpartition(":")
    module = (
        _load_file(module_name) if module_name.endswith(".py") else _import(module_name, target)
    )
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Carving)):
        raise ConfigError(
            f"{target}: no class {class_name!r} derived from jenga_sim.policies.base.Carving"
        )
    if missing := sorted(found.__abstractmethods__):
        raise ConfigError(f"{target}: lacks methods of Carving: {', '.join(missing)}")
    return found


def _import(module_name: str, target: str) -> object:
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(f"policy {target}: cannot import {module_name!r}: {error}") from error


def _load_file(file_name: str) -> object:
    path = Path(file_name)
    if not path.is_file():
        raise ConfigError(f"policy file {file_name}: no such file")
    name = f"jenga_sim_user_policy_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"policy file {file_name}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"policy file {file_name}: {type(error).__name__}: {error}") from error
    return module
