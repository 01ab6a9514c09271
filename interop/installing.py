"""Software of registries in folders of its own; what cannot be installed here is named."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from subprocess import STDOUT
from typing import Final

import trio

FOREIGN: Final = Path(__file__).parent / "foreign"
PLACE: Final = Path(__file__).parent.parent / ".venv" / "interop"
_INSTALL_SECS: Final = 900
"""gitoxide is built from 250 crates here."""
Command = tuple[str, ...]


class Skipped(Exception):
    """Something that cannot be tried on this machine; the message says why."""


async def python(name: str, *packages: str) -> str:
    """A Python of its own with these packages; its path."""
    folder = PLACE / name
    if not (folder / "bin").exists():
        folder.mkdir(parents=True, exist_ok=True)
        await _run(folder, (sys.executable, "-m", "venv", "."))
    here = str(folder / "bin/python")
    await _installed(folder, packages, (here, "-m", "pip", "install", "-q", *packages))
    return here


async def javascript(name: str, script: str, *packages: str) -> Command:
    """A script of `foreign/` beside the packages that it imports; the command that runs it."""
    _need("node", "npm")
    folder = PLACE / name
    options = ("--prefix", ".", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    await _installed(folder, packages, ("npm", "install", *options, *packages))
    for each in FOREIGN.glob("*.mjs"):
        shutil.copy(each, folder)
    return "node", str(folder / script)


async def go(name: str, source: str, *modules: str) -> Command:
    """A program of `foreign/` built with these modules (`path@version`)."""
    _need("go")
    folder = PLACE / name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(FOREIGN / source, folder / "main.go")
    steps: list[Command] = (
        [("go", "mod", "init", "tried")] if not (folder / "go.mod").exists() else []
    )
    steps += [("go", "get", *modules), ("go", "mod", "tidy"), ("go", "build", "-o", "main", ".")]
    await _installed(folder, (*modules, (FOREIGN / source).read_text()), *steps)
    return (str(folder / "main"),)


async def cargo(
    name: str, source: str, crate: str, version: str, features: tuple[str, ...]
) -> Command:
    """A program of `foreign/` built with one crate and its features."""
    _need("cargo")
    folder = PLACE / name
    (folder / "src").mkdir(parents=True, exist_ok=True)
    shutil.copy(FOREIGN / source, folder / "src/main.rs")
    manifest = _CARGO.format(crate=crate, version=version, features=json.dumps(features))
    (folder / "Cargo.toml").write_text(manifest)
    what = (manifest, (FOREIGN / source).read_text())
    await _installed(folder, what, ("cargo", "build", "--quiet"))
    return (str(folder / "target/debug/tried"),)


_CARGO: Final = """[package]
name = "tried"
version = "1.0.0"
edition = "2021"
[dependencies]
{crate} = {{ version = "={version}", default-features = false, features = {features} }}
[profile.dev]
debug = 0
"""


async def java(name: str, source: str, *artifacts: str) -> Command:
    """A class of `foreign/`, run from its source with these artifacts (`group:name:version`)."""
    _need("java", "mvn")
    folder = PLACE / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pom.xml").write_text(_pom(artifacts))
    copy = ("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib")
    await _installed(folder, artifacts, copy)
    return "java", "-cp", str(folder / "lib/*"), str(FOREIGN / source)


def _pom(artifacts: tuple[str, ...]) -> str:
    wanted = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
        "</dependency>".format(*each.split(":"))
        for each in artifacts
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>tried</groupId>"
        "<artifactId>tried</artifactId><version>1</version>"
        f"<dependencies>{wanted}</dependencies></project>"
    )


def _need(*programs: str) -> None:
    for each in programs:
        if shutil.which(each) is None:
            raise Skipped(f"no {each} is installed here")


async def _installed(folder: Path, what: tuple[str, ...], *commands: Command) -> None:
    """Run the commands unless the same was installed there before."""
    mark = folder / "installed"
    if mark.exists() and mark.read_text() == "\n".join(what):
        return
    folder.mkdir(parents=True, exist_ok=True)
    for each in commands:
        await _run(folder, each)
    mark.write_text("\n".join(what))


async def _run(folder: Path, command: Command) -> None:
    done = None
    with trio.move_on_after(_INSTALL_SECS):
        done = await trio.run_process(
            command, cwd=folder, capture_stdout=True, stderr=STDOUT, check=False
        )
    if done is None:
        raise Skipped(f"`{command[0]}` took more than {_INSTALL_SECS} s")
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines() or ["(no word)"]
        raise Skipped(f"not installable here: `{' '.join(command[:3])}`: {said[-1]}")
