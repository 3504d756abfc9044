"""``--speculative-config`` as vLLM takes it: which draft a target has."""

from typing import Any, NoReturn

from .errors import ConfigError
from .load import load_model
from .pairs import with_draft, with_mtp, without_draft_model
from .specs import ModelSpec

KEYS = ("model", "method", "num_speculative_tokens")
"""Keys that memory depends on; vLLM's others change speed alone."""
WITHOUT_MODEL = ("ngram", "ngram_gpu", "suffix")
"""Methods that propose tokens without layers of their own."""


def speculating(target: ModelSpec, config: dict[str, Any]) -> ModelSpec:
    """The target with the draft that ``config`` names: a model, its own MTP layers, or none.

    Raises:
        ConfigError: A key is missing or of the wrong type, or the draft is not known.
    """
    if "num_speculative_tokens" not in config:
        _fail("num_speculative_tokens", "is missing; give the tokens that are proposed a step")
    count = config["num_speculative_tokens"]
    if isinstance(count, bool) or not isinstance(count, int):
        _fail("num_speculative_tokens", f"must be a whole number, not {count!r}")
    method = config.get("method")
    if method is not None and not isinstance(method, str):
        _fail("method", f"must be a text, not {method!r}")
    name = config.get("model")
    if name is not None and not isinstance(name, str):
        _fail("model", f"must be a name or a path, not {name!r}")
    if method in WITHOUT_MODEL:
        return without_draft_model(target, count)
    if method is not None and method.endswith("mtp"):
        return with_mtp(target, count)
    if name is None:
        _fail("model", "is missing; name the draft, or a method such as mtp or ngram")
    return with_draft(target, load_model(name), count)


def _fail(key: str, text: str) -> NoReturn:
    raise ConfigError(f"--speculative-config: {key}: {text}")
