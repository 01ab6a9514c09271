"""One table (docs/objects.md), and every judge holds to it, kind by kind (B 8.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from purgatory_sync.errors import BadPack, LocalFailure
from purgatory_sync.git.ingest import index_git
from purgatory_sync.git.ingest.large_pack import LargePack
from purgatory_sync.git.pack.format import COMMIT, TAG, TREE, GitObject
from purgatory_sync.git.pack.fsck_table import TABLE
from purgatory_sync.git.pack.module_file import judge_module_file, module_values
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing.packs import encode_pack

from ..packs import WHO, blob, commit, make_repository, oid_of, tag, tree
from .judges import Way

FILE = blob(b"content\n")
FOLDER = tree((b"100644", b"f", FILE))
TIP = commit(FOLDER)
AUTHOR, COMMITTER = b"author " + WHO + b"\n", b"committer " + WHO + b"\n"
TREE_LINE = b"tree " + oid_of(FOLDER).encode() + b"\n"
NOTHING = bytes(20)
DOCUMENT = Path(__file__).parents[3] / "docs" / "objects.md"


def changed(old: bytes, new: bytes) -> list[GitObject]:
    assert old in TIP.data
    return [GitObject(COMMIT, TIP.data.replace(old, new, 1))]


def by(who: bytes) -> list[GitObject]:
    return changed(AUTHOR, b"author " + who + b"\n")


def label(old: bytes, new: bytes) -> list[GitObject]:
    data = tag(TIP).data
    assert old in data
    return [GitObject(TAG, data.replace(old, new, 1))]


def holding(*entries: tuple[bytes, bytes, GitObject | bytes]) -> list[GitObject]:
    """A tree with these entries, what they name, and a commit of it."""
    named = [each for _, _, each in entries if isinstance(each, GitObject)]
    root = tree(*entries)
    return [*named, root, commit(root)]


def modules(content: bytes) -> list[GitObject]:
    return holding((b"100644", b".gitmodules", blob(content)))


def module(line: bytes, name: bytes = b"m") -> list[GitObject]:
    return modules(b'[submodule "%s"]\n\tpath = m\n\t%s\n' % (name, line))


LONG = blob(b"x " + b"a" * 2100 + b"\n")
# What shows an id; where it is taken in one form and refused in another, the latter is below.
KINDS: dict[str, list[GitObject]] = {
    "badDate": by(b"A <a@b> x +0000"),
    "badDateOverflow": by(b"A <a@b> 18446744073709551615 +0000"),
    "badEmail": by(b"A <a@b 1 +0000"),
    "badFilemode": holding((b"100664", b"a", FILE)),
    "badName": by(b"A>B <a@b> 1 +0000"),
    "badObjectSha1": label(oid_of(TIP).encode(), b"123"),
    "badParentSha1": changed(AUTHOR, b"parent 123\n" + AUTHOR),
    "badTagName": label(b"tag v1", b"tag v1~x"),
    "badTimezone": by(b"A <a@b> 1 +051800"),
    "badTree": [GitObject(TREE, b"garbage")],
    "badTreeSha1": changed(TREE_LINE, b"tree 123\n"),
    "badType": label(b"type commit", b"type comet"),
    "duplicateEntries": holding((b"100644", b"a", FILE), (b"100644", b"a", LONG)),
    "emptyName": [GitObject(TREE, b"100644 \0" + NOTHING[:-1] + b"\1")],
    "extraHeaderEntry": label(b"\ntagger", b"\nmore x\ntagger"),
    "fullPathname": holding((b"100644", b"a/b", FILE)),
    "gitattributesBlob": holding((b"40000", b".gitattributes", FOLDER)),
    "gitattributesLineLength": holding((b"100644", b".gitattributes", LONG)),
    "gitattributesSymlink": holding((b"120000", b".gitattributes", FILE)),
    "gitignoreSymlink": holding((b"120000", b".gitignore", FILE)),
    "gitmodulesBlob": holding((b"40000", b".gitmodules", FOLDER)),
    "gitmodulesMissing": holding((b"160000", b".gitmodules", b"\1" * 20)),
    "gitmodulesName": module(b"url = https://a.example", b"../m"),
    "gitmodulesParse": modules(b'[submodule "m"]\n\tpath = m\n<<<<<<< mine\n'),
    "gitmodulesPath": module(b"path = -p"),
    "gitmodulesSymlink": holding((b"120000", b".gitmodules", FILE)),
    "gitmodulesUpdate": module(b"update = !rm"),
    "gitmodulesUrl": module(b"url = https:://example.com/x.git"),
    "hasDot": holding((b"100644", b".", FILE)),
    "hasDotdot": holding((b"40000", b"..", FOLDER)),
    "hasDotgit": holding((b"100644", b".git", FILE)),
    "largePathname": holding((b"100644", b"a" * 5000, FILE)),
    "mailmapSymlink": holding((b"120000", b".mailmap", FILE)),
    "missingAuthor": changed(AUTHOR, b""),
    "missingCommitter": changed(COMMITTER, b""),
    "missingEmail": by(b"A U Thor 1 +0000"),
    "missingNameBeforeEmail": by(b"<a@b> 1 +0000"),
    "missingObject": label(b"object " + oid_of(TIP).encode() + b"\n", b""),
    "missingSpaceBeforeDate": by(b"A <a@b>1 +0000"),
    "missingSpaceBeforeEmail": by(b"A<a@b> 1 +0000"),
    "missingTag": [GitObject(TAG, tag(TIP).data.partition(b"\ntagger")[0])],
    "missingTagEntry": label(b"tag v1\n", b""),
    "missingTaggerEntry": label(b"tagger " + WHO + b"\n", b""),
    "missingTree": changed(TREE_LINE, b""),
    "missingType": label(b"\ntype commit\ntag v1", b"\ntype commit"),
    "missingTypeEntry": label(b"type commit\n", b""),
    "multipleAuthors": changed(AUTHOR, AUTHOR * 2),
    "nulInCommit": changed(b"\nm\n", b"\nm\0m\n"),
    "nulInHeader": changed(b"A U", b"A\0U"),
    "nullSha1": holding((b"160000", b"a", NOTHING)),
    "symlinkPointsToGitDir": holding((b"120000", b"a", blob(b".git/annex/objects/x"))),
    "symlinkTargetLength": holding((b"120000", b"a", blob(b"x" * 5000))),
    "treeNotSorted": holding((b"100644", b"b", FILE), (b"100644", b"a", FILE)),
    "unterminatedHeader": [GitObject(COMMIT, TIP.data[: -len(b"\n\nm\n")])],
    "zeroPaddedDate": by(b"A <a@b> 01 +0000"),
    "zeroPaddedFilemode": holding((b"040000", b"a", FOLDER)),
}
# What no pack can show by itself: too large to build here, or other ids come first.
NOT_SHOWN = {
    "badGpgsig",
    "badHeaderContinuation",
    "gitattributesLarge",
    "gitattributesMissing",
    "gitmodulesLarge",
    "symlinkTargetBlob",
    "symlinkTargetMissing",
    "unknownType",
}
TAKEN_URLS = (
    b"https:///x",
    b"https:://example.com/x.git",
    b"http:://x",
    b"..//x.git",
    b"git@example.com:x.git",
    b"https://example.com:port/x",
    b"",
)
REFUSED_MODULES = (
    b"url = -upload-pack=evil",
    b'url = "-x"',
    b"url = https://example.com/%0ahost=other",
    b'url = "https://example.com/a\\nhost=other"',
    b"url = ../%0ax",
    b"url = http::https://example.com/%0a",
    b"UPDATE = !rm",
)


def test_each_id_of_the_table_is_shown() -> None:
    assert set(KINDS) | NOT_SHOWN == {each.id for each in TABLE}
    assert not set(KINDS) & NOT_SHOWN


def test_the_document_has_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (taken|refused) \| (.*) \|$", DOCUMENT.read_text(), re.M)
    assert rows == [(e.id, "taken" if e.taken else "refused", e.why) for e in TABLE]


async def judge(way: Way, objects: Sequence[GitObject]) -> bool:
    pack = encode_pack(list(dict.fromkeys([FILE, FOLDER, TIP, *objects])))
    try:
        await (await way.prove(pack, objects[-1])).discard()
    except BadPack:
        return False
    return True


@pytest.mark.parametrize("finding", TABLE, ids=lambda each: each.id)
async def test_b_8_4_each_judge_holds_to_the_table(way: Way, finding: object) -> None:
    if finding.id not in KINDS:  # type: ignore[attr-defined]
        pytest.skip("not shown by a pack")
    assert await judge(way, KINDS[finding.id]) is finding.taken  # type: ignore[attr-defined]


async def test_b_8_4_only_urls_that_do_harm_are_refused(way: Way) -> None:
    for url in TAKEN_URLS:
        assert await judge(way, module(b"url = " + url)), url
    for line in REFUSED_MODULES:
        assert not await judge(way, module(line)), line
    # What stands before what git cannot read counts.
    assert not await judge(way, modules(b'[submodule "m"]\n\turl = -x\n[broken\n'))
    assert await judge(way, modules(b'[broken\n[submodule "m"]\n\turl = -x\n'))


async def test_b_8_4_a_missing_object_is_refused_by_any_name(way: Way) -> None:
    for name in (NOTHING, b"\1" * 20):
        root = tree((b"100644", b"a", name))
        assert not await judge(way, [root, commit(root)])


async def test_b_8_4_a_mode_of_no_known_type_is_a_submodule(way: Way) -> None:
    for name in (oid_of(FILE), "1" * 40):
        root = tree((b"140000", b"a", bytes.fromhex(name)), (b"10644", b"b", FILE))
        assert await judge(way, [root, commit(root)])


async def test_a_harmless_file_hides_no_other(way: Way) -> None:
    """git says a line of each; the one that does harm is found among them."""
    files = [
        blob(b'[submodule "m%d"]\n\turl = https:://x.example/%d\n' % (n, n)) for n in range(300)
    ]
    roots = [tree((b"100644", b".gitmodules", each)) for each in files]
    assert await judge(way, [*files, *roots, commit(roots[0])])
    evil = blob(b'[submodule "m"]\n\turl = -x\n')
    root = tree((b"100644", b".gitmodules", evil))
    assert not await judge(way, [*files[:150], evil, *files[150:], *roots, root, commit(root)])


OLD_GIT = """#!/bin/sh
case "$*" in *gitattributesLineLength*)
  echo "fatal: Unhandled message id: gitattributeslinelength" >&2; exit 128;;
esac
exec {git} "$@"
"""


@pytest.mark.real
async def test_a_git_that_knows_too_little_leaves_it_to_dulwich(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(OLD_GIT.format(git=index_git.find_git()))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    repository, folder = make_repository(tmp_path / "r.git"), tmp_path / "q"
    folder.mkdir()
    assert not index_git.judges_by_the_table()
    auto = LargePack(HuntSettings(min_free_bytes=0), repository, folder)
    auto.begin(stream=True)
    assert type(auto._judge).__name__ == "_Spilled"
    auto.stop()
    told = LargePack(HuntSettings(min_free_bytes=0, ingest="git"), repository, folder)
    with pytest.raises(LocalFailure, match=r"install 2\.39\.1 or newer"):
        told.begin(stream=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'\xef\xbb\xbf[SubModule "A b"]\r\n\tURL = "x # y" # z\r\n', [(b"A b", b"url", b"x # y")]),
        (b'[submodule "a\\"b\\\\"] path=p;c', [(b'a"b\\', b"path", b"p")]),
        (b"[submodule.Old]\nkey\n", [(b"old", b"key", None)]),
        (b'[submodule "a"]\nurl = a\\\n  b\\tc  d  \n', [(b"a", b"url", b"a  b\tc  d")]),
        (b'[submodule "a"]\nurl = "open\n', []),
        (b'[submodule "a"]\nurl = a\\q\n', []),
        (b'[submodule "a" ]\nurl = a\n', []),
        (b'[submodule]\nurl = a\n[core "a"]\nurl = b\n', []),
        (b'[submodule "a"]\nurl = x\0-y\n', [(b"a", b"url", b"x")]),
        (b'# c\n; d\n[submodule "a"] # e\n\turl=x\n-y=z\n', [(b"a", b"url", b"x")]),
    ],
)
def test_module_files_are_read_as_git_reads_them(
    text: bytes, expected: list[tuple[bytes, bytes, bytes | None]]
) -> None:
    assert list(module_values(text)) == expected


def test_a_name_of_nothing_is_refused() -> None:
    with pytest.raises(BadPack):
        judge_module_file(b'[submodule ""]\n\turl = x\n')
