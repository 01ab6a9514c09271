"""The published contract as the author of another store runs it, by the text of api.md."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent.parent / "docs" / "api.md"
EXAMPLE = re.search(
    r"^    import pytest\n.*?aclose\(\)\n", PAGE.read_text(), re.DOTALL | re.MULTILINE
)
MINE = """
from purgatory_sync import MemoryStore
from purgatory_sync.store.protocol import Applied

class Forgets(MemoryStore):
    async def apply(self, change):
        done = await super().apply(change)
        return Applied(done.saved) if FORGETS else done

async def open_my_store():
    return Forgets()
"""

pytestmark = pytest.mark.tree


@pytest.mark.parametrize("forgets", [False, True])
def test_a_good_store_passes_and_a_bad_one_does_not(tmp_path: Path, forgets: bool) -> None:
    assert EXAMPLE is not None
    module = tmp_path / "test_mine.py"
    module.write_text(textwrap.dedent(EXAMPLE[0]) + MINE.replace("FORGETS", str(forgets)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(module)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    failed = set(re.findall(r"^FAILED .*::(\w+)", done.stdout, re.MULTILINE))
    assert ("test_b_1_6_on_a_tie_the_lowest_id_wins" in failed) is forgets, done.stdout
    assert done.returncode == int(forgets), done.stdout
