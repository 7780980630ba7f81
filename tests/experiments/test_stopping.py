"""Signals: heeded at once where nothing polls, at the next poll elsewhere."""

import contextlib
import os
import signal
import time

import pytest

from experiments import cohort
from experiments.stopping import StopRequest
from experiments.train import train_and_evaluate
from wbad_jax.training import StopRequestedError

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(5)


@pytest.mark.fast
@BOTH
def test_a_request_waits_for_a_poll_and_handlers_are_put_back(number, capsys):
    before = signal.getsignal(number)
    stop = StopRequest()
    with stop.listening():
        stop.check("not yet")
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        with pytest.raises(StopRequestedError, match="Stopped there"):
            stop.check("Stopped there.")
        # A second signal does not wait.
        with pytest.raises(KeyboardInterrupt):
            send(number)
    assert signal.getsignal(number) is before
    assert f"{signal.Signals(number).name}: saving" in capsys.readouterr().out


@pytest.mark.fast
@BOTH
def test_at_once_interrupts(number):
    stop, start = StopRequest(), time.monotonic()
    with (
        stop.listening(),
        pytest.raises(StopRequestedError, match="in the data"),
        stop.at_once("Stopped in the data."),
    ):
        send(number)
    assert time.monotonic() - start < 4


@pytest.mark.fast
def test_at_once_is_not_lost_where_the_exception_is():
    stop = StopRequest()
    with (
        stop.listening(),
        pytest.raises(StopRequestedError, match="in the data"),
        stop.at_once("Stopped in the data."),
        contextlib.suppress(KeyboardInterrupt),
    ):
        send(signal.SIGTERM)


def test_preparing_the_data_is_interrupted(smoke_config, tmp_path, monkeypatch):
    monkeypatch.setattr(cohort, "load", lambda config: send(signal.SIGTERM))
    with pytest.raises(StopRequestedError, match="preparing the data"):
        train_and_evaluate(smoke_config("quickstart"), tmp_path)
    assert not (tmp_path / "config.json").exists()
