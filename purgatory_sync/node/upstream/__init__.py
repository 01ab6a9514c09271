"""Relays that are followed: what they have and what they learn comes in like a user's event."""

from .common import Local
from .following import Upstream, bootstrap_url
from .health import RelayLook, Trouble

__all__ = ["Local", "RelayLook", "Trouble", "Upstream", "bootstrap_url"]
