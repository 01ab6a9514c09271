"""Those who do an operator's work, on a running node or on the data of a stopped one."""

from __future__ import annotations

import attrs

from ..lists.list_keeper import ListKeeper
from ..verifying.verifier import Verifier
from .backup import Backup
from .caretaker import Caretaker
from .exporting import Exporter
from .prs_keeping import PrsKeeper
from .purging import Purger


@attrs.frozen
class Keepers:
    """What commands ask for.

    Attributes:
      caretaker: looks at the repositories and removes them.
      backup: makes backups.
      purger: takes out what the operator names.
      lists: the operator's lists, which change while the node runs.
      verifier: looks whether all is whole and true.
      exporter: writes a repository and its events into a folder, for others.
      prs: lists what is below `/prs/`, and takes it out.
    """

    caretaker: Caretaker
    backup: Backup
    purger: Purger
    lists: ListKeeper
    verifier: Verifier
    exporter: Exporter
    prs: PrsKeeper
