"""How many connections the process may have open, beside the files that it needs itself."""

from __future__ import annotations

import resource
from typing import Final

from ...runtime.logger import get_logger

# The store, repositories that are read, git's pipes, hunts and relays that are followed.
RESERVED: Final = 512

log = get_logger(__name__)


def allow_connections(wanted: int) -> int:
    """Raise the process's limit of open files as far as it goes; how many connections that allows.

    Connections beyond it would take the files that hunts and the store need.

    Args:
      wanted: connections that the settings allow.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    needed = wanted + RESERVED
    if soft < needed:
        target = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        except (OSError, ValueError) as error:  # some systems promise more than they give
            log.debug("limit of open files stays", error=str(error))
        else:
            soft = target
    if soft >= needed:
        return wanted
    allowed = max(soft // 2, soft - RESERVED)
    log.warning("fewer connections than NGIT_MAX_CONNECTIONS: raise `ulimit -n`", allowed=allowed)
    return allowed
