"""What runs together is of alike length, and bounded."""

from service.engine.encoding.length_batches import alike


def test_batches_are_alike_and_bounded() -> None:
    lengths = [3, 512, 5, 128, 4, 512, 9000, 3]
    assert alike(lengths, 4, 2048) == [[0, 7, 4, 2], [3, 1, 5], [6]]
    assert alike(lengths, 16, 1024) == [[0, 7, 4, 2, 3], [1, 5], [6]]
    assert alike([0] * 20, 16, 2048) == [list(range(16)), list(range(16, 20))]
    assert alike([], 16, 2048) == []
