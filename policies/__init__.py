"""Memory policies: how layers share pages and how pages come out of the pool."""
