"""Every field of every schema at, inside and outside its bounds; some of what is taken trains a step (`stress.schema` does all)."""

from stress import schema


def test_what_is_outside_is_refused_and_what_is_inside_trains():
    tried = list(schema.attempts(3, seed=1))
    assert len(tried) > 5000
    wrong = [f"{attempt.name}: {attempt.problem}" for attempt in tried if attempt.problem]
    assert not wrong, "\n".join(wrong[:20])
