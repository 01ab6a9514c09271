"""What a burst took in threads goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do it alone"),
]

# A process of its own: what others did to the allocator of this one does not count.
BURST = """
import threading
from pathlib import Path

import trio

from purgatory_sync.node.process import heap

heap.GIVE_BACK_SECS = 0.01
PAGES_PER_MIB = 256


def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) // PAGES_PER_MIB


def burst():
    taken = [bytes(2000) for _ in range(20_000)]
    kept.append(bytes(3000))  # above what is freed: the heap cannot simply shrink


async def main():
    threads = [threading.Thread(target=burst) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert resident_mib() > before + 100, resident_mib()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heap.give_back_memory)
            while resident_mib() > before + 20:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


kept, before = [], resident_mib()
trio.run(main)
"""


def test_what_a_burst_took_goes_back_to_the_system() -> None:
    here = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", BURST], check=True, cwd=here, timeout=120)
