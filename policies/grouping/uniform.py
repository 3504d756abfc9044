"""Uniform paging (PagedAttention, SOSP 2023): every layer alike, every layer keeps every token."""

from collections.abc import Sequence

from ...configs.errors import ConfigError
from ...configs.specs import KVCacheSpec, cdiv
from ..base import Content, GroupingContext, PageGroup
from .contents import contents_of


def uniform(specs: Sequence[KVCacheSpec], context: GroupingContext) -> tuple[PageGroup, ...]:
    """One page holds a block of tokens for every attention layer, whatever its window.

    Encoder tokens sit in the same block table as the text, as in vLLM 0.6 for Llama-3.2-Vision
    (Jenga, section 3: 79.6 % of that model's memory is waste). Recurrent states have no tokens;
    each request's states take whole pages of the same size.
    """
    attention = [spec for spec in specs if not spec.is_state]
    states = [spec for spec in specs if spec.is_state]
    if not attention:
        return (_states(states, sum(spec.state_bytes for spec in states), context),)
    page_bytes = sum(spec.bytes_of(context.block_size) for spec in attention)
    if page_bytes == 0:
        raise ConfigError("no attention layer stores any bytes: there is nothing to page")
    kinds = {spec.kind for spec in attention}
    group = PageGroup(
        name="uniform",
        kind="full",
        block_size=context.block_size,
        page_bytes=page_bytes,
        contents=contents_of(attention),
        layers=tuple(spec.layer for spec in attention),
        source="all" if "cross" in kinds else "text",
    )
    return (group, _states(states, page_bytes, context)) if states else (group,)


def _states(states: Sequence[KVCacheSpec], page_bytes: int, context: GroupingContext) -> PageGroup:
    contents: tuple[Content, ...] = contents_of(states)
    total = sum(content.state_bytes for content in contents)
    return PageGroup(
        name="states",
        kind=states[0].kind,
        block_size=context.max_model_len,
        page_bytes=page_bytes,
        contents=contents,
        layers=tuple(spec.layer for spec in states),
        pages_per_block=cdiv(total, page_bytes),
    )
