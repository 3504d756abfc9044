"""Trace-driven simulator and capacity planner for LLM serving with heterogeneous KV caches.

The public names load on first use, so that ``import jenga_sim`` costs nothing.
"""

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .configs.engine import EngineConfig
    from .configs.errors import ConfigError, InvariantError, JengaError, StalledError, TraceError
    from .configs.load import gpu_names, load_gpu, load_model, model_names
    from .configs.specs import GPUSpec, LayerSpec, ModelSpec
    from .policies.base import Carving, MemoryUsage, PageGroup
    from .policies.presets import Policy, get_policy
    from .sim.result import Result
    from .sim.run import run
    from .traces import Trace, read_jsonl, sample_path

_HOMES = {
    "Carving": "policies.base",
    "ConfigError": "configs.errors",
    "EngineConfig": "configs.engine",
    "GPUSpec": "configs.specs",
    "InvariantError": "configs.errors",
    "JengaError": "configs.errors",
    "LayerSpec": "configs.specs",
    "MemoryUsage": "policies.base",
    "ModelSpec": "configs.specs",
    "PageGroup": "policies.base",
    "Policy": "policies.presets",
    "Result": "sim.result",
    "StalledError": "configs.errors",
    "Trace": "traces",
    "TraceError": "configs.errors",
    "get_policy": "policies.presets",
    "gpu_names": "configs.load",
    "load_gpu": "configs.load",
    "load_model": "configs.load",
    "model_names": "configs.load",
    "read_jsonl": "traces",
    "run": "sim.run",
    "sample_path": "traces",
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
    "ModelSpec",
    "PageGroup",
    "Policy",
    "Result",
    "StalledError",
    "Trace",
    "TraceError",
    "__version__",
    "get_policy",
    "gpu_names",
    "load_gpu",
    "load_model",
    "model_names",
    "read_jsonl",
    "run",
    "sample_path",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
