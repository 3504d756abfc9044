"""The pool of a prefix cache: equal pages that are held, cached or empty, and how many of each."""

from ..configs.errors import ConfigError
from ..policies.caching import layout
from ..policies.caching.layout import Arrays
from ..policies.caching.rules import CacheRules, rule_arrays
from ..policies.carving.single import NULL_PAGES
from .scheduler import SchedulerConfig


class CachedPool:
    """The arrays of ``policies.caching.layout`` for pages of one size, and what they add up to."""

    def __init__(self, rules: CacheRules, config: SchedulerConfig, pool_bytes: int) -> None:
        """Pages of one size fill ``pool_bytes``; the first of them is the null page."""
        self.bytes = pool_bytes
        self.page_bytes = rules.groups[0].page_bytes
        self.num_pages = pool_bytes // self.page_bytes
        if self.num_pages <= NULL_PAGES:
            raise ConfigError(
                f"the pool of {pool_bytes:,} bytes holds {self.num_pages} pages of "
                f"{self.page_bytes:,} bytes and one is the null page: nothing can be served"
            )
        self.arrays = _make_arrays(rules, config, self.num_pages)
        self._groups = len(rules.groups)

    @property
    def free_count(self) -> int:
        """Pages that nobody holds, cached ones included."""
        return int(self.arrays.counters[layout.FREE])

    @property
    def num_keys(self) -> int:
        """Distinct contents that a lookup could find."""
        return int(self.arrays.counters[layout.KEYS])

    def held_pages(self) -> tuple[int, ...]:
        """Pages per group that some request holds, each counted once."""
        return self._counts(layout.HELD)

    def idle_pages(self) -> tuple[int, ...]:
        """Pages per group that nobody holds and a lookup may find."""
        return self._counts(layout.HELD + self._groups)

    def _counts(self, first: int) -> tuple[int, ...]:
        return tuple(self.arrays.counters[first : first + self._groups].tolist())


def _make_arrays(rules: CacheRules, config: SchedulerConfig, num_pages: int) -> Arrays:
    columns, settings = rule_arrays(
        rules,
        max_in_flight_tokens=config.max_in_flight_tokens,
        max_model_len=config.max_model_len,
    )
    # A page may have a key for each hash block in it.
    largest = max(group.block_size for group in rules.groups)
    ratio = largest // rules.hash_block_size if rules.enabled else 1
    return layout.make_arrays(
        num_pages,
        columns,
        settings,
        keys_per_page=max(1, ratio),
        max_pending=4 * len(rules.groups) * (config.max_num_seqs + 1),
    )
