"""Case G16: uneven micro-batches (huggingface/transformers#24725, #34191, ml-explore/mlx-lm#1413, torchtune#1875)."""
import numpy as np
import pytest

from minimoe import Tensor, ops

A, B = np.array([2.0]), np.array([1.0, 1.0, 3.0])                # loss per token (w x)^2 / 2 at w = 1


def accumulated(micro_batches) -> float:
    """Gradient of the mean over all tokens, one backward per micro-batch: each sum is divided by the count of all."""
    w = Tensor(np.array(1.0), requires_grad=True)
    total = sum(x.size for x in micro_batches)
    for x in micro_batches:
        (((w * x) * (w * x)).sum() * 0.5 / total).backward()
    return w.grad.item()


@pytest.mark.parametrize("micro_batches", [[A, B], [B, A], [A, B, np.zeros(0)], [np.concatenate([A, B])]])
def test_micro_batches_add_up_to_the_gradient_of_the_whole(micro_batches):
    assert accumulated(micro_batches) == pytest.approx(3.75, abs=1e-12)


def test_a_micro_batch_of_ignored_labels_adds_nothing():
    weight = Tensor(np.ones((3, 2)), requires_grad=True)
    x = np.random.default_rng(0).standard_normal((4, 2))
    ops.cross_entropy(ops.linear(Tensor(x), weight), np.array([0, 1, 2, 0])).backward()
    before = weight.grad.copy()
    ops.cross_entropy(ops.linear(Tensor(x), weight), np.full(4, -100)).backward()
    assert np.array_equal(weight.grad, before)


def test_micro_batches_of_different_counts_combine_with_their_counts():
    """cross_entropy is a mean over its own targets, so a micro-batch weighs in with its share of all targets."""
    x = np.random.default_rng(0).standard_normal((5, 3))
    labels = np.array([0, 2, -100, 1, 1])
    whole, parts = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    ops.cross_entropy(whole, labels).backward()
    for rows in (slice(0, 3), slice(3, 5)):
        share = (labels[rows] != -100).sum() / (labels != -100).sum()
        (ops.cross_entropy(parts[rows], labels[rows]) * float(share)).backward()
    np.testing.assert_allclose(parts.grad, whole.grad, rtol=1e-12)
