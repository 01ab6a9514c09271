"""Has every Python and platform that we claim a wheel of each package of the lock?

Installs the lock from wheels alone, in dry runs of pip with the index that pip is set up with.
Pure packages are asked for once, compiled ones once per Python and platform. RECORD says for which
lock all wheels were found; the index is asked again only when the lock, the classifiers or the
platforms change. Where no index can be reached, the program says so, checks nothing, and passes.

Usage: wheels.py LOCK RECORD
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
CLASSIFIER = re.compile(r"Programming Language :: Python :: (3\.\d+)")
NOT_FOUND = re.compile(r"No matching distribution found for ([\w.-]+)==")


class Platform(NamedTuple):
    """A platform that we claim: pip's names of it, and what markers call it."""

    name: str
    tags: tuple[str, ...]
    system: str
    machine: str


def _glibc(machine: str) -> tuple[str, ...]:
    return f"manylinux2014_{machine}", *(f"manylinux_2_{each}_{machine}" for each in range(17, 29))


def _musl(machine: str) -> tuple[str, ...]:
    return f"musllinux_1_2_{machine}", f"musllinux_1_1_{machine}"


PLATFORMS = (
    Platform("Linux x86-64, glibc 2.28", _glibc("x86_64"), "linux", "x86_64"),
    Platform("Linux aarch64, glibc 2.28", _glibc("aarch64"), "linux", "aarch64"),
    Platform("Linux x86-64, musl 1.2", _musl("x86_64"), "linux", "x86_64"),
    Platform("Linux aarch64, musl 1.2", _musl("aarch64"), "linux", "aarch64"),
    Platform("macOS 11, x86-64", ("macosx_11_0_x86_64",), "darwin", "x86_64"),
    Platform("macOS 11, arm64", ("macosx_11_0_arm64",), "darwin", "arm64"),
)


class Locked(NamedTuple):
    """One package of the lock: its requirement, and the lines that pip reads."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The requirement without its marker, which pip would judge for this machine."""
        pinned = f"{self.requirement.name}{self.requirement.specifier}"
        return " ".join((pinned, *self.hashes))

    def wanted_on(self, python: str, platform: Platform) -> bool:
        """Whether the lock installs it there."""
        marker = self.requirement.marker
        return marker is None or marker.evaluate(
            {
                "python_version": python,
                "python_full_version": f"{python}.0",
                "sys_platform": platform.system,
                "platform_system": platform.system.capitalize(),
                "platform_machine": platform.machine,
                "os_name": "posix",
                "implementation_name": "cpython",
                "platform_python_implementation": "CPython",
            }
        )


def claimed_pythons(pyproject: Path = PYPROJECT) -> list[str]:
    """The versions of Python that the classifiers name."""
    classifiers = tomllib.loads(pyproject.read_text())["project"]["classifiers"]
    return [found[1] for each in classifiers if (found := CLASSIFIER.fullmatch(each))]


def read_lock(text: str) -> list[Locked]:
    """The packages of a lock with hashes."""
    entries = text.replace("\\\n", " ").splitlines()
    return [_locked(entry) for entry in entries if entry.strip() and not entry.startswith("#")]


def _locked(entry: str) -> Locked:
    requirement, *hashes = entry.split(" --hash=")
    return Locked(Requirement(requirement), tuple(f"--hash={each.strip()}" for each in hashes))


def _dry_run(packages: Iterable[Locked], *options: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text("".join(f"{each.line}\n" for each in packages))
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        command += ["--dry-run", "--ignore-installed", "--no-deps", "--require-hashes"]
        command += ["--only-binary=:all:", f"--target={folder}/target", *options]
        command += [f"--requirement={wanted}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def compiled(locked: list[Locked]) -> list[Locked] | None:
    """Those that have no wheel for everything; None when this machine cannot install the rest."""
    pure = set()
    here = [each for each in locked if each.requirement.marker is None]
    run = _dry_run(here, "--report=-")
    if run.returncode:
        return None
    for each in json.loads(run.stdout)["install"]:
        if each["download_info"]["url"].endswith("-none-any.whl"):
            pure.add(each["metadata"]["name"].lower().replace("_", "-"))
    return [each for each in locked if each.requirement.name not in pure]


def missing(packages: list[Locked], python: str, platform: Platform) -> Iterator[str]:
    """The packages that have no wheel there."""
    wanted = [each for each in packages if each.wanted_on(python, platform)]
    options = [f"--python-version={python}", *(f"--platform={tag}" for tag in platform.tags)]
    while wanted and (run := _dry_run(wanted, *options)).returncode:
        found = NOT_FOUND.search(run.stderr)
        if not found:
            raise SystemExit(f"pip failed for Python {python}, {platform.name}:\n{run.stderr}")
        yield found[1]
        wanted = [each for each in wanted if each.requirement.name != found[1]]


def record(lock: str, pythons: list[str]) -> str:
    """What is written down when all wheels are there: of which lock, for what."""
    lines = [
        "# Each package of run.txt with this hash has a wheel for each of these Pythons on each of",
        "# these platforms. Written by .ci/wheels.py, which asks again when one of them changes.",
        f"sha256:{sha256(lock.encode()).hexdigest()}",
        f"Python {' '.join(pythons)}",
        *(platform.name for platform in PLATFORMS),
    ]
    return "".join(f"{line}\n" for line in lines)


def main(lock: Path, kept: Path) -> int:
    """Check a lock unless that is on record; the exit status is 1 when a wheel is missing."""
    text, pythons = lock.read_text(), claimed_pythons()
    if kept.exists() and kept.read_text() == record(text, pythons):
        return 0
    print(f"asking the index for the wheels of {lock}: takes two minutes", file=sys.stderr)
    locked = read_lock(text)
    packages = compiled(locked)
    if packages is None:
        print(f"wheels of {lock}: not checked, pip reaches no index that has them", file=sys.stderr)
        return 0
    targets = [(python, platform) for python in pythons for platform in PLATFORMS]
    with ThreadPoolExecutor(4) as pool:
        lacking = list(pool.map(lambda each: list(missing(packages, *each)), targets))
    if any(lacking) and compiled(locked) is None:
        print(f"wheels of {lock}: not checked, the index went away meanwhile", file=sys.stderr)
        return 0
    for (python, platform), names in zip(targets, lacking, strict=True):
        for name in names:
            print(f"{name}: no wheel for Python {python}, {platform.name}", file=sys.stderr)
    if any(lacking):
        return 1
    kept.write_text(record(text, pythons))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
