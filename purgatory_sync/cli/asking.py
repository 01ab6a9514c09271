"""Asks the running node through the socket in its data folder (`node/operator/control.py`)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import attrs
import msgspec

from ..engine.keeping.caretaker import ListedDeleted, ListedRepository
from ..engine.keeping.exporting import Exported
from ..engine.keeping.manifest import Manifest
from ..engine.keeping.prs_keeping import ListedPrs
from ..engine.keeping.purging import Purged
from ..engine.lists.list_keeper import Edited
from ..engine.lists.merging import Listed
from ..engine.status.explainer import Hunted
from ..engine.status.models import Fate, HeldStatus
from ..engine.upkeep.authority_report import RepositoryAuthority
from ..engine.verifying.findings import Verified
from ..errors import ConfigurationError, NodeUnreachable
from ..node.importing.imported import Imported
from ..node.operator.control import SOCKET, Question
from ..node.operator.node_status import NodeStatus

ANSWER_SECS: Final = 60.0
_NULL: Final = msgspec.Raw(b"null")


class NoNode(NodeUnreachable):
    """No node listens at the data folder: it is stopped, or uses another folder."""


@attrs.frozen
class _Answer:
    result: msgspec.Raw = _NULL
    error: str | None = None
    bad_request: bool = False


class Asker:
    """A conversation with the node of a data folder; a context manager.

    Args:
      folder: NGIT_RELAY_DATA_PATH of the node.

    Raises:
      NodeUnreachable: no node answers, on entering or to a question.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SOCKET
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_SECS)

    def __enter__(self) -> Asker:
        try:
            self._socket.connect(str(self._path))
        except PermissionError as error:
            self._socket.close()
            raise NodeUnreachable(
                f"{self._path} may not be opened by this user: ask as the node's user"
            ) from error
        except OSError as error:
            self._socket.close()
            if error.errno is None:  # what Python says of a name that does not fit
                raise NodeUnreachable(
                    f"{self._path} is longer than a socket's name may be: choose a shorter"
                    " NGIT_RELAY_DATA_PATH"
                ) from error
            raise NoNode(
                f"no node runs on {self._path.parent}: start it, or name the data folder of the one"
                " that runs (--relay-data-path, NGIT_RELAY_DATA_PATH)"
            ) from error
        self._lines = self._socket.makefile("rb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lines.close()
        self._socket.close()

    def status(self) -> NodeStatus:
        """The whole node."""
        answer: NodeStatus = self._ask(Question("status"), NodeStatus)
        return answer

    def why(self, name: str) -> tuple[HeldStatus, ...]:
        """What is held under an identifier or event id."""
        answer: tuple[HeldStatus, ...] = self._ask(Question("why", name), tuple[HeldStatus, ...])
        return answer

    def fate(self, event_id: str) -> Fate | None:
        """What became of an event that is not held; None when the node does not know it."""
        answer: Fate | None = self._ask(Question("fate", event_id), Fate | None)
        return answer

    def hunt(self, identifier: str) -> Hunted | None:
        """Hunt now; None when nothing is held that is hunted for."""
        answer: Hunted | None = self._ask(Question("hunt", identifier), Hunted | None)
        return answer

    def list(self) -> tuple[ListedRepository, ...]:
        """Every repository on the node's disk."""
        kind = tuple[ListedRepository, ...]
        answer: tuple[ListedRepository, ...] = self._ask(Question("list"), kind)
        return answer

    def list_deleted(self) -> tuple[ListedDeleted, ...]:
        """Those that were deleted and are kept for a time."""
        kind = tuple[ListedDeleted, ...]
        answer: tuple[ListedDeleted, ...] = self._ask(Question("list", deleted=True), kind)
        return answer

    def list_prs(self) -> tuple[ListedPrs, ...]:
        """Every repository below `/prs/`."""
        kind = tuple[ListedPrs, ...]
        answer: tuple[ListedPrs, ...] = self._ask(Question("list", prs=True), kind)
        return answer

    def remove(self, name: str) -> ListedRepository:
        """Remove a repository that is neither served nor held."""
        answer: ListedRepository = self._ask(Question("remove", name), ListedRepository)
        return answer

    def authority(self, name: str) -> tuple[RepositoryAuthority, ...]:
        """Who rules the repositories of this name; empty: all."""
        kind = tuple[RepositoryAuthority, ...]
        answer: tuple[RepositoryAuthority, ...] = self._ask(Question("authority", name), kind)
        return answer

    def backup(self, folder: Path, tell: Callable[[str], None]) -> Manifest:
        """Make a backup in a folder, by its path from the root; it takes as long as it takes."""
        self._socket.settimeout(None)
        answer: Manifest = self._ask(Question("backup", str(folder)), Manifest, tell)
        return answer

    def export(
        self, name: str, folder: Path, *, as_bundle: bool, tell: Callable[[str], None]
    ) -> Exported:
        """Write a repository and its events into a folder, by its path from the root."""
        self._socket.settimeout(None)
        question = Question("export", name, folder=str(folder), bundle=as_bundle)
        answer: Exported = self._ask(question, Exported, tell)
        return answer

    def take_in(self, named: str, tell: Callable[[str], None]) -> Imported:
        """Import from a folder or file, by its path from the root, or from a relay."""
        self._socket.settimeout(None)
        answer: Imported = self._ask(Question("import", named), Imported, tell)
        return answer

    def purge(self, name: str, *, execute: bool, at_once: bool) -> Purged:
        """Take out a repository, an author or an event, or tell what would go."""
        self._socket.settimeout(None)
        question = Question("purge", name, execute=execute, at_once=at_once)
        answer: Purged = self._ask(question, Purged)
        return answer

    def purge_prs(self, name: str, *, execute: bool) -> Purged:
        """Take out what is below `/prs/` of a key, or one repository, or tell what would go."""
        self._socket.settimeout(None)
        answer: Purged = self._ask(Question("purge", name, execute=execute, prs=True), Purged)
        return answer

    def entries(self, name: str) -> tuple[Listed, ...]:
        """What a list has; empty: all lists."""
        answer: tuple[Listed, ...] = self._ask(Question("entries", name), tuple[Listed, ...])
        return answer

    def add_to_list(self, name: str, entries: Sequence[str], reason: str) -> Edited:
        """Add entries to a list; it rules when this returns."""
        question = Question("list-add", name, names=tuple(entries), reason=reason)
        answer: Edited = self._ask(question, Edited)
        return answer

    def remove_from_list(self, name: str, entries: Sequence[str]) -> Edited:
        """Take entries from a list."""
        question = Question("list-remove", name, names=tuple(entries))
        answer: Edited = self._ask(question, Edited)
        return answer

    def verify(self, names: Sequence[str], repair: bool, tell: Callable[[str], None]) -> Verified:
        """Look whether repositories (none named: everything) are whole; as long as it takes."""
        self._socket.settimeout(None)
        question = Question("verify", names=tuple(names), repair=repair)
        answer: Verified = self._ask(question, Verified, tell)
        return answer

    def _ask(self, request: Question, kind: Any, tell: Callable[[str], None] | None = None) -> Any:
        try:
            self._socket.sendall(msgspec.json.encode(request) + b"\n")
            line = self._lines.readline()
            while tell is not None and line.startswith(b'{"progress":'):
                tell(str(msgspec.json.decode(line)["progress"]))
                line = self._lines.readline()
        except OSError as error:
            raise NodeUnreachable(f"the node does not answer: {error.strerror or error}") from error
        if not line.endswith(b"\n"):
            raise NodeUnreachable(
                "the node closed the connection: is it stopping? is the name too long?"
            )
        try:
            answer = msgspec.json.decode(line, type=_Answer)
            if answer.error is not None and answer.bad_request:
                raise ConfigurationError(answer.error)
            if answer.error is not None:
                raise NodeUnreachable(f"the node could not answer: {answer.error}")
            return msgspec.json.decode(answer.result, type=kind)
        except msgspec.MsgspecError as error:
            raise NodeUnreachable(
                "the node's answer is not understood: it runs another version of this program"
            ) from error
