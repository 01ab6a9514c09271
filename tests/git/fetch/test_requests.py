from purgatory_sync.git.fetch.requests import claimed, fetch_v0, fetch_v2, list_refs_v2

A, B, C = "a" * 40, "b" * 40, "c" * 40


def test_a_v2_fetch_says_everything_at_once() -> None:
    assert fetch_v2([A, B]) == (
        b"0012command=fetch\n0001"
        b"000ethin-pack\n"
        b"0010no-progress\n"
        b"000eofs-delta\n"
        b"0032want " + A.encode() + b"\n"
        b"0032want " + B.encode() + b"\n"
        b"0009done\n0000"
    )


def test_what_is_here_is_said_before_the_end() -> None:
    request = fetch_v2([A], [B, C])
    assert request.endswith(
        b"0032have " + B.encode() + b"\n0032have " + C.encode() + b"\n0009done\n0000"
    )


def test_a_server_that_may_ask_back_is_not_told_that_we_are_done() -> None:
    request = fetch_v2([A], [B], done=False)
    assert request.endswith(b"0032have " + B.encode() + b"\n0000")


def test_a_server_that_names_itself_is_told_who_asks() -> None:
    said = claimed({b"agent", b"object-format", b"fetch"}, "git/ours 1 (\xe4)")
    assert said == [b"agent=git/ours.1.(..)", b"object-format=sha1"]
    assert b"command=fetch\n001aagent=git/ours.1.(..)\n" in fetch_v2([A], said=said)
    assert claimed({b"agent=git/2", b"ofs-delta"}, "git/ours") == [b"agent=git/ours"]
    assert b" ofs-delta agent=x\n" in fetch_v0([A], [], {b"ofs-delta"}, [b"agent=x"])


def test_refs_are_listed_by_prefix() -> None:
    assert list_refs_v2(["refs/heads/", "refs/tags/"]) == (
        b"0014command=ls-refs\n0001"
        b"0009peel\n"
        b"001bref-prefix refs/heads/\n"
        b"001aref-prefix refs/tags/\n"
        b"0000"
    )


def test_a_v0_fetch_claims_only_what_was_advertised() -> None:
    everything = {b"side-band-64k", b"thin-pack", b"ofs-delta", b"no-progress", b"multi_ack"}
    assert fetch_v0([A, B], [C], everything) == (
        b"006awant " + A.encode() + b" multi_ack side-band-64k thin-pack no-progress ofs-delta\n"
        b"0032want " + B.encode() + b"\n"
        b"0000"
        b"0032have " + C.encode() + b"\n"
        b"0009done\n"
    )
    assert b"want " + A.encode() + b" side-band-64k\n" in fetch_v0([A], [], {b"side-band-64k"})
    both = {b"multi_ack", b"multi_ack_detailed"}
    assert b"want " + A.encode() + b" multi_ack_detailed\n" in fetch_v0([A], [], both)
