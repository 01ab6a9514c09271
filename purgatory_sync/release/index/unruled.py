"""Which served repositories no key rules, and why: counted as the announcements are gathered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

from ...nostr.authority.repository_data import RepositoryData, Standing


@attrs.define
class Unruled:
    """Served owners whose set is empty, by why it is (B 3.7), of all identifiers together.

    A start looks at every identifier, and every change gathers its announcements anew.
    """

    _of: dict[str, Counter[str]] = attrs.field(factory=dict)
    _total: Counter[str] = attrs.field(factory=Counter)

    def note(self, data: RepositoryData) -> None:
        """Count the owners of an identifier in place of what was counted of it before."""
        owners = {
            owner
            for owner, known in data.known.items()
            if known.standing is Standing.SERVED and known.has_repository
        }
        found = Counter(problem.value for problem in data.sets.problems(owners).values())
        self._total.subtract(self._of.pop(data.identifier, Counter()))
        self._total.update(found)
        if found:
            self._of[data.identifier] = found

    def counts(self) -> Mapping[str, int]:
        """How many there are, by reason."""
        return {reason: count for reason, count in sorted(self._total.items()) if count}
