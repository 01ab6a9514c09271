from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.hunt.limits.tokens import Token, TokenBucket


def test_b_8_2_a_token_comes_back_60_seconds_after_the_answers_first_byte() -> None:
    bucket = TokenBucket(1)
    token = bucket.take(0.0)
    bucket.start_clock(token, 7.0)
    assert bucket.available(66.9) == 0
    assert bucket.available(67.0) == 1


def test_b_8_2_no_clock_runs_before_the_server_has_answered() -> None:
    bucket = TokenBucket(1)
    token = bucket.take(0.0)
    assert bucket.available(1000.0) == 0
    assert bucket.next_return(1000.0) == inf
    assert bucket.all_back_at() == inf
    bucket.start_clock(token, 1000.0)
    assert bucket.next_return(1000.0) == 1060.0
    assert bucket.all_back_at() == 1060.0


def test_only_the_first_clock_counts() -> None:
    bucket = TokenBucket(1)
    token = bucket.take(0.0)
    bucket.start_clock(token, 1.0)
    bucket.start_clock(token, 50.0)
    bucket.give_back(token)
    assert bucket.available(60.9) == 0
    assert bucket.available(61.0) == 1


def test_b_8_2_a_token_given_back_is_available_at_once() -> None:
    bucket = TokenBucket(1)
    bucket.give_back(bucket.take(0.0))
    assert bucket.available(0.0) == 1
    assert bucket.starts(0.0) == ()


def test_next_return_is_the_oldest_tokens() -> None:
    bucket = TokenBucket(2)
    for at in (0.0, 10.0):
        bucket.start_clock(bucket.take(at), at)
    assert bucket.next_return(20.0) == 60.0
    assert bucket.next_return(60.0) == 60.0
    assert bucket.all_back_at() == 70.0


def test_b_8_2_starts_survive_a_restart() -> None:
    before = TokenBucket(3)
    before.start_clock(before.take(0.0), 5.0)
    before.take(10.0)
    assert before.starts(20.0) == (5.0, 10.0)
    after = TokenBucket(3)
    after.restore((5.0, 10.0, -100.0), now=20.0)
    assert after.available(20.0) == 1
    assert after.available(65.0) == 2
    assert after.available(70.0) == 3


def test_more_restored_starts_than_tokens_wait_for_enough_of_them() -> None:
    bucket = TokenBucket(1)
    bucket.restore((0.0, 1.0, 2.0), now=3.0)
    assert bucket.available(3.0) == 0
    assert bucket.next_return(3.0) == 62.0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "answer", "back"]), st.integers(0, 30)), max_size=60
    ),
    st.integers(1, 4),
)
def test_never_more_starts_in_any_60_seconds_than_tokens(
    steps: list[tuple[str, int]], size: int
) -> None:
    bucket, now, open_tokens = TokenBucket(size), 0.0, list[Token]()
    seen: list[float] = []  # when the server saw each start, at the earliest
    for what, pause in steps:
        now += pause
        if what == "take" and bucket.available(now):
            open_tokens.append(bucket.take(now))
        elif what == "answer" and open_tokens:
            bucket.start_clock(open_tokens.pop(0), now)
            seen.append(now)
        elif what == "back" and open_tokens:
            bucket.give_back(open_tokens.pop())
        for end in seen:
            assert sum(end - 60 < at <= end for at in seen) <= size
        assert 0 <= bucket.available(now) <= size
        if not bucket.available(now) and bucket.next_return(now) < inf:
            then = bucket.next_return(now)
            assert then > now
