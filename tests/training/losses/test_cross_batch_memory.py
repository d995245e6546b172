import torch

from training.losses.cross_batch_memory import CrossBatchMemory


def rows(*values: int) -> torch.Tensor:
    return torch.tensor(values)


def test_it_holds_what_came_last():
    memory = CrossBatchMemory(4, 1)
    assert memory.held()[0].shape == (0, 1)
    for start in (0, 3, 6):
        new = torch.arange(start, start + 3)
        memory.add(new[:, None].float(), new)
        vectors, owners = memory.held()
        assert sorted(owners.tolist()) == list(range(max(0, start - 1), start + 3))
        assert vectors[:, 0].tolist() == owners.tolist()


def test_of_a_batch_larger_than_itself_it_keeps_the_end():
    memory = CrossBatchMemory(2, 1)
    memory.add(torch.arange(5.0)[:, None], torch.arange(5))
    assert sorted(memory.held()[1].tolist()) == [3, 4]


def test_what_it_holds_has_no_gradient_and_is_no_weight():
    memory = CrossBatchMemory(2, 1)
    memory.add(torch.ones(1, 1, requires_grad=True) * 2, rows(0))
    assert not memory.held()[0].requires_grad
    assert not list(memory.parameters())


def test_its_state_is_all_there_is_to_it():
    one, other = CrossBatchMemory(4, 2), CrossBatchMemory(4, 2)
    one.add(torch.ones(3, 2), rows(5, 6, 7))
    other.load_state_dict(one.state_dict())
    for memory in (one, other):
        memory.add(torch.zeros(2, 2), rows(8, 9))
    assert all(torch.equal(a, b) for a, b in zip(one.held(), other.held(), strict=True))
