"""Headers that other programs signed once: they are read for ever (NIP-98)."""

from __future__ import annotations

from typing import Final

import pytest

from purgatory_sync.nostr.http_auth.header import event_of_header
from purgatory_sync.nostr.http_auth.signed_call import check_call

BODY: Final = '{"method":"banpubkey","params":["' + "ab" * 32 + '","spam ü"]}'
SIGNER: Final = "1b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f"
AT: Final = 1_800_000_000
HEADERS: Final = {
    # Its method is in lower case, as the documents of nostr-tools have it.
    "nostr-tools 2.25.2": (
        "Nostr "
        "eyJraW5kIjoyNzIzNSwidGFncyI6W1sidSIsImh0dHBzOi8vZ3Jhc3AuZXhhbXBsZS5jb20vIl0sWyJt"
        "ZXRob2QiLCJwb3N0Il0sWyJwYXlsb2FkIiwiOTJiMWI4MDg3YTM5NWQ5YzNiMWUyMjY0MThiYjExYjY0"
        "Yjc2MDNiMDVjZDcxYjQ1YTM0MGFkYWQyN2ZiNGI5OSJdXSwiY3JlYXRlZF9hdCI6MTgwMDAwMDAwMCwi"
        "Y29udGVudCI6IiIsInB1YmtleSI6IjFiODRjNTU2N2IxMjY0NDA5OTVkM2VkNWFhYmEwNTY1ZDcxZTE4"
        "MzQ2MDQ4MTlmZjljMTdmNWU5ZDVkZDA3OGYiLCJpZCI6IjJjNWE0MThmMDEwOTcwNmQ1NjRkZWVhOTZh"
        "M2MwMjcxNzQ1MWMyNGZlNTc2NjU0YTMxZDU2NDBhZGM5OTI0OGEiLCJzaWciOiJlMDNmMzMzODM2YjQw"
        "MTVjMDM3NTdkMzUwZDliMzU0ZjkyNmE2OTc1MjdiMjA2YzBiM2I0ZmVkYTU1NWI0NzZmOWE1OGZmNWMy"
        "MDJlNGY3ODkzYmRiMDc1ODY0Y2UzMmY1ZWYxMDU3MTg3MWY4ZjgxODgxNDIwZjdhMzE1M2ExNSJ9"
    ),
    "nostr-sdk 0.45.1": (
        "Nostr "
        "eyJpZCI6IjY5ODc3ZWI2YmUwOGYwZjc2ZTEyOTE5OGRlNWZmNGIxZTQzN2Y2N2Y1N2ExZjM3ZTE4YmRl"
        "YTc3MDZiOGVmOWMiLCJwdWJrZXkiOiIxYjg0YzU1NjdiMTI2NDQwOTk1ZDNlZDVhYWJhMDU2NWQ3MWUx"
        "ODM0NjA0ODE5ZmY5YzE3ZjVlOWQ1ZGQwNzhmIiwiY3JlYXRlZF9hdCI6MTgwMDAwMDAwMCwia2luZCI6"
        "MjcyMzUsInRhZ3MiOltbInUiLCJ3c3M6Ly9ncmFzcC5leGFtcGxlLmNvbSJdLFsibWV0aG9kIiwiUE9T"
        "VCJdLFsicGF5bG9hZCIsIjkyYjFiODA4N2EzOTVkOWMzYjFlMjI2NDE4YmIxMWI2NGI3NjAzYjA1Y2Q3"
        "MWI0NWEzNDBhZGFkMjdmYjRiOTkiXV0sImNvbnRlbnQiOiIiLCJzaWciOiI4ZmNlMzFjMTc4NjRlNDVh"
        "MmNmNzM0YjMzNzk3OGQ0YTViNWFmYzQ4MWYzNzAxYWMxMmViZDgyYmZmOGNjMzY3MWY3ODI3OGJhZWZh"
        "ZDU5NjQyMGZkYWY3Y2Y0NmY4NjI4MmU0ZjU3YTYxM2M3NjM3YjMzNTRkNzkxYTE2ZWVlNCJ9"
    ),
}


@pytest.mark.parametrize("program", HEADERS)
def test_what_other_programs_sign_is_taken(program: str) -> None:
    event = event_of_header(HEADERS[program])
    assert event.pubkey == SIGNER
    check_call(event, "grasp.example.com", BODY.encode(), AT + 59)
