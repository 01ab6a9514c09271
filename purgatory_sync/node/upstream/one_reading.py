"""Reading once what a relay has of a filter, over a connection that ends then."""

from __future__ import annotations

import attrs
import trio
from websockets.exceptions import WebSocketException

from ...errors import AttemptFailed, PurgatorySyncError
from ...nostr.filters import Filter
from ...runtime.logger import Log, get_logger
from ...runtime.net.gate import Gate
from ...runtime.net.transport import default_tls_context
from ...urls import RELAY_SCHEMES, parse_web_url
from ..frames.frame_pump import FramePump
from .connection.dialling import dial
from .connection.document import learn_limits
from .connection.history import Walk
from .connection.session import Session
from .state.shared import Common, Record

log = get_logger(__name__)


class RelayUnread(PurgatorySyncError):
    """A relay could not be read to the end of what was asked for."""


@attrs.frozen
class OneQuestion:
    """What is read.

    Attributes:
      plain: page by page, so that all that the relay has comes, what is here already too; else
        what is here is left out where the relay speaks negentropy (NIP-77).
    """

    condition: Filter
    plain: bool = False


async def read_once(question: OneQuestion, record: Record, common: Common, gate: Gate) -> None:
    """Hand all that the relay has of a filter to `common.take`, page by page; twice at the edges.

    Raises:
      RelayUnread: the relay is not reached, refuses or breaks off; what came was handed on.

    Cancelled, the connection is closed.
    """
    url, bound = parse_web_url(record.url, RELAY_SCHEMES), log.bind(url=record.url)
    try:
        tls = default_tls_context()
        await learn_limits(record.limits, url, gate, tls, common.clock.now(), bound)
        async with dial(url, gate, tls) as socket:
            reading = _OneReading(socket, record, common, bound, question)
            ending = await reading.run()
    except (AttemptFailed, OSError, WebSocketException, trio.BrokenResourceError) as error:
        reason = str(error) or type(error).__name__
        raise RelayUnread(f"{record.url} cannot be read: {reason}") from error
    if refused := record.limits.refused:
        raise RelayUnread(f"{record.url} refuses to be read: {'; '.join(refused.values())}")
    if not reading.complete:
        raise RelayUnread(f"{record.url} broke off: {ending.reason}")


class _OneReading(Session):
    """A session that follows nothing: it asks one question and ends.

    Attributes:
      complete: whether it was answered to the end.
    """

    def __init__(
        self, socket: FramePump, record: Record, common: Common, log: Log, question: OneQuestion
    ) -> None:
        super().__init__(socket, record, common, log)
        self.complete = False
        self._question = question
        self._over = trio.Event()

    async def _follow(self, since: int | None) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._read)
            condition = self._question.condition
            if self._question.plain:
                self._walks.begin_all(nursery, [Walk(condition, plain=True)])
            else:
                self._walks.begin(nursery, [condition], None, whole=True)
            await self._over.wait()
            self.complete = True
            nursery.cancel_scope.cancel()

    def _catch_up(self) -> None:
        """No walk is left, or each that is left was refused."""
        self._over.set()
