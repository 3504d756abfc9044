"""Which layers vLLM 0.33 treats alike, and a group of them.

The rules are those of the spec classes in ``v1/kv_cache_interface.py``: specs *merge* if one can
stand for all of them, and are of a *uniform type* if all need the same number of token slots while
their pages may differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...configs.errors import ConfigError
from ...configs.specs import KVCacheSpec

Specs = list[KVCacheSpec]
LOCAL = ("sliding_window", "chunked_local")
MLA = ("mla", "indexer")


@dataclass(frozen=True)
class LayerGroup:
    """Layers that share a block table, with the block sizes and padding that vLLM gave them."""

    specs: tuple[KVCacheSpec, ...]
    uniform_type: bool = False
    """Grouped as ``UniformTypeKVCacheSpecs``: every layer keeps a page size of its own."""

    @property
    def first(self) -> KVCacheSpec:
        """The layer that stands for the group where vLLM looks at one only."""
        return self.specs[0]

    @property
    def block_size(self) -> int:
        """Tokens per block, the same in all layers."""
        return self.first.block_size

    @property
    def page_bytes(self) -> int:
        """Bytes of the pages of one block, the padding of single layers included."""
        return sum(spec.page_size_bytes for spec in self.specs)

    @property
    def content_bytes(self) -> int:
        """Bytes that one full block stores."""
        return sum(spec.content_bytes for spec in self.specs)

    @property
    def type_name(self) -> str:
        """Class of the group's spec in vLLM, and of its first layer where that is a wrapper."""
        name = spec_class(self.first)
        return f"Uniform[{name}]" if self.uniform_type else name


def bytes_per_block(groups: Sequence[LayerGroup]) -> int:
    """Bytes that one block takes from the pool: those of the largest group.

    ``_get_kv_cache_bytes_per_block``. Blocks are aligned to nothing: only some attention backends
    ask for that, and no file that is read here names a backend.
    """
    return max(group.page_bytes for group in groups)


def spec_class(spec: KVCacheSpec) -> str:
    """The class of ``v1/kv_cache_interface.py`` that describes this layer."""
    if spec.is_state:
        return "MambaSpec"
    if spec.kind in MLA:
        return "MLAAttentionSpec"
    if spec.grows_as == "sliding_window" and is_vector(spec):
        return "SlidingWindowMLASpec"
    names = {
        "full": "FullAttentionSpec",
        "sliding_window": "SlidingWindowSpec",
        "chunked_local": "ChunkedLocalAttentionSpec",
        "cross": "CrossAttentionSpec",
    }
    return names[spec.grows_as]


def is_vector(spec: KVCacheSpec) -> bool:
    """Whether an entry is one vector for all heads, keys and values alike (MLA, compressors)."""
    return not spec.is_state and len(spec.shape) == 4 and spec.shape[2] == 0


def has_vector_windows(specs: Sequence[KVCacheSpec]) -> bool:
    """Whether some window keeps one vector a token, as DeepSeek-V4's do."""
    return any(spec.grows_as == "sliding_window" and is_vector(spec) for spec in specs)


def layer_name(spec: KVCacheSpec) -> str:
    """Name of a layer in messages, e.g. ``layers.26.sliding_window``."""
    return f"layers.{spec.layer}.{spec.kind}"


def refused(words: str, advice: str) -> ConfigError:
    """The error for layers that vLLM itself cannot start with; ``words`` are vLLM's."""
    return ConfigError(
        f'vLLM 0.33 cannot group this model: it stops with "{words}". '
        f"That is a limit of vLLM, not of the simulation. {advice}"
    )


def mergeable(specs: Sequence[KVCacheSpec]) -> bool:
    """Whether one spec can stand for all of them (``merge`` of the spec classes)."""
    if len({_merge_key(spec) for spec in specs}) > 1:
        return False
    return specs[0].grows_as != "full" or len(_promoted_windows(specs)) <= 1


def _merge_key(spec: KVCacheSpec) -> tuple[object, ...]:
    """What must agree. Full attention may differ in a window that was promoted."""
    page = (
        spec.block_size,
        spec.shape,
        spec.entry_bytes,
        spec.tokens_per_entry,
        spec.page_size_padded,
    )
    if spec.is_state:
        state = (spec.variant, spec.state_bytes)
        return ("state", *state, spec.mamba_cache_mode, spec.num_speculative_blocks, *page)
    if spec.kind in MLA:
        return (spec.kind, *page)
    return (spec.grows_as, 0 if spec.grows_as == "full" else spec.window, *page)


def _promoted_windows(specs: Sequence[KVCacheSpec]) -> set[tuple[str, int]]:
    """Kinds and sizes of the windows that are allocated like full attention."""
    return {(spec.kind, spec.window) for spec in specs if spec.keeps_all}


def uniform_type(specs: Sequence[KVCacheSpec]) -> bool:
    """Whether all layers need the same token slots (``UniformTypeKVCacheSpecs``)."""
    first = specs[0]
    if len({spec.block_size for spec in specs}) > 1:
        return False
    if first.is_state:
        return len({_state_key(spec) for spec in specs}) == 1
    if first.grows_as in LOCAL:
        return all(
            spec.grows_as == first.grows_as and spec.window == first.window for spec in specs
        )
    return all(spec.grows_as == first.grows_as for spec in specs)


def _state_key(spec: KVCacheSpec) -> tuple[object, ...]:
    return spec.is_state, spec.num_speculative_blocks, spec.page_size_bytes


def promote_local(specs: Specs) -> Specs:
    """Let windowed layers allocate like full attention, if there is full attention beside them.

    ``_promote_local_kv_cache_specs`` without its final check. Layers that are alike stay as they
    are. Promoted layers take the block size of full attention where that has only one.
    """
    sizes = {spec.block_size for spec in specs if spec.grows_as == "full"}
    if mergeable(specs) or uniform_type(specs) or not sizes:
        return specs
    block_size = sizes.pop() if len(sizes) == 1 else None
    return [
        _promoted(spec, block_size or spec.block_size) if spec.grows_as in LOCAL else spec
        for spec in specs
    ]


def _promoted(spec: KVCacheSpec, block_size: int) -> KVCacheSpec:
    promoted = replace(spec, keeps_all=True, block_size=block_size)
    if spec.page_size_padded is None:
        return promoted
    padded = max(spec.page_size_padded, promoted.content_bytes)
    return replace(promoted, page_size_padded=padded)


def promote_or_refuse(specs: Specs) -> Specs:
    """``promote_local`` with its final check, which ``--disable-hybrid-kv-cache-manager`` does."""
    promoted = promote_local(specs)
    advice = "Leave the hybrid KV cache manager on."
    if promoted is not specs and has_vector_windows(specs):
        raise refused(
            "TypeError: MLAAttentionSpec.__init__() got an unexpected keyword argument "
            "'bounded_replay'",
            advice,
        )
    if _merge_raises(promoted):
        raise refused(
            "ValueError: All attention layers in the same KV cache group must have the same window "
            "size.",
            advice,
        )
    if not (mergeable(promoted) or uniform_type(promoted)):
        raise refused(
            "ValueError: Failed to promote local KV cache specs to one unified type.", advice
        )
    return promoted


def _merge_raises(promoted: Specs) -> bool:
    """Promoted windows of several sizes: vLLM expects a failed assertion and gets a ValueError.

    Latents beside them fail an assertion first.
    """
    if not all(spec_class(spec) == "FullAttentionSpec" for spec in promoted):
        return False
    windows = _promoted_windows(promoted)
    return len(windows) > len({kind for kind, _ in windows})
