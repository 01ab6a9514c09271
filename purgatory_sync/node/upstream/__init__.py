"""Relays that are followed: what they have and what they learn comes in like a user's event."""

from .following import RelayStatistics, Upstream, bootstrap_url

__all__ = ["RelayStatistics", "Upstream", "bootstrap_url"]
