"""Once private, always private: the store remembers that strangers were kept out (B 16.10)."""

from __future__ import annotations

from typing import Final

from ...errors import ConfigurationError
from ...nostr import kinds
from ...nostr.filters import Filter
from ...runtime.logger import get_logger
from ...store.protocol import Store
from .list_keeper import ListKeeper

PRIVATE_SINCE: Final = "private-since"

log = get_logger(__name__)


def is_marked(lists: ListKeeper) -> bool:
    """Whether the store was one of a private service at any time; only after its restoring."""
    return lists.word(PRIVATE_SINCE) is not None


async def keep_private(lists: ListKeeper, store: Store) -> None:
    """Mark the store of a private service, and refuse a public one what is marked.

    The mark is a row of the store, so that a backup has it, too.

    Raises:
      ConfigurationError: the store is marked, and the service would be public.
      StoreError: it could not be marked.
    """
    is_private = lists.settings.curation.private_mode
    if is_marked(lists):
        if not is_private:
            raise ConfigurationError(
                "this store holds private repositories: set NGIT_PRIVATE_MODE=true again, or"
                " begin with an empty NGIT_RELAY_DATA_PATH and NGIT_GIT_DATA_PATH"
            )
        return
    if is_private:
        announced = await store.count([Filter(kinds=frozenset({kinds.ANNOUNCEMENT}))])
        await lists.say(PRIVATE_SINCE, str(int(lists.clock.now())))
        if announced:
            log.warning(
                "a public store is private from now on: what it served may be copied elsewhere",
                announcements=announced,
            )
