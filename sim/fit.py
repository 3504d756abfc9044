"""What one request of a given length holds under a memory policy, and what that lets a pool do.

Groups, carvings and rules of the run itself answer, without a trace; nothing has a formula of its
own here. All bytes are those of ONE tensor-parallel rank (one GPU), as everywhere in ``sim``: with
four GPUs a request holds four times as much in all.

Prefixes are not cached. ``tokens`` is the length in the decode step that computes the last of them,
the prompt being done long ago and no other step in flight; so these are steady figures:

* While a prompt is computed, windows and states hold more (the chunks in flight, or under ``v0``
  the whole prompt). ``longest`` and ``longest_allowed`` count that, the others do not.
* With asynchronous scheduling, windows are given back one step later: up to a page more in each
  group, or one chunk of chunked-local attention for a step.
* A policy of Jenga's may hold a large page more per window while that moves from one to the next.
"""

from dataclasses import dataclass, field, replace

from ..configs.engine import ResolvedEngine
from ..configs.errors import ConfigError
from ..configs.specs import STATE_KINDS, ModelSpec
from ..policies.base import Carving, GroupingContext, PageGroup, Pages
from ..policies.demand import WINDOW_KINDS, live_tokens
from ..policies.grouping.by_kind import by_kind_exact
from ..policies.large_pages.rules import TableRules
from ..policies.presets import Policy, get_policy
from ..policies.retention import Retention
from .fit_pages import bytes_taken, most_requests
from .setup import longest_request, policy_specs, scheduler_config, table_rules

ENDLESS = 1 << 40
"""Tokens beyond which a length counts as unlimited: no positions, no pool is nearly as large."""


@dataclass(frozen=True, kw_only=True)
class PolicyFit:
    """A policy on one model and pool. Bytes are those of one tensor-parallel rank."""

    policy: Policy
    engine: ResolvedEngine
    groups: tuple[PageGroup, ...]
    """Empty where the policy refuses the model."""
    pool_bytes: int
    refused: str | None
    """Why the policy serves nothing here: the ConfigError's text; None if it serves."""
    carving: Carving | None = field(repr=False, compare=False)
    """Empty, and not to be taken from."""
    rules: TableRules = field(repr=False, compare=False)

    def live_pages(self, tokens: int, cross: int = 0) -> Pages:
        """Pages per group that a request holds: those up to its last token, less what expired.

        ``cross``: tokens of an encoder beside the ``tokens`` of text.
        """
        if tokens < 1:
            raise ConfigError(f"a request has one token at least, not {tokens:,}")
        pages: list[int] = []
        for group in self.groups:
            length = self.rules.length(group, tokens, cross)
            pages.append(length - self.rules.expired(group, tokens - 1, 0, length))
        return tuple(pages)

    def held_bytes(self, tokens: int, cross: int = 0) -> int:
        """Bytes that one request takes from the pool, for Jenga's policies whole large pages.

        Whether the pool is that large is another question: see ``concurrency``. Raises ConfigError
        if the policy was refused.
        """
        if self.carving is None:
            raise ConfigError(f"policy {self.policy.name}: {self.refused}")
        return bytes_taken(self.carving, self.live_pages(tokens, cross))

    def concurrency(self, tokens: int, cross: int = 0) -> int | None:
        """How many such requests an empty pool holds at once; None where they hold nothing.

        All of one length, decoding, admitted one after the other. Left out are prompts that are
        being computed, requests of other lengths, the watermark, ``max_num_seqs``, and what earlier
        requests left scattered. ``rebalance`` stands at its first division, which is for requests
        of 2,049 tokens; it would come nearer to what these requests need in time.
        """
        if self.carving is None:
            return 0
        return most_requests(self.carving, self.live_pages(tokens, cross))

    def longest(self, cross: int = 0) -> int | None:
        """Tokens of the longest request that an empty pool serves from its prompt on, alone.

        Whatever the model's positions allow; None where nothing grows with the length. 0 if none.
        """
        found = self._longest(endless(self.engine), cross)
        return None if found >= ENDLESS else found

    def longest_allowed(self) -> int:
        """The same up to the engine's ``max_model_len``: what a run serves at most."""
        return self._longest(self.engine)

    def _longest(self, engine: ResolvedEngine, cross: int = 0) -> int:
        if self.carving is None:
            return 0
        return longest_request(
            self.groups, self.carving, self.policy, engine, caches=False, cross=cross
        )

    def token_bytes(self) -> float:
        """Bytes that each further token adds in layers that keep all of them, padding included.

        Of text. Large pages that are not full come on top.
        """
        growing = [g for g in self.groups if not _recycles(g) and g.source != "cross"]
        return sum(g.page_bytes * g.pages_per_block / g.block_size for g in growing)

    def bounded_bytes(self, tokens: int) -> int:
        """Bytes that windows and states hold at most until a request has ``tokens``.

        While its prompt is computed; the rest of a large page is not counted.
        """
        return sum(
            self.rules.most(group, tokens, 0) * group.page_bytes
            for group in self.groups
            if _recycles(group)
        )


def _recycles(group: PageGroup) -> bool:
    return group.kind in WINDOW_KINDS or group.kind in STATE_KINDS or group.kind == "chunked_local"


def fit_policy(
    policy: Policy | str, model: ModelSpec, engine: ResolvedEngine, pool_bytes: int
) -> PolicyFit:
    """Put ``policy`` on a pool of ``pool_bytes`` of one GPU (``kv_pool(...).bytes``).

    A policy that refuses the model or the pool is a PolicyFit as well, with the reason; an unknown
    name is a ConfigError. States belong to whole requests, however long.
    """
    policy = get_policy(policy) if isinstance(policy, str) else policy
    unlimited = endless(engine)
    rules = table_rules(policy.scheduler, scheduler_config(unlimited, policy.scheduler), False)
    groups: tuple[PageGroup, ...] = ()
    carving: Carving | None = None
    refused: str | None = None
    try:
        context = GroupingContext(block_size=engine.block_size, max_model_len=ENDLESS)
        longer = replace(model, max_model_len=ENDLESS)
        specs = policy_specs(longer, unlimited, policy, Retention(enabled=False))
        groups = policy.group(specs, context)
        carving = policy.make_carving(groups, pool_bytes)
    except ConfigError as error:
        refused = str(error)
    return PolicyFit(
        policy=policy,
        engine=engine,
        groups=groups,
        pool_bytes=pool_bytes,
        refused=refused,
        carving=carving,
        rules=rules,
    )


def endless(engine: ResolvedEngine) -> ResolvedEngine:
    """The same settings without a limit of the length."""
    config = replace(engine.config, max_model_len=ENDLESS)
    return ResolvedEngine(config, engine.generation)


def needed_bytes(model: ModelSpec, tokens: int, engine: ResolvedEngine, cross: int = 0) -> int:
    """Bytes of one rank that the step which computes token number ``tokens`` reads, exactly.

    All tokens in full attention, the last ``window`` in a sliding window, those of the chunk in
    chunked-local attention, one state per request; ``cross`` tokens of an encoder. No policy holds
    less (``needed`` in ``sim.usage``, nothing in flight).
    """
    specs = engine.kv_cache_specs(model)
    context = GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)
    total = 0
    for group in by_kind_exact(specs, context):
        for content in group.contents:
            live = live_tokens(content.kind, content.window, tokens, cross, 1, 0)
            total += content.state_bytes or content.entries(live) * content.entry_bytes
    return total


def waste_share(needed: int, held: int) -> float:
    """Share of the held bytes that nothing reads."""
    return 1 - needed / held if held else 0.0
