from __future__ import annotations

import pytest

from purgatory_sync.errors import BadPack
from purgatory_sync.git.pack.format import BLOB, COMMIT, TAG, TREE
from purgatory_sync.git.pack.object_links import TreeEntry, object_links, tree_entries

from ..packs import commit, name_of, tag, tree
from .objects_git_judges import FILE, FOLDER, TIP

FILE_NAME = name_of(FILE)


def test_where_objects_point() -> None:
    assert object_links(*FILE) == []
    assert object_links(*commit(FOLDER, TIP, TIP)) == [
        (name_of(FOLDER), TREE),
        (name_of(TIP), COMMIT),
        (name_of(TIP), COMMIT),
    ]
    assert object_links(*tag(FILE)) == [(FILE_NAME, BLOB)]
    assert object_links(*tag(tag(TIP))) == [(name_of(tag(TIP)), TAG)]


def test_entries_of_all_modes() -> None:
    modes = {b"100644": BLOB, b"100664": BLOB, b"120000": BLOB, b"40000": TREE, b"040000": TREE}
    for mode, kind in modes.items():
        assert object_links(*tree((mode, b"a b", FILE))) == [(FILE_NAME, kind)]
    assert object_links(*tree((b"160000", b"a", FILE))) == []
    assert list(tree_entries(tree((b"100644", b"a", FILE)).data)) == [
        TreeEntry(b"100644", b"a", FILE_NAME)
    ]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (TREE, b"x"),
        (TREE, b"100644 a\0" + bytes(19)),
        (TREE, b"100644 \0" + bytes(20)),
        (TREE, b" a\0" + bytes(20)),
        (TREE, b"8 a\0" + bytes(20)),
        (COMMIT, b""),
        (COMMIT, TIP.data.replace(b"\nauthor", b"\nparent x\nauthor")),
        (TAG, b"object"),
    ],
)
def test_damage(kind: int, data: bytes) -> None:
    with pytest.raises(BadPack):
        object_links(kind, data)
