from purgatory_sync.git.fetch.advertisement import Server
from purgatory_sync.git.fetch.server_cache import KnownServers
from purgatory_sync.urls import parse_web_url

V0 = Server(0, frozenset({b"side-band-64k"}))


def test_servers_are_known_by_scheme_host_and_port() -> None:
    known = KnownServers()
    known.note_server(parse_web_url("https://git.example/a"), V0)
    assert known.server(parse_web_url("https://git.example:443/b")) == V0
    assert known.server(parse_web_url("https://git.example:8443/a")) is None
    assert known.server(parse_web_url("http://git.example:443/a")) is None


def test_redirects_within_a_host_are_remembered_and_others_are_not() -> None:
    known = KnownServers()
    url = parse_web_url("https://git.example/a")
    same, other = (parse_web_url(f"https://{host}/b") for host in ("git.example", "x.example"))
    known.note_place(url, same)
    assert known.place(url) == same
    known.note_place(url, other)
    assert known.place(url) == url


def test_memory_is_bounded_and_forgets_what_was_not_used() -> None:
    known = KnownServers(limit=3)
    urls = [parse_web_url(f"https://h{number}.example/a") for number in range(4)]
    for url in urls[:3]:
        known.note_server(url, V0)
    assert known.server(urls[0]) == V0
    known.note_server(urls[3], V0)
    assert len(known) == 3
    assert known.server(urls[1]) is None
    assert known.server(urls[0]) == V0
