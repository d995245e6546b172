"""When a target wants to be asked again."""

import pytest

from service.features.webhooks import sending


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"120", 120.0),
        (b" 0 ", 0.0),
        (b"1234567", None),
        (b"Sat, 01 Jan 2000 00:01:40 GMT", 100.0),
        (b"Saturday, 01-Jan-00 00:01:40 GMT", 100.0),
        (b"Fri, 31 Dec 1999 23:00:00 GMT", 0.0),
        (b"Sat, 01 Jan 2000 00:01:40 -0000", 100.0),
        (b"Sat, 01 Jan 9999999 00:01:40 GMT", None),
        (b"Sat, 01 Jan 99999999999 00:01:40 GMT", None),
        (b"1 Jan 2024 00:00:00 +9999999999999", None),
        (b"soon \xff", None),
        (b"", None),
    ],
)
def test_retry_after_is_a_number_or_a_time(
    text: bytes, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending.time, "time", lambda: 946_684_800.0)  # 2000-01-01
    assert sending._wait_s(text) == seconds
