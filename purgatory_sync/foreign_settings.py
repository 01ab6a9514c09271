"""Settings of ngit-grasp that are none here: what an operator who brings them should know."""

from __future__ import annotations

from typing import Final

_BY_ROOM: Final = "this node bounds what it remembers by room, not by time"
_RETENTION: Final = "what a request deleted stays out for good"

HINTS: Final = {
    f"NGIT_{name}": hint
    for name, hint in {
        "BLACKLIST_AUTO_RESTORE": (
            "nothing that is served is taken down by a list; `purgatory-sync purge` does it"
        ),
        "DELETION_REQUEST_DISRESPECTOR": "deletion requests are always obeyed",
        "DELETION_REQUEST_RETENTION_USED_UNSERVED_GATING_ADDITIONAL_SECS": _RETENTION,
        "HOLDING_CLEANUP_INTERVAL_SECS": (
            "what was deleted long enough ago is looked for once a day"
        ),
        "HOLDING_RETENTION_SECS": ("the setting is NGIT_DELETED_RETENTION_DAYS here"),
        "METRICS_CONNECTION_PER_IP_ABUSE_THRESHOLD": (
            "an address is limited by NGIT_MAX_CONNECTIONS_PER_ADDRESS"
        ),
        "METRICS_TOP_N_REPOS": "no metric names repositories; `purgatory-sync list` does",
        "REJECTED_COLD_INDEX_EXPIRY_SECS": _BY_ROOM,
        "REJECTED_HOT_CACHE_DURATION_SECS": _BY_ROOM,
        "RELAY_FILTER_LIMIT": "the setting is NGIT_RELAY_MAX_LIMIT here",
        "RELAY_MAX_EVENT_SIZE_BYTES": "the setting is NGIT_RELAY_MAX_EVENT_BYTES here",
        "STARTUP_INTEGRITY_IDENTIFIERS": (
            "everything is verified in the background (NGIT_VERIFY_INTERVAL_DAYS), and by"
            " `purgatory-sync verify`"
        ),
        "SYNC_ALLOW_NON_GLOBAL_TARGETS": (
            "networks inside yours that may be contacted are named by NGIT_HUNT_ALLOW_ADDRESSES"
        ),
        "SYNC_DISCONNECT_CHECK_INTERVAL_SECS": "a lost connection is noticed at once",
        "SYNC_RECURSIVE_DESCENDANT_LIMIT": (
            "all that refers to what is served is asked for, however deep"
        ),
    }.items()
}
"""Variable → what is instead of it."""
