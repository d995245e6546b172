"""What goes wrong again and again is said once, until the reason changes or it was over."""

from service.logs.repeats import Repeats


def test_a_reason_is_news_once_until_it_changes_or_was_over() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)
    assert repeats.is_new("jobs", "the store is gone")
    for _ in range(300):  # of an outage that lasts, however long
        now += 1
        assert not repeats.is_new("jobs", "the store is gone")
    assert repeats.is_new("webhooks", "the store is gone")
    assert repeats.is_new("jobs", "the store is silent")
    assert repeats.is_new("jobs", "the store is gone")
    now += 61
    assert repeats.is_new("jobs", "the store is gone")


def test_what_lasts_is_said_again_before_an_alert_by_the_log_ends() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)
    said: list[float] = []
    for second in range(1300):
        now = float(second)
        if repeats.is_new("jobs", "a defect"):
            said.append(now)
    assert said == [0, 600, 1200]


def test_what_was_over_is_kept_no_longer() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)
    for number in range(1000):  # webhooks that are made, fail and are deleted
        now += 1
        assert repeats.is_new(f"webhook {number}", "it is down")
    assert len(repeats._last) < 100


def test_exceptions_are_compared_by_what_they_say() -> None:
    repeats = Repeats()
    assert repeats.is_new("index", ValueError("a"))
    assert not repeats.is_new("index", ValueError("a"))
    assert repeats.is_new("index", ValueError("b"))
    assert repeats.is_new("index", KeyError("b"))
