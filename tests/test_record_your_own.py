"""Claims of the lesson `record_your_own`, held by mathematics or an oracle, not by the snippet."""


def test_the_answer_is_six_times_seven() -> None:
    assert sum([6] * 7) == 42
