"""Real signals to real processes: at once outside of training, at a safe point within it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap

import pytest

from sweepmaker.run import interrupt

HEAD = """
import os, signal, sys, time
from sweepmaker.run import interrupt
interrupt.install()
def send(signum=signal.SIGTERM): os.kill(os.getpid(), signum)
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_outside_of_training_it_raises_at_once(name: str, code: int) -> None:
    done = run(f"""
        try:
            send(signal.{name})
            print("went on")
        except Exception:
            print("swallowed by an except Exception")
        except interrupt.Interrupted as stop:
            interrupt.finish()
            print(stop, interrupt.requested() == signal.{name})
            sys.exit(stop.exit_code)
    """)
    assert (done.returncode, done.stdout) == (code, f"{name} True\n"), done.stderr
    assert name in done.stderr


def test_within_training_it_waits_and_raises_at_the_end() -> None:
    done = run("""
        try:
            with interrupt.deferred():
                send()
                time.sleep(0.01)
                print("saved", interrupt.requested() == signal.SIGTERM)
            print("went on")
        except interrupt.Interrupted as stop:
            print("ended", stop.exit_code)
    """)
    assert done.stdout == "saved True\nended 143\n", done.stderr
    assert "a second one ends at once" in done.stderr


def test_within_training_the_caller_can_raise_earlier() -> None:
    done = run("""
        try:
            with interrupt.deferred():
                interrupt.raise_if_requested()
                send()
                interrupt.raise_if_requested()
                print("went on")
        except interrupt.Interrupted as stop:
            print("ended")
    """)
    assert done.stdout == "ended\n", done.stderr


def test_a_signal_that_is_only_noted_is_the_caller_s_to_raise() -> None:
    done = run("""
        with interrupt.noted("ending soon"):
            send()
        print("went on", interrupt.requested() == signal.SIGTERM)
        try:
            interrupt.raise_if_requested()
        except interrupt.Interrupted:
            print("ended")
    """)
    assert done.stdout == "went on True\nended\n", done.stderr
    assert "SIGTERM: ending soon (a second one ends at once)" in done.stderr


@pytest.mark.parametrize("second", ["SIGTERM", "SIGINT"])
def test_a_second_signal_ends_at_once(second: str) -> None:
    done = run(f"""
        try:
            with interrupt.deferred():
                send()
                print("saving")
                send(signal.{second})
                print("went on")
        except interrupt.Interrupted as stop:
            print("ended", stop)
    """)
    assert done.stdout == "saving\nended SIGTERM\n", done.stderr  # the first one counts


def test_no_longer_deferred_after_an_error() -> None:
    done = run("""
        try:
            with interrupt.deferred():
                raise KeyError
        except KeyError:
            pass
        try:
            send()
        except interrupt.Interrupted:
            print("at once")
    """)
    assert done.stdout == "at once\n", done.stderr


def test_swallowed_in_a_destructor_it_is_raised_again() -> None:
    done = run("""
        interrupt._RETRY_S = 1
        class Loader:
            def __del__(self):
                send()
        try:
            Loader()
            print("swallowed")
            time.sleep(30)
        except interrupt.Interrupted as stop:
            interrupt.finish()
            time.sleep(1.5)  # and not once more
            print("ended")
    """)
    assert done.stdout == "swallowed\nended\n", done.stderr
    assert "ignored in" in done.stderr  # by Python


def test_while_it_ends_nothing_disturbs() -> None:
    done = run("""
        try:
            send()
        except interrupt.Interrupted:
            interrupt.finish()
            send()
            send(signal.SIGINT)
            print("ended in peace")
    """)
    assert (done.stdout, done.returncode) == ("ended in peace\n", 0), done.stderr


def test_another_thread_cannot_install() -> None:
    done = run("""
        import threading
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        thread = threading.Thread(target=interrupt.install)
        thread.start()
        thread.join()
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
    """)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_launcher_s_worker_can_send_it_to_its_parent() -> None:
    stop = pickle.loads(pickle.dumps(interrupt.Interrupted(signal.SIGINT)))
    assert (type(stop), str(stop), stop.exit_code) == (interrupt.Interrupted, "SIGINT", 130)


def test_another_rank_can_ask() -> None:
    with pytest.raises(interrupt.Interrupted) as stop, interrupt.deferred():
        interrupt.request()
        interrupt.request(signal.SIGINT)
    assert stop.value.exit_code == 143
