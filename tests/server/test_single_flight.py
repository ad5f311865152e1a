"""Threads that need the same value wait for one of them."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dvc_studio_models.server.errors.requests import (
    GitSilentError,
)
from dvc_studio_models.server.waiting.single_flight import (
    CurrentCache,
    SharedRead,
    SingleFlightCache,
    StampedRead,
)

TIMEOUT_S = 20


def test_a_value_is_made_once_for_all_threads_that_need_it() -> None:
    cache: SingleFlightCache[str] = SingleFlightCache(10, size=len)
    made = []
    begun = threading.Event()

    def make() -> str:
        begun.wait(TIMEOUT_S)
        made.append("x")
        return "x"

    with ThreadPoolExecutor(8) as pool:
        values = [pool.submit(cache.get, "key", make) for _ in range(8)]
        begun.set()

    assert [value.result() for value in values] == ["x"] * 8
    assert made == ["x"]


def test_a_value_that_is_being_made_delays_no_other() -> None:
    cache: SingleFlightCache[str] = SingleFlightCache(10, size=len)
    answered = threading.Event()

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(cache.get, "slow", lambda: str(answered.wait(TIMEOUT_S)))
        other = cache.get("other", lambda: "x")
        answered.set()

    assert (other, slow.result()) == ("x", "True")


def test_the_wait_for_another_thread_ends() -> None:
    cache: SingleFlightCache[str] = SingleFlightCache(10, size=len, wait_s=0.1)
    begun, answered = threading.Event(), threading.Event()

    def make() -> str:
        begun.set()
        return str(answered.wait(TIMEOUT_S))

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(cache.get, "slow", make)
        assert begun.wait(TIMEOUT_S)
        with pytest.raises(GitSilentError):
            cache.get("slow", lambda: "x")
        answered.set()

    assert slow.result() == "True"
    assert cache.get("slow", lambda: "x") == "True"


def test_an_error_is_not_cached() -> None:
    cache: SingleFlightCache[str] = SingleFlightCache(10, size=len)

    with pytest.raises(ZeroDivisionError):
        cache.get("key", lambda: str(1 // 0))

    assert cache.get("key", lambda: "x") == "x"


def test_the_least_recently_used_value_is_dropped_first() -> None:
    cache: SingleFlightCache[str] = SingleFlightCache(3, size=len)
    for key in ("a", "b", "c", "a", "d"):
        cache.get(key, lambda: "x")

    again = [cache.get(key, lambda: "new") for key in ("a", "c", "d")]

    assert again == ["x", "x", "x"]
    assert cache.get("b", lambda: "new") == "new"
    assert cache.get("larger than the room", lambda: "y" * 99) == "y" * 99
    assert cache.get("larger than the room", lambda: "new") == "y" * 99


def test_a_caller_never_gets_what_was_read_before_its_call() -> None:
    begun, go_on = threading.Event(), threading.Event()
    reads = []

    def read() -> int:
        number = len(reads)
        reads.append(number)
        begun.set()
        go_on.wait(TIMEOUT_S)
        return number

    shared: SharedRead[int] = SharedRead(read)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(shared.get)
        assert begun.wait(TIMEOUT_S)
        later = [pool.submit(shared.get) for _ in range(8)]
        go_on.set()

    assert first.result() == 0
    assert min(value.result() for value in later) >= 1
    assert shared.get() == len(reads) - 1


def test_an_error_of_a_read_is_not_kept_for_the_next_caller() -> None:
    values = iter([ZeroDivisionError(), "x"])

    def read() -> str:
        value = next(values)
        if isinstance(value, Exception):
            raise value
        return value

    shared: SharedRead[str] = SharedRead(read)
    with pytest.raises(ZeroDivisionError):
        shared.get()

    assert shared.get() == "x"


def test_the_wait_for_a_read_that_hangs_ends() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def read() -> bool:
        begun.set()
        return go_on.wait(TIMEOUT_S)

    shared: SharedRead[bool] = SharedRead(read, wait_s=0.1)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(shared.get)
        assert begun.wait(TIMEOUT_S)
        with pytest.raises(GitSilentError):
            shared.get()
        go_on.set()

    assert hanging.result() is True


def test_a_new_state_drops_what_was_of_the_one_before() -> None:
    cache: CurrentCache[object] = CurrentCache(10)
    old = [cache.get((1, name), object) for name in "ab"]
    kept = cache.peek((1, "a"))
    new = cache.get((2, "a"), object)

    assert kept is old[0]
    assert cache.peek((2, "a")) is new
    assert (cache.peek((1, "a")), cache.peek((1, "b"))) == (None, None)


def test_a_value_that_was_being_made_when_all_were_dropped_takes_no_room() -> None:
    cache: SingleFlightCache[str] = SingleFlightCache(2)

    def make() -> str:
        cache.clear()
        return "late"

    late = [cache.get(number, make) for number in range(5)]
    for key in "ab":
        cache.get(key, lambda: "x")

    assert set(late) == {"late"}
    assert (cache.peek("a"), cache.peek("b"), cache.peek(0)) == ("x", "x", None)


def test_an_error_of_a_value_after_all_were_dropped_is_raised() -> None:
    cache: SingleFlightCache[str] = SingleFlightCache(2)

    def fail() -> str:
        cache.clear()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.get("a", fail)


def test_what_has_the_same_stamp_is_read_once() -> None:
    reads = itertools.count()
    stamps = iter(["a", "a", "b", "b"])
    read: StampedRead[int] = StampedRead(
        lambda: next(reads), stamp=lambda: next(stamps)
    )

    assert [read.get() for _ in range(4)] == [0, 0, 1, 1]


def test_what_may_be_changing_is_read_each_time() -> None:
    reads = itertools.count()
    stamps = iter(["a", None, None, "a"])
    read: StampedRead[int] = StampedRead(
        lambda: next(reads), stamp=lambda: next(stamps)
    )

    assert [read.get() for _ in range(4)] == [0, 1, 2, 0]


def test_a_change_during_a_read_is_not_missed() -> None:
    stamp = 0

    def read() -> int:
        nonlocal stamp
        before = stamp
        stamp = 1
        return before

    reading: StampedRead[int] = StampedRead(read, stamp=lambda: stamp)

    assert [reading.get(), reading.get()] == [0, 1]


def test_a_value_that_is_not_to_be_kept_is_read_again() -> None:
    values = iter(["damaged", "whole", "unread"])
    read: StampedRead[str] = StampedRead(
        lambda: next(values), stamp=lambda: "a", keeps=lambda value: value == "whole"
    )

    assert [read.get() for _ in range(3)] == ["damaged", "whole", "whole"]
