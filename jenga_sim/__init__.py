"""Trace-driven simulator and capacity planner for LLM serving with heterogeneous KV caches.

The public names load on first use, so that ``import jenga_sim`` costs nothing.
"""

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .configs.cache_types import cache_types
    from .configs.engine import EngineConfig
    from .configs.errors import ConfigError, InvariantError, JengaError, StalledError, TraceError
    from .configs.load import gpu_names, load_gpu, load_model, model_names
    from .configs.pairs import with_draft
    from .configs.replay import ReplayConfig
    from .configs.specs import GPUSpec, LayerSpec, ModelSpec
    from .policies.base import Carving, MemoryUsage, PageGroup
    from .policies.presets import Policy, get_policy
    from .sim.card import ModelCard
    from .sim.max_context import max_context
    from .sim.model_card import model_card
    from .sim.result import Result
    from .sim.run import run
    from .traces import Trace, read_trace, sample_path, write_trace
    from .traces.generate.generate import generate_trace

_HOMES = {
    "Carving": "policies.base",
    "ConfigError": "configs.errors",
    "EngineConfig": "configs.engine",
    "GPUSpec": "configs.specs",
    "InvariantError": "configs.errors",
    "JengaError": "configs.errors",
    "LayerSpec": "configs.specs",
    "MemoryUsage": "policies.base",
    "ModelCard": "sim.card",
    "ModelSpec": "configs.specs",
    "PageGroup": "policies.base",
    "Policy": "policies.presets",
    "ReplayConfig": "configs.replay",
    "Result": "sim.result",
    "StalledError": "configs.errors",
    "Trace": "traces",
    "TraceError": "configs.errors",
    "cache_types": "configs.cache_types",
    "generate_trace": "traces.generate.generate",
    "get_policy": "policies.presets",
    "gpu_names": "configs.load",
    "load_gpu": "configs.load",
    "load_model": "configs.load",
    "max_context": "sim.max_context",
    "model_card": "sim.model_card",
    "model_names": "configs.load",
    "read_trace": "traces",
    "run": "sim.run",
    "sample_path": "traces",
    "with_draft": "configs.pairs",
    "write_trace": "traces",
}

__all__ = [
    "Carving",
    "ConfigError",
    "EngineConfig",
    "GPUSpec",
    "InvariantError",
    "JengaError",
    "LayerSpec",
    "MemoryUsage",
    "ModelCard",
    "ModelSpec",
    "PageGroup",
    "Policy",
    "ReplayConfig",
    "Result",
    "StalledError",
    "Trace",
    "TraceError",
    "__version__",
    "cache_types",
    "generate_trace",
    "get_policy",
    "gpu_names",
    "load_gpu",
    "load_model",
    "max_context",
    "model_card",
    "model_names",
    "read_trace",
    "run",
    "sample_path",
    "with_draft",
    "write_trace",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
