"""Attempts grow longer, and hope ends in time."""

from busduct.transport._patience import Patience


def test_each_attempt_waits_longer_up_to_a_limit() -> None:
    patience = Patience(10.0)
    waits = []
    for _ in range(8):
        waits.append(patience.seconds)
        patience.fail(0.0)
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    patience.succeed()
    assert patience.seconds == 0.1


def test_hope_ends_when_the_time_since_the_first_attempt_is_over() -> None:
    patience = Patience(10.0)
    patience.begin(100.0)
    assert not patience.fail(100.1)
    patience.begin(105.0)
    assert not patience.fail(109.9)
    assert patience.fail(110.0)
    assert patience.fail(111.0)


def test_answer_begins_anew() -> None:
    patience = Patience(10.0)
    patience.begin(100.0)
    patience.succeed()
    patience.begin(109.0)
    assert not patience.fail(115.0)


def test_time_that_was_nobodys_silence_does_not_count() -> None:
    patience = Patience(10.0)
    patience.begin(100.0)
    patience.excuse()
    patience.begin(109.0)
    assert not patience.fail(115.0)
    assert patience.fail(119.0)
