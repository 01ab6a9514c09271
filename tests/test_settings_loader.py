from __future__ import annotations

import math
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.env_file import parse_env, read_env_file
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.foreign_settings import HINTS
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.settings import GIB, Proxy, Settings
from purgatory_sync.settings_loader import (
    Loaded,
    SetBy,
    all_settings,
    load_settings,
)

DOCUMENT = Path(__file__).parent.parent / "docs" / "settings.md"
NO_FILE = Path("no-such-file.env")
SECRET = "nsec1verysecret"
NPUB = encode_npub("ab" * 32)


def load(variable: str, text: str) -> Any:
    setting = next(each for each in all_settings() if each.variable == variable)
    return setting.value_in(load_settings({}, {variable: text}, NO_FILE).settings)


def env_file(folder: Path, text: str) -> Path:
    path = folder / ".env"
    path.write_text(text)
    return path


def test_nothing_given_is_the_defaults() -> None:
    loaded = load_settings({}, {}, NO_FILE)
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {SetBy.DEFAULT}
    assert loaded.warnings == ()


def test_every_field_has_a_variable_and_a_flag_of_its_own() -> None:
    found = all_settings()
    rooms = (each for each in attrs.asdict(Settings()).values() if isinstance(each, dict))
    plain = [each for each in attrs.asdict(Settings()).values() if not isinstance(each, dict)]
    assert len(found) == len(plain) + sum(map(len, rooms))
    assert len({each.variable for each in found}) == len(found)
    by_variable = {each.variable: each.flag for each in found}
    assert by_variable["NGIT_GIT_DATA_PATH"] == "--git-data-path"
    assert by_variable["NGIT_SYNC_DOMAIN_CONCURRENT"] == "--sync-domain-concurrent"
    assert all(each.meaning and each.value_in(Settings()) == each.default for each in found)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    path = env_file(
        tmp_path,
        "NGIT_RELAY_NAME=file\nNGIT_HUNT_MAX_REDIRECTS=1\nNGIT_SYNC_DOMAIN_CONCURRENT=2\n",
    )
    loaded = load_settings(
        {"hunt_max_redirects": "3"},
        {"NGIT_HUNT_MAX_REDIRECTS": "2", "NGIT_SYNC_DOMAIN_CONCURRENT": "4"},
        path,
    )
    assert loaded.settings.hunt.max_redirects == 3
    assert loaded.settings.sync.domain_concurrent == 4
    assert loaded.settings.relay.name == "file"
    assert loaded.settings.sync.domain_rate_limit == 30
    assert [
        loaded.sources[f"NGIT_{name}"]
        for name in (
            "HUNT_MAX_REDIRECTS",
            "SYNC_DOMAIN_CONCURRENT",
            "RELAY_NAME",
            "SYNC_DOMAIN_RATE_LIMIT",
        )
    ] == [
        SetBy.FLAG,
        SetBy.ENVIRONMENT,
        SetBy.ENV_FILE,
        SetBy.DEFAULT,
    ]


def test_an_empty_value_is_the_default_and_hides_weaker_sources(tmp_path: Path) -> None:
    path = env_file(tmp_path, "NGIT_RELAY_NAME=file\n")
    loaded = load_settings({}, {"NGIT_RELAY_NAME": " ", "NGIT_GIT_DATA_PATH": ""}, path)
    assert loaded.settings == Settings()


def test_an_empty_list_of_index_relays_means_none(tmp_path: Path) -> None:
    """ngit-grasp has it so, and an operator who opted out by it is not opted in here."""
    default = load_settings({}, {}, NO_FILE).settings.sync.user_index_relays
    assert len(default) == 3
    path = env_file(tmp_path, "NGIT_USER_INDEX_RELAYS=\n")
    assert load_settings({}, {}, path).settings.sync.user_index_relays == ()
    one = {"NGIT_USER_INDEX_RELAYS": "index.example, wss://other.example/"}
    found = load_settings({}, one, path).settings.sync.user_index_relays
    assert found == ("wss://index.example", "wss://other.example")
    assert load_settings({"user_index_relays": ""}, one, path).settings.sync.user_index_relays == ()


GOOD = [
    ("NGIT_HUNT_MAX_PACK_BYTES", "1GiB", GIB),
    ("NGIT_HUNT_MAX_PACK_BYTES", "500MB", 500_000_000),
    ("NGIT_HUNT_MAX_PACK_BYTES", "500 mb", 500_000_000),
    ("NGIT_HUNT_MAX_PACK_BYTES", "1.5KiB", 1536),
    ("NGIT_HUNT_MAX_PACK_BYTES", "12345", 12345),
    ("NGIT_HUNT_MIN_FREE_BYTES", "0", 0),
    ("NGIT_SYNC_DOMAIN_CONCURRENT", " 7 ", 7),
    ("NGIT_SYNC_DEFAULT_DELAY_SECS", "0", 0.0),
    ("NGIT_SYNC_DEFAULT_DELAY_SECS", "2.5", 2.5),
    ("NGIT_METRICS_ENABLED", "no", False),
    ("NGIT_METRICS_ENABLED", "TRUE", True),
    ("NGIT_LOG_LEVEL", "WARN", "warning"),
    ("NGIT_LOG_LEVEL", "debug", "debug"),
    ("NGIT_DATABASE_BACKEND", "memory", "memory"),
    ("NGIT_BIND_ADDRESS", "0.0.0.0:80", "0.0.0.0:80"),
    ("NGIT_BIND_ADDRESS", "[::1]:7334", "[::1]:7334"),
    ("NGIT_BIND_ADDRESS", "localhost:7334", "localhost:7334"),
    ("NGIT_DOMAIN", "Git.Example.org", "git.example.org"),
    ("NGIT_DOMAIN", "git.example.org:443", "git.example.org:443"),
    ("NGIT_DOMAIN", "[2001:DB8::1]", "[2001:db8::1]"),
    ("NGIT_BASE_PATH", "/", "/"),
    ("NGIT_BASE_PATH", "/services/gr_a.s~p-1", "/services/gr_a.s~p-1"),
    ("NGIT_ARCHIVE_GRASP_SERVICES", "A.example/x/y,b.example:1", ("a.example/x/y", "b.example:1")),
    ("NGIT_SYNC_BOOTSTRAP_RELAY_URL", "relay.example.org", "wss://relay.example.org"),
    ("NGIT_SYNC_BOOTSTRAP_RELAY_URL", "ws://127.0.0.1:7000/", "ws://127.0.0.1:7000"),
    ("NGIT_GIT_DATA_PATH", "some where/git", Path("some where/git")),
    ("NGIT_MAX_CONNECTIONS_PER_ADDRESS", "5", 5),
    (
        "NGIT_HUNT_ALLOW_ADDRESSES",
        "127.0.0.0/8, fd00::/8",
        (ip_network("127.0.0.0/8"), ip_network("fd00::/8")),
    ),
    ("NGIT_RELAY_EVENTS_PER_MINUTE", "0", 0),
    ("NGIT_EVENT_BLACKLIST", f" {NPUB} ,{NPUB.upper()},", (NPUB,)),
    (
        "NGIT_REPOSITORY_BLACKLIST",
        f"{NPUB},{NPUB}/A b,a\u00fc:b",
        (NPUB, f"{NPUB}/A b", "a\u00fc:b"),
    ),
    ("NGIT_REPOSITORY_WHITELIST", f"{NPUB.upper()}/x", (f"{NPUB}/x",)),
    ("NGIT_ARCHIVE_ALL", "1", True),
    ("NGIT_ARCHIVE_WHITELIST", f"{NPUB}/x, y", (f"{NPUB}/x", "y")),
    ("NGIT_ARCHIVE_GRASP_SERVICES", "Git.example, b.example:80", ("git.example", "b.example:80")),
    ("NGIT_ARCHIVE_READ_ONLY", "false", False),
    ("NGIT_DELETED_RETENTION_DAYS", "Never", math.inf),
    ("NGIT_DELETED_RETENTION_DAYS", "0.5", 0.5),
]


@pytest.mark.parametrize(("variable", "text", "value"), GOOD)
def test_good_values(variable: str, text: str, value: Any) -> None:
    found = load(variable, text)
    assert found == value
    assert type(found) is type(value)


BAD = [
    ("NGIT_HUNT_MAX_PACK_BYTES", "1 Gx", "a size such as 1GiB"),
    ("NGIT_HUNT_MAX_PACK_BYTES", "0", "above 0"),
    ("NGIT_HUNT_MAX_PACK_BYTES", "-1", "a size"),
    ("NGIT_HUNT_MAX_PACK_BYTES", "99999999TiB", "a size"),
    ("NGIT_SYNC_DOMAIN_CONCURRENT", "five", "a whole number, 1 or more"),
    ("NGIT_SYNC_DOMAIN_CONCURRENT", "5.0", "a whole number"),
    ("NGIT_SYNC_DOMAIN_CONCURRENT", "0", "1 or more"),
    ("NGIT_SYNC_DOMAIN_CONCURRENT", "99999999999999999", "a whole number"),
    ("NGIT_HUNT_MAX_REDIRECTS", "-1", "0 or more"),
    ("NGIT_SYNC_DEFAULT_DELAY_SECS", "nan", "a number, 0 or more"),
    ("NGIT_SYNC_DEFAULT_DELAY_SECS", "inf", "a number"),
    ("NGIT_SYNC_DEFAULT_DELAY_SECS", "-3", "a number"),
    ("NGIT_HUNT_TOTAL_TIMEOUT_SECS", "0", "a number above 0"),
    ("NGIT_HUNT_TOTAL_TIMEOUT_SECS", "10s", "a number above 0"),
    ("NGIT_METRICS_ENABLED", "maybe", "true or false"),
    ("NGIT_LOG_LEVEL", "loud", "debug, info, warning or error"),
    ("NGIT_DATABASE_BACKEND", "postgres", "sqlite or memory"),
    ("NGIT_DATABASE_BACKEND", "lmdb", "NGIT_SYNC_BOOTSTRAP_RELAY_URL bring the events again"),
    ("NGIT_BIND_ADDRESS", "7334", "address:port"),
    ("NGIT_BIND_ADDRESS", "127.0.0.1", "address:port"),
    ("NGIT_BIND_ADDRESS", "127.0.0.1:0", "1 to 65535"),
    ("NGIT_BIND_ADDRESS", "127.0.0.1:70000", "1 to 65535"),
    ("NGIT_BIND_ADDRESS", "::1:7334", "[::]:7334"),
    ("NGIT_BIND_ADDRESS", "[::1]", "address:port"),
    ("NGIT_DOMAIN", "https://git.example.org", "without scheme"),
    ("NGIT_DOMAIN", "git.example.org/", "without scheme and path"),
    ("NGIT_DOMAIN", "two words", "a host"),
    *(
        ("NGIT_BASE_PATH", text, "/ or a path such as")
        for text in ("grasp", "/grasp/", "//", "/a//b", "/a b", "/%61", "/a/../b", "/.", "/é")
    ),
    ("NGIT_ARCHIVE_GRASP_SERVICES", "a.example/x/", "services as host"),
    ("NGIT_SYNC_BOOTSTRAP_RELAY_URL", "https://relay.example.org", "a relay URL"),
    ("NGIT_HUNT_ALLOW_ADDRESSES", "127.0.0.1/8", "networks such as"),
    ("NGIT_HUNT_ALLOW_ADDRESSES", "everything", "networks such as"),
    ("NGIT_RELAY_EVENTS_PER_MINUTE", "-1", "0 or more"),
    ("NGIT_EVENT_BLACKLIST", "someone", "('someone': not an npub): expected authors as npub1"),
    ("NGIT_EVENT_BLACKLIST", f"{NPUB}/x", "not an npub"),
    ("NGIT_EVENT_BLACKLIST", ",", "authors as npub1"),
    ("NGIT_REPOSITORY_BLACKLIST", NPUB[:-1] + "q", "wrong checksum"),
    ("NGIT_REPOSITORY_BLACKLIST", f"{NPUB}/", "the d tag is missing"),
    ("NGIT_REPOSITORY_BLACKLIST", "a/b", "('a': not an npub)"),
    ("NGIT_REPOSITORY_WHITELIST", "a,..", "cannot be . or .."),
    ("NGIT_REPOSITORY_WHITELIST", ",,", "npub1…/identifier or identifier"),
    ("NGIT_ARCHIVE_GRASP_SERVICES", "wss://git.example", "without scheme"),
    ("NGIT_ARCHIVE_WHITELIST", "a/b", "('a': not an npub)"),
    ("NGIT_GIT_DATA_PATH", "~no-such-user-here/x", "a path"),
    ("NGIT_RELAY_NAME", "two\nlines", "text in one line"),
    ("NGIT_RELAY_NAME", "\udcff", "text in one line"),
]


@pytest.mark.parametrize(("variable", "text", "accepted"), BAD)
def test_a_bad_value_is_one_sentence_with_variable_value_and_what_is_accepted(
    variable: str, text: str, accepted: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(variable, text)
    sentence = str(caught.value)
    assert sentence.startswith(f"{variable} (from the environment): invalid value {text!a}")
    assert accepted in sentence
    assert "\n" not in sentence
    assert sentence.isprintable()


def test_b_13_9_a_base_path_has_at_most_200_characters() -> None:
    assert load("NGIT_BASE_PATH", "/" + "a" * 199) == "/" + "a" * 199
    with pytest.raises(ConfigurationError, match="at most 200 characters"):
        load("NGIT_BASE_PATH", "/" + "a" * 200)
    with pytest.raises(ConfigurationError, match="NGIT_BASE_PATH"):
        load_settings({}, {"NGIT_BASE_PATH": ""}, NO_FILE)


def test_a_bad_value_says_which_source_gave_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"NGIT_LOG_LEVEL \(from --log-level\)"):
        load_settings({"log_level": "x"}, {}, NO_FILE)
    with pytest.raises(ConfigurationError, match=r"NGIT_LOG_LEVEL \(from \.env\)"):
        load_settings({}, {}, env_file(tmp_path, "NGIT_LOG_LEVEL=x\n"))


def test_secrets_are_never_shown() -> None:
    secrets = {each.variable: each for each in all_settings() if each.secret}
    assert set(secrets) == {"NGIT_RELAY_OWNER_NSEC", "NGIT_HUNT_PROXY"}
    nsec = secrets["NGIT_RELAY_OWNER_NSEC"]
    assert nsec.show(SECRET) == "***"
    assert nsec.show(None) == ""
    with pytest.raises(ConfigurationError) as caught:
        load(nsec.variable, f"{SECRET}\n\x00")
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        load("NGIT_SYNC_BOOTSTRAP_RELAY_URL", "wss://me:hunter2@relay.example.org")
    assert "hunter2" not in str(caught.value)
    assert "'wss://***@relay.example.org' (credentials in the URL)" in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"invalid value 'wss://\*\*\*@relay.example.org'"):
        load("NGIT_SYNC_BOOTSTRAP_RELAY_URL", "wss://me:hunter2/hunter2@@relay.example.org")


@pytest.mark.parametrize(
    ("text", "expected", "told"),
    [
        ("http://proxy.example:3128", Proxy("http", "proxy.example", 3128), None),
        ("HTTP://Proxy.Example:3128/", Proxy("http", "proxy.example", 3128), None),
        ("socks5://[::1]:9050", Proxy("socks5", "::1", 9050), None),
        (
            "http://me:hunter2@10.0.0.1:3128",
            Proxy("http", "10.0.0.1", 3128, ("me", "hunter2")),
            "http://***@10.0.0.1:3128",
        ),
        (
            "socks5://m%20e:hunt%40%3A%2Fer2@[::1]:1080",
            Proxy("socks5", "::1", 1080, ("m e", "hunt@:/er2")),
            "socks5://***@[::1]:1080",
        ),
        ("http://me:@proxy:1", Proxy("http", "proxy", 1, ("me", "")), "http://***@proxy:1"),
        ("http://me:a@b:1@proxy:1", Proxy("http", "proxy", 1, ("me", "a@b:1")), None),
    ],
)
def test_a_proxy_is_shown_without_its_credentials(
    text: str, expected: Proxy, told: str | None
) -> None:
    loaded = load_settings({}, {"NGIT_HUNT_PROXY": text}, NO_FILE)
    proxy = loaded.settings.hunt.proxy
    assert proxy == expected
    assert "hunt" not in repr(proxy)
    setting = next(each for each in all_settings() if each.variable == "NGIT_HUNT_PROXY")
    if told is not None:
        assert setting.show(proxy) == told
    assert "hunter" not in repr(loaded)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("proxy.example:3128", "(only http and socks5 proxies can be used): expected http://"),
        ("https://me:hunter2@proxy.example:3128", "only http and socks5 proxies"),
        ("socks4://hunter2@proxy.example:3128", "only http and socks5 proxies"),
        ("http://me:hunter2@proxy.example", "expected http://host:port"),
        ("http://me:hunter2@:3128", "no host in the URL"),
        ("http://me:hunter2@proxy.example:3128/hunter2", "expected"),
        ("http://me:hunter2", "port"),
        ("http://hunter2@proxy.example:3128", "in front of the @ is not user:password"),
        ("http://:hunter2@proxy.example:3128", "in front of the @ is not user:password"),
        ("http://m%3Ae:hunter2@proxy.example:3128", "in front of the @ is not user:password"),
        ("http://me:hunter2%0a@proxy.example:3128", "printable text"),
        ("http://me:hunter2%ff@proxy.example:3128", "UTF-8"),
        (f"http://me:{'hunter2' * 40}@proxy.example:3128", "255 bytes"),
    ],
)
def test_what_is_no_proxy_is_told_without_repeating_it(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("NGIT_HUNT_PROXY", text)
    assert str(caught.value).startswith("NGIT_HUNT_PROXY (from the environment): invalid value ***")
    assert why in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_only_an_archive_can_be_read_only() -> None:
    with pytest.raises(ConfigurationError, match="NGIT_ARCHIVE_READ_ONLY cannot be true where"):
        load_settings({}, {"NGIT_ARCHIVE_READ_ONLY": "true"}, NO_FILE)
    named = {"NGIT_ARCHIVE_READ_ONLY": "true", "NGIT_ARCHIVE_WHITELIST": "a"}
    assert load_settings({}, named, NO_FILE).settings.curation.read_only


def test_b_12_1_contributions_need_a_node_that_takes_pushes_and_packs_of_that_size() -> None:
    on = {"NGIT_GRASP06_ENABLE": "true"}
    with pytest.raises(ConfigurationError, match="cannot be true on an archive that takes no push"):
        load_settings({}, {**on, "NGIT_ARCHIVE_ALL": "true"}, NO_FILE)
    open_archive = {**on, "NGIT_ARCHIVE_ALL": "true", "NGIT_ARCHIVE_READ_ONLY": "false"}
    assert load_settings({}, open_archive, NO_FILE).settings.prs.enabled
    with pytest.raises(ConfigurationError, match="more than NGIT_PUSH_MAX_PACK_BYTES"):
        load_settings({}, {**on, "NGIT_PRS_MAX_PACK_BYTES": "2GiB"}, NO_FILE)


def test_unknown_variables_are_named_with_the_nearest_known_name(tmp_path: Path) -> None:
    loaded = load_settings(
        {},
        {"NGIT_GIT_DATAPATH": "x", "NGIT_ZZZZZZ_QQQQ": "x", "HOME": "/"},
        env_file(
            tmp_path,
            "NGIT_GIT_DATAPATH=y\nNGIT_SYNC_DISCONNECT_CHECK_INTERVAL_SECS=9\nOTHER=1\n",
        ),
    )
    assert loaded.settings == Settings()
    assert loaded.warnings == (
        "NGIT_GIT_DATAPATH: unknown setting, ignored: did you mean NGIT_GIT_DATA_PATH?",
        "NGIT_SYNC_DISCONNECT_CHECK_INTERVAL_SECS has no effect here: a lost connection is noticed"
        " at once",
        "NGIT_ZZZZZZ_QQQQ: unknown setting, ignored",
    )


PEERS: Final = [
    "DOMAIN",
    "BASE_PATH",
    "BIND_ADDRESS",
    "TRUSTED_PROXY_CIDRS",
    "RELAY_OWNER_NSEC",
    "RELAY_NAME",
    "RELAY_DESCRIPTION",
    "GIT_DATA_PATH",
    "RELAY_DATA_PATH",
    "DATABASE_BACKEND",
    "STARTUP_INTEGRITY_IDENTIFIERS",
    "METRICS_ENABLED",
    "METRICS_CONNECTION_PER_IP_ABUSE_THRESHOLD",
    "METRICS_TOP_N_REPOS",
    "LOG_LEVEL",
    "SYNC_BOOTSTRAP_RELAY_URL",
    "SYNC_PLUS_ENABLED",
    "USER_INDEX_RELAYS",
    "SYNC_PLUS_FALLBACK_RELAYS",
    "SYNC_RECURSIVE_DESCENDANT_LIMIT",
    "SYNC_MAX_BACKOFF_SECS",
    "SYNC_BASE_BACKOFF_SECS",
    "SYNC_DISCONNECT_CHECK_INTERVAL_SECS",
    "SYNC_DISABLE_NEGENTROPY",
    "SYNC_ALLOW_NON_GLOBAL_TARGETS",
    "REJECTED_HOT_CACHE_DURATION_SECS",
    "REJECTED_COLD_INDEX_EXPIRY_SECS",
    "NAUGHTY_LIST_EXPIRATION_HOURS",
    "HOLDING_RETENTION_SECS",
    "HOLDING_CLEANUP_INTERVAL_SECS",
    "DELETION_REQUEST_DISRESPECTOR",
    "DELETION_REQUEST_RETENTION_UNUSED_SERVED_SECS",
    "DELETION_REQUEST_RETENTION_UNUSED_UNSERVED_GATING_ADDITIONAL_SECS",
    "DELETION_REQUEST_RETENTION_USED_SERVED_AFTER_LAST_USED_SECS",
    "DELETION_REQUEST_RETENTION_USED_UNSERVED_GATING_ADDITIONAL_SECS",
    "ARCHIVE_ALL",
    "ARCHIVE_WHITELIST",
    "ARCHIVE_GRASP_SERVICES",
    "ARCHIVE_READ_ONLY",
    "GRASP06_ENABLE",
    "PRIVATE_MODE",
    "PRIVATE_MEMBERS",
    "PRIVATE_PUBLIC_ORIGIN",
    "REPOSITORY_WHITELIST",
    "REPOSITORY_BLACKLIST",
    "EVENT_BLACKLIST",
    "BLACKLIST_AUTO_RESTORE",
    "MAX_CONNECTIONS",
    "RELAY_MAX_SUBSCRIPTIONS",
    "RELAY_FILTER_LIMIT",
    "RELAY_MAX_EVENT_SIZE_BYTES",
]
"""Of ngit-grasp 3.0.10."""


@pytest.mark.parametrize("name", PEERS)
def test_a_setting_of_ngit_grasp_is_ours_or_answered_by_a_hint(name: str, tmp_path: Path) -> None:
    variable = f"NGIT_{name}"
    if variable in {each.variable for each in all_settings()}:
        assert variable not in HINTS
        return
    (warning,) = load_settings({}, {variable: "1"}, tmp_path / "none").warnings
    assert warning.startswith(f"{variable} has no effect here: ")


@pytest.mark.tree
def test_the_document_lists_what_has_no_effect_here() -> None:
    text = DOCUMENT.read_text()
    listed = re.findall(r"(?m)^\| `(NGIT_[A-Z0-9_]+)` \| ([^|]+) \|$", text)
    assert dict(listed) == HINTS


def test_what_is_shown_can_be_read_again() -> None:
    for setting in all_settings():
        if not (setting.secret or setting.empty_is_fatal):
            assert setting.read(setting.show(setting.default), "here") == setting.default


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(all_settings()), st.text(max_size=30))
def test_any_text_is_a_value_or_a_configuration_error(setting: Any, text: str) -> None:
    sentence = "fine"
    try:
        setting.read(text, "here")
    except ConfigurationError as error:
        sentence = str(error)
    assert sentence.isprintable()


def test_env_file_syntax() -> None:
    text = """
# a comment
A=1
export B = two words
C='single $x # kept'   # comment
D="double \\"quoted\\" \\\\ \\n\\w"
E=value # comment
F=a#b
G=
H= # nothing
A=again\r
"""
    assert parse_env(text) == {
        "A": "again",
        "B": "two words",
        "C": "single $x # kept",
        "D": 'double "quoted" \\ \n\\w',
        "E": "value",
        "F": "a#b",
        "G": "",
        "H": "",
    }


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"just {SECRET}", "not KEY=VALUE"),
        (f"1A={SECRET}", "not KEY=VALUE"),
        (f"={SECRET}", "not KEY=VALUE"),
        (f"A='{SECRET}", "a quote is not closed"),
        (f'A="{SECRET}\\"', "a quote is not closed"),
        (f"A='{SECRET}' more", "a quote is not closed"),
    ],
)
def test_a_bad_line_is_named_and_not_repeated(line: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_env(f"A=1\n\n{line}\n")
    assert str(caught.value).startswith(f".env, line 3: {why}")
    assert SECRET not in str(caught.value)


def test_a_file_that_is_absent_or_a_folder_gives_nothing(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / ".env") == {}
    assert read_env_file(tmp_path) == {}


def test_a_file_that_is_not_utf8_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        read_env_file(path)
    path.write_bytes(b"\xef\xbb\xbfA=1\n")
    assert read_env_file(path) == {"A": "1"}


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_an_env_file_or_a_configuration_error(text: str) -> None:
    sentence = ".env, line 0: fine"
    try:
        parse_env(text)
    except ConfigurationError as error:
        sentence = str(error)
    assert re.match(r"\.env, line \d+: ", sentence)


def documented() -> list[str]:
    """The rows of docs/settings.md as they should be."""
    return [
        f"| `{each.variable}` | `{each.flag}` |"
        f" {f'`{each.show(each.default)}`' if each.default not in (None, ()) else 'unset'} |"
        f" {each.meaning.replace('<', '&lt;')} | {each.reader.accepted} |"
        for each in all_settings()
    ]


@pytest.mark.tree
def test_the_document_lists_every_setting_with_its_default() -> None:
    rows = [
        line for line in DOCUMENT.read_text().splitlines() if re.match(r"\| `NGIT_.*` \| `--", line)
    ]
    assert rows == documented()


def test_what_means_nothing_at_zero_takes_a_zero() -> None:
    """A meaning that names 0 is one that can be written."""
    for setting in all_settings():
        if "(0: " in setting.meaning:
            assert setting.read("0", "here") == 0, setting.variable


@pytest.mark.parametrize(
    "variable", ["NGIT_RELAY_OWNER_NSEC", "NGIT_RELAY_OWNER_NSEC_FILE", "NGIT_HUNT_PROXY_FILE"]
)
def test_b_13_1_an_empty_secret_ends_the_start(variable: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{variable} \(from the env.*\) is empty: give"):
        load_settings({}, {variable: " "}, NO_FILE)


def test_b_13_1_the_key_as_a_flag_is_warned_of() -> None:
    loaded = load_settings({"relay_owner_nsec": SECRET}, {}, NO_FILE)
    (warning,) = loaded.warnings
    assert warning.startswith("--relay-owner-nsec shows the key to every user")
    assert SECRET not in warning


def test_the_proxy_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    path.write_text("socks5://me:secret@proxy:1080\n")
    environ = {"NGIT_HUNT_PROXY_FILE": str(path)}
    proxy = load_settings({}, environ, NO_FILE).settings.hunt.proxy
    assert str(proxy) == "socks5://***@proxy:1080"
    both = {**environ, "NGIT_HUNT_PROXY": "socks5://me:secret@proxy:1080"}
    assert load_settings({}, both, NO_FILE).settings.hunt.proxy == proxy
    with pytest.raises(ConfigurationError, match="name two proxies: remove one"):
        load_settings({}, {**environ, "NGIT_HUNT_PROXY": "http://proxy:1"}, NO_FILE)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b" \n", "is empty: write the proxy into it"),
        (b"\xff", "is no text"),
        (b"ftp://secret", r"NGIT_HUNT_PROXY \(from NGIT_HUNT_PROXY_FILE\): invalid value \*\*\*"),
        (None, r"cannot be read \(No such file"),
    ],
)
def test_a_proxy_file_that_is_no_good_is_a_sentence(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "proxy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        load_settings({}, {"NGIT_HUNT_PROXY_FILE": str(path)}, NO_FILE)


def test_loaded_is_a_value() -> None:
    assert load_settings({}, {}, NO_FILE) == Loaded(
        Settings(), dict.fromkeys((s.variable for s in all_settings()), SetBy.DEFAULT), ()
    )
