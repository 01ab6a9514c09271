"""What the service says of itself (B 13.16)."""

from __future__ import annotations

import json

import attrs
import pytest

from purgatory_sync.node.identity.drafts import drafts_of
from purgatory_sync.settings import RelaySettings
from purgatory_sync.testing.events import Author

from ..relay.test_nip11 import make_info

OWNER = Author.from_seed(1)


@pytest.mark.parametrize(
    ("service", "nip05", "relay"),
    [
        ("git.example.org", "_@git.example.org", "wss://git.example.org"),
        ("git.example.org/base", None, "wss://git.example.org/base"),
        ("127.0.0.1:7334", "_@127.0.0.1:7334", "ws://127.0.0.1:7334"),
    ],
)
def test_b_13_16_the_profile_names_the_service(service: str, nip05: str | None, relay: str) -> None:
    profile, relays = drafts_of(attrs.evolve(make_info(), service=service))
    said = json.loads(profile.content)
    assert (profile.kind, profile.tags, said["name"], said["bot"]) == (0, (), service, True)
    assert said.get("nip05") == nip05
    assert said["picture"].endswith("/icon.svg")
    assert "about" not in said
    assert (relays.kind, relays.content, relays.tags) == (10002, "", (("r", relay),))


def test_b_13_16_about_is_what_nip_11_says() -> None:
    info = attrs.evolve(
        make_info(), settings=RelaySettings(description="For us"), other_icon="https://x.example/i"
    )
    profile = drafts_of(info)[0]
    said = json.loads(profile.content)
    assert (said["about"], said["picture"]) == ("For us", "https://x.example/i")
    signed = OWNER.sign(0, profile.content, [], 1)
    assert profile.is_said_by(signed)
    assert not profile.is_said_by(OWNER.sign(0, profile.content, [["x", "y"]], 1))
    assert not profile.is_said_by(OWNER.sign(0, "{}", [], 1))
