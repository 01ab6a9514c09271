"""What `pip install purgatory-sync` gives: an engine that runs, without the extra `node`.

Run in an environment that has only the engine's dependencies, or anywhere with `--blocked`, which
makes the packages of the extra look as if they were not installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import pkgutil
import sys
import tempfile
from pathlib import Path

import trio

# By what they are imported; `node` of pyproject.toml, which a test compares.
EXTRA = ("cyclopts", "jinja2", "prometheus_client", "rich", "structlog", "websockets")
ROOMS = ["runtime", "nostr", "git", "store", "policy", "purgatory", "hunt", "release", "engine"]
MODULES = ["errors", "settings", "settings_loader", "urls", "refnames", "version", "testing"]
# The servers and clients of `testing` are made of parts of the node.
BY_ITSELF = ("mock_context", "events", "pack_tampering", "log_capture")


def import_all() -> None:
    """Every module of every room of the engine, and what tests of an embedder need."""
    import purgatory_sync

    for room in ROOMS:
        package = importlib.import_module(f"purgatory_sync.{room}")
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(each.name)
    for module in (*MODULES, *(f"testing.{each}" for each in BY_ITSELF)):
        importlib.import_module(f"{purgatory_sync.__name__}.{module}")


async def run_engine(folder: Path) -> None:
    """Hold an event, for which there is no server to be asked."""
    from purgatory_sync import Settings, open_engine
    from purgatory_sync.testing.events import Author, announcement

    settings = Settings(
        domain="relay.example", git_data_path=folder / "git", relay_data_path=folder / "relay"
    )
    author = Author.from_seed(1)
    event = announcement(
        author, "repo", clone=[f"https://relay.example/{author.npub}/repo.git"],
        relays=["wss://relay.example"],
    )  # fmt: skip
    async with open_engine(settings) as engine:
        answer = await engine.offer(event, origin="user")
        assert answer.accepted, answer


def the_program_names_the_extra() -> None:
    """The console script says in one sentence what to install."""
    from purgatory_sync.cli import main

    said = ""
    try:
        main(["settings"])
    except SystemExit as ended:
        said = str(ended.code)
    assert "pip install 'purgatory-sync[node]'" in said, said


def main() -> None:
    """All of it; what fails is a traceback."""
    if "--blocked" in sys.argv:
        sys.modules.update(dict.fromkeys(EXTRA))  # type: ignore[arg-type]
    else:
        here = [name for name in EXTRA if importlib.util.find_spec(name)]
        assert not here, f"of the extra, {here} are installed"
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        import_all()
        with tempfile.TemporaryDirectory() as folder:
            trio.run(run_engine, Path(folder))
        the_program_names_the_extra()
    assert written.getvalue() == "", f"a library is silent, but wrote {written.getvalue()!r}"
    assert not [name for name in EXTRA if sys.modules.get(name)]


if __name__ == "__main__":
    main()
