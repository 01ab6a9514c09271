"""Objects that git accepts or refuses on receive; what git itself says is tested too."""

from __future__ import annotations

from purgatory_sync.git.pack.format import BLOB, COMMIT, TAG, TREE, GitObject

from ..packs import WHO, blob, commit, oid_of, tag, tree

FILE = blob(b"content\n")
FOLDER = tree((b"100644", b"f", FILE))
TIP = commit(FOLDER)
LONG_LINES = blob(b"x " + b"a" * 2100 + b"\n")
EVIL_MODULES = blob(b'[submodule "m"]\n\tpath = p\n\turl = -upload-pack=evil\n')
FINE_MODULES = blob(b'[submodule "m"]\n\tpath = p\n\turl = https://example.com/m\n')
ODD_MODULES = {
    "name": b'[submodule "../m"]\n\tpath = p\n\turl = https://example.com\n',
    "path": b'[submodule "m"]\n\tpath = -p\n\turl = https://example.com\n',
    "update": b'[submodule "m"]\n\tpath = p\n\turl = https://example.com\n\tupdate = !rm\n',
    "newline": b'[submodule "m"]\n\tpath = p\n\turl = "https://example.com/%0axx"\n',
}
NO_HOST = blob(b'[submodule "m"]\n\tpath = p\n\turl = "https:///x"\n')
NOTHING = bytes(20)
OTHER = commit(FOLDER, message=b"x\n")
BYSTANDERS = [FILE, FOLDER, TIP, OTHER, LONG_LINES, EVIL_MODULES, FINE_MODULES, NO_HOST]
BYSTANDERS += [blob(content) for content in ODD_MODULES.values()]


def commit_with(old: bytes, new: bytes) -> GitObject:
    assert old in TIP.data
    return GitObject(COMMIT, TIP.data.replace(old, new))


def tag_with(old: bytes, new: bytes) -> GitObject:
    label = tag(TIP).data
    assert old in label
    return GitObject(TAG, label.replace(old, new))


AUTHOR, COMMITTER = b"author " + WHO, b"committer " + WHO
TREE_LINE = b"tree " + oid_of(FOLDER).encode()

USUAL = {
    "blob": GitObject(BLOB, b"anything\0at all"),
    "empty tree": tree(),
    "tree": tree(
        (b"100644", b".gitattributes", FILE),
        (b"100755", b"a", FILE),
        (b"40000", b"a-b", FOLDER),
        (b"100644", b"a.b", FILE),
        (b"160000", b"module", b"\x11" * 20),
        (b"120000", b"z", FILE),
    ),
    "folder sorts as if with a slash": tree((b"100644", b"a.b", FILE), (b"40000", b"a", FOLDER)),
    "commit": TIP,
    "merge": commit(FOLDER, TIP, OTHER),
    "signed": commit_with(COMMITTER, COMMITTER + b"\ngpgsig -----BEGIN\n abc\n -----END"),
    "no message": GitObject(COMMIT, TIP.data[: -len(b"m\n")]),
    "utf-8": commit_with(b"A U Thor", "Zoë".encode()),
    "tag": tag(TIP),
    "tag of a tree": tag(FOLDER),
}

ODD_BUT_FINE = {
    ".git": tree((b"100644", b".git", FILE)),
    "zero-padded mode": tree((b"040000", b"a", FOLDER)),
    "group-writable": tree((b"100664", b"a", FILE)),
    "time zone": commit_with(b"+0100", b"+051800"),
    "no space before date": commit_with(b"> 17", b">17"),
    "no name": commit_with(b"A U Thor", b""),
    "upper case": commit_with(TREE_LINE, b"tree " + oid_of(FOLDER).upper().encode()),
    "tag without tagger": GitObject(TAG, tag(TIP).data.replace(b"tagger " + WHO + b"\n", b"")),
    "tag with a bad name": tag(TIP, b"v1~x"),
    "modules": tree((b"100644", b".gitmodules", FINE_MODULES)),
    "attributes as link": tree((b"120000", b".gitattributes", FILE)),
    "backslash": tree((b"100644", b"a\\b", FILE)),
    "colon": tree((b"100644", b"a:b", FILE)),
    "header ends with the commit": GitObject(COMMIT, TIP.data[: -len(b"\nm\n")]),
    "twice": tree((b"100644", b"a", FILE), (b"100644", b"a", FILE)),
    "file and folder": tree((b"100644", b"a", FILE), (b"40000", b"a", FOLDER)),
    "file and folder apart": tree(
        (b"100644", b"a", FILE), (b"100644", b"a.b", FILE), (b"40000", b"a", FOLDER)
    ),
    "not sorted": tree((b"100644", b"b", FILE), (b"100644", b"a", FILE)),
    "folder out of order": tree((b"40000", b"a", FOLDER), (b"100644", b"a.b", FILE)),
    "modules as folder": tree((b"40000", b".gitmodules", FOLDER)),
    "NUL in message": commit_with(b"\nm\n", b"\nm\0m\n"),
    "no author": commit_with(AUTHOR + b"\n", b""),
    "two authors": commit_with(AUTHOR, AUTHOR + b"\n" + AUTHOR),
    "no committer": commit_with(COMMITTER + b"\n", b""),
    "no address": commit_with(b" <a@example.com>", b""),
    "name with bracket": commit_with(b"A U", b"A>U"),
    "address without end": commit_with(b"com> ", b"com "),
    "no space before address": commit_with(b"Thor <", b"Thor<"),
    "no name and no space": commit_with(b"A U Thor <", b"<"),
    "no date": commit_with(b"1700000000", b"x"),
    "zero-padded date": commit_with(b" 17", b" 017"),
    "date beyond all times": commit_with(b"1700000000", b"18446744073709551615"),
    "tag with a bad tagger": tag_with(b" <a@", b"<a@"),
    "no host in modules": tree((b"100644", b".gitmodules", NO_HOST)),
    "submodule of nothing": tree((b"160000", b"a", NOTHING)),
}

REFUSED = {
    "dot": tree((b"100644", b".", FILE)),
    "dot dot": tree((b"40000", b"..", FOLDER)),
    "slash": tree((b"100644", b"a/b", FILE)),
    "empty name": GitObject(TREE, b"100644 \0" + NOTHING[:-1] + b"\1"),
    "cut tree": GitObject(TREE, FOLDER.data[:-1]),
    "garbage tree": GitObject(TREE, b"garbage"),
    "no octal mode": GitObject(TREE, FOLDER.data.replace(b"100644", b"10064x")),
    "modules as link": tree((b"120000", b".gitmodules", FILE)),
    "modules as link for hfs": tree((b"120000", b".gitmodule\xe2\x80\x8cs", FILE)),
    "modules as link for ntfs": tree((b"120000", b"GITMOD~1", FILE)),
    "evil modules": tree((b"100644", b".gitmodules", EVIL_MODULES)),
    "evil modules for ntfs": tree((b"100644", b".GITMODULES . ", EVIL_MODULES)),
    **{
        f"modules, {name}": tree((b"100644", b".gitmodules", blob(content)))
        for name, content in ODD_MODULES.items()
    },
    "long attributes": tree((b"100644", b".gitattributes", LONG_LINES)),
    "long attributes, other case": tree((b"100644", b".GitAttributes", LONG_LINES)),
    "empty commit": GitObject(COMMIT, b""),
    "NUL in header": commit_with(b"A U", b"A\0U"),
    "no tree": commit_with(TREE_LINE + b"\n", b""),
    "short tree": commit_with(TREE_LINE, TREE_LINE[:-1]),
    "bad parent": commit_with(TREE_LINE, TREE_LINE + b"\nparent 123"),
    "header without end": GitObject(COMMIT, TIP.data[: -len(b"\n\nm\n")]),
    "tag of a bad type": tag_with(b"type commit", b"type comet"),
    "tag without type": tag_with(b"type commit\n", b""),
    "tag without name": tag_with(b"tag v1\n", b""),
}
