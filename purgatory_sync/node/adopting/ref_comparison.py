"""Are the refs here those of the old server? Where they differ, signed states tell why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from ...engine.predecessor import Predecessor
from ...git.disk.repository import list_refs
from ...git.fetch.ref_list import RefLister
from ...nostr.address import RepositoryId
from ...nostr.keys import encode_npub
from ...nostr.state import State
from ...release.commit import Core
from .adopted import RefDifference

_COMPARED: Final = ("refs/heads/", "refs/tags/", "refs/nostr/")
_NOSTR: Final = "refs/nostr/"


@attrs.frozen
class RefComparison:
    """Compares one repository after the other.

    Attributes:
      refused: by id of an event that was refused, the reason.
    """

    core: Core
    lister: RefLister
    predecessor: Predecessor
    refused: Mapping[str, str]

    async def compare(self, repository: RepositoryId) -> tuple[RefDifference, ...]:
        """The differences between both servers.

        Raises:
          AttemptFailed: the old server does not show its refs.
          RepositoryError, StoreError: ours cannot be read.
        """
        owner, identifier = repository.owner, repository.identifier
        shown = await self.lister.refs(self.predecessor.repository_url(owner, identifier))
        there = {name: oid for name, oid in shown.items() if name.startswith(_COMPARED)}
        repositories = self.core.repositories
        found = await repositories.run(list_refs, repositories.path(owner, identifier))
        here = {name: oid for name, oid in found.items() if name.startswith(_COMPARED)}
        state = (await self.core.index.ruling_states(identifier)).get(owner)
        name = f"{encode_npub(owner)}/{identifier}"
        return tuple(
            RefDifference(name, ref, there.get(ref), here.get(ref), self._why(ref, here, state))
            for ref in sorted(there.keys() | here.keys())
            if there.get(ref) != here.get(ref)
        )

    def _why(self, ref: str, here: Mapping[str, str], state: State | None) -> str:
        if ref.startswith(_NOSTR):
            return self._why_nostr(ref.removeprefix(_NOSTR), here.get(ref))
        if state is None:
            return "no state that is served here rules this repository, so refs are as they came"
        if state.refs.get(ref) == here.get(ref):
            return f"here it is as the newest state of the maintainers says, {state.event.id}"
        waiting = self.core.purgatory.find_state(state.identifier)
        if any(held.event.created_at > state.event.created_at for held in waiting):
            return "a newer state waits here for its objects"
        return f"the state {state.event.id} names another: `purgatory-sync verify --repair` aligns"

    def _why_nostr(self, event_id: str, here: str | None) -> str:
        if here is not None:
            return "here it is as the pull request says"
        if self.core.purgatory.get(event_id) is not None:
            return "its pull request waits here for its commit"
        if (reason := self.refused.get(event_id)) is not None:
            return f"its pull request was refused: {reason}"
        return "the old server showed no pull request of this id"
