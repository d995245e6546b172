"""Trouble with a store counts from its beginning, whatever it is called meanwhile."""

from service.store.trouble import Trouble


def test_it_lasts_from_its_beginning() -> None:
    now = 100.0
    trouble = Trouble(lambda: now)
    assert trouble.lasting() is None
    trouble.note("gone")
    assert (trouble.lasting(), trouble.lasting(5)) == ("gone", None)
    now = 104.0
    trouble.note("silent")
    assert trouble.lasting(5) is None
    now = 105.0
    assert trouble.lasting(5) == "silent"
    trouble.note(None)
    assert trouble.lasting() is None
    trouble.note("gone again")
    assert trouble.lasting(1) is None
