"""What the last verification of everything found, remembered beside the store (B 13.7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, get_args

import attrs
import msgspec

from ...git.disk.layout import fsync_dir, write_durably
from ...runtime.logger import get_logger
from .findings import Verified, What

VERIFIED: Final = "verified.json"
NOT_LOOKED: Final = "not_looked"

log = get_logger(__name__)


@attrs.define
class VerifyRecord:
    """The last verification of everything, brought up to date by those of some repositories.

    Attributes:
      folder: NGIT_RELAY_DATA_PATH; None where nothing is on disk.
    """

    folder: Path | None
    last: Verified | None = None

    def load(self) -> None:
        """Remember what an earlier run found; blocking work. What cannot be read is as never."""
        if self.folder is not None:
            try:
                content = (self.folder / VERIFIED).read_bytes()
                self.last = msgspec.json.decode(content, type=Verified)
            except FileNotFoundError:
                pass
            except (OSError, msgspec.MsgspecError) as error:
                log.warning("what was verified last cannot be read", error=str(error))

    def note(self, found: Verified, looked_at: Collection[str] | None) -> None:
        """Remember it, in memory and on disk; blocking work.

        Args:
          looked_at: names of the repositories; None where everything was looked at.
        """
        if looked_at is not None:
            if self.last is None:
                return  # what some are like says nothing of the rest
            found = _amended(self.last, frozenset(looked_at), found)
        self.last = found
        if self.folder is not None:
            try:
                part = self.folder / f"{VERIFIED}.part"
                write_durably(part, msgspec.json.encode(found))
                part.replace(self.folder / VERIFIED)
                fsync_dir(self.folder)
            except OSError as error:
                log.warning("what was verified is not remembered", error=str(error))

    def problem(self, name: str) -> str | None:
        """What is wrong with a repository, as far as it was found, in a sentence."""
        flaws = [] if self.last is None else self.last.findings
        mine = [each.detail for each in flaws if each.where == name and not each.repaired]
        return f"`verify` found: {'; '.join(mine)}" if mine else None

    def counts(self) -> Mapping[str, int]:
        """Findings that are left, by what they are, none of them too; empty before the first."""
        if self.last is None:
            return {}
        left = Counter(each.what for each in self.last.findings if not each.repaired)
        counted = {what: left[what] for what in get_args(What)}
        return {**counted, NOT_LOOKED: len(self.last.not_looked)}


def _amended(last: Verified, names: frozenset[str], found: Verified) -> Verified:
    before = [each for each in last.findings if each.where not in names]
    findings = (*before, *found.findings)
    not_looked = [each for each in last.not_looked if each.partition(": ")[0] not in names]
    gone = [each for each in last.findings if each.where in names]
    return attrs.evolve(
        last,
        findings=findings,
        found=last.found - len(gone) + found.found,
        left=last.left - sum(not each.repaired for each in gone) + found.left,
        not_looked=(*not_looked, *found.not_looked),
    )
