"""Those who do an operator's work, on a running node or on the data of a stopped one."""

from __future__ import annotations

import attrs

from .backup import Backup
from .caretaker import Caretaker
from .verifier import Verifier


@attrs.frozen
class Keepers:
    """What commands ask for.

    Attributes:
      caretaker: looks at the repositories and removes them.
      backup: makes backups.
      verifier: looks whether all is whole and true.
    """

    caretaker: Caretaker
    backup: Backup
    verifier: Verifier
