"""The longest single request of a model on some GPUs, policy by policy, and how it comes about.

All bytes are those of one GPU, that is of one tensor-parallel rank.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..configs.engine import ResolvedEngine, engine_config
from ..configs.load import load_gpu, load_model
from ..configs.specs import GPUSpec, ModelSpec
from ..policies.presets import PRESETS, get_policy
from .fit import PolicyFit, fit_policy
from .pool import KVPool, kv_pool
from .positions import beyond_positions


@dataclass(frozen=True, kw_only=True)
class LongestRequest:
    """One policy's answer."""

    policy: str
    token_bytes: float = 0.0
    """Of each further token, in the layers that keep all of them."""
    bounded_bytes: int = 0
    """Of windows and states, at most while the longest prompt is computed."""
    tokens: int | None = 0
    """Longest request that the pool holds; None where nothing grows with the length."""
    allowed_tokens: int = 0
    """The same up to ``max_model_len``."""
    refused: str | None = None
    """Why the policy serves nothing."""


@dataclass(frozen=True, kw_only=True)
class MaxContext:
    """The longest requests, and the pool that they are the longest in."""

    model: ModelSpec
    gpu: GPUSpec
    engine: ResolvedEngine
    pool: KVPool
    longest: tuple[LongestRequest, ...]
    warnings: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """For programs: a JSON object."""
        return {
            "model": self.model.name,
            "gpu": self.gpu.name,
            "num_gpus": self.engine.tp,
            "kv_pool": self.pool.describe()
            | {"derivation": None if self.pool.sums is None else asdict(self.pool.sums)},
            "model_positions": self.model.max_model_len,
            "max_model_len": self.engine.max_model_len,
            "policies": [asdict(each) for each in self.longest],
            "warnings": list(self.warnings),
        }


def max_context(
    model: ModelSpec | str,
    gpu: GPUSpec | str,
    policies: Sequence[str] = (),
    *,
    overhead: int | None = None,
    **engine: Any,
) -> MaxContext:
    """Ask each of ``policies``, every preset if there are none, for the longest request.

    ``overhead``: bytes of one GPU beside weights and caches (``sim.pool``); ``engine``: settings of
    ``EngineConfig``. Raises ConfigError for unknown names and where nothing is left for caches.
    """
    chosen = [get_policy(name) for name in policies or PRESETS]
    model = load_model(model) if isinstance(model, str) else model
    gpu = load_gpu(gpu) if isinstance(gpu, str) else gpu
    resolved = engine_config(**engine).resolve(model, gpu)
    pool = kv_pool(model, gpu, resolved, overhead=overhead)
    fits = [fit_policy(policy, model, resolved, pool.bytes) for policy in chosen]
    return MaxContext(
        model=model,
        gpu=gpu,
        engine=resolved,
        pool=pool,
        longest=tuple(_longest(each) for each in fits),
        warnings=tuple(beyond_positions(model, resolved.max_model_len)),
    )


def _longest(found: PolicyFit) -> LongestRequest:
    if found.refused is not None:
        return LongestRequest(policy=found.policy.name, refused=found.refused)
    tokens, allowed = found.longest(), found.longest_allowed()
    return LongestRequest(
        policy=found.policy.name,
        token_bytes=found.token_bytes(),
        bounded_bytes=found.bounded_bytes(tokens or allowed or 1),
        tokens=tokens,
        allowed_tokens=allowed,
    )
