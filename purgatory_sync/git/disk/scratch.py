"""Names for what is being built, judged or deleted, so that a sweep can tell whose it is."""

from __future__ import annotations

import secrets

from ...runtime.children import ProcessIdentity


def scratch_name(kind: str) -> str:
    """A new name for a file or folder of this process: `<kind>-<pid>-<start ticks>-<random>`.

    Args:
      kind: lower-case letters, for people who look into the folder.
    """
    owner = ProcessIdentity.current()
    return f"{kind}-{owner.pid}-{owner.start_ticks}-{secrets.token_hex(8)}"
