"""The whole node at one moment, for the operator: the engine, and the relays that it follows."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ...engine.status.models import EngineStatus
from ..upstream.state.relay_health import RelayStatus


@attrs.frozen
class NodeStatus(EngineStatus):
    """What `status` tells.

    Attributes:
      relays: in the order in which they were begun.
    """

    relays: tuple[RelayStatus, ...] = ()

    @classmethod
    def of(cls, look: EngineStatus, relays: Iterable[RelayStatus]) -> NodeStatus:
        """The engine's look with the relays beside it."""
        engine = {each.name: getattr(look, each.name) for each in attrs.fields(EngineStatus)}
        return cls(**engine, relays=tuple(relays))
