from __future__ import annotations

import pytest

pytest.register_assert_rewrite("purgatory_sync.testing.store_contract")
