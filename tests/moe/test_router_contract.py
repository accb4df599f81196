"""What a router promises to its subclass and to its reader, and where its noise goes."""
from __future__ import annotations

import numpy as np
import pytest
from every_router import EVERY, ROUTERS, D, E, batch, layer_of

from minimoe import Tensor
from minimoe.moe import DynamicRouter, MoELayer, Router, SwitchRouter, make_router

X, IMPORTANCE, MASK = batch(lengths=(6, 4))
ATTENTION = np.random.default_rng(5).dirichlet(np.ones(6), (3, 2, 2, 6))                # 3 layers, 2 samples, 2 heads
FULL = np.ones((2, 6), bool)


def routed(name, **options):
    """The Routing of a lively float64 router."""
    return layer_of(name, **options).router(Tensor(X), IMPORTANCE, MASK)


# ---- the contract of experts_per_token

class Spy(Router):
    """Three experts for everybody, and a note of what it was shown."""

    answer = staticmethod(lambda n, mask: np.full(n, 3))

    def experts_per_token(self, probabilities, importance, mask):
        self.shown = probabilities, importance, mask
        return self.answer(len(probabilities), mask)


def spy(**options):
    return Spy(D, E, rng=0, **options).to(dtype="float64")


def test_it_sees_probabilities_after_noise_importance_and_mask_as_plain_arrays():
    router = spy(jitter=0.3, ban=[False, True, False, False])
    routing = router(Tensor(X), IMPORTANCE, MASK)
    probabilities, importance, mask = router.shown
    assert all(type(a) is np.ndarray for a in router.shown)
    np.testing.assert_array_equal(probabilities, routing.probabilities.data)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert not probabilities[:, 1].any()
    np.testing.assert_array_equal(importance, IMPORTANCE)
    np.testing.assert_array_equal(mask, MASK)
    router.eval()(Tensor(X), IMPORTANCE, MASK)
    assert not np.allclose(router.shown[0], probabilities)


def test_it_may_be_shown_no_importance_and_no_mask():
    router = spy()
    assert router(Tensor(X)).k.tolist() == [3] * 12 and router.shown[1:] == (None, None)


def test_it_may_answer_by_token_or_by_sample_in_any_integer_type_and_padding_gets_none():
    expected = (3 * MASK.reshape(-1)).tolist()
    for answer in (lambda n, mask: np.full(n, 3, np.uint8), lambda n, mask: np.full(mask.shape, 3, np.int64)):
        router = spy()
        router.answer = answer
        routing = router(Tensor(X), mask=MASK)
        assert routing.k.tolist() == expected and routing.k.dtype == np.int32


@pytest.mark.parametrize("answer, error, match", [
    (lambda n, mask: np.full(n, 3.0), TypeError, "k is float64; it must be an integer array"),
    (lambda n, mask: np.full(n + 1, 3), ValueError, r"k is \(13,\); 12 tokens need \(12,\)"),
    (lambda n, mask: np.full(n, -1), ValueError, "k has -1")])
def test_an_answer_that_is_no_count_is_refused(answer, error, match):
    router = spy()
    router.answer = answer
    with pytest.raises(error, match=match):
        router(Tensor(X))


def test_a_router_may_have_logits_of_its_own():
    class Reversed(SwitchRouter):
        def logits(self, x):
            return super().logits(x) * -1.0

    plain, other = (cls(D, E, rng=0)(Tensor(X.astype(np.float32))) for cls in (SwitchRouter, Reversed))
    np.testing.assert_array_equal(plain.logits.data, -other.logits.data)


def test_a_router_with_a_measure_gets_importance_from_attention():
    class Received(Router):
        measure, heads, normalise = "colmax", "max", "rank"

        def experts_per_token(self, probabilities, importance, mask):
            return 1 + (importance > 0.5)

    router = Received(D, E, rng=0)
    importance = router.importance(list(ATTENTION), FULL)
    np.testing.assert_allclose(np.sort(importance, axis=1), [np.arange(6) / 5] * 2)
    routing = router(Tensor(X.astype(np.float32)), importance)
    assert sorted(routing.k.tolist()) == [1] * 6 + [2] * 6
    assert SwitchRouter(D, E, rng=0).importance(list(ATTENTION)) is None


@pytest.mark.parametrize("options", [dict(), dict(heads="max", normalise="rank"), dict(exclude_special=[0])], ids=str)
def test_a_router_with_another_measure_decides_as_one_that_was_made_with_it(options):
    router, x = make_router("da", D, E, rng=0, **options).eval(), Tensor(X.astype(np.float32))
    for measure in ("colmax", "reversed(focus)"):
        twin, made = router.with_measure(measure), make_router("da", D, E, rng=0, measure=measure, **options).eval()
        routings = [r(x, r.importance(list(ATTENTION), FULL).astype(np.float32)) for r in (twin, made)]
        assert routings[0].k.tolist() == routings[1].k.tolist()
        np.testing.assert_array_equal(routings[0].importance, routings[1].importance)
        assert twin.weight is router.weight and router.measure == "rowmax"


def test_heads_that_rollout_followed_on_their_own_are_averaged_under_another_measure():
    router = make_router("da", D, E, measure="rollout", heads="each")
    other = make_router("da", D, E, measure="colmax")
    np.testing.assert_array_equal(router.with_measure("colmax").importance(list(ATTENTION), FULL),
                                  other.importance(list(ATTENTION), FULL))
    assert router.with_measure("reversed(rollout)").heads == router.heads == "each"


# ---- noise and seeds

@EVERY
def test_the_experts_see_clean_x_in_training(name):
    layer = layer_of(name, jitter=0.4)
    seen, forward = [], layer.experts.forward
    layer.experts.forward = lambda rows, offsets: seen.append(rows.data) or forward(rows, offsets)
    x = Tensor(X)
    _, routing = layer(x, IMPORTANCE, MASK)
    np.testing.assert_array_equal(seen[0], X.reshape(-1, D)[routing.plan.token[routing.plan.perm]])
    assert x.data is X
    noisy = X.reshape(-1, D) @ layer.router.weight.data.T
    assert not np.allclose(routing.logits.data[MASK.reshape(-1)], noisy[MASK.reshape(-1)])


@EVERY
def test_noise_is_drawn_anew_at_each_training_step_and_follows_the_seed(name):
    x = Tensor(X.astype(np.float32))
    i = IMPORTANCE.astype(np.float32)
    steps = []
    for seed in (0, 0, 1):
        router = make_router(ROUTERS[name][0], D, E, **ROUTERS[name][1], jitter=0.2, gauss=0.5, rng=seed)
        steps.append([router(x, i, MASK).logits.data for _ in range(2)])
    np.testing.assert_array_equal(steps[0], steps[1])
    assert not np.array_equal(steps[0][0], steps[0][1]) and not np.array_equal(steps[0], steps[2])


def test_all_routers_of_one_seed_start_with_the_same_weights_whatever_their_noise():
    weights = [make_router(name, D, E, rng=3, **options).weight.data for name, options in ROUTERS.values()]
    weights.append(make_router("switch", D, E, rng=3, jitter=0.5).weight.data)
    assert all(np.array_equal(w, weights[0]) for w in weights)
    assert weights[0].any(axis=1).all()                          # never a router of zeros
    assert not np.array_equal(weights[0], make_router("switch", D, E, rng=4).weight.data)


@pytest.mark.parametrize("measure", ["random", "shuffled(rowmax)", "shuffled(random)", "shuffled(rollout)"])
def test_drawn_importance_repeats_in_evaluation_and_is_drawn_anew_in_training(measure):
    router = make_router("da", D, E, measure=measure)
    train = [router.importance(list(ATTENTION), FULL) for _ in range(2)]
    before = router.noise.bit_generator.state
    evaluation = [router.eval().importance(list(ATTENTION), FULL) for _ in range(2)]
    assert not np.array_equal(*train)
    np.testing.assert_array_equal(*evaluation)
    assert router.noise.bit_generator.state == before


def test_shuffled_importance_keeps_each_samples_histogram_of_experts():
    """The decisive control: the same numbers of experts, at other tokens."""
    counts = []
    for measure in ("rowmax", "shuffled(rowmax)"):
        router = make_router("da", D, 16, measure=measure).eval()
        importance = router.importance(list(ATTENTION), FULL).astype(np.float32)
        counts.append(router(Tensor(X.astype(np.float32)), importance).k.reshape(2, 6))
    assert not np.array_equal(*counts)
    np.testing.assert_array_equal(*(np.sort(k, axis=1) for k in counts))


# ---- what a router tells of itself

@pytest.mark.parametrize("name, options, expected", [
    ("switch", {}, (1, 1)), ("topk", dict(k=3), (3, 3)), ("topp", {}, (1, 4)), ("expert_choice", {}, (0, 4)),
    ("da", {}, (1, 4)), ("da", dict(k_min=0, k_max=2), (0, 2))])
def test_the_routing_says_what_the_router_allows(name, options, expected):
    router = make_router(name, D, E, **options)
    assert router(Tensor(X.astype(np.float32)), IMPORTANCE.astype(np.float32), MASK).k_range == expected


@EVERY
def test_the_routing_keeps_importance_mask_logits_and_probabilities(name):
    routing = routed(name)
    assert routing.importance.shape == routing.mask.shape == (12,) and routing.logits.shape == (12, E)
    np.testing.assert_array_equal(routing.mask, MASK.reshape(-1))
    if name != "da router_entropy":
        np.testing.assert_array_equal(routing.importance, IMPORTANCE.reshape(-1))
    p = np.exp(routing.logits.data)
    np.testing.assert_allclose(routing.probabilities.data, p / p.sum(axis=1, keepdims=True), rtol=1e-12)
    assert routing.stats["tokens"] == 10 and routing.stats["assignments"] == routing.k.sum()


def test_router_entropy_is_what_decides_under_that_measure():
    routing = routed("da router_entropy")
    p = routing.probabilities.data
    entropy = -(p * np.log(p)).sum(axis=1) / np.log(E) * MASK.reshape(-1)
    np.testing.assert_allclose(routing.importance, entropy, rtol=1e-12)
    assert routing.k.tolist() == (np.ceil(E * (entropy - 1e-6)) * MASK.reshape(-1)).tolist()
    backwards = routed("da router_entropy", measure="reversed(router_entropy)", normalise="minmax")
    first = backwards.importance.reshape(2, 6)[0]
    assert first.argmin() == entropy[:6].argmax() and (first.min(), first.max()) == (0, 1)


def test_a_layer_hands_its_options_to_the_router():
    layer = MoELayer(D, 5, E, "da", rng=0, router_options=dict(allocation="budget", mean_experts=2, normalise="rank"))
    assert isinstance(layer.router, DynamicRouter) and layer.router.normalise == "rank"
    assert layer.router.allocation["allocation"] == "budget" and layer.router.allocation["mean_experts"] == 2
