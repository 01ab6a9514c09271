"""Mercurial with hg-git as a client: clone URL FOLDER, push FOLDER URL (of the branch main)."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

verb, one, two = sys.argv[1:]
with TemporaryDirectory() as scratch:
    settings = Path(scratch, "hgrc")
    settings.write_text("[extensions]\nhggit =\n[ui]\nusername = a\n")
    environment = {**os.environ, "HGRCPATH": str(settings)}
    copy = str(Path(scratch, "copy"))

    def run(*command: str) -> None:
        """Run a program, and end with what it says if it fails."""
        subprocess.run(command, env=environment, check=True, stdout=sys.stderr)

    hg = str(Path(sys.executable).with_name("hg"))
    if verb == "clone":
        run(hg, "clone", f"git+{one}", copy)
        run(hg, "-R", copy, "gexport")
        run("git", "init", "-b", "main", two)
        heads = "refs/heads/*:refs/heads/*"
        run("git", "-C", two, "fetch", "--update-head-ok", f"{copy}/.hg/git", heads)
    else:
        run(hg, "clone", f"{one}/.git", copy)
        run(hg, "-R", copy, "push", "-B", "main", f"git+{two}")
