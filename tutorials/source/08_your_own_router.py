# %% [markdown]
# # 8. A router of your own
#
# **What you will understand at the end**
#
# - how to write a router in about twenty lines, from the probabilities alone or with importance from attention;
# - how to give it scores of its own, and how to check the gradients of a layer that uses it;
# - why nothing can be learned through the number of experts;
# - what must hold for each router, and how the usual mistakes show, or do not show;
# - how to compare two routers fairly: equal compute, several seeds, a paired interval.
#
# **What you need.** The lessons on attention, on the expert layer and on importance: router logits $z$, their
# softmax $p$, gates, and $K_i$, the number of experts of token $i$.
#
# **Time.** About 80 minutes with the four exercises. The page itself runs in less than a minute, most of it
# fifteen short trainings, and needs no GPU.

# %% [setup]

# %%
import inspect
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minimoe import Tensor, moe, ops, plots
from minimoe.backend import array_module, to_backend, to_host
from minimoe.moe import MoELayer, Router, TopKRouter, health, token_importance
from minimoe.nn import Parameter
from minimoe.training import TrainConfig, Trainer, load_checkpoint
from minimoe.training.task import prepare_task

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b7280"     # told apart with every kind of colour vision


def axes_for(width=7.0, height=3.2, rows=1, **more):
    """A figure with one or more plain axes below each other."""
    _, axes = plt.subplots(rows, 1, figsize=(width, height), layout="constrained", squeeze=False, **more)
    for one in axes[:, 0]:
        one.spines[["top", "right"]].set_visible(False)
    return axes[:, 0] if rows > 1 else axes[0, 0]

# %% [markdown]
# ## 8.1 One method
#
# A router answers two questions for each token: *how good is each expert for it?* (the logits $z$), and *how many
# experts does it get?* ($K_i$). All the rest, choosing the $K_i$ best, the gates, the losses, sorting the rows by
# expert, is the same for every router, and the base class `minimoe.moe.Router` does it. Its logits are $z = x
# W^\top$, so only one method is missing, and this is all that it says:

# %%
print(inspect.getsource(Router.experts_per_token))

# %% [markdown]
# Here is a router. It gives a token a second expert when the router cannot decide: when the second largest
# probability is more than `ratio` times the largest. `ratio` is an **option of its own**: a keyword of
# `__init__`. All other keywords are handed on to the base class, so `gates`, `balance_weight` and the rest work
# as ever.
#
# Two small things. `array_module` answers NumPy or CuPy, whichever made the array, so the router runs on a GPU
# too. `k_range` tells reports which numbers are possible; it decides nothing.

# %%
class Hesitant(Router):
    """A second expert where the best two are close."""

    def __init__(self, *args, ratio=0.8, **options):
        super().__init__(*args, **options)
        self.ratio = ratio
        self.k_range = (1, 2)

    def experts_per_token(self, probabilities, importance, mask):
        xp = array_module(probabilities)
        ranked = xp.sort(probabilities, axis=1)                                # (N, E), the largest last
        return 1 + (ranked[:, -2] > self.ratio * ranked[:, -1])                # (N,) integers, 1 or 2


random = np.random.default_rng(0)
layer = MoELayer(16, 32, 4, Hesitant(16, 4, ratio=0.85, rng=0), rng=1).to(BACKEND)
x = Tensor(random.standard_normal((2, 6, 16)).astype(np.float32), backend=BACKEND)
mask = np.array([[True] * 6, [True] * 4 + [False] * 2])                        # the second sample has 4 real tokens
y, routing = layer(x, mask=mask)
print("x", x.shape, "  y", y.shape, "  probabilities", routing.probabilities.shape, "  k", routing.k.shape)
print("experts per token:")
print(to_host(routing.k).reshape(2, 6))

# %%
p = np.sort(routing.probabilities.numpy(), axis=1)
expected = np.where(p[:, -2] > 0.85 * p[:, -1], 2, 1) * mask.ravel()            # 0 at padding: the base class's work
assert np.array_equal(to_host(routing.k), expected)
assert not y.numpy()[1, 4:].any()

# %% [markdown]
# ### In a trained model
#
# Random numbers say little about a rule. The package ships a small sentiment model with 8 experts, trained with
# DA-MoE's router. We put our router into both of its expert layers and let it take over the trained weight $W$.
# Then the probabilities are the trained ones and only the rule for $K_i$ is ours. (The model was not trained for
# this rule, so we look at what the rule *decides*, not at how well the model does.)

# %%
shipped = load_checkpoint(Path(minimoe.__file__).parent / "assets" / "sentiment")
tokenizer = shipped.tokenizer


def model_with(router_class, **options):
    """The shipped model with our router in its expert layers."""
    model = shipped.model(backend=BACKEND)
    for expert_layer in model.expert_layers():
        trained = expert_layer.router
        own = router_class(64, 8, rng=0, **options)
        own.load_state_dict(trained.state_dict())
        expert_layer.router = own.to(BACKEND)
    return model.eval()                                                        # no dropout, no noise


def batch_of(*texts, tokenizer=tokenizer):
    """ids and mask (B, S) of some texts; shorter ones are padded at the end."""
    rows = [tokenizer.encode(text) for text in texts]
    mask = np.arange(max(map(len, rows))) < np.array([[len(row)] for row in rows])
    ids = np.zeros(mask.shape, np.int32)
    ids[mask] = np.concatenate(rows)
    return ids, mask


text = "although the lobby was awful , my brother found the hotel we chose truly lovely ."
ids, mask = batch_of(text)
words = tokenizer.tokens(ids[0].tolist())
ratios = (0.7, 0.8, 0.9)
counts = [to_host(model_with(Hesitant, ratio=ratio)(ids, mask).routings[0].k) for ratio in ratios]
print("ids", ids.shape, "  mask", mask.shape, "  experts in the first layer, for each ratio:", np.shape(counts))
plots.experts_per_token(words, np.stack(counts), format="figure", labels=[f"ratio {ratio}" for ratio in ratios],
                        title="The larger the ratio, the fewer tokens count as undecided")

# %%
assert all((fewer <= more).all() for more, fewer in zip(counts, counts[1:], strict=False))
assert len(np.unique(counts)) == 2                                          # both answers occur

# %% [markdown]
# And where do the tokens go? The plan of the first layer for a short sentence: on the left each token with its
# experts, on the right the rows as the experts receive them. A thick line is a large gate (here they are all
# alike); hollow dots are experts that nobody chose.

# %%
ids, mask = batch_of("the film was not good .")
routing = model_with(Hesitant, ratio=0.9)(ids, mask).routings[0]
assert routing.plan.expert.size == int(to_host(routing.k).sum())               # one row for each expert of each token
plots.routing_plan(routing, tokenizer.tokens(ids[0].tolist()))

# %% [markdown]
# `health` says in sentences how the experts are used. It is careful with few tokens, so we ask it about many: a
# few hundred sentences of the test split, once with the rule that the model was trained with and once with ours.

# %%
task = prepare_task(TrainConfig(task="sentiment"))
sentences = [example.text for example in task.test_data.examples[:300]]
price = {}
for name, model in {"the model's own rule": shipped.model(backend=BACKEND), "Hesitant": model_with(Hesitant)}.items():
    routing = model(*batch_of(*sentences)).routings[0]
    price[name] = routing.stats["mean_k"]
    print(name, *health(routing), sep="\n    ")
assert routing.stats["k_hist"][3:] == [0] * 6 and 1 < price["Hesitant"] < 2 < price["the model's own rule"]

# %% [markdown]
# Read it in this order. **The mean first**: the mean number of experts is the price of the layer, and any
# comparison starts there. **Then dead experts**: they cost memory and learn nothing. **Then balance**: it is 1.0
# when all experts are used alike, and larger when the crowded experts are also those with the largest
# probabilities; "effective experts" says how many equally used experts would be as diverse (lesson 5). A line
# that begins with "Warning" says that routing has collapsed onto few experts.
#
# But do not blame a rule too early. The balance loss counts *all* experts that a token gets. This model learned
# with more experts for each token, and was free to send many first choices to the same place, as long as the
# others evened it out. A rule that takes little more than the first choices then finds them crowded. So judge
# health after training with the rule, as we do in section 8.6.
#
# ### Exercise 8.1: a top-p rule
#
# Another rule that needs only the probabilities: **the fewest experts whose probabilities together reach $p$**.
# Sort the probabilities of a token from large to small and add them up; the expert with which the sum reaches $p$
# (`sum >= p`) is the last one taken. With probabilities 0.2, 0.5, 0.3 and $p = 0.6$ a token gets two experts.
#
# Write it for all tokens at once: `probabilities` (N, E), answer (N,) integers. A token can have at most E
# experts, even if rounding keeps its sum a little below 1 and somebody asks for $p = 1$. Hint: `np.cumsum(...,
# axis=1)`, then count in how many places the sum is still too small.

# %% [exercise] top_p_counts
def top_p_counts(probabilities, p):
    """The fewest experts whose probabilities reach p. probabilities (N, E), rows sum to 1; returns integers (N,)."""
    ### BEGIN SOLUTION
    largest_first = -np.sort(-probabilities, axis=1)
    too_small = np.cumsum(largest_first, axis=1) < p
    return np.minimum(too_small.sum(axis=1) + 1, probabilities.shape[1])
    ### END SOLUTION

# %% [check] top_p_counts points=2
fresh = np.random.default_rng()
one = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
p_check = np.stack([one, *fresh.permuted(np.tile(one, (4, 1)), axis=1), one[::-1]])      # the same, in other orders
answer = top_p_counts(p_check.copy(), 0.6)
assert answer is not None, "top_p_counts gives nothing back: end it with return"
assert np.shape(answer) == (6,), f"the answer has shape {np.shape(answer)}; it must be (6,), one number for each token"
assert np.asarray(answer).dtype.kind in "iu", (
    f"the answer holds {np.asarray(answer).dtype}; it must hold integers: count with .sum(axis=1)")
assert not (np.asarray(answer) == 1).all(), (
    "the expert with which the sum reaches p is missing: in so many places the sum is too small, so add 1")
assert not (np.asarray(answer) >= 4).all(), "the smallest probabilities are added first: sort from large to small"
assert len(set(np.asarray(answer).tolist())) == 1, (
    "rows with the same probabilities in another order get other counts: sort each row (axis=1) before adding up")
assert (np.asarray(answer) == 2).all(), "0.4 + 0.25 reaches 0.6, so each of these tokens needs 2 experts"
assert top_p_counts(np.array([[0.25, 0.5, 0.25]]), 0.5)[0] == 1, (
    "the largest probability is 0.5 and p is 0.5: that already reaches p, so one expert is enough (count sum < p)")
assert top_p_counts(np.full((1, 4), 0.2499), 1.0)[0] == 4, (
    "rounding can keep the sum below p = 1, and then the answer must be E, neither more nor 1: use np.minimum")
print("Right: sort, add up, count, and the crossing expert is included.")

# %% [markdown]
# ## 8.2 A router that reads attention
#
# DA-MoE's idea is that attention tells how many experts a token deserves. A router gets **importance** when its
# class names a measure. `"colmax"` says how hard the token is looked at, `"rowmax"` how sharply it looks itself.
# Before each call the encoder computes it from the attention of the same block and hands it over, as an array (B,
# S), 0 at padding.
#
# Our second router ranks the tokens of a sentence by importance. The upper half gets three experts, the lower
# half one, and if the number of tokens is odd, the one in the middle gets two. So **the mean is exactly two** in
# each sentence. That will be useful for a fair comparison.
#
# The rule is about a sentence, so it has to know where the sentence ends: `mask` (B, S) is `True` at real tokens.
# It may be None, and then all tokens are real. Sorting is `kind="stable"`: tokens of equal importance keep their
# order, on each machine. Sorting the sorted order once more gives each token its rank.

# %%
class Halves(Router):
    """Three experts for the more important half of a sample, one for the other."""

    measure = "colmax"
    k_range = (1, 3)

    def experts_per_token(self, probabilities, importance, mask):
        xp = array_module(importance)
        real = xp.ones(importance.shape, bool) if mask is None else mask
        order = xp.argsort(xp.where(real, -importance, xp.inf), axis=1, kind="stable")     # best first, padding last
        rank = xp.argsort(order, axis=1)                                       # (B, S): place in that order, 0 is best
        n = real.sum(axis=1, keepdims=True)                                    # (B, 1)
        return xp.where(2 * rank + 1 < n, 3, xp.where(2 * rank + 1 > n, 1, 2))


ids, mask = batch_of(text, "the film was not good .")
output = model_with(Halves)(ids, mask)
k = to_host(output.routings[0].k).reshape(mask.shape)
importance = to_host(output.routings[0].importance).reshape(mask.shape)
print("importance", importance.shape, "  k", k.shape, "  mean over real tokens of each sample:",
      k.sum(axis=1) / mask.sum(axis=1))
assert (k.sum(axis=1) == 2 * mask.sum(axis=1)).all() and not k[~mask].any()
plots.experts_per_token(words, k[0], importance[0], format="figure", k_max=8,
                        title="Experts by attention received; the bars show importance")

# %% [markdown]
# Note what the encoder did for us: the router never saw an attention matrix. If you call a layer yourself, you
# compute importance yourself.

# %%
attention = output.attentions[0].data                                          # (B, H, S, S) of the first block
by_hand = to_host(token_importance(attention, to_backend(mask, BACKEND), measure="colmax"))
print("attention", attention.shape, "  importance", by_hand.shape)
assert np.allclose(by_hand, importance)

# %% [markdown]
# ### Exercise 8.2: a confidence gap that respects the mask
#
# Combine the two: a rule from the probabilities, but **relative to the sentence**. The **gap** of a token is its
# largest probability minus its second largest. A token whose gap is *smaller than the mean gap of the real tokens
# of its own sample* gets two experts, every other token gets one.
#
# `probabilities` is (N, E) with N = B S rows, sample by sample; `mask` (B, S) tells which are real, and in this
# exercise it is never None. (Without it, a rule like this could not know where a sample ends.) Answer with
# integers (B, S). What you say at padding does not matter, but what *stands* at padding must not matter either.

# %% [exercise] ConfidenceGap
class ConfidenceGap(Router):
    """Two experts where the best two are closer than usual in this sample."""

    def experts_per_token(self, probabilities, importance, mask):
        ### BEGIN SOLUTION
        ranked = np.sort(probabilities, axis=1)
        gap = (ranked[:, -1] - ranked[:, -2]).reshape(mask.shape)              # (B, S)
        mean = np.where(mask, gap, 0).sum(axis=1, keepdims=True) / mask.sum(axis=1, keepdims=True)
        return np.where(gap < mean, 2, 1)
        ### END SOLUTION

# %% [check] ConfidenceGap points=3
fresh = np.random.default_rng()
assert issubclass(ConfidenceGap, Router), "ConfidenceGap must be derived from Router: class ConfidenceGap(Router)"


def p_with_gaps(gaps):
    """Probabilities (N, 4) whose best two differ by `gaps` (N,), the experts in a fresh order."""
    gaps = np.ravel(gaps)
    best, part = np.where(np.arange(gaps.size) % 2, [[0.4], [0.03]], [[0.45], [0.01]])
    rest = 0.5 + gaps / 2 - best
    return fresh.permuted(np.stack([best, best - gaps, rest + part, rest - part], axis=1), axis=1)


def gap_counts(gaps, mask):
    """The answer's counts on the real tokens."""
    answer = ConfidenceGap(3, 4, rng=0).experts_per_token(p_with_gaps(gaps), None, mask)
    assert answer is not None, "experts_per_token gives nothing back: end it with return"
    answer = np.asarray(answer)
    assert answer.shape == mask.shape, (
        f"the answer has shape {answer.shape}; it must be (B, S), here {mask.shape}: reshape the gap to mask.shape")
    assert answer.dtype.kind in "iu", f"the answer holds {answer.dtype}; it must hold integers, 1 or 2"
    return answer[mask]


scale = fresh.uniform(0.9, 1.1)
one, full = scale * np.array([[0.02, 0.04, 0.06, 0.12]]), np.ones((1, 4), bool)
one[0, 2] = 0.05 * scale                                                       # the mean lies above it
counts_check = gap_counts(one, full)
assert not np.array_equal(counts_check, [1, 1, 1, 2]), (
    "the sure tokens got the second expert: it belongs to the small gaps, gap < mean")
assert np.isin(counts_check, (1, 2)).all(), "a token must get 1 or 2 experts"
assert np.array_equal(counts_check, [2, 2, 2, 1]), (
    "one sample without padding is wrong: the gap is largest minus second largest, and its mean decides")
padded = np.concatenate([one, scale * np.full((1, 4), 0.001)], axis=1)
assert np.array_equal(gap_counts(padded, np.arange(8)[None] < 4), counts_check), (
    "padding moves the mean: take the mean over mask, and divide by the number of real tokens")
two = np.concatenate([one, one / 8])
assert np.array_equal(gap_counts(two, np.ones((2, 4), bool)), np.tile(counts_check, 2)), (
    "a sample's counts change with the other samples: one mean for each sample, axis=1, keepdims=True")
both = np.concatenate([padded, padded / 8])
assert np.array_equal(gap_counts(both, np.tile(np.arange(8) < 4, (2, 1))), np.tile(counts_check, 2)), (
    "with padding and several samples the counts are wrong: one mean for each sample, over its real tokens")
print("Right: relative to the sample, and padding has no say.")

# %% [markdown]
# ## 8.3 Scores of its own
#
# A router may also answer the first question in its own way. The usual logits are products $z_{ie} = \langle x_i,
# w_e \rangle$, with $w_e$ the row of $W$ for expert $e$. They grow with the length of $x_i$: a long vector makes
# the router sure, whatever its direction. A **cosine router** compares directions only,
#
# $$z_{ie} = s \cdot \frac{\langle x_i, w_e \rangle}{\lVert x_i \rVert \lVert w_e \rVert},$$
#
# with a learned scale $s$. (X-MoE, arXiv 2204.09179, routes by cosine in a smaller space, so that the tokens'
# vectors do not gather around those of the experts.) The class overrides `logits`. Here gradients do flow, so it
# is written with tensors and `ops`, and $s$ is a `Parameter`, which the optimiser will find. The number of
# experts is to stay fixed, so we derive from `TopKRouter` and inherit that. (The base class's `logits` also adds
# training noise, the options `jitter` and `gauss`; a class that overrides it does without.)

# %%
class Cosine(TopKRouter):
    """Logits from directions only, times a learned scale."""

    def __init__(self, *args, scale=4.0, **options):
        super().__init__(*args, **options)
        self.scale = Parameter(np.array([scale], np.float32))

    def logits(self, x):
        return ops.linear(direction(x), direction(self.weight)) * self.scale   # (N, E)


def direction(rows):
    """Every row divided by its length; the small number keeps a row of zeros from dividing by 0."""
    return rows / ops.sqrt((rows * rows).sum(axis=1, keepdims=True) + 1e-12)


routers = {"linear": TopKRouter(16, 8, k=2, rng=0), "cosine": Cosine(16, 8, k=2, rng=0)}
token = np.random.default_rng(1).standard_normal((1, 16)).astype(np.float32)
lengths = np.logspace(-1, 2, 40)
rows = Tensor((token / np.linalg.norm(token) * lengths[:, None]).astype(np.float32))      # (40, 16), one direction
sure = {name: router(rows).probabilities.numpy().max(axis=1) for name, router in routers.items()}
axes = axes_for()
for (name, values), colour, line in zip(sure.items(), (RED, BLUE), ("-", "--"), strict=True):
    axes.semilogx(lengths, values, line, color=colour, linewidth=2)
    axes.text(lengths[-1] * 1.1, values[-1], name, color=colour, va="center")
axes.set(xlabel="length of the token's vector", ylabel="largest probability", ylim=(0, 1.05), xlim=(0.1, 200))
plt.show()

# %% [markdown]
# The next cell is the most useful one of this lesson: **check the gradients of a layer with your router in it**.
# We replace the parameters by the tensors that `gradcheck` hands us, and let it look at the input, at the
# router's weight and scale, and at an expert's matrix. The auxiliary losses are checked along with the output,
# because they too depend on your logits.

# %%
layer = MoELayer(3, 4, 4, Cosine(3, 4, k=2, rng=0), rng=1).to(dtype=np.float64)
mask = np.array([[True, True, True], [True, True, False]])


def layer_output(x, weight, scale, w1):
    layer.router.weight, layer.router.scale, layer.experts.w1 = weight, scale, w1
    y, routing = layer(x, mask=mask)
    return y, routing.aux_loss


shapes = [(2, 3, 3), layer.router.weight.shape, (1,), layer.experts.w1.shape]
worst = minimoe.gradcheck(layer_output, [random.standard_normal(shape) for shape in shapes])
print("checked shapes", shapes, f"  largest relative error {worst:.1e}")
assert worst < 1e-6
assert np.ptp(sure["cosine"]) < 1e-3 < np.ptp(sure["linear"])                  # only directions count

# %% [markdown]
# ### Nothing flows through K
#
# What about `experts_per_token`: does it need a backward? No, and it cannot have one. $K_i$ is a whole number. A
# small nudge leaves it as it is, so its slope is 0; and at the few places where it jumps there is no slope. One
# token moves along a straight line, $x(t) = x + t v$, through a layer with the `Hesitant` router. The picture
# shows one number read off its output, and its $K$.

# %%
layer = MoELayer(6, 8, 4, Hesitant(6, 4, ratio=0.6, rng=13), rng=5).to(dtype=np.float64)
layer.router.weight.data *= 4                                                  # a more decided router
start, step, reading = np.random.default_rng(14).standard_normal((3, 6))


def read(t):
    """The number that we read off the output at t, as a tensor, and K."""
    y, routing = layer(t * Tensor(step[None]) + Tensor(start[None]))
    return (y * Tensor(reading[None])).sum(), int(routing.k[0])


def slopes(t, h=1e-6):
    """(the backward's slope, that of the central difference) at t."""
    leaf = Tensor(np.array([[t]]), requires_grad=True)
    read(leaf)[0].backward()
    above, below = (read(Tensor(np.array([[t + d]])))[0].item() for d in (h, -h))
    return leaf.grad.item(), (above - below) / (2 * h)


times = np.linspace(-2.6, 3.4, 601)
values, ks = np.array([(value.item(), k) for value, k in (read(Tensor(np.array([[t]]))) for t in times)]).T
jumps = np.flatnonzero(np.diff(ks))
upper, lower = axes_for(height=4, rows=2, sharex=True, height_ratios=(3, 1))
for piece in np.split(np.arange(times.size), jumps + 1):                       # a line must not bridge a jump
    upper.plot(times[piece], values[piece], color=BLUE, linewidth=2)
    lower.plot(times[piece], ks[piece], color=RED, linewidth=3)
for jump in times[jumps]:
    upper.axvline(jump, color=GREY, linewidth=0.8, linestyle=":")
upper.set(ylabel="output")
lower.set(xlabel="t", ylabel="K", yticks=(1, 2), ylim=(0.7, 2.3))
plt.show()

# %% [markdown]
# The output is smooth in pieces and jumps where $K$ changes: an expert comes or goes with its whole gate. (It
# would jump too where one chosen expert takes another's place.) In a piece the backward is right. At a jump,
# finite differences divide a jump by a tiny step, and the result is nonsense, worse than at a kink of lesson 1.
# We find the first jump by halving, and compare.

# %%
low, high = times[jumps[0]], times[jumps[0] + 1]
for _ in range(40):
    middle = (low + high) / 2
    low, high = (middle, high) if read(Tensor(np.array([[middle]])))[1] == ks[jumps[0]] else (low, middle)
inside = [slopes(t) for t in times[::25] if abs(t - times[jumps]).min() > 0.02]
at_jump = slopes(low)
print(f"{len(inside)} places inside pieces: largest difference {max(abs(a - b) for a, b in inside):.1e}")
print(f"at the jump: backward {at_jump[0]:.2f}, central difference {at_jump[1]:.2e}")
assert len(jumps) > 0 and max(abs(a - b) for a, b in inside) < 1e-6
assert abs(at_jump[1]) > 1000 * abs(at_jump[0])

# %% [markdown]
# Two things follow. **If `gradcheck` complains about your router**, first see whether $K$ changes within its step
# ($10^{-5}$): choose other inputs, or a fixed $K$, and check again. And **a number that is only used to decide
# $K$ never learns**, even if it is a `Parameter`. This mistake raises no error:

# %%
class Hopeful(Hesitant):
    """The ratio as a parameter: looks as if it learned, and does not."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.ratio_parameter = Parameter(np.array([0.5], np.float32))

    def experts_per_token(self, probabilities, importance, mask):
        self.ratio = self.ratio_parameter.data
        return super().experts_per_token(probabilities, importance, mask)


def parameters_without_gradient(router):
    """Their names, after one backward of a layer with this router."""
    layer = MoELayer(16, 8, 4, router, rng=1).to(BACKEND)
    y, routing = layer(Tensor(random.standard_normal((1, 50, 16)).astype(np.float32), backend=BACKEND))
    ((y * y).mean() + routing.aux_loss).backward()
    return [name for name, parameter in layer.named_parameters() if parameter.grad is None]


print("Hopeful:", parameters_without_gradient(Hopeful(16, 4, rng=0)))
print("Cosine: ", parameters_without_gradient(Cosine(16, 4, rng=0)))
assert parameters_without_gradient(Hopeful(16, 4, rng=0)) == ["router.ratio_parameter"]
assert parameters_without_gradient(Cosine(16, 4, rng=0)) == []

# %% [markdown]
# The scale of the cosine router learns, because it moves the gates. To learn *how many* experts a token gets, a
# router would have to put something with a slope in place of the jumps; DA-MoE as we know it does not.
#
# ## 8.4 What must hold, and what the library says
#
# The base class checks the answer of `experts_per_token`. Here are home-made routers with common mistakes, and
# the sentence with which each is refused.

# %%
def router_that_says(answer):
    """A router whose experts_per_token answers with answer(probabilities)."""
    class Own(Router):
        def experts_per_token(self, probabilities, importance, mask):
            return answer(probabilities)

    return Own(4, 3, rng=0)


class Forgetful(Router):
    """Its method has another name."""

    def experts(self, probabilities, importance, mask):
        return np.ones(len(probabilities), int)


class Exploding(TopKRouter):
    def logits(self, x):
        return super().logits(x) / 0.0


mask = np.array([[True, True, True], [True, False, False]])
x = Tensor(random.standard_normal((2, 3, 4)).astype(np.float32))
wrong = {
    "a share in place of a number": router_that_says(lambda p: 3 * p.max(axis=1)),
    "True and False": router_that_says(lambda p: p.max(axis=1) > 0.4),
    "one number for all": router_that_says(lambda p: 2),
    "one number for each sample": router_that_says(lambda p: np.array([1, 2])),
    "below zero": router_that_says(lambda p: np.arange(6) - 1),
    "another name for the method": Forgetful(4, 3, rng=0),
    "importance wanted, none given": Halves(4, 3, rng=0),
    "logits that are not finite": Exploding(4, 3, rng=0),
}
said = {}
for mistake, router in wrong.items():
    try:
        with np.errstate(all="ignore"):
            router(x, mask=mask)
    except Exception as error:
        said[mistake] = f"{type(error).__name__}: {error}"
    print(f"{mistake}\n    {said.get(mistake, 'was not refused')}")
assert len(said) == len(wrong)

# %% [markdown]
# Other answers are not refused but put right. **Padding gets 0**, whatever you say. **More experts than there
# are** is clipped to E, and counted: a count of clipped tokens that is not 0 means that your rule does not do
# what you think.

# %%
routing = router_that_says(lambda p: np.array([1, 2, 9, 1, 9, 9]))(x, mask=mask)
print("asked for [1 2 9], [1 9 9]   got", routing.k.reshape(2, 3).tolist(), "  clipped:", routing.stats["clipped"])
assert routing.k.tolist() == [1, 2, 3, 1, 0, 0] and routing.stats["clipped"] == 1

# %% [markdown]
# ### Ties
#
# Experts with equal logits: the lower number wins, always and on each machine. That is harmless for trained
# weights and fatal for a router whose weight starts at zero: all experts tie, and the whole batch goes to the
# first ones. `health` sees it.

# %%
router = TopKRouter(16, 8, k=2, rng=0)
many = Tensor(random.standard_normal((200, 16)).astype(np.float32))
before = router(many)
router.weight.data[...] = 0
after = router(many)
print("drawn at random:", before.stats["expert_load"])
print("all zero:       ", after.stats["expert_load"])
print(health(after)[-1])
assert after.stats["expert_load"] == [200, 200] + [0] * 6 and health(after)[-1].startswith("Warning")
assert min(before.stats["expert_load"]) > 0

# %% [markdown]
# Ties between *tokens* are more treacherous. "More important than the mean" sounds safe, but when all tokens are
# equally important, which is nearly the case before training, the mean of equal numbers may miss them by a
# rounding error, and then all of them get the extra expert. Let us count: uniform attention over $n$ tokens, for
# $n$ from 2 to 64.

# %%
def extra_experts(importance, tolerance):
    return int((importance > importance.mean() + tolerance).sum())


equal = [np.full(n, 1 / n, np.float32) for n in range(2, 65)]
for tolerance in (0.0, 1e-6):
    hit = sum(extra_experts(importance, tolerance) > 0 for importance in equal)
    print(f"tolerance {tolerance:g}: in {hit} of {len(equal)} lengths, tokens exceed the mean of equal tokens")
assert any(extra_experts(importance, 0.0) for importance in equal)
assert not any(extra_experts(importance, 1e-6) for importance in equal)

# %% [markdown]
# A threshold needs a margin. The library's own rule $K_i = \lceil E (I_i - 10^{-6}) \rceil$ has one for this
# reason. Ranks, as in `Halves`, need none.
#
# ## 8.5 In other company
#
# One more thing must hold, and no error sentence can check it for you: **what a model says about a sentence must
# not depend on the sentences beside it in the batch**, nor on how much padding they bring. Otherwise a result
# cannot be reproduced, and a service answers one user differently because of another.
#
# Here is a router that looks innocent, and what the model answers with it: the two logits, for negative and
# positive. It gives three experts to tokens whose importance, this time how sharply a token looks (`rowmax`), is
# above the mean.

# %%
class AboveMean(Router):
    """Three experts above the mean importance, one below."""

    measure = "rowmax"

    def experts_per_token(self, probabilities, importance, mask):
        return 1 + 2 * (importance > importance.mean())


model = model_with(AboveMean)
short, long = "my brother found the hotel truly lovely .", text
rows, answers = {}, {}
companies = {"alone": (), "with one as long": ("my sister found the film truly awful .",), "with a long one": (long,)}
for name, company in companies.items():
    output = model(*batch_of(short, *company))
    size = len(tokenizer.encode(short))
    rows[name] = to_host(output.routings[0].k)[:size]
    answers[name] = output.logits.numpy()[0]
    print(f"{name:20} k {rows[name].tolist()}  answer {np.round(answers[name], 4)}")
plots.experts_per_token(tokenizer.tokens(tokenizer.encode(short)), np.stack(list(rows.values())), format="figure",
                        labels=list(rows), title="The same sentence in other company")

# %%
assert any((k != rows["alone"]).any() for k in rows.values())
assert max(np.abs(answer - answers["alone"]).max() for answer in answers.values()) > 1e-3

# %% [markdown]
# The mean was taken over the whole batch, padding included: two leaks in one word. Beside a sentence of the same
# length there is no padding, and other people's importance is enough; beside a long one, the zeros at padding
# pull the mean down as well. (A third leak is a capacity: whether a token is dropped depends on who else wants
# the same expert. The layers here have none.) `Halves` ranks within a sample and passes the same test:

# %%
model = model_with(Halves)
alone, together = model(*batch_of(short)), model(*batch_of(short, long))
size = len(tokenizer.encode(short))
difference = np.abs(alone.logits.numpy()[0] - together.logits.numpy()[0]).max()
print("largest difference of the answers:", "below 1e-5" if difference < 1e-5 else difference)
assert np.array_equal(to_host(alone.routings[0].k), to_host(together.routings[0].k)[:size]) and difference < 1e-5

# %% [markdown]
# Why "below $10^{-5}$" and not zero? A matrix product of another size may add in another order. Rounding is no
# leak.
#
# ### Exercise 8.3: a test that finds leaks
#
# Write `leaks(layer, x, importance, mask)`. It runs the whole batch, then **each sample alone and cut to its real
# tokens**, and returns `True` if any output of a real token differs by more than `1e-6`, else `False`.
#
# `layer(x, importance, mask)` gives `(y, routing)`, as above; x is a tensor (B, S, d), importance and mask are
# arrays (B, S), and real tokens come first in each sample. Compare the outputs y: a router can leak through its
# logits without changing a single $K$. Hint: `x[b : b + 1, :n]` is sample $b$ cut to $n$ tokens, and `y.numpy()`
# is an array.

# %% [exercise] leaks
def leaks(layer, x, importance, mask):
    """Whether a sample's output depends on the rest of its batch. x (B, S, d), importance, mask (B, S) -> bool."""
    ### BEGIN SOLUTION
    together = layer(x, importance, mask)[0].numpy()
    for b, n in enumerate(mask.sum(axis=1)):
        alone = layer(x[b:b + 1, :n], importance[b:b + 1, :n], mask[b:b + 1, :n])[0].numpy()
        if np.abs(together[b, :n] - alone[0]).max() > 1e-6:
            return True
    return False
    ### END SOLUTION

# %% [check] leaks points=3
fresh = np.random.default_rng()


def layer_for_check(count=None, score=None):
    """A layer whose router counts by count(importance, mask) and scores by z + score(z, x)."""
    class Own(Router):
        measure = "colmax"

        def experts_per_token(self, probabilities, importance, mask):
            mask = np.ones(importance.shape, bool) if mask is None else mask
            return np.full(importance.shape, 2) if count is None else count(importance, mask)

        def logits(self, x):
            z = super().logits(x)
            return z if score is None else z + score(z, x)

    return MoELayer(5, 6, 4, Own(5, 4, rng=fresh), rng=fresh).to(dtype=np.float64)


mask_check = np.arange(6) < np.array([[6], [3], [4]])
importance_check = np.where(mask_check, fresh.uniform(0.4, 0.6, mask_check.shape), 0)
importance_check[1] /= 4
x_check = Tensor(fresh.standard_normal((3, 6, 5)))


def found(**own):
    return leaks(layer_for_check(**own), x_check, importance_check.copy(), mask_check.copy())


honest = found(count=lambda i, m: np.where(i > np.where(m, i, 0).sum(1, keepdims=True) / m.sum(1, keepdims=True), 3, 1))
assert honest is not None, "leaks gives nothing back: end it with return True or return False"
assert isinstance(honest, bool | np.bool_), f"leaks answers with a {type(honest).__name__}; it must be True or False"
assert not honest, (
    "an honest router is accused: allow 1e-6 for rounding, and compare each sample with its own rows of y")
assert not found(score=lambda z, x: Tensor(np.arange(4) * 1e-9 * len(x))), (
    "a difference of about 1e-9 is rounding, and it was called a leak: allow 1e-6")
assert found(count=lambda i, m: np.where(i > 0.3, 1, 1 + 3 * (len(i) > 1))), (
    "a leak is missed that shows only in the second sample: compare every sample, and one that differs is enough")
assert found(count=lambda i, m: np.where(m.all(axis=1, keepdims=True), 1, np.full(i.shape, 2))), (
    "a leak through padding is missed: run each sample without it, cut to its real tokens")
assert found(score=lambda z, x: Tensor(np.arange(4) * 0.3 * len(x))), (
    "a leak through the logits is missed: K stays the same there, so compare the outputs y")
print("Right: each sample alone, without padding, and the outputs compared.")

# %% [markdown]
# ## 8.6 Train it, and compare fairly
#
# Does it help that important tokens get more experts? A router can always buy a better score with more compute,
# so three rules make a comparison fair.
#
# 1. **Equal compute.** The mean number of experts must be the same within 2 %. Against `Halves` with its mean of
#    two stands `topk` with $k = 2$.
# 2. **A control.** `Halves` also differs from `topk` in giving different tokens different numbers, whoever they
#    are. So we add a router that gives out *the same numbers at random*: importance shuffled among the tokens of
#    a sentence (it overrides `importance`, the method that reads the attention). If that one does as well,
#    importance was not the reason.
# 3. **Several seeds, in pairs.** Two runs with the same seed start from the same weights and see the same batches
#    in the same order. Their difference is freed of that luck.

# %%
class Shuffled(Halves):
    """Halves with importance dealt out at random: the control."""

    def importance(self, attentions, mask=None, x=None):
        rng = self.noise if self.training else 0                               # evaluation: the same each time
        return token_importance(attentions[-1], mask, "shuffled(colmax)", rng=rng)

# %% [markdown]
# The trainer makes a router for each layer, so it wants a recipe in place of an object: the name of a built-in
# router, or `"path/to/file.py:ClassName"`. A notebook's classes live in a module called `__main__`, so a file
# with one line is enough to reach them. (If you change `Halves`, run this cell again, so that the file is new.)
# Outside a notebook you would simply write the class into the file, as section 8.7 does.
#
# A run here is tiny: one layer, width 32, two heads, 8 experts, 60 steps. The library's own training of this task
# takes many times as long and ends far better; so take what follows as an example of how to compare, not as a
# verdict on anybody's router.

# %%
folder = Path(tempfile.mkdtemp())
bridge = folder / "bridge.py"
bridge.write_text("from __main__ import Halves, Shuffled\n", encoding="utf-8")

SEEDS = range(5)
SIZES = dict(layers=1, d_model=32, heads=2, d_ff=32, experts=8, epochs=1, max_steps=60, batch_size=64, lr=5e-3)
CONTENDERS = {"topk": dict(router="topk", router_options={"k": 2}), "halves": dict(router=f"{bridge}:Halves"),
              "shuffled": dict(router=f"{bridge}:Shuffled")}


def trainer_for(name, seed):
    config = TrainConfig(task="sentiment", seed=seed, backend=BACKEND, **SIZES, **CONTENDERS[name])
    return Trainer(config, task=task, progress=False)


fresh_ones = [trainer_for(name, seed=3) for name in CONTENDERS]
starts = [trainer.model.state_dict() for trainer in fresh_ones]
orders = [np.concatenate(trainer.epoch_batches()) for trainer in fresh_ones]   # which example comes when
assert all(np.array_equal(orders[0], other) for other in orders)
assert all(np.array_equal(value, other[key]) for other in starts[1:] for key, value in starts[0].items())
print("parameters:", sum(value.size for value in starts[0].values()), "in", len(starts[0]),
      "arrays, equal at the start for all three routers")

# %%
trainers = {name: [trainer_for(name, seed) for seed in SEEDS] for name in CONTENDERS}
figures = {name: [trainer.train() for trainer in trainers[name]] for name in CONTENDERS}
scores = {name: 100 * np.array([run["score"] for run in runs]) for name, runs in figures.items()}       # accuracy in %
print(f"{'':9} mean K  operations/token  accuracy of each seed (%)")
for name, runs in figures.items():
    print(f"{name:9} {np.mean([run['mean_experts_per_token'] for run in runs]):6.3f}  "
          f"{np.mean([run['flops_per_token'] for run in runs]):16,.0f}  {np.round(scores[name], 1)}")

# %% [markdown]
# First the price, before anybody looks at the accuracies:

# %%
mean_k = {name: np.mean([run["mean_experts_per_token"] for run in runs]) for name, runs in figures.items()}
assert all(abs(k / mean_k["topk"] - 1) < 0.02 for k in mean_k.values()), "not a fair comparison: unequal compute"
assert all((score > 60).all() for score in scores.values())                    # all learned: guessing gives 50

# %% [markdown]
# ### A paired interval
#
# For each seed take the difference of two routers. Five differences have a mean $\bar d$ and a standard deviation
# $s$. The **95 % interval** is $\bar d \pm 2.78 \cdot s / \sqrt 5$: 2.78 is Student's factor for five numbers.
# The 1.96 that one often sees holds where $s$ is known and not itself a guess; lesson 7 counts how often such
# intervals are right.

# %%
def interval(differences):
    """(mean, half width) of the 95 % interval, for five paired differences."""
    return differences.mean(), 2.776 * differences.std(ddof=1) / np.sqrt(5)


pairs = {"halves - topk": scores["halves"] - scores["topk"], "halves - shuffled": scores["halves"] - scores["shuffled"],
         "shuffled - topk": scores["shuffled"] - scores["topk"]}
axes = axes_for(height=2.8)
for row, (name, differences) in enumerate(pairs.items()):
    mean, half = interval(differences)
    axes.errorbar(mean, row, xerr=half, fmt="D", color=BLUE, capsize=5, linewidth=2, markersize=7)
    axes.plot(differences, np.full(5, row + 0.22), "o", color=RED, alpha=0.7, markersize=5)
    verdict = "no difference shown" if abs(mean) < half else "better" if mean > 0 else "worse"
    print(f"{name:18} {mean:+.2f} points, 95 % interval {mean - half:+.2f} to {mean + half:+.2f}: {verdict}")
axes.axvline(0, color=GREY, linewidth=1)
axes.set(yticks=range(3), yticklabels=pairs, ylim=(2.6, -0.5), xlabel="difference in accuracy (points); dots are seeds")
plt.show()

# %% [markdown]
# How to read it. **If an interval contains 0, no difference has been shown.** That is not the same as "they are
# equal": the half width says which differences these five small runs could not have seen. If it does not contain
# 0, remember that there are three of them here, and that each misses the truth once in twenty times. And "better
# than `topk`" would mean nothing for importance unless `shuffled` is beaten as well.
#
# Does the extra compute at least go to the words that matter? The built-in task knows which words decide the
# label. (If it does, and the score is still no better, then more experts there is not what the task lacks.)

# %%
for name, runs in figures.items():
    deciding = np.mean([[run["deciding"]["routed"][kind] for kind in ("deciding", "others")] for run in runs], axis=0)
    print(f"{name:9} experts per deciding word {deciding[0]:.2f}, per other word {deciding[1]:.2f}")

# %% [markdown]
# And last, the health of a trained layer, on a batch of test sentences.

# %%
trained = trainers["halves"][0]
routing = trained.model(*batch_of(*sentences, tokenizer=trained.tokenizer)).routings[0]
print("\n".join(health(routing)))
assert routing.stats["mean_k"] == 2 and routing.stats["dropped"] == 0
plots.expert_load(routing.stats["expert_load"])

# %% [markdown]
# ### Exercise 8.4: any mean you like
#
# For a fair comparison your own rule needs a mean that you choose. `Halves` can only do a mean of two. Write the
# rule for any mean $\bar K$: `share_experts(importance, mask, mean_experts)`. In a sample with $n$ real tokens
#
# - exactly $T = \lfloor \bar K n + \frac 1 2 \rfloor$ experts are given out, which keeps the mean over many
#   samples well within 2 % of $\bar K$;
# - each real token gets $\lfloor \bar K \rfloor$ of them, and what is left goes, one each, to the most important
#   real tokens of the sample; among equally important ones, to those that come first;
# - padding gets 0.
#
# importance and mask are arrays (B, S), and the answer is integers (B, S). You may loop over the samples.

# %% [exercise] share_experts
def share_experts(importance, mask, mean_experts):
    """Integers (B, S): floor(mean_experts * n + 1/2) in each sample of n real tokens. importance, mask: (B, S)."""
    ### BEGIN SOLUTION
    base = int(np.floor(mean_experts))
    k = np.where(mask, base, 0)
    for b, real in enumerate(mask):
        n = int(real.sum())
        left = int(np.floor(mean_experts * n + 0.5)) - base * n
        best = np.argsort(np.where(real, -importance[b], np.inf), kind="stable")[:left]
        k[b, best] += 1
    return k
    ### END SOLUTION

# %% [check] share_experts points=3
fresh = np.random.default_rng()
sizes_check = np.array([40, 30, 23, 11])
mask_check = np.arange(40) < sizes_check[:, None]
order_check = fresh.permuted(np.tile(np.arange(1.0, 41.0), (4, 1)), axis=1) * np.array([[1.0], [0.1], [0.02], [0.01]])
importance_check = np.where(mask_check, order_check, 0)
for mean_check in (1.4, 2.3):
    answer = share_experts(importance_check.copy(), mask_check.copy(), mean_check)
    assert answer is not None, "share_experts gives nothing back: end it with return"
    answer = np.asarray(answer)
    assert answer.shape == (4, 40), f"the answer has shape {answer.shape}; it must be that of importance, (4, 40)"
    assert answer.dtype.kind in "iu", f"the answer holds {answer.dtype}; it must hold integers"
    assert not answer[~mask_check].any(), "padding got experts: give them to real tokens only, n counts only those"
    asked = np.floor(mean_check * sizes_check + 0.5)
    base_check = np.floor(mean_check)
    too_many = np.minimum(np.floor(mean_check * 40 + 0.5) - 40 * base_check, sizes_check)
    assert not (answer.sum(axis=1) == base_check * sizes_check + too_many).all(), (
        "padding is counted in n: use the number of real tokens, mask.sum(axis=1)")
    assert abs(answer.sum() / mask_check.sum() / mean_check - 1) < 0.02, (
        f"the mean is {answer.sum() / mask_check.sum():.2f}, not within 2 % of the {mean_check} that was asked for")
    assert (answer.sum(axis=1) == asked).all(), (
        f"the samples got {answer.sum(axis=1).tolist()} experts, not {asked.astype(int).tolist()}: each sample must "
        "get its own floor(mean * n + 1/2)")
    extra = answer > base_check
    assert (answer[mask_check] >= base_check).all() and answer.max() == base_check + 1, (
        "a token got fewer than floor(mean), or more than one on top of it: what is left goes out one each")
    for b in range(4):
        inside, outside = importance_check[b, extra[b]], importance_check[b, mask_check[b] & ~extra[b]]
        assert not inside.max() < outside.min(), "the least important tokens got the extra experts: sort by -importance"
        assert inside.min() > outside.max(), "the extra experts did not go to the most important tokens of each sample"
tied = np.asarray(share_experts(np.full((1, 40), 0.5), np.ones((1, 40), bool), 1.4))
assert tied.sum() == 56, (
    "with equally important tokens the total is wrong: a threshold takes all of them or none, use ranks")
assert (tied[0, :16] == 2).all(), (
    "among equally important tokens the first ones come first: argsort(-importance, kind='stable')")
print("Right: an exact budget for each sample, and the best tokens get what is left.")

# %% [markdown]
# The library's `allocation="budget"` does this too, but shares in proportion to importance, so that a token may
# get several more than another.
#
# ## 8.7 In a file, and from the command line
#
# Outside a notebook a router is a file. This is a whole one.

# %%
file = folder / "my_router.py"
file.write_text('''\
"""A router of my own."""
from minimoe.backend import array_module
from minimoe.moe import Router


class Hesitant(Router):
    """A second expert where the best two are close."""

    def __init__(self, *args, ratio=0.8, **options):
        super().__init__(*args, **options)
        self.ratio = ratio
        self.k_range = (1, 2)

    def experts_per_token(self, probabilities, importance, mask):
        ranked = array_module(probabilities).sort(probabilities, axis=1)
        return 1 + (ranked[:, -2] > self.ratio * ranked[:, -1])
''', encoding="utf-8")
router = moe.make_router(f"{file}:Hesitant", d_model=16, n_experts=4, ratio=0.6, balance_weight=0.02)
print(type(router).__name__, "from a file of", len(file.read_text(encoding="utf-8").splitlines()), "lines, ratio",
      router.ratio)
assert router.ratio == 0.6 and router.options["balance_weight"] == 0.02

# %% [markdown]
# In a terminal, its options follow `--router-option`, and everything else is as for a built-in router:
#
# ```
# minimoe train --router my_router.py:Hesitant --router-option ratio=0.6 --out runs/hesitant
# minimoe evaluate --checkpoint runs/hesitant --router my_router.py:Hesitant
# minimoe inspect "the film was not good ." --checkpoint runs/hesitant --router my_router.py:Hesitant
# ```
#
# A checkpoint keeps the class's name and its options but not its code, so the later commands are told again where
# the file is. On a built-in task `train` also trains a Switch model for comparison; that one has one expert per
# token, so look at the column `experts/token` before you rejoice.
#
# What goes wrong with files is said in a sentence, too:

# %%
(folder / "plain.py").write_text("class Plain:\n    pass\n", encoding="utf-8")
attempts = {"a word misspelt": (f"{file}:Hesitant", {"ration": 0.6}), "no such class": (f"{file}:Hesitent", {}),
            "no such file": (f"{folder / 'my_ruoter.py'}:Hesitant", {}),
            "not a Router": (f"{folder / 'plain.py'}:Plain", {})}
refused = {}
for mistake, (name, options) in attempts.items():
    try:
        moe.make_router(name, 16, 4, **options)
    except ValueError as error:
        refused[mistake] = str(error).replace(f"{folder}{os.sep}", "")
    print(f"{mistake}\n    {refused.get(mistake, 'was not refused')}")
assert len(refused) == len(attempts)

# %% [markdown]
# ## What to take away
#
# - A router is one method, `experts_per_token`; with `measure` it gets importance, with `logits` it has scores of
#   its own. Options are keywords of `__init__`.
# - `gradcheck` a layer with it, away from the jumps of $K$. Nothing flows through $K$: what only decides $K$ does
#   not learn.
# - The library sees to integers, padding and clipping. You see to ties, to margins at thresholds, and to samples
#   that do not depend on their company: test by re-batching.
# - Compare at equal mean $K$, against the same numbers shuffled, over several seeds, with paired intervals. If
#   the interval contains 0, say so.
#
# **What is certain of DA-MoE** (M. Akhavan Aghdam, H. Jin and Y. Wu, [arXiv
# 2409.06669](https://arxiv.org/abs/2409.06669)). Confirmed by its abstract: attention gives importance, a router
# turns it into $K_i$, compared with Switch. Only reported: $K_i = \lceil I_i E \rceil$. The routers of this page
# are our own examples, and none of their numbers is a result of that paper.
#
# **Read on.** `minimoe/moe/base.py` is the base class, `minimoe/moe/routers.py` has the built-in ones. Top-p
# routing: Q. Huang et al., [arXiv 2403.07652](https://arxiv.org/abs/2403.07652). Experts that choose tokens: Y.
# Zhou et al., [arXiv 2202.09368](https://arxiv.org/abs/2202.09368); such a router overrides more than one method,
# see `ExpertChoiceRouter`. Cosine scores: Z. Chi et al., [arXiv 2204.09179](https://arxiv.org/abs/2204.09179).
# One expert and the balance loss: W. Fedus, B. Zoph and N. Shazeer, [arXiv
# 2101.03961](https://arxiv.org/abs/2101.03961), equations 1 to 6.
