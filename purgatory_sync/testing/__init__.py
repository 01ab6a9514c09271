"""What embedders and we test with: event builders, scripted worlds, real servers.

Servers, clients and processes are in `git_server`, `faults`, `relay_server`, `nostr_client` and
`node_process`, which need the extra `purgatory-sync[node]`; the tests that every store must pass
are in `store_contract`, which needs pytest.
"""

from .events import Author as Author
from .events import announcement as announcement
from .events import deletion as deletion
from .events import note as note
from .events import pull_request as pull_request
from .events import pull_request_update as pull_request_update
from .events import state as state
from .log_capture import capture_logs as capture_logs
from .mock_context import MockSyncContext as MockSyncContext
from .mock_context import clock_at as clock_at
