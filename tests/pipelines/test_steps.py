import pytest

from pipelines import steps
from pipelines.steps import from_outside, step
from qma_predict.errors import LineError, PublicationError


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(steps, "WAIT_SECONDS", 0)


def flaky(failures):
    """A function that raises these errors one by one, then returns how often it was called."""
    left = list(failures)

    def call():
        if left:
            raise left.pop(0)
        return "done"

    return call


def caused_by_disk():
    error = PublicationError("cannot be written")
    error.__cause__ = OSError("disk full")
    return error


@pytest.mark.parametrize("error", [OSError("share away"), caused_by_disk()])
def test_what_the_outside_does_is_tried_again_three_times(error):
    assert step(flaky([error] * 3))() == "done"
    with pytest.raises(type(error)):
        step(flaky([error] * 4))()


def test_other_errors_are_not_tried_again():
    with pytest.raises(LineError):
        step(flaky([LineError("unknown key")]))()


def test_an_error_is_from_outside_by_itself_or_by_its_cause():
    assert from_outside(OSError())
    assert from_outside(caused_by_disk())
    assert not from_outside(PublicationError("damaged"))
    assert not from_outside(None)
