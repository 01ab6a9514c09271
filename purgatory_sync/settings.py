"""Every setting of the project with its default, unit and meaning (docs/settings.md lists them).

One frozen class per room. A field's metadata name the environment variable; the flag is the same
name in lower case without `NGIT_` (`NGIT_GIT_DATA_PATH` is `--git-data-path`).
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal

import attrs

from .version import PROGRAM, __version__

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

Network = IPv4Network | IPv6Network


@attrs.frozen
class Proxy:
    """The operator's proxy; printed without its credentials.

    Attributes:
      host: a name in ASCII, or a literal address without brackets.
      credentials: user and password.
    """

    scheme: Literal["http", "socks5"]
    host: str
    port: int
    credentials: tuple[str, str] | None = attrs.field(default=None, repr=False)

    def __str__(self) -> str:
        masked = "***@" if self.credentials else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{masked}{host}:{self.port}"


def setting(default: Any, env: str, meaning: str, **metadata: Any) -> Any:
    """A field with its variable (without `NGIT_`) and its meaning, both shown to operators."""
    return attrs.field(
        default=default, metadata={"env": f"NGIT_{env}", "meaning": meaning, **metadata}
    )


@attrs.frozen
class HuntSettings:
    """Limits of one attempt at a git server (B 8.4, 8.5), and which servers we contact (N4)."""

    connect_timeout_secs: float = setting(10.0, "HUNT_CONNECT_TIMEOUT_SECS", "seconds to connect")
    idle_timeout_secs: float = setting(
        30.0, "HUNT_IDLE_TIMEOUT_SECS", "seconds without a byte until an attempt ends"
    )
    total_timeout_secs: float = setting(
        600.0,
        "HUNT_TOTAL_TIMEOUT_SECS",
        "seconds until an attempt ends, unless its pack keeps coming above the floor",
    )
    max_pack_bytes: int = setting(4 * GIB, "HUNT_MAX_PACK_BYTES", "bytes of one pack", size=True)
    max_inflated_bytes: int = setting(
        GIB,
        "HUNT_MAX_INFLATED_BYTES",
        "bytes of all objects of a pack, beside the ratio",
        size=True,
    )
    max_inflated_ratio: int = setting(
        256, "HUNT_MAX_INFLATED_RATIO", "bytes of objects for each byte of pack, added to the above"
    )
    max_object_bytes: int = setting(
        512 * MIB, "HUNT_MAX_OBJECT_BYTES", "bytes of one object", size=True
    )
    max_objects: int = setting(2_000_000, "HUNT_MAX_OBJECTS", "objects of one pack")
    max_delta_depth: int = setting(4095, "HUNT_MAX_DELTA_DEPTH", "length of a delta chain")
    max_refs_bytes: int = setting(
        64 * MIB, "HUNT_MAX_REFS_BYTES", "bytes of advertised refs", size=True
    )
    max_redirects: int = setting(5, "HUNT_MAX_REDIRECTS", "redirects, each judged like a first URL")
    hedge_secs: float = setting(
        3.0, "HUNT_HEDGE_SECS", "seconds below the floor until another domain is asked too"
    )
    min_bytes_per_sec: int = setting(
        1024, "HUNT_MIN_BYTES_PER_SEC", "the floor: bytes of pack a second", size=True
    )
    min_free_bytes: int = setting(
        GIB, "HUNT_MIN_FREE_BYTES", "free disk space below which nothing is hunted", size=True
    )
    allow_addresses: tuple[Network, ...] = setting(
        (),
        "HUNT_ALLOW_ADDRESSES",
        "networks (CIDR) inside the operator's that may be contacted all the same",
    )
    ingest: Literal["auto", "git", "dulwich"] = setting(
        "auto", "HUNT_INGEST", "who judges large packs: git where it is installed, or dulwich"
    )
    user_agent: str = setting(
        f"git/{PROGRAM}-{__version__}",
        "HUNT_USER_AGENT",
        "the name that git servers are told; many know git by a name that begins with git/",
    )
    proxy: Proxy | None = setting(
        None,
        "HUNT_PROXY",
        "proxy for every outgoing connection, to git servers and to relays (unset: none)",
        secret=True,
    )
    proxy_file: Path | None = setting(
        None, "HUNT_PROXY_FILE", "file that holds the proxy's address", empty_is_fatal=True
    )


@attrs.frozen
class SyncSettings:
    """When identifiers are hunted, how politely, and which relays are followed."""

    domain_concurrent: int = setting(
        5, "SYNC_DOMAIN_CONCURRENT", "attempts in flight at one git domain"
    )
    domain_rate_limit: int = setting(
        30, "SYNC_DOMAIN_RATE_LIMIT", "attempts started in any 60 seconds at one git domain"
    )
    default_delay_secs: float = setting(
        180.0, "SYNC_DEFAULT_DELAY_SECS", "seconds before the first hunt for a user's event"
    )
    immediate_delay_ms: int = setting(
        500, "SYNC_IMMEDIATE_DELAY_MS", "milliseconds before the first hunt for a relay's event"
    )
    naughty_hours: float = setting(
        12.0, "NAUGHTY_LIST_EXPIRATION_HOURS", "hours that a broken source is left alone"
    )
    bootstrap_relay_url: str | None = setting(
        None, "SYNC_BOOTSTRAP_RELAY_URL", "upstream relay to start from (wss:// when no scheme)"
    )
    base_backoff_secs: float = setting(
        5.0, "SYNC_BASE_BACKOFF_SECS", "seconds before reconnecting to a relay, doubling"
    )
    max_backoff_secs: float = setting(
        3600.0, "SYNC_MAX_BACKOFF_SECS", "seconds before reconnecting to a relay, at most"
    )
    user_index_relays: tuple[str, ...] = setting(
        (
            "wss://purplepag.es",
            "wss://index.hzrd149.com",
            "wss://indexer.coracle.social",
        ),
        "USER_INDEX_RELAYS",
        "relays where users' profiles and relay lists are known (empty: none)",
        empty_is_none=True,
    )
    plus_enabled: bool = setting(
        True,
        "SYNC_PLUS_ENABLED",
        "follow conversations on their participants' relays, too (GRASP-03)",
    )
    plus_fallback_relays: tuple[str, ...] = setting(
        (
            "wss://relay.ditto.pub",
            "wss://relay.damus.io",
            "wss://nos.lol",
            "wss://relay.primal.net",
        ),
        "SYNC_PLUS_FALLBACK_RELAYS",
        "relays of participants of whom index relays know no relay list (empty: none)",
        empty_is_none=True,
    )
    disable_negentropy: bool = setting(
        False, "SYNC_DISABLE_NEGENTROPY", "ask relays for history by REQ pages only (NIP-77)"
    )

    @property
    def immediate_delay_secs(self) -> float:
        """The immediate delay in seconds."""
        return self.immediate_delay_ms / 1000


@attrs.frozen
class PurgatorySettings:
    """How much is held, and for how long (B 1.9, 2.7, 4.3, 8.9)."""

    max_events: int = setting(100_000, "PURGATORY_MAX_EVENTS", "held events in all")
    max_events_per_author: int = setting(
        1_000, "PURGATORY_MAX_EVENTS_PER_AUTHOR", "held events of one author"
    )
    max_bytes: int = setting(
        128 * MIB, "PURGATORY_MAX_BYTES", "bytes of the JSON of all held events", size=True
    )
    max_bytes_per_author: int = setting(
        16 * MIB,
        "PURGATORY_MAX_BYTES_PER_AUTHOR",
        "bytes of the JSON of one author's held events",
        size=True,
    )
    expiry_secs: float = setting(1800.0, "PURGATORY_EXPIRY_SECS", "seconds an event is held")
    max_age_secs: float = setting(
        86400.0, "PURGATORY_MAX_AGE_SECS", "seconds after which even an untried event ends"
    )
    soft_expiry_secs: float = setting(
        86400.0,
        "ANNOUNCEMENT_SOFT_EXPIRY_SECS",
        "seconds an announcement is kept, unserved, after its repository was removed",
    )
    placeholder_expiry_secs: float = setting(
        1200.0, "PLACEHOLDER_EXPIRY_SECS", "seconds a pushed refs/nostr/<id> waits for its event"
    )
    max_placeholders_per_repository: int = setting(
        1_000,
        "PLACEHOLDER_MAX_PER_REPOSITORY",
        "pushed refs/nostr/<id> of one repository that wait for their events",
    )
    expired_memory_secs: float = setting(
        604800.0, "EXPIRED_MEMORY_SECS", "seconds an expired id is remembered"
    )
    expired_retry_secs: float = setting(
        3600.0,
        "EXPIRED_RETRY_SECS",
        "seconds until the git data of an expired event is looked for again",
    )
    expired_max_bytes: int = setting(
        16 * MIB,
        "EXPIRED_MAX_BYTES",
        "bytes of the JSON of expired events that are kept to look for their data again",
        size=True,
    )
    requests_served_secs: float = setting(
        2_592_000.0,
        "DELETION_REQUEST_RETENTION_UNUSED_SERVED_SECS",
        "seconds a deletion request that had no effect is served",
    )
    requests_gate_secs: float = setting(
        15_552_000.0,
        "DELETION_REQUEST_RETENTION_UNUSED_UNSERVED_GATING_ADDITIONAL_SECS",
        "seconds it keeps out what it names after that",
    )
    requests_used_secs: float = setting(
        23_328_000.0,
        "DELETION_REQUEST_RETENTION_USED_SERVED_AFTER_LAST_USED_SECS",
        "seconds a deletion request is served after its last effect",
    )
    max_requests_per_author: int = setting(
        1_000,
        "DELETION_REQUEST_MAX_PER_AUTHOR",
        "deletion requests of one author beyond which those without effect are refused",
    )
    max_requests: int = setting(
        50_000,
        "DELETION_REQUEST_MAX",
        "deletion requests in all beyond which those without effect are refused",
    )


@attrs.frozen
class CurationSettings:
    """Whose events and which repositories are taken (B 2.2 a, 5.1); a blacklist wins.

    Keys are npubs; a repository is `npub` (all of an owner's), `npub/identifier` or `identifier`.
    """

    event_blacklist: tuple[str, ...] = setting(
        (), "EVENT_BLACKLIST", "authors whose events are refused, of every kind"
    )
    repository_blacklist: tuple[str, ...] = setting(
        (), "REPOSITORY_BLACKLIST", "repositories that are refused, with their states and PRs"
    )
    repository_whitelist: tuple[str, ...] = setting(
        (), "REPOSITORY_WHITELIST", "the only repositories that are taken (unset: all)"
    )
    banned_events: tuple[str, ...] = setting(
        (), "BANNED_EVENTS", "ids of events that are refused, by their authors too"
    )
    blocked_addresses: tuple[Network, ...] = setting(
        (), "BLOCKED_ADDRESSES", "networks (CIDR) whose clients get no connection"
    )
    archive_all: bool = setting(
        False, "ARCHIVE_ALL", "keep a copy of every repository that relays announce (GRASP-05)"
    )
    archive_whitelist: tuple[str, ...] = setting(
        (), "ARCHIVE_WHITELIST", "repositories to copy although they do not list this service"
    )
    archive_grasp_services: tuple[str, ...] = setting(
        (), "ARCHIVE_GRASP_SERVICES", "services (host[:port]) all of whose repositories are copied"
    )
    archive_read_only: bool | None = setting(
        None,
        "ARCHIVE_READ_ONLY",
        "no pushes to copies (unset: yes for an archive); true: copies are all that is taken",
    )
    private_mode: bool = setting(
        False, "PRIVATE_MODE", "let members only in: relay, git and pages (GRASP-08)"
    )
    private_members: tuple[str, ...] = setting(
        (), "PRIVATE_MEMBERS", "the members of a private service, by their keys"
    )
    status_authority: Literal["off", "refuse"] = setting(
        "off",
        "STATUS_AUTHORITY",
        "refuse: a status is taken from who wrote what it is about and from who rules there",
    )

    @property
    def archives(self) -> bool:
        """Whether repositories are copied that do not list this service (GRASP-05)."""
        return bool(self.archive_all or self.archive_whitelist or self.archive_grasp_services)

    @property
    def read_only(self) -> bool:
        """Whether copies take no push (B 2.9)."""
        return self.archives and self.archive_read_only is not False

    @property
    def only_copies(self) -> bool:
        """Whether repositories that list this service are not hosted: the operator said so."""
        return self.archives and self.archive_read_only is True


@attrs.frozen
class ListFileSettings:
    """Files with more entries of a list: one a line, `#` begins a comment (B 5.5).

    They are read at the start, and again at SIGHUP. Each field is called as the list in
    CurationSettings.
    """

    event_blacklist: Path | None = setting(
        None, "EVENT_BLACKLIST_FILE", "file with more of NGIT_EVENT_BLACKLIST", empty_is_fatal=True
    )
    repository_blacklist: Path | None = setting(
        None,
        "REPOSITORY_BLACKLIST_FILE",
        "file with more of NGIT_REPOSITORY_BLACKLIST",
        empty_is_fatal=True,
    )
    repository_whitelist: Path | None = setting(
        None,
        "REPOSITORY_WHITELIST_FILE",
        "file with more of NGIT_REPOSITORY_WHITELIST; without any entry it is refused",
        empty_is_fatal=True,
    )
    archive_whitelist: Path | None = setting(
        None,
        "ARCHIVE_WHITELIST_FILE",
        "file with more of NGIT_ARCHIVE_WHITELIST",
        empty_is_fatal=True,
    )
    banned_events: Path | None = setting(
        None, "BANNED_EVENTS_FILE", "file with more of NGIT_BANNED_EVENTS", empty_is_fatal=True
    )
    blocked_addresses: Path | None = setting(
        None,
        "BLOCKED_ADDRESSES_FILE",
        "file with more of NGIT_BLOCKED_ADDRESSES",
        empty_is_fatal=True,
    )
    private_members: Path | None = setting(
        None,
        "PRIVATE_MEMBERS_FILE",
        "file with more of NGIT_PRIVATE_MEMBERS",
        empty_is_fatal=True,
    )


@attrs.frozen
class PrivateSettings:
    """How the members of a private service show who they are (GRASP-08, B 16)."""

    public_origin: str | None = setting(
        None,
        "PRIVATE_PUBLIC_ORIGIN",
        "http(s)://host[:port] that members sign for git (unset: from NGIT_DOMAIN)",
    )
    peers: tuple[str, ...] = setting(
        (),
        "PRIVATE_PEERS",
        "private services that events and git data come from and go to, each with its key",
    )
    basic_auth: bool = setting(
        True,
        "PRIVATE_BASIC_AUTH",
        "take a member's signed event as a password too, as git's credential helpers give it",
    )


@attrs.frozen
class PushSettings:
    """Limits of one push (B 6.5); those of what is in a pack are the hunt's (B 8.4)."""

    max_pack_bytes: int = setting(
        GIB, "PUSH_MAX_PACK_BYTES", "bytes of the pack of one push", size=True
    )
    max_secs: float = setting(3600.0, "PUSH_MAX_SECS", "seconds that a push may take in all")
    max_concurrent: int = setting(
        16, "PUSH_MAX_CONCURRENT", "pushes received at once; the rest wait"
    )
    min_bytes_per_sec: int = setting(
        8 * KIB,
        "PUSH_MIN_BYTES_PER_SEC",
        "bytes a second that a push must send while others wait",
        size=True,
    )
    keepalive_secs: float = setting(
        5.0,
        "PUSH_KEEPALIVE_SECS",
        "seconds between signs of life for the client of a push that is judged (0: none)",
    )


@attrs.frozen
class PrsSettings:
    """Pull requests of contributors below `/prs/` (GRASP-06, B 12): whose, and how much."""

    enabled: bool = setting(
        False, "GRASP06_ENABLE", "take pull requests for any repository below /prs/ (GRASP-06)"
    )
    whitelist: tuple[str, ...] = setting(
        (), "GRASP06_WHITELIST", "the only authors whose pull requests are taken there (unset: all)"
    )
    max_pack_bytes: int = setting(
        512 * MIB, "PRS_MAX_PACK_BYTES", "bytes of the pack of one push below /prs/", size=True
    )
    max_unclaimed_bytes: int = setting(
        4 * GIB,
        "PRS_MAX_UNCLAIMED_BYTES",
        "bytes below /prs/ that no signed event names yet, in all",
        size=True,
    )
    max_unclaimed_bytes_per_address: int = setting(
        GIB,
        "PRS_MAX_UNCLAIMED_BYTES_PER_ADDRESS",
        "bytes of them that one client address may have pushed",
        size=True,
    )
    max_bytes_per_author: int = setting(
        2 * GIB, "PRS_MAX_BYTES_PER_AUTHOR", "bytes below /prs/ of one author's events", size=True
    )
    max_bytes: int = setting(
        50 * GIB, "PRS_MAX_BYTES", "bytes below /prs/ of all authors' events", size=True
    )
    max_repositories_per_author: int = setting(
        100, "PRS_MAX_REPOSITORIES_PER_AUTHOR", "repositories below /prs/ of one author"
    )
    max_refs_per_repository: int = setting(
        1_000, "PRS_MAX_REFS_PER_REPOSITORY", "refs of one repository below /prs/"
    )


@attrs.frozen
class RelaySettings:
    """Limits of the relay, announced in NIP-11 (B 10.1)."""

    name: str | None = setting(None, "RELAY_NAME", "NIP-11 name; from the domain when unset")
    description: str | None = setting(None, "RELAY_DESCRIPTION", "NIP-11 description")
    admin_pubkeys: tuple[str, ...] = setting(
        (), "ADMIN_PUBKEYS", "keys that may manage the relay by signed calls (NIP-86; unset: none)"
    )
    publish_identity: bool = setting(
        False,
        "PUBLISH_IDENTITY",
        "tell the relays of NGIT_USER_INDEX_RELAYS the service's profile and relay list",
    )
    owner_nsec: str | None = setting(
        None,
        "RELAY_OWNER_NSEC",
        "secret key of the service; made once and kept beside the store when unset",
        secret=True,
        empty_is_fatal=True,
    )
    owner_nsec_file: Path | None = setting(
        None,
        "RELAY_OWNER_NSEC_FILE",
        "file that holds the secret key of the service",
        empty_is_fatal=True,
    )
    max_message_bytes: int = setting(
        2 * MIB, "RELAY_MAX_MESSAGE_BYTES", "bytes of one WebSocket message", size=True
    )
    max_subscriptions: int = setting(
        64, "RELAY_MAX_SUBSCRIPTIONS", "subscriptions of one connection"
    )
    max_filters: int = setting(64, "RELAY_MAX_FILTERS", "filters of one subscription")
    max_limit: int = setting(5000, "RELAY_MAX_LIMIT", "stored events one filter yields")
    max_event_bytes: int = setting(
        192 * KIB, "RELAY_MAX_EVENT_BYTES", "bytes of one event (a state may have 1 MiB)", size=True
    )
    events_per_minute: int = setting(
        600,
        "RELAY_EVENTS_PER_MINUTE",
        "events that one connection may publish in any 60 seconds (0: as many as it likes)",
    )
    list_repositories: bool = setting(
        True, "LIST_REPOSITORIES", "count the repositories on the landing page and list the newest"
    )
    show_held_to_exact_queries: bool = setting(
        False,
        "SHOW_HELD_TO_EXACT_QUERIES",
        "answer a query for exactly one held announcement with it (GRASP-01 forbids that)",
    )


@attrs.frozen
class ListenerSettings:
    """Limits of the HTTP and WebSocket listener; seconds count for each piece."""

    max_connections: int = setting(10_000, "MAX_CONNECTIONS", "connections in all")
    max_connections_per_address: int | None = setting(
        None,
        "MAX_CONNECTIONS_PER_ADDRESS",
        "connections of one client address (unset: 100, and none for loopback)",
    )
    trusted_proxy_cidrs: tuple[Network, ...] = setting(
        (),
        "TRUSTED_PROXY_CIDRS",
        "networks (CIDR) of reverse proxies whose word on a client's address is taken",
    )
    head_timeout_secs: float = setting(
        10.0, "HTTP_HEAD_TIMEOUT_SECS", "seconds from the wait for a request to its last header"
    )
    body_timeout_secs: float = setting(
        30.0, "HTTP_BODY_TIMEOUT_SECS", "seconds for each piece of a request's body"
    )
    send_timeout_secs: float = setting(
        30.0, "HTTP_SEND_TIMEOUT_SECS", "seconds for each piece that we send"
    )
    max_head_bytes: int = setting(
        16 * KIB, "HTTP_MAX_HEAD_BYTES", "bytes of a request's head", size=True
    )
    shutdown_delay_secs: float = setting(
        0.0,
        "SHUTDOWN_DELAY_SECS",
        "seconds that a stop still accepts connections, while /readyz says that it stops",
    )
    shutdown_grace_secs: float = setting(
        5.0, "SHUTDOWN_GRACE_SECS", "seconds that connections have to end at a stop"
    )
    git_max_processes: int = setting(
        16, "GIT_MAX_PROCESSES", "git children serving clones at once; the rest wait"
    )
    git_max_secs: float = setting(
        3600.0, "GIT_MAX_SECS", "seconds that a clone or fetch may take in all"
    )
    git_min_bytes_per_sec: int = setting(
        8 * KIB,
        "GIT_MIN_BYTES_PER_SEC",
        "bytes a second that a clone must take while others wait for a git child",
        size=True,
    )


@attrs.frozen
class QuotaSettings:
    """How much of the disk may be used (B 13.11); nothing that is served is removed for it."""

    repository_max_bytes: int | None = setting(
        None, "REPOSITORY_MAX_BYTES", "bytes of one repository (unset: no limit)", size=True
    )
    repositories_max_per_author: int | None = setting(
        None, "REPOSITORIES_MAX_PER_AUTHOR", "repositories of one author (unset: no limit)"
    )
    max_bytes_per_author: int | None = setting(
        None,
        "DISK_MAX_BYTES_PER_AUTHOR",
        "bytes of all repositories of one author (unset: no limit)",
        size=True,
    )
    max_bytes: int | None = setting(
        None, "DISK_MAX_BYTES", "bytes of all repositories (unset: no limit)", size=True
    )


@attrs.frozen
class KeepingSettings:
    """What is done to keep in order what is stored (B 13)."""

    verify_interval_days: float = setting(
        30.0,
        "VERIFY_INTERVAL_DAYS",
        "days between verifications of everything (0: never)",
    )
    deleted_retention_days: float = setting(
        90.0,
        "DELETED_RETENTION_DAYS",
        "days that a deleted repository is kept, out of every path (never: it leaves by no time)",
    )
    deleted_evict: bool = setting(
        False,
        "DELETED_EVICT",
        "where free space is short, delete those that were deleted first before their time",
    )


@attrs.frozen
class Settings:
    """All settings of a node; an embedder passes those that matter to it, `domain` above all."""

    domain: str | None = setting(
        None,
        "DOMAIN",
        "host[:port] by which others know this service (from the address when unset)",
    )
    base_path: str = setting(
        "/",
        "BASE_PATH",
        "path below which relay, git and pages are served, such as /services/grasp",
        empty_is_fatal=True,
    )
    bind_address: str = setting("127.0.0.1:7334", "BIND_ADDRESS", "address and port to listen on")
    git_data_path: Path = setting(
        Path("data/git"), "GIT_DATA_PATH", "bare repositories, <npub>/<identifier>.git"
    )
    relay_data_path: Path = setting(Path("data/relay"), "RELAY_DATA_PATH", "the store")
    database_backend: Literal["sqlite", "memory"] = setting(
        "sqlite", "DATABASE_BACKEND", "sqlite, or memory (nothing survives a stop)"
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "LOG_LEVEL", "the least important log lines that are written"
    )
    metrics_enabled: bool = setting(True, "METRICS_ENABLED", "serve /metrics")
    metrics_bind_address: str | None = setting(
        None,
        "METRICS_BIND_ADDRESS",
        "address and port for /metrics, /healthz and /readyz alone; /metrics is 404 elsewhere then",
    )
    hunt: HuntSettings = attrs.field(factory=HuntSettings)
    sync: SyncSettings = attrs.field(factory=SyncSettings)
    purgatory: PurgatorySettings = attrs.field(factory=PurgatorySettings)
    curation: CurationSettings = attrs.field(factory=CurationSettings)
    list_files: ListFileSettings = attrs.field(factory=ListFileSettings)
    private: PrivateSettings = attrs.field(factory=PrivateSettings)
    push: PushSettings = attrs.field(factory=PushSettings)
    prs: PrsSettings = attrs.field(factory=PrsSettings)
    relay: RelaySettings = attrs.field(factory=RelaySettings)
    listener: ListenerSettings = attrs.field(factory=ListenerSettings)
    keeping: KeepingSettings = attrs.field(factory=KeepingSettings)
    quotas: QuotaSettings = attrs.field(factory=QuotaSettings)

    @property
    def service(self) -> str:
        """Our host[:port][/base]: what announcements must list (B 2.1), never hunted (B 8.1)."""
        return f"{self.domain or self.bind_address}{self.base}"

    @property
    def base(self) -> str:
        """The base path as what stands before every path: empty for the root (B 13.9)."""
        return "" if self.base_path == "/" else self.base_path

    @property
    def follows_participants(self) -> bool:
        """Whether participants' relays are visited (GRASP-03): never by a private service."""
        return self.sync.plus_enabled and not self.curation.private_mode
