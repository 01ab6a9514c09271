"""Settings of a private service that make no sense beside others (B 16.1)."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..settings import KIB, Settings

LEAST_HEAD_BYTES = 16 * KIB
"""A signed event in a header has up to 12 KiB (B 16.3)."""


def judge_private(settings: Settings) -> None:
    """Refuse a private service without members, what leads strangers in, and members elsewhere.

    Raises:
      ConfigurationError: the first of these, with what to change.
    """
    lists, files = settings.curation, settings.list_files
    named = bool(lists.private_members) or files.private_members is not None
    if not lists.private_mode:
        if named or settings.private.public_origin is not None or settings.private.peers:
            raise ConfigurationError(
                "NGIT_PRIVATE_MEMBERS, its file, NGIT_PRIVATE_PEERS and NGIT_PRIVATE_PUBLIC_ORIGIN"
                " are for a private service: set NGIT_PRIVATE_MODE=true too, or remove them"
            )
        return
    if not named:
        raise ConfigurationError(
            "NGIT_PRIVATE_MODE is true and there is no member: set NGIT_PRIVATE_MEMBERS or"
            " NGIT_PRIVATE_MEMBERS_FILE"
        )
    public = {
        "NGIT_GRASP06_ENABLE": settings.prs.enabled,
        "NGIT_PUBLISH_IDENTITY": settings.relay.publish_identity,
        "NGIT_SYNC_BOOTSTRAP_RELAY_URL": settings.sync.bootstrap_relay_url is not None,
        "NGIT_ARCHIVE_GRASP_SERVICES": bool(lists.archive_grasp_services),
    }
    for variable, is_set in public.items():
        if is_set:
            raise ConfigurationError(
                f"{variable} cannot be set beside NGIT_PRIVATE_MODE=true, which lets members only"
                " in and asks no public server: remove it"
            )
    if settings.listener.max_head_bytes < LEAST_HEAD_BYTES:
        raise ConfigurationError(
            "NGIT_HTTP_MAX_HEAD_BYTES has to be 16KiB or more beside NGIT_PRIVATE_MODE=true:"
            " members send a signed event in a header"
        )
