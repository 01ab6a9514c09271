"""What git finds odd about objects, and whether it keeps them from being hosted (docs/objects.md).

Refused is what endangers those who clone or check out: paths that escape, `.gitmodules` that name
options, commands or links, and objects that do not parse. All else stands in the history of known
projects, does no harm and is taken. Every judge follows this table: the quick check in memory, git,
and the rules for machines without git.
"""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen
class Finding:
    """One of git's message ids (`git help fsck`).

    Attributes:
      taken: whether objects with it are hosted.
      why: for people.
      everywhere: whether each git from 2.36 on knows it; of the others git is asked first.
    """

    id: str
    taken: bool
    why: str
    everywhere: bool = True


_OLD = "old commits and tags have it; git does not follow it"
_TREE = "git reads such trees as they stand"
_PARSE = "the object does not parse"
_PATH = "a path that leads out of the folder it is in"
_LINK = "checked by the closure of what arrives"
_MEMORY = "git before 2.39.1 runs over its memory"
_NEW = "only some versions of git mind"

TABLE: Final = (
    Finding("badDate", True, _OLD),
    Finding("badDateOverflow", True, _OLD),
    Finding("badEmail", True, _OLD),
    Finding("badFilemode", True, _TREE),
    Finding("badGpgsig", True, _NEW, everywhere=False),
    Finding("badHeaderContinuation", True, _NEW, everywhere=False),
    Finding("badName", True, _OLD),
    Finding("badObjectSha1", False, _PARSE),
    Finding("badParentSha1", False, _PARSE),
    Finding("badTagName", True, _OLD),
    Finding("badTimezone", True, _OLD),
    Finding("badTree", False, _PARSE),
    Finding("badTreeSha1", False, _PARSE),
    Finding("badType", False, _PARSE),
    Finding("duplicateEntries", True, _TREE),
    Finding("emptyName", False, _PARSE),
    Finding("extraHeaderEntry", True, _OLD),
    Finding("fullPathname", False, _PATH),
    Finding("gitattributesBlob", True, "a folder of that name; git does not read it"),
    Finding("gitattributesLarge", False, _MEMORY, everywhere=False),
    Finding("gitattributesLineLength", False, _MEMORY, everywhere=False),
    Finding("gitattributesMissing", True, _LINK, everywhere=False),
    Finding("gitattributesSymlink", True, "git does not follow it"),
    Finding("gitignoreSymlink", True, "git does not follow it"),
    Finding("gitmodulesBlob", True, "a folder of that name; git does not read it"),
    Finding("gitmodulesLarge", False, "too large to be judged"),
    Finding("gitmodulesMissing", True, _LINK),
    Finding("gitmodulesName", False, "a submodule whose git folder would lie elsewhere"),
    Finding("gitmodulesParse", True, "what git cannot read it does not follow; the rest is judged"),
    Finding("gitmodulesPath", False, "a path that is taken for an option"),
    Finding("gitmodulesSymlink", False, "clones would read another file"),
    Finding("gitmodulesUpdate", False, "a command that clones would run"),
    Finding(
        "gitmodulesUrl",
        True,
        "mistyped URLs lead nowhere; refused is one that is taken for an option, or that holds the"
        " end of a line and so speaks for another host",
    ),
    Finding("hasDot", False, _PATH),
    Finding("hasDotdot", False, _PATH),
    Finding("hasDotgit", True, "histories have it; every git since 2.2.1 refuses to check it out"),
    Finding("largePathname", True, _NEW, everywhere=False),
    Finding("mailmapSymlink", True, "git does not follow it"),
    Finding("missingAuthor", True, _OLD),
    Finding("missingCommitter", True, _OLD),
    Finding("missingEmail", True, _OLD),
    Finding("missingNameBeforeEmail", True, _OLD),
    Finding("missingObject", False, _PARSE),
    Finding("missingSpaceBeforeDate", True, _OLD),
    Finding("missingSpaceBeforeEmail", True, _OLD),
    Finding("missingTag", False, _PARSE),
    Finding("missingTagEntry", False, _PARSE),
    Finding("missingTaggerEntry", True, _OLD),
    Finding("missingTree", False, _PARSE),
    Finding("missingType", False, _PARSE),
    Finding("missingTypeEntry", False, _PARSE),
    Finding("multipleAuthors", True, _OLD),
    Finding("nulInCommit", True, _OLD),
    Finding("nulInHeader", False, _PARSE),
    Finding("nullSha1", True, "a submodule that leads nowhere; all else would be missing"),
    Finding("symlinkPointsToGitDir", True, _NEW, everywhere=False),
    Finding("symlinkTargetBlob", True, _NEW, everywhere=False),
    Finding("symlinkTargetLength", True, _NEW, everywhere=False),
    Finding("symlinkTargetMissing", True, _NEW, everywhere=False),
    Finding("treeNotSorted", True, _TREE),
    Finding("unknownType", False, _PARSE),
    Finding("unterminatedHeader", False, _PARSE),
    Finding("zeroPaddedDate", True, _OLD),
    Finding("zeroPaddedFilemode", True, _TREE),
)

JUDGED_BY_US: Final = "gitmodulesUrl"
"""git names the file, and we judge its URLs: the id does not tell harm from a typing error."""
