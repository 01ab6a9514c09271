"""Those who do an operator's work, on a running node or on the data of a stopped one."""

from __future__ import annotations

import attrs

from ..verifying.verifier import Verifier
from .backup import Backup
from .caretaker import Caretaker
from .purging import Purger


@attrs.frozen
class Keepers:
    """What commands ask for.

    Attributes:
      caretaker: looks at the repositories and removes them.
      backup: makes backups.
      purger: takes out what the operator names.
      verifier: looks whether all is whole and true.
    """

    caretaker: Caretaker
    backup: Backup
    purger: Purger
    verifier: Verifier
