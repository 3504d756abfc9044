"""The tables of ``jenga-sim model show``."""

from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.table import Table

from ...configs.cache_types import CacheType, kv_bytes
from ...configs.specs import LayerSpec
from ...sim.card import AtLength, Deployment, ModelCard, Pages, PolicyCard, first_layers, rank_share
from ..report import print_table, print_tables
from .units import in_bytes, in_tokens

MEANING = (
    "Held: what one request takes in a decode step, prompt long done; waste is the share of it "
    "that nothing reads. At once: requests of that length that an empty pool holds, all decoding. "
    "Longest: tokens of one request, alone, from its prompt on. All of these are one GPU's, "
    "without prefix caching."
)

ESTIMATED = "are estimated"
"""What notes say of parameters or weights that are not counted exactly, in packaged files too."""


def print_card(card: ModelCard) -> None:
    """Print what a model keeps, then what each policy makes of it on the GPUs."""
    print_tables(lambda console, style: _print(console, card, style))


def _print(console: Console, card: ModelCard, style: box.Box) -> None:
    model = card.model
    console.print(f"{model.name}: {_size(card)}", style="bold", markup=False)
    console.print(model.source, style="dim", markup=False)
    deployment = card.deployment
    tables = [_types(card)]
    for table in tables:
        print_table(console, table, style)
    console.print(_needs(card), markup=False)
    for each in card.images:
        where = "cross-attention cache" if each.where == "cross" else "the sequence"
        cross = f", {in_bytes(each.cross_bytes)} there" if each.cross_bytes else ""
        console.print(
            f"an image of {each.width} x {each.height}: {each.tokens:,} tokens in {where}{cross}; "
            f"{in_bytes(each.embedding_bytes)} in the encoder cache",
            markup=False,
        )
    if card.images:
        console.print(_counted(card), markup=False)
    console.print()
    console.print(f"On {_gpus(deployment)}", style="bold", markup=False)
    if deployment.pool is not None:
        console.print(f"KV pool: {deployment.pool.explanation}", markup=False)
    if deployment.policies:
        for table in _policies(deployment.policies):
            print_table(console, table, style)
    for reason, names in _refusals(deployment.policies).items():
        verb = "serves" if len(names) == 1 else "serve"
        console.print(f"{', '.join(names)} {verb} nothing: {reason}", markup=False)
    print_table(console, _pages(deployment.pages), style)
    console.print(_large_pages(deployment.pages), markup=False)
    console.print(_vllm(deployment))
    for text in card.warnings:
        console.print(f"warning: {text}", style="yellow", markup=False)
    for text in model.notes:
        console.print(f"note: {text}", style="dim", markup=False)
    if deployment.policies:
        console.print(MEANING, style="dim")


def _counted(card: ModelCard) -> str:
    """Where the figures below have the images."""
    if card.images[0].where != "cross":
        return "Images are part of the sequence: the lengths below include their tokens."
    tokens = sum(each.tokens for each in card.images)
    return f"Below, each request holds {tokens:,} tokens of images beside its text."


def _size(card: ModelCard) -> str:
    model = card.model
    size, weights = "unknown parameters", "unknown weights"
    if model.params_total:
        size = f"{model.params_total / 1e9:,.2f} B parameters"
    if model.params_active != model.params_total:
        size += f", {model.params_active / 1e9:,.2f} B active"
    if model.weight_bytes:
        weights = f"{in_bytes(model.weight_bytes)} of {model.weight_dtype} weights"
    if any(ESTIMATED in note for note in model.notes):
        weights += " (estimated)"
    return f"{model.num_layers:,} layers, {size}, {weights}, {model.max_model_len:,} positions"


def _gpus(deployment: Deployment) -> str:
    engine = deployment.engine
    text = f"{engine.tp * deployment.stages} x {deployment.gpu.name}"
    if deployment.stages > 1:
        first, last = deployment.layers
        text += f" in {deployment.stages} stages; figures of layers {first} to {last}"
    return f"{text}, block size {engine.block_size}"


def _types(card: ModelCard) -> Table:
    """Columns that say nothing of the model are left out: 80 characters hold the others."""
    tp = card.deployment.engine.tp
    names = ("kind", "role", "layers", "B/token", "fp8", "window", "state", f"TP {tp}")
    rows = [
        _type_row(each, layer, tp)
        for each, layer in zip(card.types, first_layers(card.model), strict=True)
    ]
    kept = [at for at in range(len(names)) if any(row[at] for row in rows)]
    table = Table()
    for at in kept:
        # The last two hold two words, which may stand below each other.
        words = at >= names.index("state")
        justify = "right" if at >= names.index("layers") else "left"
        table.add_column(names[at], justify=justify, no_wrap=not words, overflow="fold")
    for row in rows:
        table.add_row(*(row[at] for at in kept))
    return table


def _type_row(each: CacheType, layer: LayerSpec, tp: int) -> tuple[str, ...]:
    share = rank_share(layer, tp)
    how = share.how if share.copies == 1 else f"{share.how} x{share.copies}"
    return (
        each.variant,
        each.role,
        f"{each.layers:,}",
        _entry(each, each.bf16_bytes),
        _entry(each, each.fp8_bytes),
        f"{each.window:,}" if each.window else "",
        _state(each),
        "whole" if tp == 1 else how,
    )


def _entry(each: CacheType, size: int) -> str:
    if each.role == "state":
        return ""
    return f"{size:,}" if each.tokens_per_entry == 1 else f"{size:,}/{each.tokens_per_entry}"


def _state(each: CacheType) -> str:
    size = each.conv_state + each.ssm_state
    return f"{size:,} {each.ssm_dtype}" if size else ""


def _needs(card: ModelCard) -> str:
    dtype = card.deployment.engine.config.kv_cache_dtype
    dtype = card.model.kv_cache_dtype if dtype == "auto" else dtype
    states = card.deployment.engine.ssm_dtype
    sizes = {tokens: kv_bytes(card.model, tokens, dtype, states) for tokens in card.lengths}
    each = ", ".join(f"{in_tokens(at)} {in_bytes(size)}" for at, size in sizes.items())
    shared = len(card.model.shared_layers)
    text = f"; {shared} layers share another layer's cache" if shared else ""
    return f"One request needs, {dtype} cache, all GPUs together: {each}{text}"


def _policies(policies: tuple[PolicyCard, ...]) -> tuple[Table, Table]:
    served = [each for each in policies if each.refused is None]
    held = _by_length("Held by one request (waste)", served, _held)
    at_once = _by_length("Requests at once", served, _at_once, longest=True)
    return held, at_once


def _refusals(policies: tuple[PolicyCard, ...]) -> dict[str, list[str]]:
    """Policies that serve nothing, by the reason."""
    reasons: dict[str, list[str]] = {}
    for each in policies:
        if each.refused is not None:
            reasons.setdefault(each.refused, []).append(each.name)
    return reasons


def _by_length(
    title: str,
    policies: list[PolicyCard],
    cell: Callable[[AtLength], str],
    *,
    longest: bool = False,
) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("policy", no_wrap=True)
    for each in policies[0].at if policies else ():
        table.add_column(in_tokens(each.tokens), justify="right", overflow="fold")
    if longest:
        table.add_column("longest", justify="right", no_wrap=True)
    for policy in policies:
        cells = [cell(each) for each in policy.at]
        if longest:
            cells.append("no limit" if policy.longest is None else f"{policy.longest:,}")
        table.add_row(policy.name, *cells)
    return table


def _held(each: AtLength) -> str:
    return f"{in_bytes(each.held_bytes)} ({100 * each.waste:.1f}%)"


def _at_once(each: AtLength) -> str:
    return "no limit" if each.concurrency is None else f"{each.concurrency:,}"


def _pages(pages: Pages) -> Table:
    table = Table(title="Pages of one GPU, bytes", title_justify="left")
    table.add_column("kind", no_wrap=True)
    for name in ("tokens/page", "small", "pad-lcm", "buddy-layers", "buddy-bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    sizes = pages.sizes
    for row in zip(
        pages.kinds,
        pages.block_sizes,
        sizes.small,
        sizes.pad_lcm,
        sizes.buddy_layers,
        sizes.buddy_bytes,
        strict=True,
    ):
        kind, *numbers = row
        table.add_row(str(kind), *(f"{number:,}" for number in numbers))
    return table


def _large_pages(pages: Pages) -> str:
    sizes = pages.sizes
    return (
        f"LCM {in_bytes(sizes.lcm)} ({sizes.lcm / sizes.max:,.0f} x the largest), GCD "
        f"{in_bytes(sizes.gcd)}, MAX {in_bytes(sizes.max)}; large page of pad-lcm "
        f"{in_bytes(sizes.large_pad_lcm)}, of lcm-blocks {in_bytes(sizes.large_lcm_blocks)}"
    )


def _vllm(deployment: Deployment) -> Table:
    rows = Table(show_header=False, box=None, pad_edge=False)
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column()
    view = deployment.vllm
    if view is None:
        return rows
    groups = f"{view.groups} KV cache group{'s' * (view.groups > 1)}"
    hashes = "" if view.hash_block_size is None else f", prefix hashes of {view.hash_block_size:,}"
    rows.add_row(
        "vLLM 0.33",
        f"{groups}, {view.num_blocks:,} blocks of {view.bytes_per_block:,} bytes; "
        f"attention blocks of {view.block_size:,} tokens{hashes}",
    )
    if view.state_padding:
        rows.add_row("", f"states are padded by {view.state_padding:.2%} of their page")
    if view.max_concurrency is not None:
        rows.add_row(
            "it logs",
            f"GPU KV cache size: {view.capacity_tokens:,} tokens; maximum concurrency "
            f"{view.max_concurrency:,.2f}x for {view.max_model_len:,} tokens per request",
        )
    else:
        rows.add_row(
            "it stops",
            f"max_model_len of up to {view.longest_model_len:,} would fit, not "
            f"{view.max_model_len:,}",
        )
    if view.state_slots is not None:
        rows.add_row(
            "slots", f"{view.state_slots:,} blocks for states, max_num_seqs {view.max_num_seqs:,}"
        )
    return rows
