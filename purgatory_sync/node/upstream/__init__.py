"""Relays that are followed: what they have and what they learn comes in like a user's event."""

from .state.relay_health import RelayStatus, Trouble
from .state.shared import Local
from .supervisor import Upstream, bootstrap_url

__all__ = ["Local", "RelayStatus", "Trouble", "Upstream", "bootstrap_url"]
