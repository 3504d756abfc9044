"""``jenga-sim model list``: the models that come with the package."""

import json
from typing import Any

import click

from ..options import format_option


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("text", required=False)
@format_option
def command(text: str | None, output_format: str) -> int:
    """List the packaged models, or those whose name or caches contain TEXT.

    \b
    jenga-sim model list
    jenga-sim model list mamba
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    rows = [row for row in _rows() if text is None or _matches(row, text)]
    if output_format == "json":
        click.echo(json.dumps(rows, indent=2))
        return 0
    if not rows:
        raise click.UsageError(f"no packaged model has {text!r} in its name or caches")
    from .list_table import print_list

    print_list(rows)
    return 0


def _rows() -> list[dict[str, Any]]:
    from ...configs.cache_types import cache_types, kv_bytes, labelled
    from ...configs.load import load_model, model_names

    rows: list[dict[str, Any]] = []
    for name in model_names():
        model = load_model(name)
        types = cache_types(model)
        rows.append(
            {
                "name": name,
                "hf": model.hf,
                "layers": model.num_layers,
                "params_total": model.params_total,
                "params_active": model.params_active,
                "weight_bytes": model.weight_bytes,
                "weight_dtype": model.weight_dtype,
                "max_model_len": model.max_model_len,
                "caches": {label: each.layers for label, each in labelled(types).items()},
                "kv_bytes_32k": kv_bytes(model, 32768),
            }
        )
    return rows


def _matches(row: dict[str, Any], text: str) -> bool:
    words = (row["name"], row["hf"] or "", *row["caches"])
    return any(text.casefold() in word.casefold() for word in words)
