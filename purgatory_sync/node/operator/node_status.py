"""The whole node at one moment, for the operator: the engine, and the relays that it follows."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ...engine.status.models import NodeLook
from ..upstream.state.relay_health import RelayLook


@attrs.frozen
class StatusLook(NodeLook):
    """What `status` tells.

    Attributes:
      relays: in the order in which they were begun.
    """

    relays: tuple[RelayLook, ...] = ()

    @classmethod
    def of(cls, look: NodeLook, relays: Iterable[RelayLook]) -> StatusLook:
        """The engine's look with the relays beside it."""
        engine = {each.name: getattr(look, each.name) for each in attrs.fields(NodeLook)}
        return cls(**engine, relays=tuple(relays))
