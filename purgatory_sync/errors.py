"""Every typed error of the project; failures of one attempt at a git server included.

A message says what happened and, where the reader can act on it, what to do.
"""

from __future__ import annotations

import enum


class PurgatorySyncError(Exception):
    """Base of all errors that this project raises on purpose."""


class ConfigurationError(PurgatorySyncError):
    """The node cannot start as it is configured; the message names the remedy (exit code 2)."""


class InvalidUrl(PurgatorySyncError):
    """A URL that is never contacted, with the reason."""


class InvalidEvent(PurgatorySyncError):
    """An event that is refused because of what it says, with the reason (without `invalid: `)."""


class InvalidFilter(PurgatorySyncError):
    """A NIP-01 filter that cannot be understood, with the reason."""


class InvalidKey(PurgatorySyncError):
    """A public or secret key (hex or NIP-19) that cannot be read."""


class StoreError(PurgatorySyncError):
    """The store could not do what was asked; nothing of it was done."""


class TooMuchWork(StoreError):
    """A look-up that took more work than it may; the store is as sound as before."""


class StoreBusy(StoreError, ConfigurationError):
    """Another process has the data directory open."""


class StoreCorrupt(StoreError, ConfigurationError):
    """The database file was not made by this program, or is damaged."""


class NodeUnreachable(PurgatorySyncError):
    """No running node can be talked to through the data folder; the message says what to do."""


class RepositoryError(PurgatorySyncError):
    """A local repository is missing, damaged or cannot be written."""


class RepositoryUnusable(RepositoryError):
    """A repository of a kind that cannot be served here; no retry changes that, its owner may."""


class CannotName(RepositoryError):
    """A ref that may not name what it shall: no retry changes that, the event ends (B 7.4)."""


class PushRefused(PurgatorySyncError):
    """A push that is not taken; the message is the reason that the client prints (B 6.6)."""


class OverBudget(PushRefused):
    """A push below `/prs/` for which a budget has no room (B 12.8)."""


class ResultClass(enum.StrEnum):
    """The coarse outcome of an attempt: what the outside may see (no oracle), a metric's label."""

    SUCCESS = "success"
    PARTIAL = "partial"
    NOTHING = "nothing"
    FORBIDDEN = "forbidden"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    NOT_GIT = "not_git"
    REFUSED = "refused"
    BAD_DATA = "bad_data"
    TOO_LARGE = "too_large"
    QUOTA = "quota"
    LOCAL = "local"
    CANCELLED = "cancelled"


class NaughtyScope(enum.StrEnum):
    """What B 8.7 bans after a failure."""

    NONE = "none"
    HOST = "host"
    ENDPOINT = "endpoint"
    URL = "url"


class AttemptFailed(PurgatorySyncError):
    """One attempt at a git server brought nothing; the subclass says why.

    Class attributes:
      result: the coarse class of the outcome.
      naughty: what B 8.7 puts on the naughty list.
      contacted: False when no connection was even begun, so that place and token
        are given back (B 8.2).
    """

    result = ResultClass.UNREACHABLE
    naughty = NaughtyScope.NONE
    contacted = True


class Forbidden(AttemptFailed):
    """The gate refuses the address or the URL; nothing was contacted."""

    result = ResultClass.FORBIDDEN
    contacted = False


class PrivateService(AttemptFailed):
    """A relay is that of a private service, which only its members and peers follow (GRASP-08)."""

    contacted = False


class NotThePeer(AttemptFailed):
    """What is at a peer's place does not say that it is private, or has another key (GRASP-08)."""

    contacted = False


class NameUnknown(AttemptFailed):
    """The resolver says that the name does not exist (EAI_NONAME).

    For the outside that is the same as an address that the gate refuses: a client that can tell
    them apart could ask which names there are inside the operator's network.
    """

    result = ResultClass.FORBIDDEN
    naughty = NaughtyScope.HOST
    contacted = False


class ResolverFailed(AttemptFailed):
    """The resolver did not answer; says nothing about the server."""

    contacted = False


class ConnectFailed(AttemptFailed):
    """Refused, reset or unreachable."""


class TimedOut(AttemptFailed):
    """Connecting, silence or the whole attempt took longer than its limit (B 8.4)."""

    result = ResultClass.TIMEOUT


class Unanswered(TimedOut):
    """A request was taken, and no byte came in the time that is given to a first answer (B 8.4)."""


class TlsFailed(AttemptFailed):
    """The certificate or the handshake is bad."""

    naughty = NaughtyScope.ENDPOINT


class NotHttp(AttemptFailed):
    """The peer does not speak HTTP."""

    naughty = NaughtyScope.ENDPOINT
    result = ResultClass.NOT_GIT


class BadStatus(AttemptFailed):
    """An HTTP status that is no success and has no class of its own."""

    result = ResultClass.REFUSED

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RepositoryUnavailable(BadStatus):
    """401, 403, 404 or 410: this URL is not for us."""

    naughty = NaughtyScope.URL


class RateLimited(AttemptFailed):
    """429 or 503: the domain rests (B 8.6).

    Attributes:
      retry_after_secs: how long the domain rests, in seconds (judged, at most one hour).
    """

    result = ResultClass.RATE_LIMITED

    def __init__(self, message: str, retry_after_secs: float) -> None:
        super().__init__(message)
        self.retry_after_secs = retry_after_secs


class RedirectRefused(AttemptFailed):
    """Too many redirects, or one that leads where we do not go."""

    result = ResultClass.REFUSED


class NotGit(AttemptFailed):
    """A page instead of git, or a protocol that is not upload-pack."""

    naughty = NaughtyScope.URL
    result = ResultClass.NOT_GIT


class ProtocolBroken(AttemptFailed):
    """A smart-HTTP server whose answer breaks the protocol or ends early."""

    result = ResultClass.BAD_DATA


class ObjectsRefused(AttemptFailed):
    """The server says that it does not give (some of) the objects.

    Attributes:
      server_message: the server's words, decoded and cut, or empty.
    """

    result = ResultClass.NOTHING

    def __init__(self, message: str, server_message: str = "") -> None:
        super().__init__(message)
        self.server_message = server_message


class TooLarge(AttemptFailed):
    """More bytes, objects, refs or delta depth than the limits of B 8.4 allow."""

    result = ResultClass.TOO_LARGE


class OverQuota(AttemptFailed):
    """More bytes than the operator's limits leave for the repository (B 13.11).

    Attributes:
      size: bytes that had come and did not fit.
    """

    result = ResultClass.QUOTA

    def __init__(self, message: str, size: int = 0) -> None:
        super().__init__(message)
        self.size = size


class NoRoom(OverQuota):
    """That was known before a server was asked."""

    contacted = False


class BadPack(AttemptFailed):
    """The pack is damaged, hostile, or holds objects that git would refuse on receive."""

    result = ResultClass.BAD_DATA


class NotClosed(BadPack):
    """Objects are sound but history has holes: nothing may point at them (N5)."""


class DoubledObject(BadPack):
    """The pack names an object twice; each has to come out once before it can be judged."""


class LocalFailure(AttemptFailed):
    """Our own side failed (disk, repository, child process); says nothing about the server."""

    result = ResultClass.LOCAL


class DiskFull(LocalFailure):
    """Free space is below the setting; no hunt starts (B 8.4, docs/storage.md)."""

    contacted = False


class ProxyFailed(LocalFailure):
    """The operator's proxy failed. The git server was not reached; this says nothing about it."""

    contacted = False


class NotReachedByProxy(ProxyFailed):
    """The proxy tried, or may have tried, and there is no connection: the start counts (B 8.2)."""

    result = ResultClass.UNREACHABLE
    contacted = True
