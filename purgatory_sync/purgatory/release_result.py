"""What one pass of release did (S14)."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class ProcessResult:
    """What `process_newly_available_git_data` let go.

    Attributes:
      states_released: ids of states that are served now.
      prs_released: ids of pull requests that are served now.
      announcements_released: ids of announcements that are served now.
      repos_synced: how many repositories received objects or refs.
      errors: by event id, why it stays held although its objects are here (B 7.4).
    """

    states_released: tuple[str, ...] = ()
    prs_released: tuple[str, ...] = ()
    announcements_released: tuple[str, ...] = ()
    repos_synced: int = 0
    errors: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def released(self) -> int:
        """How many states and pull requests were released."""
        return len(self.states_released) + len(self.prs_released)
