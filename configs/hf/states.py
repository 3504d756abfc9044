"""The dtype of recurrent states.

A state has the model's dtype, except where the file or vLLM says float32 (``mamba_utils.py`` of
vLLM 0.33); ``--mamba-ssm-cache-dtype`` overrides it at run time.
"""

from .keys import Keys

LINEAR = "linear_attention"
"""Name of recurrent layers in transformers 5."""
DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "auto": "bf16"}


def state_dtype(text: Keys, default: str, *names: str) -> str:
    """The dtype of a recurrent state that the file names, or the default."""
    names = names or ("mamba_ssm_cache_dtype", "mamba_ssm_dtype")
    given = text.text(*names)
    if given is None:
        return default
    if given not in DTYPES:
        name = next(each for each in names if each in text)
        text.fail(name, f"{given!r} is not known; known: {', '.join(sorted(DTYPES))}")
    return DTYPES[given]
