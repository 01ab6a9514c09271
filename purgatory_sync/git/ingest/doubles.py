"""Packs that name an object twice: git's strict judge wants each once, so they are written anew."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO

from ...errors import LocalFailure
from ...runtime.children import ChildLimits, run_child
from ..disk.layout import objects_dir, pack_dir
from ..pack.index import PackIndexReader
from .index_git import RECEIVED, Watch, find_git, git_environment, refusal

_FOLDER = "doubled"


def take_out_doubles(repository: Path, folder: Path, limits: ChildLimits, watch: Watch) -> None:
    """Write the pack that git has just refused for its doubles anew, with each object once.

    git left it in quarantine, complete. The result is the received pack of the same folder, to be
    judged as any other. Blocks; arguments are those of `index_git.index_with_git`.

    Raises:
      BadPack: what is twice there differs, or it is damaged.
      LocalFailure: git could not do its work.
    """
    git = find_git()
    left = [each for each in Path(pack_dir(folder)).iterdir() if each.name.startswith("tmp_")]
    packs = [each for each in left if each.name.startswith("tmp_pack_")]
    if git is None or len(packs) != 1:
        raise LocalFailure("git did not leave the pack that it refused")
    doubled = folder / _FOLDER
    os.makedirs(pack_dir(doubled))
    pack = Path(pack_dir(doubled), "pack-doubled.pack")
    os.rename(packs[0], pack)
    for each in left:
        each.unlink(missing_ok=True)
    env = git_environment(repository, doubled)
    # Without --strict it minds none; that the same name has the same bytes git sees all the same.
    _run([git, "index-pack", str(pack.absolute())], env, folder, limits, watch)
    names = folder / f"{_FOLDER}.names"
    index = PackIndexReader(pack.with_suffix(".idx"))
    with contextlib.closing(index), names.open("wb") as file:
        for name, _ in groupby(index.names()):
            file.write(b"%s\n" % name.hex().encode())
    out = Path(objects_dir(doubled), "once")
    command = [git, "pack-objects", "--quiet", "--delta-base-offset", "--threads=1"]
    with names.open("rb") as stdin:
        _run([*command, str(out.absolute())], env, folder, limits, watch, stdin)
    (made,) = out.parent.glob("once-*.pack")
    os.rename(made, folder / RECEIVED)
    shutil.rmtree(doubled)
    names.unlink()


def _run(
    command: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    limits: ChildLimits,
    watch: Watch,
    stdin: IO[bytes] | None = None,
) -> None:
    result = run_child(command, env=env, stdin=stdin, scratch=folder, limits=limits, watch=watch)
    if result.returncode != 0:
        raise refusal(result)
