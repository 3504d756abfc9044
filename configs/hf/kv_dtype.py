"""The dtype of the KV cache that a checkpoint asks for: what ``--kv-cache-dtype auto`` is in vLLM.

It hides in three places: a scheme or an algorithm in ``quantization_config``, or a side file of
ModelOpt's (vLLM 0.33, ``utils/torch_utils.py``, ``get_kv_cache_quant_algo_string``).
"""

from pathlib import Path

from ..errors import ConfigError
from .keys import Keys, read_keys, short

SIDE_FILE = "hf_quant_config.json"
FP8_FAMILIES = frozenset({"deepseek_v4"})
"""Families whose cache is fp8 whatever the file says (``models/deepseek_v4/attention.py``)."""


def kv_cache_dtype(root: Keys, text: Keys, family: str) -> tuple[str, list[str]]:
    """``bf16`` or ``fp8``, and a note where the checkpoint says so or asks for something else."""
    if family in FP8_FAMILIES:
        return "fp8", ["the KV cache is fp8, as vLLM has it for this family"]
    for asked, where in (*_asked_in_config(root, text), *_asked_beside(root)):
        if asked == "fp8":
            return "fp8", [f"{where} asks for an fp8 KV cache: --kv-cache-dtype auto follows it"]
        return "bf16", [f"{where} asks for a KV cache of {asked}, which is not known: bf16 assumed"]
    return "bf16", []


def _asked_in_config(root: Keys, text: Keys) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for section in (root, text):
        quantization = section.section("quantization_config")
        if quantization is None:
            continue
        inner = quantization.section("quantization") or quantization
        for keys in dict.fromkeys((inner, quantization)):
            found += _asked(keys, "kv_cache_scheme")
            found += _asked(keys, "kv_cache_quant_algo")
    return found


def _asked(keys: Keys, name: str) -> list[tuple[str, str]]:
    value = keys.raw(name)
    where = f"{keys.path}.{name}" if keys.path else name
    if isinstance(value, dict):
        eight = value.get("num_bits") == 8 and value.get("type", "float") == "float"
        return [("fp8" if eight else short(value), where)]
    if isinstance(value, str):
        return [("fp8" if value.casefold().startswith("fp8") else value, where)]
    return []


def _asked_beside(root: Keys) -> list[tuple[str, str]]:
    """What ModelOpt's side file says, if it lies beside the config and can be read."""
    path = Path(root.file).parent / SIDE_FILE
    if not path.is_file():
        return []
    try:
        inner = read_keys(path).section("quantization")
    except ConfigError:
        return []
    return [] if inner is None else _asked(inner, "kv_cache_quant_algo")
