"""Relays that are followed: what they have and what they learn comes in like a user's event."""

from .following import RelayStatistics, Upstream, bootstrap_url
from .reconciler import Local

__all__ = ["Local", "RelayStatistics", "Upstream", "bootstrap_url"]
