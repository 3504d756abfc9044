"""Page groups for tests of carvings."""

from typing import cast

from hypothesis import strategies as st

from jenga_sim.configs.specs import Kind
from jenga_sim.policies.base import Content, PageGroup


def page_group(index: int, page_bytes: int, kind: Kind = "full") -> PageGroup:
    label = f"{kind}{index}"
    content = Content(label=label, kind=kind, layers=1, entry_bytes=page_bytes)
    return PageGroup(
        name=label,
        kind=kind,
        block_size=1,
        page_bytes=page_bytes,
        contents=(content,),
        window=4 if kind == "sliding_window" else 0,
    )


@st.composite
def page_groups(draw: st.DrawFn, sizes: str, most: int = 3) -> tuple[PageGroup, ...]:
    """Pages of any sizes, of one, or of one times powers of two."""
    drawn = draw(st.lists(st.integers(1, 12), min_size=1, max_size=most))
    if sizes == "equal":
        drawn = drawn[:1] * len(drawn)
    elif sizes == "powers":
        drawn = [drawn[0], *(drawn[0] << size % 4 for size in drawn[1:])]
    kinds = st.sampled_from(cast(list[Kind], ["full", "sliding_window", "mamba"]))
    return tuple(page_group(index, size, draw(kinds)) for index, size in enumerate(drawn))
