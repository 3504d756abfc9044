"""``jenga-sim model diff``: the caches of two models side by side."""

import json
from typing import TYPE_CHECKING, Any

import click

from ..options import Lengths, format_option

if TYPE_CHECKING:
    from ...configs.specs import ModelSpec


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("first", metavar="MODEL|FILE")
@click.argument("second", metavar="MODEL|FILE")
@click.option(
    "--at",
    "lengths",
    type=Lengths(),
    default="1k,8k,32k,128k",
    show_default=True,
    help="Tokens of a request; k is 1,024 and M 1,048,576.",
)
@format_option
def command(first: str, second: str, lengths: tuple[int, ...], output_format: str) -> int:
    """Compare what two models keep: packaged models, YAML files or config.json files.

    \b
    jenga-sim model diff gemma-2-27b gemma-3-27b
    jenga-sim model diff qwen3-next-80b ./config.json --format json
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    from ...configs.load import load_model

    found = compare(load_model(first), load_model(second), lengths)
    if output_format == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        from .diff_table import print_diff

        print_diff(found)
    return 0


def compare(first: "ModelSpec", second: "ModelSpec", lengths: tuple[int, ...]) -> dict[str, Any]:
    """Facts, cache types and bytes of both, None where a file does not say."""
    sides = [_side(model, lengths) for model in (first, second)]
    facts = {key: [sides[0]["facts"][key], sides[1]["facts"][key]] for key in sides[0]["facts"]}
    labels = dict.fromkeys([*sides[0]["caches"], *sides[1]["caches"]])
    return {
        "models": [first.name, second.name],
        "facts": facts,
        "caches": {
            label: [sides[0]["caches"].get(label), sides[1]["caches"].get(label)]
            for label in labels
        },
        "kv_bytes_at": {
            tokens: [sides[0]["kv_bytes_at"][tokens], sides[1]["kv_bytes_at"][tokens]]
            for tokens in sides[0]["kv_bytes_at"]
        },
        "same_caches": sides[0]["caches"] == sides[1]["caches"],
    }


def _side(model: "ModelSpec", lengths: tuple[int, ...]) -> dict[str, Any]:
    from ...configs.cache_types import cache_types, kv_bytes_at, labelled

    return {
        "facts": {
            "num_layers": model.num_layers,
            "shared_layers": len(model.shared_layers),
            "max_model_len": model.max_model_len,
            "hidden_size": model.hidden_size or None,
            "vocab_size": model.vocab_size or None,
            "params_total": model.params_total or None,
            "params_active": model.params_active or None,
            "weight_bytes": model.weight_bytes or None,
            "weight_dtype": model.weight_dtype if model.weight_bytes else None,
            "kv_cache_dtype": model.kv_cache_dtype,
        },
        "caches": {label: each.describe() for label, each in labelled(cache_types(model)).items()},
        "kv_bytes_at": kv_bytes_at(model, lengths),
    }
