"""Text from outside that nobody should write: a sample of `stress.outside`, which tries it all."""

from stress import outside


def test_what_is_wrong_is_refused_in_a_line_and_what_is_odd_is_taken():
    wrong = [f"{attempt.name}: {attempt.problem}" for attempt in outside.attempts(60, seed=1) if attempt.problem]
    assert not wrong, "\n".join(wrong)
