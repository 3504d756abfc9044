"""What the kernels that vLLM 0.33 chooses on a GPU ask of blocks.

By the major number of the GPU's compute capability: 8 for Ampere and Ada, 9 for Hopper, 10 and 12
for Blackwell in data centres and in workstations. None where a GPU file does not say.
"""

BLACKWELL = (10, 12)


def mla_block_size(major: int | None, *, fp8: bool, sparse: bool) -> int:
    """Tokens of a block of MLA latents where ``--block-size`` is not given.

    The first backend of ``platforms/cuda.py`` that serves the cache, and its
    ``get_preferred_block_size``: FlashAttention's and Triton's take the default of 16. FlashMLA
    takes 64, which Hopper uses for fp8 and every GPU beside an indexer, and FlashInfer 32. Unknown
    GPUs get 64.
    """
    if sparse or major is None or (major == 9 and fp8):
        return 64
    return 32 if major == 10 else 16


def sparse_mla_dtype(major: int | None, dtype: str, *, auto: bool) -> tuple[str, bool]:
    """Dtype of the latents beside an indexer, and whether fp8 entries are packed with their scales.

    ``layers/attention/mla_attention.py``: the only backend of SM12x packs fp8 also where the dtype
    was left ``auto``; FlashInfer, which SM10x takes for fp8, does not pack it. All others do.
    """
    if major == 12 and auto:
        return "fp8", True
    return dtype, not (major == 10 and dtype == "fp8")


def checkpoint_alignment(variant: str, major: int | None) -> int:
    """Multiple of tokens at which a prefill can export a state without ending there; 0 if it can't.

    ``MambaMixer2.get_kv_cache_spec`` always can. Gated delta nets can with FlashInfer's prefill,
    which ``_resolve_gdn_prefill_backend`` takes on Hopper, and on Blackwell with CUDA 13 and key
    heads of 128 elements, as every published model has. FlashKDA of Kimi-K3 can as well and
    asks for no other blocks, but Kimi-Linear's KDA cannot, and a spec does not tell them apart:
    neither is counted.
    """
    if variant == "mamba2":
        return 1
    return 64 if variant == "gdn" and major in (9, *BLACKWELL) else 0
