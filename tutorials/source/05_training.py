# %% [markdown]
# # 5. Training: Adam, balance, and a fair race
#
# **What you will understand at the end**
#
# - what Adam does with a gradient, why its first steps need a correction, and what AdamW changes;
# - what warm-up, decay and clipping are for, and the whole training loop in ten lines;
# - why a router can end up with one expert for everybody, and how the balance loss prevents that;
# - how to compare DA-MoE with a Switch Transformer fairly, and when a table of scores says nothing.
#
# **What you need.** Lesson 1 (gradients), lesson 3 (router, gates, the routing plan) and lesson 4 (importance,
# allocation, FLOPs).
#
# **Time.** About 80 minutes with the four exercises. The page itself trains more than thirty tiny models; that
# takes well under a minute on a laptop and needs no GPU.

# %% [setup]

# %%
import dataclasses
import inspect
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np

from minimoe import Tensor, ops
from minimoe.backend import blas_threads, to_backend, to_host
from minimoe.data import WordTokenizer, batches, encode_dataset, load_builtin
from minimoe.models import EncoderConfig, SequenceClassifier
from minimoe.moe import MoELayer, health, route
from minimoe.moe.health import effective_experts
from minimoe.optim import SGD, Adam, AdamW, Constant, InverseSqrt, WarmupCosine, WarmupLinear, clip_grad_norm_
from minimoe.plots import expert_load
from minimoe.training import evaluate
from minimoe.training.loop import parameter_groups

BLUE, RED, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6b7280"


def axes_for(width=7.0, height=3.0, columns=1):
    """A figure with one or more plain axes."""
    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", squeeze=False)
    for one in axes[0]:
        one.spines[["top", "right"]].set_visible(False)
    return axes[0] if columns > 1 else axes[0, 0]

# %% [markdown]
# ## 5.1 One learning rate for everybody?
#
# Lesson 1 ended with gradients. The simplest use of them is **gradient descent**: move every weight a little
# against its gradient,
#
# $$\theta \leftarrow \theta - \eta \cdot g.$$
#
# Here $\theta$ is a weight, $g$ its gradient (lesson 1 wrote $\delta\theta$), and $\eta$ the **learning rate**,
# one number for the whole model. Is one number enough? We take a tiny classifier with four experts, run one batch
# of the built-in sentiment task through it, and look at how large the gradients are.

# %%
train_split, test_split = load_builtin("sentiment", "train"), load_builtin("sentiment", "test")
tokenizer = WordTokenizer.train(train_split.texts(), 1000)
train_data, test_data = (encode_dataset(split, tokenizer, 64) for split in (train_split, test_split))
shape = EncoderConfig(vocab_size=tokenizer.vocab_size, d_model=32, n_layers=1, n_heads=4, d_ff=32, n_experts=4,
                      router="switch", max_length=64, dropout=0.0)
model = SequenceClassifier(shape, rng=0).to(BACKEND)

batch = next(batches(train_data, 32, np.random.default_rng(0)))
model.loss(batch.ids, batch.labels, batch.mask, batch.segments).backward()
sizes = {name: float(np.sqrt((to_host(p.grad) ** 2).mean()))                  # root of the mean square
         for name, p in model.named_parameters() if p.grad is not None}
print("texts", len(train_data.ids), " batch", batch.ids.shape, " weights", sum(p.size for p in model.parameters()))
print(f"largest gradient {max(sizes.values()):.1e}, smallest {min(sizes.values()):.1e}")

# %%
shown = sorted((name for name in sizes if "norm" not in name and "bias" not in name), key=sizes.get)
axes = axes_for(height=3.4)
axes.hlines(range(len(shown)), 1e-5, [sizes[name] for name in shown], color=GREY, linewidth=0.8)
axes.plot([sizes[name] for name in shown], range(len(shown)), "o", color=BLUE)
axes.set_yticks(range(len(shown)), [name.removeprefix("layers.0.") for name in shown])
axes.set(xscale="log", xlim=(min(sizes.values()) / 3, 2 * max(sizes.values())), xlabel="size of the gradient")
plt.show()
assert max(sizes.values()) > 10 * min(sizes.values())

# %% [markdown]
# The scale is logarithmic. The gradients of the head (the last layer, which gives the scores of the classes) and
# of the experts differ by a large factor. A rate that is right for one is much too large or too small for
# another. We would like steps that do not depend on the scale of the gradient.
#
# ## 5.2 Adam
#
# **Adam** keeps two running averages for each weight: $m$, of the gradient, and $v$, of its square. The first
# says where the gradient points on average; the root of the second says how large it usually is. Their quotient
# has no scale: multiply the gradient by 1000, and it stays the same. In step $t = 1, 2, \ldots$, element by
# element,
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2,$$
#
# $$\hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t}, \qquad
# \theta \leftarrow \theta - \eta \frac{\hat m}{\sqrt{\hat v} + \epsilon}.$$
#
# Both averages start at 0. Usual values are $\beta_1 = 0.9$, $\beta_2 = 0.999$; $\epsilon = 10^{-8}$ only guards
# against $0/0$. Take pencil and paper: one weight, $\theta = 1$, rate $\eta = 0.1$, gradient $0.5$ in the first
# step and $-0.1$ in the second. What are $m$, $v$ and $\theta$ after each? Then let the library do it.

# %%
theta = Tensor(np.array([1.0]), requires_grad=True, backend=BACKEND)
adam = Adam([theta], lr=0.1)
for t, g in enumerate((0.5, -0.1), start=1):
    (theta * g).sum().backward()                            # a loss whose gradient is g
    adam.step()
    adam.zero_grad()
    m, v = (float(adam.state[name][0][0]) for name in ("m", "v"))
    print(f"after step {t}: m {m:.4f}  v {v:.8f}  theta {float(theta.numpy()[0]):.6f}")
assert abs(m - 0.035) < 1e-9 and abs(v - 0.00025975) < 1e-12 and abs(float(theta.numpy()[0]) - 0.8489) < 1e-4

# %% [markdown]
# The second step in full, so that you can compare each line with your paper:
#
# | | |
# | --- | --- |
# | $m$ | $0.9 \cdot 0.05 + 0.1 \cdot (-0.1) = 0.035$ |
# | $v$ | $0.999 \cdot 0.00025 + 0.001 \cdot 0.01 = 0.00025975$ |
# | $\hat m$ | $0.035 / (1 - 0.81) \approx 0.18421$ |
# | $\hat v$ | $0.00025975 / (1 - 0.998001) \approx 0.12994$ |
# | $\theta$ | $0.9 - 0.1 \cdot 0.18421 / \sqrt{0.12994} \approx 0.8489$ |
#
# The second gradient points the other way, yet $\theta$ goes on falling: $m$ still remembers the first.
#
# ### Exercise 5.1: one step of Adam
#
# Write one step for arrays of any shape. `m` and `v` are the averages *before* this step, and `t` counts from 1.
# Return the new `(theta, m, v)` as new arrays; do not write into those you were given. The returned `m` and `v`
# are the plain averages, without hats, because the next step builds on them.

# %% [exercise] adam_step
def adam_step(theta, g, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """The new (theta, m, v) of step t >= 1. theta, g, m, v: arrays of one shape."""
    ### BEGIN SOLUTION
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return theta - lr * m_hat / (np.sqrt(v_hat) + eps), m, v
    ### END SOLUTION

# %% [check] adam_step points=2
fresh = np.random.default_rng()
for t_check in (1, 2, 5):
    given = fresh.uniform(1, 2, (4, 2, 3)) * np.array([1.0, 1.0, 0.5, 0.5])[:, None, None]
    kept = given.copy()
    answer = adam_step(*given, t_check, lr=0.5, beta1=0.8, beta2=0.9, eps=0.1)
    assert isinstance(answer, tuple) and len(answer) == 3, "return three arrays: return theta, m, v"
    assert np.array_equal(given, kept), (
        "an array that was given has changed: write m = ... instead of m *= ... or m += ..., which work in place")
    theta_check, g_check, m_old, v_old = kept
    m_new, v_new = 0.8 * m_old + 0.2 * g_check, 0.9 * v_old + 0.1 * g_check**2
    m_hat, v_hat = m_new / (1 - 0.8**t_check), v_new / (1 - 0.9**t_check)
    assert np.shape(answer[0]) == (2, 3), f"theta has shape {np.shape(answer[0])}; it must stay (2, 3)"
    assert not np.allclose(answer[1], m_hat), (
        "the m that you return is the corrected one: keep the plain average for the next step, divide only inside it")
    assert np.allclose(answer[1], m_new), "m is not beta1 * m + (1 - beta1) * g"
    assert not np.allclose(answer[2], 0.9 * v_old + 0.1 * g_check), "v averages the square of the gradient: use g**2"
    assert np.allclose(answer[2], v_new), "v is not beta2 * v + (1 - beta2) * g**2: keep it plain, without the hat"
    found = (theta_check - answer[0]) / 0.5
    assert not np.allclose(found, -m_hat / (np.sqrt(v_hat) + 0.1)), "the step goes uphill: subtract it from theta"
    assert not np.allclose(found, m_new / (np.sqrt(v_new) + 0.1)), (
        "the bias correction is missing: divide m by 1 - beta1**t and v by 1 - beta2**t before the step")
    assert not np.allclose(found, m_hat / (v_hat + 0.1)), "the root is missing: divide by sqrt(v_hat) + eps"
    assert not np.allclose(found, m_hat / np.sqrt(v_hat + 0.1)), "eps stands under the root; add it after the root"
    assert np.allclose(found, m_hat / (np.sqrt(v_hat) + 0.1)), (
        "theta did not move by lr * m_hat / (sqrt(v_hat) + eps): look at the hats and at lr")
print("Right: two averages, both corrected, and a step without scale.")

# %% [markdown]
# The library does the same, over whole arrays and without a new array for each symbol. It moves the corrections
# out of the arrays, because a number is cheaper to multiply than a million of them. (`blocks` cuts the arrays
# into pieces, and `l2` and `weight_decay` are two kinds of decay; we come to them soon.)

# %%
print(inspect.getsource(minimoe.kernels.reference.dense.adamw_update))

# %% [markdown]
# Is that really the formula above? We write the formula once more with its hats, `weight_decay` included, and let
# both run for 50 steps with random gradients.

# %%
random = np.random.default_rng(0)
by_hand = random.standard_normal((4, 3))
theta = Tensor(by_hand.copy(), requires_grad=True, backend=BACKEND)
library = AdamW([theta], lr=0.01, weight_decay=0.1)
m, v = np.zeros((4, 3)), np.zeros((4, 3))
for t in range(1, 51):
    g = random.standard_normal((4, 3))
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    by_hand = by_hand - 0.01 * (step + 0.1 * by_hand)                         # 0.1: the decay, on the old theta

    (theta * Tensor(g, backend=BACKEND)).sum().backward()
    library.step()
    library.zero_grad()
difference = np.abs(theta.numpy() - by_hand).max()
print(f"weights {theta.shape}, largest difference after 50 steps: {difference:.1e}")
assert difference < 1e-12

# %% [markdown]
# ### Why the correction
#
# The averages start at 0, so in the beginning both are too small. One could think that uncorrected steps are too
# small as well. They are not: $v$ lags far more than $m$, because it looks back over 1000 steps and $m$ over 10.
# Suppose that the gradient is the same in every step. Then a step should have the length $\eta$, always.

# %%
t = np.arange(1, 5001)
uncorrected = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)          # m and v of a constant gradient, without hats
axes = axes_for()
axes.semilogx(t, uncorrected, color=RED, linewidth=2)
axes.semilogx(t, np.ones(t.size), "--", color=BLUE, linewidth=2)
axes.text(30, uncorrected.max() * 0.97, "without correction", color=RED)
axes.text(1.1, 1.25, "with correction", color=BLUE)
axes.set(xlabel="step", ylabel="length of a step, in learning rates", ylim=(0, uncorrected.max() * 1.1))
plt.show()
print(f"without: first step {uncorrected[0]:.2f} times too long, worst {uncorrected.max():.2f} times, "
      f"at step {t[uncorrected.argmax()]}")
assert uncorrected[0] > 3 and uncorrected.max() > 6

# %% [markdown]
# With the correction the very first step is $\eta \cdot g / |g|$: each weight moves by exactly the learning rate,
# whether its gradient is huge or tiny. Keep that in mind: it explains a disaster in 5.6.

# %%
theta = Tensor(np.zeros(5), requires_grad=True, backend=BACKEND)
(theta * Tensor(np.array([1e3, 1.0, 1e-3, -1.0, 0.0]), backend=BACKEND)).sum().backward()
Adam([theta], lr=0.01).step()
print("gradients 1000, 1, 0.001, -1, 0  ->  first step", theta.numpy().round(5))
assert np.allclose(theta.numpy(), [-0.01, -0.01, -0.01, 0.01, 0.0], rtol=1e-4)

# %% [markdown]
# ### AdamW: decay beside the gradient
#
# **Weight decay** pulls each weight a little towards 0, so that weights which the data does not need fade. In
# plain gradient descent one can add $\lambda\theta$ to the gradient. In Adam that goes wrong: the pull is then
# divided by $\sqrt{\hat v}$ as well, so weights with large gradients hardly feel it. **AdamW** takes it out of
# the averages:
#
# $$\theta \leftarrow \theta - \eta \left( \frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda\theta \right).$$
#
# We try both. A thousand weights get large random gradients, a thousand others small ones. The gradients have
# mean 0, so they say nothing, and all weights start at 1. Only the decay should be seen.

# %%
def after_decay(optimiser_class, scale, steps=300):
    """The mean of 1000 weights, 1 at the start, after steps with random gradients of this scale."""
    random = np.random.default_rng(1)
    theta = Tensor(np.ones(1000), requires_grad=True, backend=BACKEND)
    optimiser = optimiser_class([theta], lr=0.01, weight_decay=0.1)
    for _ in range(steps):
        theta.grad = to_backend(random.standard_normal(1000) * scale, BACKEND)
        optimiser.step()
    return float(theta.numpy().mean())


decayed = {(kind.__name__, scale): after_decay(kind, scale) for kind in (Adam, AdamW) for scale in (10.0, 0.01)}
print("                 large gradients  small gradients")
for kind in ("Adam", "AdamW"):
    print(f"{kind:16} {decayed[kind, 10.0]:15.3f} {decayed[kind, 0.01]:16.3f}")
print(f"(1 - lr * decay) ** 300 = {(1 - 0.01 * 0.1) ** 300:.3f}")
assert decayed["Adam", 10.0] > 0.9 and decayed["Adam", 0.01] < 0.1
assert abs(decayed["AdamW", 10.0] - decayed["AdamW", 0.01]) < 0.05

# %% [markdown]
# With Adam the same decay leaves one half nearly untouched and wipes out the other. With AdamW both halves shrink
# alike, close to the factor that one can compute. (For an expert this has a consequence: when no token comes, its
# gradient is 0, but the decay still acts.)
#
# ## 5.3 Warm-up, decay and clipping
#
# The rate need not be the same in each step. A **schedule** multiplies it with a factor. All four below start
# with a **warm-up**: for the first $W$ steps the rate grows in a straight line. In these steps $v$ has seen few
# gradients, so its estimate is poor, yet every weight moves by the full rate. Afterwards the rate falls (this is
# the decay of the *rate*, not that of the weights), because near the goal one wants small steps.

# %%
def one_weight():
    """An optimiser that a schedule can be tried on."""
    return SGD([Tensor(np.zeros(1), requires_grad=True)], lr=1.0)


warmup, total = 20, 200
schedules = {"Constant": (Constant(one_weight(), warmup), GREY, ":"),
             "InverseSqrt": (InverseSqrt(one_weight(), warmup), PURPLE, "-."),
             "WarmupCosine": (WarmupCosine(one_weight(), warmup, total), RED, "--"),
             "WarmupLinear": (WarmupLinear(one_weight(), warmup, total), BLUE, "-")}
t = np.arange(1, total + 1)
axes = axes_for()
for name, (schedule, colour, line) in schedules.items():
    axes.plot(t, [schedule.lr_at(int(step)) for step in t], line, color=colour, label=name, linewidth=2)
axes.axvline(warmup, color=GREY, linewidth=0.8)
axes.text(warmup + 2, 0.03, "warm-up ends", color=GREY)
axes.set(xlabel="step", ylabel="rate, in largest rates", ylim=(0, 1.08), xlim=(0, total))
axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
for schedule, _, _ in schedules.values():
    assert schedule.lr_at(warmup) == 1.0 and schedule.lr_at(warmup // 2) == 0.5

# %% [markdown]
# Which schedule the authors of DA-MoE used is not known. This library takes `WarmupLinear`, and that is an
# assumption of ours, like AdamW itself and all rates.
#
# ### Exercise 5.2: the rate of a step
#
# Write `WarmupLinear` as a function: the rate of step `t`, where the first step is `t = 1`. It grows in a
# straight line and reaches `peak` in step `warmup`; then it falls in a straight line and reaches 0 in step
# `total`. After `total` it stays 0. `warmup` may be 0: then step 1 is already on the way down. Plain numbers, no
# arrays.

# %% [exercise] learning_rate
def learning_rate(t, peak, warmup, total):
    """The rate in step t >= 1, a float. peak: the largest rate; warmup, total: numbers of steps."""
    ### BEGIN SOLUTION
    if t <= warmup:
        return peak * t / warmup
    return peak * max(0.0, (total - t) / (total - warmup))
    ### END SOLUTION

# %% [check] learning_rate points=1
fresh = np.random.default_rng()
peak_check, warmup_check = float(fresh.uniform(2, 3)), int(fresh.integers(6, 20))
total_check = warmup_check + int(fresh.integers(30, 60))


def rate_check(t):
    """The answer's rate for step t, as a number."""
    rate = learning_rate(t, peak_check, warmup_check, total_check)
    assert rate is not None, "learning_rate gives nothing back for some steps: end every branch with return"
    return float(rate)


assert not np.isclose(rate_check(1), 0), "step 1 has rate 0, so it is lost: steps count from 1, use t / warmup"
assert not np.isclose(rate_check(3), 3 / warmup_check), "the warm-up goes up to 1: multiply by peak"
assert np.isclose(rate_check(3), peak_check * 3 / warmup_check), "during the warm-up the rate is not peak * t / warmup"
assert np.isclose(rate_check(warmup_check), peak_check), "step `warmup` itself must have the full rate, peak"
late = warmup_check + 10
assert not np.isclose(rate_check(late), peak_check), "after the warm-up the rate stays at peak: it must fall to 0"
assert not np.isclose(rate_check(late), peak_check * (total_check - late) / total_check), (
    "the way down is measured from step 0, so the rate jumps at the end of the warm-up: divide by total - warmup")
assert np.isclose(rate_check(late), peak_check * (total_check - late) / (total_check - warmup_check)), (
    "after the warm-up the rate is not peak * (total - t) / (total - warmup)")
assert np.isclose(rate_check(total_check), 0), "in step `total` the rate must be 0"
assert rate_check(total_check + 5) >= 0, "after `total` the rate is negative, so training would go uphill: stop at 0"
assert np.isclose(rate_check(total_check + 5), 0), "after `total` the rate must stay 0"
try:
    first_check = learning_rate(1, 1.0, 0, 10)
except ZeroDivisionError:
    first_check = np.nan
assert np.isclose(first_check, 0.9), (
    "warmup = 0 must start on the way down, with (total - 1) / total: divide by warmup only while t <= warmup")
print("Right: up in a straight line, down in a straight line, and never below 0.")

# %% [markdown]
# ### Clipping
#
# Now and then a batch gives a very large gradient. **Clipping** puts a bound $c$ on it: take the **norm** of all
# gradients of the model as if they were one long vector, and if it is above $c$, scale all of them down by the
# same factor:
#
# $$\lVert g \rVert = \sqrt{\textstyle\sum g^2}, \qquad g \leftarrow g \cdot \min(1, c / \lVert g \rVert).$$
#
# The direction stays, only the length changes. That is why there is *one* norm for all arrays; a norm for each
# array would bend the direction. The smallest example has the sides of a well-known triangle:

# %%
a, b = (Tensor(np.zeros(1), requires_grad=True, backend=BACKEND) for _ in range(2))
(a * 3 + b * 4).sum().backward()
norm = clip_grad_norm_([a, b], max_norm=1.0)
print(f"norm before {norm:.1f}; gradients after {float(a.grad[0]):.4f} and {float(b.grad[0]):.4f}")
assert abs(norm - 5) < 1e-9 and abs(float(a.grad[0]) - 0.6) < 1e-5 and abs(float(b.grad[0]) - 0.8) < 1e-5

# %% [markdown]
# ### Exercise 5.3: clip by the norm over all
#
# `gradients` is a list of arrays of different shapes. Return `(norm, clipped)`: the norm before clipping, and a
# list with the clipped arrays, new ones. What is below the bound must come back as it was.

# %% [exercise] clip_gradients
def clip_gradients(gradients, max_norm):
    """(norm over all arrays together, list of clipped arrays). gradients: list of arrays."""
    ### BEGIN SOLUTION
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    scale = min(1.0, max_norm / (norm + 1e-6))
    return norm, [g * scale for g in gradients]
    ### END SOLUTION

# %% [check] clip_gradients points=2
fresh = np.random.default_rng()
given = [fresh.uniform(1, 2, (2, 3)), fresh.uniform(4, 5, (4,))]
kept = [g.copy() for g in given]
norm_check = float(np.sqrt(sum((g**2).sum() for g in kept)))
for bound in (1.0, 3.0):
    answer = clip_gradients(given, bound)
    assert isinstance(answer, tuple) and len(answer) == 2, "return two things: return norm, clipped"
    norm_found, clipped = answer
    assert all(np.array_equal(g, k) for g, k in zip(given, kept, strict=True)), (
        "the given arrays have changed: write g * scale into new arrays, not g *= scale")
    assert len(clipped) == 2 and all(np.shape(c) == k.shape for c, k in zip(clipped, kept, strict=True)), (
        "clipped must be a list with one array for each given one, of the same shape")
    assert not np.isclose(norm_found, sum(np.sqrt((k**2).sum()) for k in kept)), (
        "you added the norms of the arrays: add the squares of all elements, then take one root")
    assert not np.isclose(norm_found, norm_check**2), "the root is missing: the norm is sqrt(sum of the squares)"
    assert np.isclose(norm_found, norm_check), "the norm is not sqrt(sum of the squares of all elements of all arrays)"
    assert not all(np.allclose(c, k * bound / np.sqrt((k**2).sum()), rtol=1e-4)
                   for c, k in zip(clipped, kept, strict=True)), (
        "each array was scaled by its own norm, which bends the direction: use one factor for all")
    assert not all(np.allclose(c, np.clip(k, -bound, bound)) for c, k in zip(clipped, kept, strict=True)), (
        "single elements were cut off, which bends the direction: multiply everything by one factor")
    assert not all(np.allclose(c, k) for c, k in zip(clipped, kept, strict=True)), (
        "nothing was clipped: return g * scale for each array")
    assert all(np.allclose(c, k * bound / norm_check, rtol=1e-4) for c, k in zip(clipped, kept, strict=True)), (
        "the clipped arrays are not g * max_norm / norm")
small = clip_gradients(given, 100.0)[1]
assert all(np.allclose(c, k) for c, k in zip(small, kept, strict=True)), (
    "gradients below the bound were changed: the factor must be at most 1, min(1, max_norm / norm)")
print("Right: one norm, one factor, the same direction.")

# %% [markdown]
# ## 5.4 The whole loop
#
# Now everything stands together. This is all of training; the library's `Trainer` adds a progress bar,
# checkpoints and a validation split, and does the same steps in between. Weight matrices decay; biases, norms and
# embeddings do not (the usual recipe, our assumption here). `aux_loss` is the subject of 5.5.

# %%
print(inspect.getsource(parameter_groups))


def train(seed, steps=110, lr=8e-3, max_norm=1.0, **changes):
    """A tiny classifier, trained; and per step: loss, gradient norm, rate, mean experts per token."""
    model = SequenceClassifier(dataclasses.replace(shape, **changes), rng=seed).to(BACKEND)
    parameters = list(model.parameters())
    optimiser = AdamW(parameter_groups(model, weight_decay=0.01), lr=lr)
    schedule = WarmupLinear(optimiser, warmup_steps=steps // 11, total_steps=steps)
    history = []
    for batch in islice(batches(train_data, 32, np.random.default_rng([seed, 1])), steps):
        output = model(batch.ids, batch.mask, batch.segments)
        loss = model.task_loss(output, batch.labels) + output.aux_loss
        loss.backward()
        norm = clip_grad_norm_(parameters, max_norm)
        experts = sum(int(routing.k.sum()) for routing in output.routings) / batch.mask.sum()      # one expert layer
        history.append((loss.item(), norm, optimiser.lr, experts))
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
    return model, np.array(history)


with blas_threads(1):                                       # so small products gain nothing from a second thread
    model, history = train(seed=0)
    result = evaluate(model, test_data, test_split.metrics)
print("history", history.shape, f" accuracy on {len(test_data.ids)} test texts: {result.score:.3f}")

# %%
left, right = axes_for(7.4, 2.8, columns=2)
left.plot(history[:, 0], color=GREY, linewidth=0.8, label="each batch")
smooth = np.convolve(history[:, 0], np.ones(15) / 15, mode="valid")            # the mean of 15 neighbours
left.plot(7 + np.arange(smooth.size), smooth, color=BLUE, linewidth=2, label="mean of 15")
left.legend(frameon=False, loc="lower left")
left.set(xlabel="step", ylabel="loss", ylim=(0, None))
right.plot(history[:, 1], color=BLUE, label="norm before")
right.plot(np.minimum(history[:, 1], 1.0), color=RED, linewidth=1, label="norm after")
right.axhline(1.0, color=GREY, linestyle="--", linewidth=1)
right.set(xlabel="step", ylabel="norm of the gradient", ylim=(0, None))
right.legend(frameon=False)
plt.show()
print(f"clipped in {np.mean(history[:, 1] > 1):.0%} of the steps; "
      f"the rate rises to {history[:, 2].max():.4f} and ends at {history[-1, 2]:.4f}")
assert history[-10:, 0].mean() < history[:10, 0].mean() and history[:, 2].argmax() == len(history) // 11 - 1

# %% [markdown]
# The loss jumps from batch to batch, because every batch has other sentences; what counts is the trend.
#
# ## 5.5 The balance loss
#
# A router has a habit that no other layer has: it can forget a part of the network. An expert that gets no token
# gets no gradient, does not improve, and so has no reason to be chosen. An expert that gets many tokens improves
# and is chosen even more. Against this the Switch Transformer adds an **auxiliary loss**, a second loss that
# knows nothing of the task:
#
# $$L_b = \alpha E \sum_{e=1}^{E} f_e P_e .$$
#
# - $f_e$ is the share of the assignments that asked for expert $e$: a count, divided by the number $A$ of all
#   assignments.
# - $P_e$ is the mean probability that the router gives to expert $e$, over the real tokens, $P_e = \frac{1}{N_v}
#   \sum_i m_i p_{ie}$, where $m_i$ is 1 for a real token and 0 for padding.
# - $\alpha$ is the weight; 0.01 in the paper and in this library.
#
# With uniform use, $f_e = 1/E$, and the sum times $E$ is exactly 1 (the $P_e$ add up to 1), whatever $E$ is. If
# one expert takes all tokens with probability 1, it is $E$. Switch (equations 4 to 6) defines it for one expert
# per token. DA-MoE gives a token $K_i$ experts; dividing the counts by $A$ and not by the number of tokens keeps
# the 1, and that is our addition.
#
# ### Exercise 5.4: the value of the balance loss
#
# Given are the counts of assignments per expert, shape $(E)$, the probabilities $(N, E)$ and the mask $(N)$,
# `True` for real tokens. `counts` has counted only real tokens. Return $L_b$, a number.

# %% [exercise] balance_loss
def balance_loss(counts, probabilities, mask, weight=0.01):
    """weight * E * sum f_e P_e. counts (E,) integers, probabilities (N, E), mask (N,) bool."""
    ### BEGIN SOLUTION
    f = counts / counts.sum()
    mean_p = probabilities[mask].mean(axis=0)
    return weight * len(counts) * (f * mean_p).sum()
    ### END SOLUTION

# %% [check] balance_loss points=2
fresh = np.random.default_rng()
raw_check = fresh.uniform(0.5, 3, (9, 3)) * np.array([8.0, 1.0, 1.0])
raw_check[6:] = fresh.uniform(0.5, 3, (3, 3)) * np.array([0.1, 0.1, 9.0])     # padding: anything may stand there
p_check = raw_check / raw_check.sum(axis=1, keepdims=True)
mask_check = np.arange(9) < 6
counts_check = np.array([6, 3, 2]) + fresh.integers(0, 2, 3) * np.array([0, 1, 1])       # more than one expert a token
f_check, mean_check = counts_check / counts_check.sum(), p_check[:6].mean(axis=0)
truth_check = 0.3 * 3 * (f_check * mean_check).sum()
answer = balance_loss(counts_check, p_check, mask_check, weight=0.3)
assert answer is not None, "balance_loss gives nothing back: end it with return"
assert np.ndim(answer) == 0, f"the answer has shape {np.shape(answer)}; sum over the experts to get one number"
assert not np.isclose(answer, truth_check / 3), "the factor E is missing, so uniform use would not give the weight"
assert not np.isclose(answer, truth_check / 0.3), "the weight is missing: multiply by it"
assert not np.isclose(answer, 0.3 * 3 * (f_check * p_check.mean(axis=0)).sum()), (
    "padding counts in your mean probability: use only the tokens where mask is True")
assert not np.isclose(answer, truth_check * 6 / 9), (
    "the sum leaves padding out, but the division counts it: divide by the number of real tokens, mask.sum()")
assert not np.isclose(answer, truth_check * 6), "the probabilities are only added up: P is their mean over real tokens"
assert not np.isclose(answer, truth_check * counts_check.sum() / 6), (
    "the counts are divided by the number of tokens: with several experts per token divide by counts.sum()")
assert not np.isclose(answer, truth_check * counts_check.sum()), "the counts are not shares yet: divide by counts.sum()"
assert not np.isclose(answer, 0.3 * 3 * (f_check**2).sum()), "f times f has no gradient: the second factor is P"
assert np.isclose(answer, truth_check), "the answer is not weight * E * sum of f times P"
assert np.isclose(balance_loss(np.full(4, 5), np.full((20, 4), 0.25), np.ones(20, bool), 0.01), 0.01), (
    "uniform use must give exactly the weight")
print("Right: uniform use costs the weight, one expert for all costs E times as much.")

# %% [markdown]
# ### Its gradient
#
# $f_e$ comes from a choice, which jumps and has no slope; it counts as a constant. The gradient flows through
# $P_e$ alone, to the probabilities and through the softmax (lesson 1) to the logits:
#
# $$\delta p_{ie} = \frac{\alpha E m_i}{N_v} f_e, \qquad
# \delta z_{ie} = \frac{\alpha E m_i}{N_v} p_{ie} \left( f_e - \textstyle\sum_j p_{ij} f_j \right).$$
#
# Read the bracket: an expert that is used more than what the token expects on average gets a positive gradient,
# so descent *lowers* its logit. Experts that are used less are raised. Eight tokens, three experts, the first one
# preferred by most. (`z_weight=0` turns off a second auxiliary loss, which keeps logits small; see
# `notation.md`.)

# %%
random = np.random.default_rng(8)
z = Tensor(random.standard_normal((8, 3)) + np.array([1.2, 0.6, 0.0]), requires_grad=True, backend=BACKEND)
routing = route(z, np.ones(8, np.int32), balance_weight=1.0, z_weight=0.0)
routing.balance_loss.backward()

f = np.array(routing.stats["expert_load"]) / 8
p = routing.probabilities.numpy()                           # (8, 3)
gradient = 3 / 8 * p * (f - (p * f).sum(axis=1, keepdims=True))
print("f", f, "  P", p.mean(axis=0).round(3), f"  loss {routing.balance_loss.item():.3f}")
print("difference to the formula:", np.abs(to_host(z.grad) - gradient).max().round(12))
assert np.allclose(to_host(z.grad), gradient) and (gradient[:, f.argmax()] > 0).all()

# %%
axes = axes_for(height=2.6)
place = np.arange(3)
axes.bar(place - 0.2, f, 0.36, color=BLUE, label="share of assignments f")
axes.bar(place + 0.2, -gradient.sum(axis=0), 0.36, color=RED, hatch="//", edgecolor="white",
         label="push on the logit,\nsum over the tokens")
axes.axhline(0, color="black", linewidth=0.8)
axes.axhline(1 / 3, color=GREY, linestyle="--", linewidth=1)
axes.text(2.45, 1 / 3 + 0.02, "uniform", color=GREY, ha="right")
axes.set_xticks(place, [f"expert {e}" for e in place])
axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# One more thing to know before you watch this number in a run. It is 1 under uniform use, but 1 is not its lowest
# value: it can fall below when the overused expert is chosen hesitantly and the other one firmly.

# %%
hesitant = np.array([[0.51, 0.49]] * 6 + [[0.01, 0.99]] * 4)
routing = route(np.log(hesitant), np.ones(10, np.int32), balance_weight=1.0)
print("assignments", routing.stats["expert_load"], " P", hesitant.mean(axis=0).round(3),
      f" E sum f P = {routing.stats['balance']:.3f}")
assert routing.stats["balance"] < 1

# %% [markdown]
# ## 5.6 A router that collapses
#
# The data: tokens of width 16 that come in four **kinds**. Each kind has its own centre and its own rule (a
# random matrix) from token to target. A router that finds the kinds can give each expert one rule to learn. The
# layer is a Switch layer with four experts, and it does not know the kinds.
#
# What we do to provoke a collapse, so that you can judge it: all tokens share a large **common part**, the number
# 3 added to every coordinate, while the kinds differ by about 1. There is no layer norm that would remove it, and
# the learning rate is high (0.01). Nothing is done to the router itself.

# %%
WIDTH, KINDS, COMMON = 16, 4, 3.0


def make_world(seed, common=COMMON):
    """A function that draws (x (n, 16), target (n, 16), kind (n,))."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((KINDS, WIDTH))
    rules = random.standard_normal((KINDS, WIDTH, WIDTH)) / np.sqrt(WIDTH)

    def draw(random, n):
        kind = random.integers(0, KINDS, n)
        own = centres[kind] + 0.5 * random.standard_normal((n, WIDTH))
        return (own + common).astype("float32"), np.einsum("nd,nde->ne", own, rules[kind]).astype("float32"), kind

    return draw


def train_layer(seed, alpha, n_experts=4, common=COMMON, steps=300):
    """An expert layer trained on one world: (loads (steps, E), its last routing, kinds of that batch, test error)."""
    draw, random = make_world(seed, common), np.random.default_rng(seed + 100)
    layer = MoELayer(WIDTH, 32, n_experts, "switch", rng=seed,
                     router_options={"balance_weight": alpha, "z_weight": 0.0}).to(BACKEND)
    optimiser = Adam(layer.parameters(), lr=0.01)
    loads = []
    for _ in range(steps):
        x, target, _ = draw(random, 128)
        y, routing = layer(Tensor(x, backend=BACKEND))
        (ops.mse_loss(y, Tensor(target, backend=BACKEND)) + routing.aux_loss).backward()
        optimiser.step()
        optimiser.zero_grad()
        loads.append(routing.stats["expert_load"])
    x, target, kind = draw(random, 1000)
    y, routing = layer(Tensor(x, backend=BACKEND))
    error = ((y.numpy() - target) ** 2).mean() / target.var()                 # 1: no better than the mean
    return np.array(loads), routing, kind, float(error)


ALPHAS, SEEDS = (0.0, 0.01, 0.1), (0, 1, 6)
with blas_threads(1):
    runs = {(alpha, seed): train_layer(seed, alpha) for alpha in ALPHAS for seed in SEEDS}
loads, _, _, _ = runs[0.0, 1]
print("loads", loads.shape, "  first step", loads[0], "  second", loads[1], "  last", loads[-1])

# %% [markdown]
# Without the balance loss. Every column is the mean of five steps; dark means that the expert gets many tokens.

# %%
def load_over_time(loads, title):
    return expert_load(loads.reshape(-1, 5, loads.shape[1]).sum(axis=1), steps=range(0, len(loads), 5), title=title)


load_over_time(runs[0.0, 1][0], "without balance loss")

# %% [markdown]
# The first step spread its tokens over several experts. Then one expert has everything, for good. The same world,
# the same initial weights, the same batches, with a balance loss of $\alpha = 0.1$:

# %%
load_over_time(runs[0.1, 1][0], "with balance loss, alpha = 0.1")

# %% [markdown]
# After a restless start each expert keeps about a quarter (mind the scale: its darkest blue is another one than
# above). The last batch of both runs, in the library's words. (**Effective experts** is the number of equally
# loaded experts that would be as diverse as this load, $e$ to the entropy of the shares: 1 when one expert takes
# all, 4 when all four are equal.)

# %%
for alpha in (0.0, 0.1):
    print(f"alpha = {alpha}")
    for sentence in health(runs[alpha, 1][1]):
        print("   ", sentence)

# %% [markdown]
# **Why so fast?** Remember the first step of Adam: every weight moves by the learning rate, up or down. All
# tokens share the large common part, so all 16 weights of a router row tend to move the same way: up if a larger
# gate for this expert would have helped on the batch, else down. The common part adds these moves up, and the
# logit changes by up to $16 \cdot 3 \cdot 0.01 = 0.48$ for *every* token, whatever its kind. Let us take one such
# step and look.

# %%
layer = MoELayer(WIDTH, 32, 4, "switch", rng=1, router_options={"balance_weight": 0.0, "z_weight": 0.0})
x, target, kind = make_world(1)(np.random.default_rng(101), 128)
before = x @ layer.router.weight.numpy().T                  # logits (128, 4)
ops.mse_loss(layer(Tensor(x))[0], Tensor(target)).backward()
Adam(layer.parameters(), lr=0.01).step()
shift = x @ layer.router.weight.numpy().T - before
by_kind = np.stack([before[kind == one].mean(axis=0) for one in range(KINDS)])
print("shift of the four logits, mean over tokens ", shift.mean(axis=0).round(2))
print("how much this differs from token to token  ", shift.std(axis=0).round(2))
print("difference between kinds before the step   ", by_kind.std(axis=0).round(2))
assert np.abs(shift.mean(axis=0)).max() > 3 * shift.std(axis=0).max()
assert np.abs(shift.mean(axis=0)).max() > by_kind.std(axis=0).max()

# %% [markdown]
# One step pushed whole experts up and down for everybody, by more than what told the kinds apart. From then on
# the winner alone gets a gradient for its weights, and the others never catch up. Is the common part really to
# blame? Take it away, and change nothing else (100 steps are enough to see):

# %%
with blas_threads(1):
    without = [train_layer(seed, 0.0, common=0.0, steps=100)[0][-20:].sum(axis=0) for seed in SEEDS]
print("effective experts without balance loss and without common part:",
      [round(effective_experts(load.tolist()), 2) for load in without])
assert np.mean([effective_experts(load.tolist()) for load in without]) > 1.5

# %% [markdown]
# Not all four experts work, but the router does not collapse onto one either. In a real transformer a layer norm
# stands before the router; it removes a shift that is equal in all coordinates, but not every common direction.
#
# Back to the common part. So far we saw one seed. Here are three, for three weights:

# %%
effective = {key: effective_experts(run[0][-20:].sum(axis=0).tolist()) for key, run in runs.items()}
with blas_threads(1):
    alone = [train_layer(seed, 0.0, n_experts=1)[3] for seed in SEEDS]        # one block of the same width
print("alpha   effective experts, by seed      error, mean over seeds (1: no better than the mean)")
for alpha in ALPHAS:
    each = "  ".join(f"{effective[alpha, seed]:4.2f}" for seed in SEEDS)
    print(f"{alpha:<7} {each:30}  {np.mean([runs[alpha, seed][3] for seed in SEEDS]):.3f}")
print(f"a single expert of the same width, no router:    {np.mean(alone):.3f}")
assert np.mean([effective[0.01, seed] for seed in SEEDS]) < 3.5
assert all(effective[0.0, seed] < 2 for seed in SEEDS) and all(effective[0.1, seed] > 3 for seed in SEEDS)

# %% [markdown]
# Without balance all three collapse, and the error is that of a single expert: we pay for four experts and have
# one. With $\alpha = 0.1$ no seed collapses, and the error falls, for the same work per token. Switch's 0.01 is
# too weak *here*: the weight competes with the task's gradient, and we made this task hard for the router. So do
# not trust a default; look at the load.
#
# Did the experts divide the kinds among them? Rows are kinds, columns experts:

# %%
def shares(alpha, seed):
    """(KINDS, E): where the tokens of each kind went."""
    _, routing, kind, _ = runs[alpha, seed]
    expert = to_host(routing.plan.expert)                   # one assignment per token, so (N,)
    table = np.array([np.bincount(expert[kind == one], minlength=4) for one in range(KINDS)])
    return table / table.sum(axis=1, keepdims=True)


for axes, (alpha, seed) in zip(axes_for(7.4, 2.7, columns=3), ((0.0, 1), (0.1, 1), (0.1, 6)), strict=True):
    table = shares(alpha, seed)
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(table.shape):
        axes.text(column, row, f"{table[row, column]:.2f}", ha="center", va="center", size=8,
                  color="white" if table[row, column] > 0.6 else "black")
    axes.set(xlabel="expert", ylabel="kind", xticks=range(4), yticks=range(4))
    axes.set_title(f"alpha = {alpha}, seed {seed}", size=10, loc="left")
plt.show()
together = {alpha: [shares(alpha, seed).max(axis=1).mean() for seed in SEEDS] for alpha in (0.0, 0.1)}
several = {alpha: [len(set(shares(alpha, seed).argmax(axis=1).tolist())) for seed in SEEDS] for alpha in (0.0, 0.1)}
print("                                  " + "  ".join(f"seed {seed}" for seed in SEEDS))
for alpha in (0.0, 0.1):
    for what, values in (("different favourites", several[alpha]), ("share of the favourite", together[alpha]),
                         ("error", [runs[alpha, seed][3] for seed in SEEDS])):
        print(f"alpha {alpha}  {what:24}" + "  ".join(f"{value:6.2g}" for value in values))
errors = {alpha: np.mean([runs[alpha, seed][3] for seed in SEEDS]) for alpha in ALPHAS}
assert max(several[0.0]) < 4 and errors[0.1] < errors[0.0]

# %% [markdown]
# The favourite of a kind is the expert that most of its tokens go to. Four different favourites with shares near
# 1 mean that the router has found the kinds, though nobody told it. We chose the last seed because while we wrote
# this page it came out otherwise: an even load, but kinds torn between experts, and an error no better than
# without balance. **Balance is necessary, not sufficient.** The balance loss cannot know what the experts should
# be good at.
#
# ## 5.7 A fair race
#
# Is DA-MoE better than a Switch Transformer? The naive race trains both and compares scores. But a Switch layer
# always uses one expert per token, and DA-MoE with its own rule uses as many as its attention asks for. Watch
# that number while it trains:

# %%
with blas_threads(1):
    model, with_ceil = train(seed=0, router="da")
    naive = evaluate(model, test_data, test_split.metrics)
with_switch = history                                       # the model of 5.4 was a Switch Transformer with this seed
axes = axes_for(height=2.6)
axes.plot(with_ceil[:, 3], color=RED)
axes.plot(with_switch[:, 3], "--", color=BLUE)
axes.text(111, with_ceil[-5:, 3].mean(), "DA-MoE, ceil", color=RED, va="center")
axes.text(111, 1, "Switch", color=BLUE, va="center")
axes.set(xlabel="step", ylabel="experts per token", ylim=(0, None), xlim=(0, 138))
plt.show()
begin, end = with_ceil[:5, 3].mean(), with_ceil[-5:, 3].mean()
print(f"DA-MoE: {begin:.2f} experts per token at the start, {end:.2f} at the end")
print(f"accuracy, one seed: Switch {result.score:.3f}, DA-MoE {naive.score:.3f}")
assert np.all(with_switch[:, 3] == 1) and end > begin

# %% [markdown]
# It starts as a Switch layer and buys more work as it learns. If it then wins, was it importance or work? Lesson
# 4 named the rivals that one needs. Here they are, each with a few words of configuration:
#
# - **DA-MoE, budget 2**: importance shares out exactly two experts per token on average;
# - **two for everybody**: top-2, the same work, no importance;
# - **shuffled**: budget 2 with the importances of each sentence dealt out at random;
# - **dense, 2f**: no experts, one block of double width, the same work;
# - **no expert**: tokens pass the expert layer by; this shows whether the task needs experts at all.
#
# First the work per token, before any training:

# %%
ARMS = {"DA-MoE, budget 2": {"router": "da", "router_options": {"allocation": "budget", "mean_experts": 2.0}},
        "two for everybody": {"router": "topk", "router_options": {"k": 2}},
        "shuffled, budget 2": {"router": "da", "router_options": {
            "measure": "shuffled(rowmax)", "allocation": "budget", "mean_experts": 2.0}},
        "dense, 2f": {"n_experts": 0, "d_ff": 64},
        "no expert": {"router": "da", "router_options": {"k_min": 0, "k_max": 0}}}
EQUAL = ("DA-MoE, budget 2", "two for everybody", "shuffled, budget 2", "dense, 2f")
flops = {name: dataclasses.replace(shape, **ARMS[name]).flops_per_token(2.0, result.mean_length) for name in EQUAL}
flops |= {name: shape.flops_per_token(k, result.mean_length) for name, k in (("Switch", 1.0), ("no expert", 0.0))}
for name, value in flops.items():
    print(f"{name:20} {value:8,.0f} FLOPs per token")
assert max(flops[name] for name in EQUAL) < 1.02 * min(flops[name] for name in EQUAL)
assert flops["Switch"] < 0.9 * flops["two for everybody"]

# %% [markdown]
# The first four are within two percent of each other. Switch is not among them, so **a win over Switch alone
# proves nothing**. Now the runs: three seeds, 110 steps each. For a seed, all arms with experts start from the
# same weights and see the same batches, so that they can be compared in pairs.

# %%
start = [SequenceClassifier(dataclasses.replace(shape, **ARMS[name]), rng=7).state_dict()
         for name in ("DA-MoE, budget 2", "two for everybody", "shuffled, budget 2", "no expert")]
assert all(np.array_equal(start[0][name], other[name]) for other in start[1:] for name in start[0])

SEEDS = (0, 1, 2)
scores, experts = {}, {}
for name, changes in ARMS.items():
    with blas_threads(1):
        results = [evaluate(train(seed, **changes)[0], test_data, test_split.metrics) for seed in SEEDS]
    scores[name] = np.array([one.score for one in results])
    experts[name] = np.mean([one.mean_experts_per_token for one in results])
print(f"{'':20} experts/token  accuracy: mean, spread over seeds (sample standard deviation)")
for name in ARMS:
    print(f"{name:20} {experts[name]:13.2f}  {scores[name].mean():.3f} +- {scores[name].std(ddof=1):.3f}")

# %%
axes = axes_for(height=2.9)
names = list(ARMS)[::-1]
for seed, marker in zip(SEEDS, "osD", strict=True):
    axes.plot([scores[name][seed] for name in names], range(len(names)), marker=marker, color=GREY, alpha=0.7,
              linewidth=0.7, label=f"seed {seed}")
axes.plot([scores[name].mean() for name in names], range(len(names)), "|", color=RED, markersize=15,
          markeredgewidth=3, label="mean")
axes.set_yticks(range(len(names)), [f"{name}{'  (equal work)' if name in EQUAL else ''}" for name in names])
axes.margins(y=0.1)
axes.set(xlabel="accuracy on the test split")
axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
assert all(abs(experts[name] - 2) < 0.01 for name in EQUAL if name != "dense, 2f") and experts["no expert"] == 0

# %% [markdown]
# (A dense block counts as one expert.) Each line is a seed. Compare two distances: how far the lines lie from
# each other, and how far the red means do. When seeds differ more than arms, a single run of each arm could have
# shown any order.
#
# For a verdict, look at pairs: for each seed the difference of two arms, then the mean of these three differences
# with its 95 % interval (mean plus or minus $4.30 \cdot s / \sqrt 3$, with $s$ their standard deviation and 4.30
# from Student's table for three values). Only if 0 lies outside the interval do the runs show anything.

# %%
def verdict(a, b):
    """In words: what the paired differences say."""
    difference = scores[a] - scores[b]
    half = 4.303 * difference.std(ddof=1) / np.sqrt(len(SEEDS))
    says = "shows nothing" if abs(difference.mean()) <= half else "a difference in these runs"
    return f"{a} minus {b}: {difference.mean():+.3f} +- {half:.3f}, {says}"


sentences = [verdict("DA-MoE, budget 2", rival) for rival in (*EQUAL[1:], "no expert")]
print("\n".join(sentences))
between_seeds = np.mean([values.std(ddof=1) for values in scores.values()])
between_arms = np.std([values.mean() for values in scores.values()], ddof=1)
print(f"spread between seeds {between_seeds:.3f}, between arms {between_arms:.3f}")
assert len(sentences) == 4 and all("shows nothing" in one or "a difference" in one for one in sentences)

# %% [markdown]
# How to read these lines, whatever your machine printed:
#
# - "shows nothing" does not mean *equal*. It means that three tiny runs cannot tell.
# - "a difference in these runs" is no law either: with four comparisons at 95 %, now and then one shines by luck,
#   and the dense arm has other weights, so its pairs share only the data.
# - The line with **no expert** is the most telling. If leaving the experts out costs nothing, the task does not
#   need them (in 110 steps, at this size), and then it cannot rank rules for handing them out. Lesson 4 found the
#   same for a larger model.
# - Against **shuffled**: only a win here would say that it matters *which* words get more.
#
# A claim about DA-MoE would need a task where experts pay, such as our four kinds, but made of sentences; models
# trained to the end; more seeds; and both readings of importance, `rowmax` and `colmax`. The abstract of the
# paper says that DA-MoE beat Switch on GLUE; whether the work was equal we do not know, and no code was
# published. Here you have the tools to find out.
#
# ## What to take away
#
# - Adam divides the average gradient by its usual size; the bias correction makes the first step exactly one
#   learning rate long. AdamW decays beside the gradient, so that all weights shrink alike.
# - Warm up, then decay; clip with one norm over all gradients.
# - A router can collapse onto one expert, and then four experts are worth one. The balance loss $\alpha E \sum
#   f_e P_e$ pushes overused experts down. Watch the load, not the default.
# - Compare at equal work, in pairs over several seeds, against shuffled importance, and against no expert at all.
#
# **Read on.** `minimoe/optim/` has Adam, schedules and clipping; `minimoe/ops/routing.py` the balance loss with
# its backward; `minimoe/moe/health.py` the sentences; `minimoe/training/loop.py` the loop with checkpoints. D. P.
# Kingma and J. Ba, *Adam* ([arXiv 1412.6980](https://arxiv.org/abs/1412.6980)), algorithm 1, and section 3 for
# the correction. I. Loshchilov and F. Hutter, *Decoupled weight decay regularization* ([arXiv
# 1711.05101](https://arxiv.org/abs/1711.05101)), algorithm 2. W. Fedus, B. Zoph and N. Shazeer, *Switch
# Transformers* ([arXiv 2101.03961](https://arxiv.org/abs/2101.03961)), equations 4 to 6. DA-MoE is [arXiv
# 2409.06669](https://arxiv.org/abs/2409.06669); what is certain of it stands in `notation.md`.
#
# **Next.** Lesson 6. Lesson 7 comes back to fair comparisons, with more care for the statistics.
