"""Routing faults met in public, each with its report. The numbers are derived by hand or in closed form."""
import numpy as np
import pytest

from minimoe import Tensor, ops
from minimoe.moe import MoELayer, Router, SwitchRouter, TopKRouter, route
from minimoe.moe.selection import expert_capacity

REAL = np.array([[2., 0., -1.], [0., 1., -2.], [1., .5, .2], [3., 1., 0.]])
PADDING = np.array([[0., -1., 9.], [-1., 0., 9.]])


class TestG19PaddingIsNoLoad:
    """huggingface/transformers#28505, #29363, NVIDIA/Megatron-LM#2121"""

    @pytest.mark.parametrize("k, loss", [(1, 1.5992440553), (2, 1.3733627634)])
    def test_balance_counts_real_tokens_only(self, k, loss):
        mask = np.array([True] * 4 + [False] * 2)
        routing = route(Tensor(np.concatenate([REAL, PADDING])), np.full(6, k), mask=mask, balance_weight=1.0)
        np.testing.assert_allclose(routing.balance_loss.item(), loss, atol=1e-9)

    @pytest.mark.parametrize("rows", [0, 1, 2, 7])
    def test_appending_padding_never_changes_a_loss_or_its_gradient(self, rows):
        logits = Tensor(np.concatenate([REAL, np.full((rows, 3), 9.0)]), requires_grad=True)
        plain = Tensor(REAL, requires_grad=True)
        padded = route(logits, np.full(4 + rows, 2), mask=np.arange(4 + rows) < 4, entropy_weight=0.1)
        alone = route(plain, np.full(4, 2), entropy_weight=0.1)
        for name in ("balance_loss", "z_loss", "entropy_loss"):
            np.testing.assert_allclose(getattr(padded, name).item(), getattr(alone, name).item(), rtol=1e-13)
        padded.aux_loss.backward()
        alone.aux_loss.backward()
        np.testing.assert_allclose(logits.grad[:4], plain.grad, rtol=1e-12)
        assert not logits.grad[4:].any()

    @pytest.mark.parametrize("n_experts, k", [(3, 1), (4, 2), (5, 5)])
    def test_a_perfectly_even_router_gives_one(self, n_experts, k):
        logits = np.stack([np.roll(np.arange(n_experts) * 1.0, i) for i in range(n_experts)])
        assert route(Tensor(logits), np.full(n_experts, k), balance_weight=1.0).balance_loss.item() == pytest.approx(1)


class TestG20ADroppedTokenAddsNothing:
    """huggingface/transformers#37017, #37123"""

    @pytest.mark.parametrize("factor, minimum, expected", [(2 / 3, 1, [6, 0, 0]), (0.0, 0, [0, 0, 0])])
    def test_room_for_one_or_none(self, factor, minimum, expected):
        logits = np.log(np.array([[.6, .4]] * 3))                         # all choose expert 0 with gate 0.6
        routing = route(Tensor(logits), np.ones(3, int), capacity=factor, capacity_min=minimum)
        rows = ops.dispatch(Tensor(np.array([[1.], [2.], [3.]])), routing.plan)
        y = ops.combine(rows * 10, routing.gates, routing.plan)           # expert 0 multiplies by 10
        np.testing.assert_allclose(y.data[:, 0], expected, rtol=1e-12)

    def test_with_no_room_the_router_learns_from_the_losses_alone(self):
        layer = MoELayer(4, 4, 3, SwitchRouter(4, 3, rng=0, capacity=0.0, capacity_min=0), rng=0)
        y, routing = layer(Tensor(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)))
        (y.sum() + routing.aux_loss).backward()
        assert not y.data.any() and routing.stats["dropped"] == 5 and not layer.experts.w1.grad.any()
        assert layer.router.weight.grad.any()


class TestG21AGateThatCanLearn:
    """jingyaogong/minimind#858, davidmrau/mixture-of-experts#27, lablup/mlxcel#391, ServiceNow/Fast-LLM#83"""

    def test_one_expert_with_raw_gates_moves_the_logits(self):
        logits = Tensor(np.array([[1., 0.]]), requires_grad=True)
        routing = route(logits, np.array([1]))
        y = ops.combine(Tensor(np.array([[3.]])), routing.gates, routing.plan)
        y.sum().backward()
        np.testing.assert_allclose(y.data, [[2.1931757359]], atol=1e-9)
        np.testing.assert_allclose(logits.grad, [[0.5898357997, -0.5898357997]], atol=1e-9)

    @pytest.mark.parametrize("form, gates", [("raw", [.6439142599, .2368828181]),
                                             ("renorm", [.7310585786, .2689414214])])
    def test_two_experts(self, form, gates):
        routing = route(Tensor(np.array([[2., 1., 0., -1.]])), np.array([2]), form)
        np.testing.assert_allclose(routing.gates.data, gates, atol=1e-9)

    @pytest.mark.parametrize("form", ["raw", "renorm"])
    def test_training_and_evaluation_weigh_alike(self, form):
        router = TopKRouter(4, 3, 2, rng=0, gates=form)
        x = Tensor(np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32))
        assert np.array_equal(router.train()(x).gates.data, router.eval()(x).gates.data)


class TestG22ExpertsNobodyChose:
    """meta-pytorch/MSLK#158, NVIDIA/Megatron-LM#3626, pytorch/torchtitan#1166"""

    def run(self, tokens, chosen):
        """Scalar experts 1, 10, 100, 1000 with gate 1; the result and the experts' gradient."""
        weight = Tensor(np.array([1., 10., 100., 1000.]).reshape(4, 1, 1), requires_grad=True)
        logits = np.where(np.arange(4) == np.array(chosen, int).reshape(-1, 1), 0.0, -1e3)      # p = 1 exactly
        routing = route(Tensor(logits), np.ones(len(chosen), int), z_weight=0.0)
        rows = ops.dispatch(Tensor(np.array(tokens, float).reshape(-1, 1)), routing.plan)
        y = ops.combine(ops.grouped_linear(rows, weight, None, routing.plan.offsets), routing.gates, routing.plan)
        y.sum().backward()
        return y.data[:, 0].tolist(), weight.grad[:, 0, 0].tolist(), routing

    def test_their_gradient_is_zero(self):
        assert self.run([1, 2, 3], [1, 3, 1])[:2] == ([10, 2000, 30], [0, 4, 0, 2])

    def test_also_right_after_a_batch_that_kept_all_busy(self):
        self.run([5, 6, 7, 8], [0, 1, 2, 3])
        assert self.run([1, 2, 3], [1, 3, 1])[:2] == ([10, 2000, 30], [0, 4, 0, 2])

    def test_no_tokens_at_all(self):
        y, gradient, routing = self.run([], [])
        assert y == [] and gradient == [0, 0, 0, 0] and np.isfinite(routing.aux_loss.item())


class TestG23EqualScores:
    """pytorch/pytorch#88227, pytorch/pytorch#27542, nv-legate/cupynumeric#782, tinygrad/tinygrad#9386"""

    ROWS = {"row": ([1., 5., 5., 2., 5.], [1, 2, 4]), "flat": ([0.0] * 40, [0, 1, 2, 3]),
            "alternating": ([1., 2.] * 20, [1, 3, 5, 7])}

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("scores, best", ROWS.values(), ids=ROWS.keys())
    def test_the_lowest_index_wins_and_k_is_the_start_of_k_plus_1(self, scores, best, dtype):
        for k in range(1, len(best) + 1):
            routing = route(Tensor(np.array([scores], dtype)), np.array([k]))
            assert routing.plan.expert.tolist() == best[:k]

    def test_a_router_of_zeros_sends_everything_to_the_first_experts(self):
        router = TopKRouter(4, 6, 3, rng=0)
        router.weight.data[...] = 0
        assert router(Tensor(np.ones((2, 4), np.float32))).plan.expert.tolist() == [0, 1, 2] * 2

    def test_logits_that_differ_are_ordered_even_where_their_probabilities_underflow_to_equal_zeros(self):
        routing = route(Tensor(np.array([[0., -200., -190., -210.]], np.float32)), np.array([3]))
        assert routing.plan.expert.tolist() == [0, 2, 1]


class TestG24RoomForSmallBatches:
    """deepspeedai/DeepSpeed#8155, deepspeedai/DeepSpeed#5353, AI-Hypercomputer/maxtext#833"""

    @pytest.mark.parametrize("tokens, n_experts, k, factor, room", [
        (3, 8, 1, 1.0, 1), (3, 2, 2, 10.0, 3), (10, 4, 1, 1.0, 3), (10, 4, 1, 1.1, 3), (100, 10, 1, 1.1, 11),
        (1, 4, 2, 1.0, 1), (0, 4, 1, 1.0, 0)])
    def test_capacity(self, tokens, n_experts, k, factor, room):
        assert expert_capacity(tokens * k, tokens, n_experts, factor) == room

    @pytest.mark.parametrize("tokens", [1, 2, 3, 5])
    def test_a_small_batch_loses_nothing_it_has_room_for(self, tokens):
        routing = route(Tensor(np.eye(8)[:tokens] * 5), np.ones(tokens, int), capacity=1.0)
        assert routing.stats["dropped"] == 0


def test_a_router_without_its_method_says_so():
    with pytest.raises(NotImplementedError, match="Router must implement experts_per_token"):
        Router(4, 2, rng=0)(Tensor(np.ones((1, 4), np.float32)))
