from __future__ import annotations

from pathlib import Path

import pytest
import trio

from purgatory_sync.errors import RepositoryError
from purgatory_sync.release.index.repositories import (
    PROVEN_MARKER,
    Repositories,
    extract_identifier_from_repo_path,
)
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs

from ...git.local_repos import add_pack, history

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)


@pytest.fixture
async def repositories(tmp_path: Path) -> Repositories:
    made = Repositories(tmp_path / "git", trio.CapacityLimiter(1))
    for author in (ALICE, BOB):
        made.create(author.pubkey, "repo")
    return made


def test_extract_identifier_from_repo_path_valid() -> None:
    folder = Path("/srv/git") / ALICE.npub
    assert extract_identifier_from_repo_path(folder / "my-repo.git") == "my-repo"
    assert extract_identifier_from_repo_path(folder / "x.git.git") == "x.git"
    assert extract_identifier_from_repo_path(folder / "with space.git") == "with space"


@pytest.mark.parametrize(
    "path",
    [
        "/srv/git/repo.git",
        f"/srv/git/{ALICE.pubkey}/repo.git",
        f"/srv/git/{ALICE.npub}/repo",
        f"/srv/git/{ALICE.npub}/.git",
        f"/srv/git/{ALICE.npub}/repo.git/objects",
        f"/srv/git/{ALICE.npub}/...git",
    ],
)
def test_other_paths_have_no_identifier(path: str) -> None:
    assert extract_identifier_from_repo_path(Path(path)) is None


async def test_n3_a_damaged_repository_hides_nothing_of_the_others(
    repositories: Repositories,
) -> None:
    steps = history(1)
    damaged, sound = (repositories.path(a.pubkey, "repo") for a in (ALICE, BOB))
    for path in (damaged, sound):
        add_pack(path, steps[0].objects)
    (index,) = (damaged / "objects" / "pack").glob("*.idx")
    index.chmod(0o644)
    index.write_bytes(b"no index")
    with capture_logs() as logs:
        here = repositories.here(
            {"one": ([damaged], [steps[0].oid]), "both": ([damaged, sound], [steps[0].oid])}
        )
    assert here == {"one": frozenset(), "both": frozenset({steps[0].oid})}
    assert [(each["event"], each["path"]) for each in logs] == [
        ("repository cannot be read", str(damaged))
    ]


async def test_a_repository_is_proven_from_its_first_moment(repositories: Repositories) -> None:
    path = repositories.path(ALICE.pubkey, "repo")
    assert repositories.is_ours_alone(path)
    repositories.distrust(path)
    repositories.create(ALICE.pubkey, "repo")
    assert not repositories.is_ours_alone(path)


async def test_a_disk_that_refuses_to_forget_the_mark_is_a_typed_error(
    repositories: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path) -> None:
        raise PermissionError("no")

    path = repositories.path(ALICE.pubkey, "repo")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fails)
        with pytest.raises(RepositoryError, match="others write"):
            repositories.distrust(path)
    repositories.distrust(path)
    assert not (path / PROVEN_MARKER).exists()
    repositories.distrust(path)
    repositories.distrust(path / "config")


async def test_b_3_6_a_target_is_believed_no_more_than_its_source_that_others_write_to(
    repositories: Repositories,
) -> None:
    theirs, ours = (repositories.path(a.pubkey, "repo") for a in (ALICE, BOB))
    (sound,), holed = history(1), history(2, "with a hole")
    repositories.distrust(theirs)
    add_pack(theirs, sound.objects)
    add_pack(theirs, holed[1].objects)
    oids = frozenset((sound.oid, holed[1].oid))
    assert repositories.gather([theirs], ours, oids) == {sound.oid}
    assert not repositories.is_ours_alone(ours)
    assert repositories.here({"": ([ours], oids)}) == {"": {sound.oid}}


async def test_b_3_6_what_was_walked_is_forgotten_with_its_repository(
    repositories: Repositories,
) -> None:
    path, (step,) = repositories.path(ALICE.pubkey, "repo"), history(1)
    for objects, here in ((step.objects, {step.oid}), ([step.commit], set())):
        repositories.distrust(path)
        add_pack(path, objects)
        assert repositories.here({"": ([path], [step.oid])}) == {"": here}
        repositories.remove(ALICE.pubkey, "repo")
        repositories.create(ALICE.pubkey, "repo")
