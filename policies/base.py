"""The contract of a memory policy, on one page.

A policy is five choices:

* a *grouping* says which layers share a page and how large the page is: a pure function;
* a *carving* says how pages come out of the pool: the one class with state, below;
* a *scheduler* says who is served and who is preempted (``jenga_sim.sim.scheduler``);
* a *retention* says which full blocks stay cached for later requests (``policies.retention``);
* an *eviction* says which cached page goes first: ``lru`` so far.

How many pages a request needs and which of them expired follows from the layer kinds alone
(``policies.demand``) and is never a policy's business.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from ..configs.specs import Kind, KVCacheSpec

KVCacheLayout = Literal["LBNHC", "LBHNC", "LHBNC", "BLNHC", "BLHNC", "BHLNC"]
"""Order of the pool's axes, outermost first (vLLM's ``v1/kv_cache_layout.py``): layer, block, head,
token in the block, content."""

TokenSource = Literal["text", "cross", "all"]
"""Which tokens fill a group's pages: the sequence's own, the encoder's, or both in one table."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a page stores for all layers of one kind: the unit of the waste breakdown."""

    label: str
    """Variant and window, e.g. ``swa(1024)``: the key of every per-kind result."""
    kind: Kind
    layers: int
    entry_bytes: int = 0
    """Of one entry in all ``layers`` together; 0 for states."""
    tokens_per_entry: int = 1
    state_bytes: int = 0
    """Of all ``layers`` together; 0 for attention."""
    window: int = 0

    def entries(self, tokens: Any) -> Any:
        """Entries of ``tokens`` of one request (an int or an array); one that is begun counts."""
        return -(-tokens // self.tokens_per_entry)


@dataclass(frozen=True, kw_only=True)
class PageGroup:
    """Layers that share a block table: one page holds one block of tokens for all of them."""

    name: str
    kind: Kind
    """How the group grows and shrinks; ``full`` where mixed kinds share a page."""
    block_size: int
    """Tokens per block."""
    page_bytes: int
    """Bytes that one page takes from the pool, padding included."""
    contents: tuple[Content, ...]
    layers: tuple[int, ...] = ()
    """Places of its layers in the model, in the order in which they were grouped."""
    window: int = 0
    source: TokenSource = "text"
    pages_per_block: int = 1
    """More than one where a page is smaller than what one block stores for all the layers."""
    spec: KVCacheSpec | None = None
    """The cache of its first layer as it was grouped; None where the grouping has no such thing."""

    @property
    def is_aligned(self) -> bool:
        """Whether it keeps states at block boundaries for later requests."""
        return self.spec is not None and self.spec.mamba_cache_mode == "align"

    @property
    def speculative_pages(self) -> int:
        """Pages of states for draft tokens."""
        return self.spec.num_speculative_blocks if self.spec is not None else 0

    @property
    def content_bytes(self) -> int:
        """Bytes that one full block can store."""
        return sum(self.capacity_bytes(content) for content in self.contents)

    @property
    def padding_bytes(self) -> int:
        """Bytes of one block's pages that nothing can ever fill."""
        return self.page_bytes * self.pages_per_block - self.content_bytes

    def capacity_bytes(self, content: Content) -> int:
        """Bytes that one full block stores for ``content``."""
        return content.state_bytes or content.entry_bytes * content.entries(self.block_size)


@dataclass(frozen=True, kw_only=True)
class GroupingContext:
    """What a grouping may know beside the layers' caches."""

    block_size: int
    max_model_len: int
    kv_cache_layout: KVCacheLayout | None = None
    """None: what vLLM takes for such layers."""


Grouping = Callable[[Sequence[KVCacheSpec], GroupingContext], tuple[PageGroup, ...]]
"""Pure: from the caches of one rank, in layer order, to page groups. Raises ConfigError."""

Pages = Sequence[int]
"""Page counts, one per group."""


class Slack(NamedTuple):
    """Bytes of the pool outside the pages that requests hold; see ``Carving.slack``."""

    internal: tuple[int, ...]
    """Per group: empty small pages of large pages that a running request owns."""
    external: tuple[int, ...]
    """Per group: empty bytes that no other group can take, or that cannot serve the need."""
    reserved: int
    """Null pages, bytes too few for a page, the watermark."""
    free: int
    cached: tuple[int, ...] = ()
    """Per group: pages that nobody holds and a later request may find (none without a cache)."""


class Moves(NamedTuple):
    """Copies of pages within the pool that were made and not yet paid for."""

    bytes: int = 0
    """Bytes copied, each counted once; a copy reads and writes them."""
    launches: int = 0
    """Copy kernels."""

    def plus(self, other: "Moves") -> "Moves":
        """Both together."""
        return Moves(self.bytes + other.bytes, self.launches + other.launches)


NO_MOVES = Moves()


class Carving(ABC):
    """How pages of every group come out of one pool.

    The engine names requests by *slot*, a small integer, and pages by count: it takes pages at the
    tail of a request's block tables and gives back the oldest ones. A carving that cares where a
    page lies keeps its own order. Pages of a slot are returned in the order they were taken.
    """

    grouping: ClassVar[str] = "by_kind"
    """The grouping that a user's class gets when it is named by ``--policy file.py:Class``."""

    groups: tuple[PageGroup, ...]
    pool_bytes: int

    def __init__(self, groups: tuple[PageGroup, ...], pool_bytes: int) -> None:
        """Start with an empty pool of ``pool_bytes``; raises ConfigError if no page fits."""
        self.groups = groups
        self.pool_bytes = pool_bytes

    @abstractmethod
    def could_fit(self, need: Pages) -> bool:
        """Whether ``need`` pages for one request fit an empty pool. Pure."""

    @abstractmethod
    def fits(self, need: Pages, watermark: float = 0.0) -> bool:
        """Whether a new request may take ``need`` pages now and leave ``watermark`` free.

        Pure; asked at admission. ``watermark`` is a share of the pool (vLLM's ``watermark``).
        Fewer free pages never turn a refusal into consent.
        """

    @abstractmethod
    def take(self, slot: int, need: Pages) -> bool:
        """Take ``need`` pages for ``slot``, all or nothing.

        Returns False and changes nothing when they are not to be had. Taking nothing succeeds.
        """

    @abstractmethod
    def give(self, slot: int, group: int, count: int) -> None:
        """Give back the oldest ``count`` pages of ``slot`` in ``group`` (a window moved)."""

    @abstractmethod
    def free(self, slot: int) -> None:
        """Give back every page of ``slot``, tail first (finished or preempted). Idempotent."""

    @abstractmethod
    def free_pages(self) -> tuple[int, ...]:
        """Pages per group that could still be taken if only that group asked. Pure."""

    @abstractmethod
    def slack(self, refused: Pages | None, watermark: float = 0.0) -> Slack:
        """Where the bytes outside held pages are. Pure.

        ``refused`` is the need of the request at the head of the queue that did not fit, if any:
        free bytes that cannot serve what it lacks count as external.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise InvariantError when the books do not balance. Pure."""

    def tick(self, now_ns: int) -> Moves:
        """Do what is due at ``now_ns``; the copies made since the last call, ``take``'s included.

        Asked before the first decision of every step and again after the last one. The step that is
        launched next waits for the copies: so the step pays whose pages had to be moved for. A
        carving that copies nothing need not know of it.
        """
        del now_ns
        return NO_MOVES

    def due_ns(self) -> int | None:
        """Earliest time at which ``tick`` may do or return anything; None for never. Pure.

        What holds while nothing is taken or given; no later than now while copies are not paid for.
        """
        return None

    @property
    def holders_are_slots(self) -> bool:
        """Whether ``batch`` gives a form that names requests by slot, and not by any number."""
        return True

    def batch(self, holders: int) -> Any:
        """This carving as compiled code asks it: a state for the functions of ``policies.batch``.

        It has room for ``holders`` numbers of requests, unless these are slots. What compiled code
        does to it shows here. Only classes of the package's own need another form than this one,
        which calls the methods above back.
        """
        from .called import called_carving

        return called_carving(self)


@dataclass(frozen=True, kw_only=True)
class MemoryUsage:
    """Where the bytes of the pool are. The parts sum to the pool, exactly, at every sample.

    needed: the attention or state of a running request will read it. cached: reusable prefix.
    dead: pages that a request holds though nothing in them will be read again. padding: page made
    larger than its content. internal: the part of a useful page that holds nothing useful (unfilled
    tail, tokens of a page at a window's edge, empty small pages of a request's large page).
    external: free bytes that no request of the needed kind can take. reserved: null pages,
    watermark, bytes too few for a page. free: the rest.
    """

    pool: int
    needed: int = 0
    cached: int = 0
    dead: int = 0
    padding: int = 0
    internal: int = 0
    external: int = 0
    reserved: int = 0
    free: int = 0

    @property
    def total(self) -> int:
        """Sum of the parts; equals ``pool``."""
        parts = self.needed + self.cached + self.dead + self.padding
        return parts + self.internal + self.external + self.reserved + self.free

    @property
    def held(self) -> int:
        """Bytes that are neither free nor reserved."""
        return self.pool - self.reserved - self.free

    @property
    def waste(self) -> int:
        """Dead + padding + internal + external."""
        return self.dead + self.padding + self.internal + self.external
