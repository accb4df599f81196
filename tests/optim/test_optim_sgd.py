"""SGD: updates computed by hand. Parity with PyTorch is in tests/parity."""
import numpy as np
import pytest

from minimoe import Tensor
from minimoe.kernels.reference.dense import BLOCK
from minimoe.optim import SGD


def steps(gradients, **options):
    p = Tensor(np.array([1.0]), requires_grad=True)
    optimiser = SGD([p], lr=0.1, **options)
    seen = []
    for g in gradients:
        p.grad = np.array([g])
        optimiser.step()
        seen.append(float(p.data[0]))
    return seen


def test_plain_descent_subtracts_rate_times_gradient():
    np.testing.assert_allclose(steps([2.0, -1.0]), [0.8, 0.9])


def test_momentum_sums_the_gradients():
    np.testing.assert_allclose(steps([1.0, 1.0, 1.0], momentum=0.5), [0.9, 0.75, 0.575])         # m = 1, 1.5, 1.75


def test_nesterov_looks_one_step_ahead():
    np.testing.assert_allclose(steps([1.0, 1.0], momentum=0.5, nesterov=True), [0.85, 0.675])    # 1 + .5, 1 + .75


def test_weight_decay_joins_the_gradient():
    np.testing.assert_allclose(steps([0.0, 0.0], weight_decay=0.5), [0.95, 0.9025])


def test_weight_decay_leaves_the_gradient_as_it_was():
    p = Tensor(np.array([1.0]), requires_grad=True)
    p.grad = np.array([2.0])
    SGD([p], lr=0.1, momentum=0.9, weight_decay=0.5, nesterov=True).step()
    assert p.grad[0] == 2.0


def test_momentum_may_differ_between_groups():
    a, b = (Tensor(np.array([1.0]), requires_grad=True) for _ in range(2))
    optimiser = SGD([{"params": a}, {"params": [b], "momentum": 0.5}], lr=0.1)
    for _ in range(2):
        a.grad, b.grad = np.array([1.0]), np.array([1.0])
        optimiser.step()
    np.testing.assert_allclose([a.item(), b.item()], [0.8, 0.75])


def test_without_momentum_no_state_is_kept():
    p = Tensor(np.array([1.0]), requires_grad=True)
    assert set(SGD([p], lr=0.1).state_dict()) == {"steps", "lr.0"}


def test_a_parameter_of_several_blocks_is_updated_everywhere():
    size = 2 * BLOCK + 5
    p = Tensor(np.zeros(size, np.float32), requires_grad=True)
    p.grad = np.arange(size, dtype=np.float32)
    SGD([p], lr=0.5, momentum=0.9).step()
    np.testing.assert_array_equal(p.data, -0.5 * np.arange(size, dtype=np.float32))


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValueError, match="nesterov"):
        steps([], nesterov=True)


@pytest.mark.parametrize("options, match", [({"momentum": -0.1}, "momentum"), ({"weight_decay": -0.1}, "weight_decay")])
def test_options_below_zero_are_refused(options, match):
    with pytest.raises(ValueError, match=f"SGD: {match}"):
        steps([], **options)
