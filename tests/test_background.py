"""Threads work off a queue, and end together."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from servers import wait_until

from dvc_studio_models.background import Workers, parallel_map

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers(4)
    yield workers
    workers.end()
    workers.join(5)


def test_tasks_run_in_their_order() -> None:
    workers, ran = Workers(1), []
    workers.add(lambda n=number: ran.append(n) for number in range(20))

    wait_until(lambda: len(ran) == 20)
    workers.end()
    workers.join(5)

    assert ran == list(range(20))


def test_tasks_that_a_task_puts_first_run_before_those_that_wait() -> None:
    workers, ran = Workers(1), []

    def spread() -> None:
        workers.add((lambda n=n: ran.append(n) for n in "ab"), first=True)

    workers.add([spread, lambda: ran.append("later")])
    wait_until(lambda: len(ran) == 3)
    workers.end()
    workers.join(5)

    assert ran == ["a", "b", "later"]


def test_there_are_never_more_threads_than_the_limit(workers: Workers) -> None:
    go, at_work = threading.Event(), []
    workers.add(lambda: at_work.append(1) or go.wait(10) for _ in range(50))  # type: ignore[func-returns-value]

    wait_until(lambda: len(at_work) >= 4)
    alone = len(at_work)
    go.set()
    wait_until(lambda: len(at_work) == 50)

    assert alone == 4


def test_there_are_never_more_threads_than_tasks() -> None:
    for _ in range(20):
        before, go = threading.active_count(), threading.Event()
        workers = Workers(16)
        for _ in range(4):
            workers.add([functools.partial(go.wait, 10)])

        started = threading.active_count() - before
        go.set()
        workers.end()
        workers.join(5)

        assert started == 4


@pytest.mark.clock
def test_an_idle_thread_takes_the_next_task(workers: Workers) -> None:
    before, seen = threading.active_count(), []
    for number in range(1, 6):
        workers.add([lambda: seen.append(threading.active_count())])
        wait_until(lambda count=number: len(seen) == count)
        time.sleep(0.01)  # for the thread to wait again

    assert max(seen) == before + 1


def test_one_task_takes_one_thread(workers: Workers) -> None:
    before, seen = threading.active_count(), []
    workers.add([lambda: seen.append(threading.active_count())])

    wait_until(lambda: bool(seen))

    assert seen == [before + 1]


def test_the_first_error_is_kept_and_ends_all(workers: Workers) -> None:
    ran: list[int] = []

    def fail() -> None:
        raise ValueError

    workers.add([fail, *[lambda: time.sleep(0.01) or ran.append(1)] * 1000])  # type: ignore[func-returns-value]
    wait_until(lambda: workers.ended)
    workers.join(5)

    assert isinstance(workers.error, ValueError)
    assert len(ran) < 1000


@pytest.mark.clock
def test_a_pause_ends_with_the_rest(workers: Workers) -> None:
    workers.add([lambda: workers.pause(60)])

    began = time.monotonic()
    workers.end()
    workers.join(30)

    assert time.monotonic() - began < 10


def test_nothing_is_taken_after_the_end(workers: Workers) -> None:
    ran: list[int] = []
    workers.end()

    workers.add([lambda: ran.append(1)])
    workers.join(1)

    assert ran == []


def test_a_task_beside_runs_while_all_others_are_busy() -> None:
    workers = Workers(1)
    free, ran = threading.Event(), threading.Event()
    workers.add([lambda: free.wait(5)])

    workers.add_unlimited(ran.set)

    assert ran.wait(5)
    free.set()
    workers.end()
    workers.join(5)


def test_a_task_beside_takes_no_place_of_the_others(workers: Workers) -> None:
    gate = threading.Barrier(5)
    workers.add_unlimited(lambda: gate.wait(5))

    workers.add([lambda: gate.wait(5)] * 4)

    wait_until(lambda: gate.n_waiting == 0 and not gate.broken)
    assert workers.error is None


def test_a_failure_beside_ends_all(workers: Workers) -> None:
    def fail() -> None:
        raise ValueError

    workers.add_unlimited(fail)

    wait_until(lambda: workers.ended)
    assert isinstance(workers.error, ValueError)


def in_python(code: str, *, memory_gib: int) -> str:
    """Run a program in which each thread takes 1 GiB of a limited address space."""
    limits = f'ulimit -s {1 << 20} && ulimit -v {memory_gib << 20} && exec "$@"'
    done = subprocess.run(
        ["bash", "-c", limits, "bash", sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_tasks_run_on_the_threads_that_the_system_starts() -> None:
    ran = in_python(
        """
import threading
from dvc_studio_models.background import Workers, parallel_map

workers, done, names = Workers(16), threading.Semaphore(0), set()

def task():
    names.add(threading.current_thread().name)
    done.release()

workers.add([task] * 100)
for _ in range(100):
    done.acquire()
workers.end()
workers.join(5)
print(0 < len(names) < 4)
""",
        memory_gib=3,
    )

    assert ran == "True\n"


def test_no_thread_at_all_is_an_error() -> None:
    said = in_python(
        """
from dvc_studio_models.background import ByteCounter, Workers, run_in_background
from dvc_studio_models.errors import ThreadLimitError

workers = Workers(16)
print(workers.add_unlimited(print))
for start in (
    lambda: workers.add([print]),
    lambda: run_in_background(print, ByteCounter(), print),
):
    try:
        start()
    except ThreadLimitError:
        print("refused")
workers.end()
workers.join(5)
""",
        memory_gib=1,
    )

    assert said == "False\nrefused\nrefused\n"


@pytest.mark.parametrize("memory_gib", [1, 3])
def test_what_is_done_in_parallel_needs_no_other_thread(memory_gib: int) -> None:
    said = in_python(
        """
from dvc_studio_models.background import parallel_map

seen = []
parallel_map(seen.append, range(50))
print(sorted(seen) == list(range(50)))
""",
        memory_gib=memory_gib,
    )

    assert said == "True\n"


def test_parallel_calls_run_at_the_same_time() -> None:
    gate = threading.Barrier(16)

    parallel_map(lambda _: gate.wait(10), range(16))

    assert not gate.broken


def test_the_first_error_of_parallel_calls_is_raised_and_ends_them() -> None:
    seen = []

    def act(number: int) -> None:
        seen.append(number)
        if number == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        parallel_map(act, range(10_000))

    assert len(seen) < 10_000
