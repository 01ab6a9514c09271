"""The world as the hunt sees it while another server's place is taken: that server has it all."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import attrs

from ..nostr.authority.repository_data import MAX_SOURCES, RepositoryData
from ..nostr.keys import encode_npub
from ..nostr.pull_request import PullRequest
from ..urls import GIT_SCHEMES, base_of, leads_to_service, parse_web_url
from .context import RealSyncContext


@attrs.frozen
class Predecessor:
    """The server that had our name so far, at the address where it can still be reached.

    Our own name is never hunted (B 8.1), so that its address is given by hand.

    Attributes:
      base: http(s)://host[:port][/path], judged; clone URLs are below it.
      service: the name that it had and we have: host[:port][/base].
    """

    base: str
    service: str

    def repository_url(self, owner: str, identifier: str) -> str:
        """Where it serves a repository; the owner in hex."""
        return f"{self.base}/{encode_npub(owner)}/{quote(identifier, safe='')}.git"

    def urls_of(self, pr: PullRequest) -> tuple[str, ...]:
        """Where it serves what a pull request's `clone` values name below our name."""
        ours = [url for url in pr.clone if leads_to_service(url, self.service, GIT_SCHEMES)]
        return tuple(f"{self.base}{self._path(url)}" for url in ours[:MAX_SOURCES])

    def _path(self, url: str) -> str:
        judged = parse_web_url(url)
        path = judged.text.partition("://")[2].partition("/")[2]
        return f"/{path}".removeprefix(base_of(self.service))


@attrs.define
class PredecessorContext(RealSyncContext):
    """As `RealSyncContext`, but each repository is asked for at the predecessor, and only there."""

    predecessor: Predecessor

    async def fetch_repository_data(self, identifier: str) -> RepositoryData | None:
        """The announcements of the identifier, each with one clone URL: that of its repository."""
        data = await RealSyncContext.fetch_repository_data(self, identifier)
        if data is None:
            return None
        known = {}
        for owner, each in data.known.items():
            url = self.predecessor.repository_url(owner, identifier)
            announcement = attrs.evolve(each.announcement, clone=(url,))
            known[owner] = attrs.evolve(each, announcement=announcement)
        return RepositoryData(identifier, known)

    def collect_pr_clone_urls(self, identifier: str) -> Mapping[str, tuple[str, ...]]:
        """What the predecessor has of the clone values of each held pull request."""
        return {
            held.event_id: self.predecessor.urls_of(held.pr)
            for held in self._purgatory.find_prs_for_identifier(identifier)
        }
