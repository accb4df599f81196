# %% [markdown]
# # 4. How many experts does a word deserve?
#
# **What you will understand at the end**
#
# - how DA-MoE turns the importance of a word into a whole number of experts, and what follows from that rule;
# - which other rules there are, and which of them keep the cost under control;
# - how to share out an exact number of experts without losing or inventing one;
# - how to test whether the words that matter got more experts, and how not to fool yourself;
# - what the paper says, what others report of it, and what had to be guessed.
#
# **What you need.** Attention weights and the two kinds of importance (lesson 2), experts and a router that picks
# the best of them (lesson 3). A little NumPy.
#
# **Time.** About 75 minutes with the four exercises. The page itself runs in a few seconds and needs no GPU.
#
# Fill in the exercises where it says `YOUR CODE HERE`, run the cell, then run the check below it. Nothing later
# on the page depends on your answers.

# %% [setup]

# %%
import dataclasses
import inspect
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minimoe.backend import to_host
from minimoe.data import encode_dataset, load_builtin, make_batch
from minimoe.models import SequenceClassifier
from minimoe.moe import DynamicRouter, allocate_experts, schedules, token_importance
from minimoe.plots import experts_per_token, importance_against_k
from minimoe.training import evaluate, load_checkpoint

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b7280"     # told apart with every kind of colour vision


def axes_for(width=7.0, height=3.2, columns=1):
    """A figure with one or more plain axes."""
    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", squeeze=False)
    for one in axes[0]:
        one.spines[["top", "right"]].set_visible(False)
    return axes[0] if columns > 1 else axes[0, 0]

# %% [markdown]
# ## 4.1 A number for every word
#
# A small model ships with the library. It has two layers with $E = 8$ experts each, and it was trained to say
# whether a review is good or bad. We load it and give it one sentence. The tokenizer puts `[CLS]` in front, whose
# vector gives the answer, and `[SEP]` at the end.

# %%
checkpoint = load_checkpoint(Path(minimoe.__file__).parent / "assets" / "sentiment")
model, tokenizer = checkpoint.model(backend=BACKEND), checkpoint.tokenizer
E = model.config.n_experts


def read(text):
    """The tokens of one text, and what the model answers."""
    ids = tokenizer.encode(text)
    with minimoe.no_grad():                                        # segments: all 0 for a single text
        return tokenizer.tokens(ids), model(np.array([ids]), segments=np.array([tokenizer.segments(ids)]))


tokens, output = read("the plot was not bad , but the ending was dull .")
P = output.attentions[0].numpy()                                   # attention weights of the first layer
n = len(tokens)
print("answer:", checkpoint.task["label_names"][int(output.logits.numpy().argmax())])
print("tokens", n, "  attention weights", P.shape, "= (sentences, heads, queries, keys)")

# %% [markdown]
# Lesson 2 read two kinds of importance off the attention weights $P$. `rowmax` asks how *sharply* a token looks,
# `colmax` asks how hard it is *looked at*:
#
# $$\text{rowmax: } I_i = \frac{1}{H} \sum_h \max_k P_{hik}, \qquad \text{colmax: } I_i = \frac{1}{H} \sum_h
# \max_q P_{hqi}.$$
#
# An importance is a fraction. A number of experts $K_i$ is whole. DA-MoE multiplies the fraction by the number of
# experts and rounds *up*. Below every token stands its $K_i$; the bar shows its importance (`rowmax`).

# %%
importance = token_importance(P)                                   # rowmax is the default
k = allocate_experts(importance, n_experts=E)
print("importance", importance.shape, importance.dtype, "  k", k.shape, k.dtype)
experts_per_token(tokens, k[0], importance[0], format="figure", k_max=E, width=100)

# %% [markdown]
# The rule is a staircase: all importances between two multiples of $1/E$ get the same number. The column over 7,
# for example, holds all tokens between $6/8$ and $7/8$.

# %%
importance_against_k(importance[0], k[0], tokens)

# %%
for token, i, count in zip(tokens, importance[0], k[0], strict=True):
    print(f"{token:8} importance {i:.3f}   {E} x importance = {E * i:.2f}   experts {count}")
    assert count - 1 < E * i <= count                              # rounded up
assert np.array_equal(k[0], to_host(output.routings[0].k))         # the model itself did the same

# %% [markdown]
# ## 4.2 The paper's rule, and what follows from it
#
# With a smallest number of experts $K_{min}$ (1 unless we say otherwise) and a largest one $K_{max}$ (at most
# $E$),
#
# $$K_i = \mathrm{clip}(\lceil E \cdot (I_i - 10^{-6}) \rceil, K_{min}, K_{max}).$$
#
# (Point 4 explains the $10^{-6}$.) A staircase is flat between its steps, so no gradient flows back through
# $K_i$: the loss cannot ask for more experts. How sure can we be that this is DA-MoE? The paper ([arXiv
# 2409.06669](https://arxiv.org/abs/2409.06669)) leaves much open, and no code was published. So we keep three
# kinds of knowledge apart.
#
# | what | how we know |
# | --- | --- |
# | attention gives importance, a router turns it to $K_i$, the best $K_i$ experts are used | **confirmed**: abstract |
# | it is compared with Switch Transformer on the GLUE tasks | **confirmed**: abstract |
# | importance: mean over heads of the largest weight; $K_i = \lceil I_i \cdot E \rceil$ | **reported**: one note |
# | importance is the size of attention weights, not their entropy | **reported**: a second note |
# | the largest weight *of a row* (`rowmax`), not of a column | **assumed**: the note names no axis |
# | the $10^{-6}$, and $K_{min} = 1$ | **assumed**: reasons below |
# | attention of the same layer, before dropout; no gradient through importance | **assumed** |
# | raw gates, and no expert turns a token away | **assumed**: then $K_i = 1$ for all is a Switch layer |
# | optimiser, learning rate, batch size | **not found**: ours are **assumed** |
#
# Here is what the library assumes:

# %%
defaults = {name: one.default for name, one in inspect.signature(DynamicRouter).parameters.items()}
for name in ("measure", "heads", "source", "allocation", "k_min", "k_max", "soft_importance"):
    print(f"{name:16} {defaults[name]}")
assert (defaults["measure"], defaults["allocation"], defaults["k_min"]) == ("rowmax", "ceil", 1)

# %% [markdown]
# Four things follow from this rule alone.
#
# **1. A head that looks everywhere alike buys one expert.** With uniform attention over $n$ tokens every weight
# is $1/n$, so $I_i = 1/n$ and $K_i = \lceil E/n \rceil$. Once $n \ge E$, that is 1: the layer is a Switch layer.

# %%
def uniform_k(n, n_experts):
    """Experts per token of a sentence of n tokens that all look everywhere alike; every token gets the same."""
    attention = np.full((1, 4, n, n), 1 / n, np.float32)           # (B, H, S, S)
    return int(allocate_experts(token_importance(attention), n_experts=n_experts)[0, 0])


lengths = np.arange(1, 65)
axes = axes_for()
for experts, colour, marker in ((8, BLUE, "o"), (32, RED, "s")):
    counts = [uniform_k(length, experts) for length in lengths]
    axes.plot(lengths, counts, marker + "-", color=colour, markersize=4, linewidth=1)
    axes.text(1.04, 1.05 * experts, f"E = {experts}", color=colour, va="bottom")
    assert counts == [-(-experts // length) for length in lengths]             # E / n, rounded up
axes.set_xscale("log", base=2)
axes.set_yscale("log", base=2)
ticks = [1, 2, 4, 8, 16, 32, 64]
axes.set(xlabel="tokens n in the sentence, all attention uniform", ylabel="experts per token", ylim=(0.8, 52),
         xticks=ticks, xticklabels=ticks, yticks=ticks[:-1], yticklabels=ticks[:-1])
plt.show()

# %% [markdown]
# **2. A sentence of one token gets all experts.** It can only look at itself, so its weight is 1. That is the
# left end of both curves. More generally, short sentences get more experts for each word, for no better reason
# than that $1/n$ is larger.
#
# **3. When heads sharpen, everything saturates.** Nothing in the rule limits the sum of the $K_i$. Fresh weights
# give nearly uniform attention. Training sharpens it, and the layer becomes more expensive while it learns.

# %%
test = load_builtin("sentiment", "test")
encoded = encode_dataset(test, tokenizer, model.config.max_length)
trained = evaluate(model, encoded, test.metrics)
for seed in range(3):
    untrained = evaluate(SequenceClassifier(model.config, rng=seed).to(BACKEND), encoded, test.metrics)
    print(f"before training, seed {seed}: {untrained.mean_experts_per_token:.2f} experts per token")
    assert untrained.mean_experts_per_token < 1.1
print(f"after training:          {trained.mean_experts_per_token:.2f} experts per token")
assert trained.mean_experts_per_token > 2

# %% [markdown]
# We can turn this knob by hand. Raising all weights to a power $\beta$ and dividing by their sum is the same as
# multiplying the scores before the softmax by $\beta$. At $\beta = 0$ attention is uniform, at $\beta = 1$ it is
# the model's, and as $\beta$ grows every head picks a single token.

# %%
def sharpened(attention, beta):
    """Attention weights as they would be if all scores were beta times as large."""
    power = attention.astype(np.float64) ** beta
    return power / power.sum(axis=-1, keepdims=True)


betas = np.linspace(0, 6, 49)
mean_k = [allocate_experts(token_importance(sharpened(P, beta)), n_experts=E).mean() for beta in betas]
axes = axes_for()
axes.plot(betas, mean_k, color=RED, linewidth=2)
axes.plot(1, k.mean(), "o", color="black")
axes.annotate("the model", (1, k.mean()), (1.25, k.mean() - 0.6))
axes.set(xlabel="sharpness $\\beta$ of all heads", ylabel="mean experts per token", ylim=(0, E + 0.3))
axes.axhline(E, color=GREY, linewidth=0.8)
plt.show()
print(f"uniform {mean_k[0]:.2f}, the model {k.mean():.2f}, sharpest {mean_k[-1]:.2f}")
assert mean_k[0] == -(-E // n) and mean_k[-1] > 0.8 * E and np.all(np.diff(mean_k) >= 0)

# %% [markdown]
# **4. Rounding up is touchy.** $8 \cdot 0.125 = 1$ needs one expert. But computers round: in float32 a weight
# that should be $0.125$ may come out one step larger, and then the ceiling buys a whole second expert for
# nothing. So a **guard** of $10^{-6}$ comes off first. It is larger than the rounding error and far smaller than
# any difference that means something. (The lower limit $K_{min} = 1$ takes nothing away either: a `rowmax` is at
# least $1/n$, so the ceiling gives 1 or more by itself as long as $n$ is below a million.)

# %%
exact = np.float32(0.125)
noisy = np.nextafter(exact, np.float32(1))                         # the next larger number that float32 knows
for name, i in (("exact", exact), ("one step more", noisy)):
    print(f"{name:14} {i:.10f}   without guard {np.ceil(8 * i):.0f}   "
          f"with guard {allocate_experts(np.array([[i]]), n_experts=8)[0, 0]}")

scores = 0.3 + 1e-7 * np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float32)
weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)           # (1000, 8): uniform but for rounding
rounded_up = np.ceil(8 * weights.max(axis=1))
guarded = allocate_experts(weights.max(axis=1)[None], n_experts=8)
print(f"of 1000 rows of eight equal scores with rounding noise, {(rounded_up > 1).sum()} would get a second expert")
assert np.ceil(8 * noisy) == 2 and (rounded_up > 1).any() and (guarded == 1).all()

# %% [markdown]
# ### Exercise 4.1: the rule
#
# Write the rule of DA-MoE. `importance` is a float array of shape $(B, S)$: $B$ sentences, padded to $S$ tokens.
# `mask` is a bool array of the same shape, `True` at real tokens. Padding must get 0 experts, whatever number
# stands there. Real tokens get $K_i$ from the formula at the start of this section. Return integers.

# %% [exercise] experts_by_ceil
def experts_by_ceil(importance, mask, n_experts, k_min=1, k_max=None):
    """K (B, S), integers: clip(ceil(E (I - 1e-6)), k_min, k_max), and 0 at padding. k_max=None means n_experts."""
    ### BEGIN SOLUTION
    k_max = n_experts if k_max is None else k_max
    k = np.ceil(n_experts * (importance - 1e-6)).clip(k_min, k_max)
    return np.where(mask, k, 0).astype(int)
    ### END SOLUTION

# %% [check] experts_by_ceil points=2
fresh = np.random.default_rng()
i_check = (fresh.permutation([1, 2, 3, 4, 5, 6]).reshape(2, 3) + fresh.uniform(0.2, 0.4, (2, 3))) / 8    # K is 2 to 7
mask_check = np.array([[True, True, True], [True, True, False]])
before_check = i_check.copy()
answer = experts_by_ceil(i_check, mask_check, 8)
assert answer is not None, "experts_by_ceil gives nothing back: end it with return"
assert np.shape(answer) == (2, 3), f"K has shape {np.shape(answer)}; it must have the shape of importance, (2, 3)"
answer = np.asarray(answer)
assert np.array_equal(i_check, before_check), "importance was changed: work on a new array"
assert answer.dtype.kind in "iu", f"K is {answer.dtype}; a number of experts is whole: end with .astype(int)"
wanted_check = np.ceil(8 * i_check).astype(int)
assert not np.array_equal(answer[mask_check], (wanted_check - 1)[mask_check]), (
    "every K is one too small: round up, not down or to the nearest")
assert np.array_equal(answer[mask_check], wanted_check[mask_check]), (
    f"importance {i_check[0, 0]:.3f} with 8 experts needs {wanted_check[0, 0]}, got {answer[0, 0]}: multiply by E, "
    "then round up")
assert answer[1, 2] == 0, f"padding got {answer[1, 2]} experts; it must get 0: apply the mask last, after the clip"
one_check = np.ones((1, 3), bool)
low, high = experts_by_ceil(np.array([[0.0, 0.05, 1.0]]), one_check, 8)[0, [0, 2]]
assert low == 1, f"importance 0 got {low} experts; it must get k_min, which is 1: clip from below"
assert high == 8, f"importance 1 with 8 experts must get all 8, got {high}"
top = experts_by_ceil(np.array([[0.9, 0.9, 0.1]]), one_check, 8, k_max=4)[0, 0]
assert top == 4, f"importance 0.9 with k_max=4 got {top} experts; no token may get more than k_max"
edge = np.nextafter(np.float32(0.125), np.float32(1))
assert experts_by_ceil(np.full((1, 3), edge), one_check, 8)[0, 0] == 1, (
    "rounding noise above 0.125 bought a second expert: take 1e-6 off the importance before the ceiling")
assert experts_by_ceil(np.full((1, 3), 0.125 + 7e-7), one_check, 8)[0, 0] == 1, (
    "the guard comes off too late: E (I - 1e-6), not E I - 1e-6")
print("Right: up, not down; guarded against noise; between k_min and k_max; nothing for padding.")

# %% [markdown]
# ## 4.3 Other rules, same sentence
#
# The ceiling is one of eight rules in `allocate_experts`. They differ in what they look at, and in who decides
# how many experts are used in total.
#
# | rule | looks at | idea | mean of $K$ |
# | --- | --- | --- | --- |
# | `ceil` | the token | $\lceil E I \rceil$, the paper's | free |
# | `affine` | the token | along a line from $K_{min}$ at $I = 0$ to $K_{max}$ at $I = 1$, rounded | free |
# | `threshold` | the token | one more expert for every threshold that $I$ reaches | kept on average |
# | `mass` | the sentence | $K_{max}$ for the best few that hold a share $\rho$ of all $I$, else $K_{min}$ | free |
# | `quantile` | the sentence | by rank: fixed shares of the tokens get 1, 2, 3, ... experts | nearly kept |
# | `budget` | the sentence | shares an exact total in proportion to $I$ | exact |
# | `pairs` | sentence, router | best pairs of token and expert by $I_i p_{ie}$, until the total is reached | exact |
# | `top_p` | the router only | the fewest experts whose probabilities $p_{ie}$ reach a sum $p$ | free |
#
# "The token" means: once $I_i$ is known, the rule decides for a word without asking the others, as `top_p` does
# too. A model that writes text word by word needs such a rule. The three that read importance, as the library has
# them (`xp` is NumPy, or CuPy on a GPU):

# %%
for rule in (schedules.ceil_counts, schedules.affine_counts, schedules.threshold_counts):
    print(inspect.getsource(rule))

# %% [markdown]
# The thresholds have to come from somewhere. Here they are quantiles of the importance in 200 other sentences,
# chosen so that the expected number of experts is 3: each threshold adds the share of tokens that reach it.

# %%
MEAN = 3
dev = load_builtin("sentiment", "dev")
seen = make_batch(encode_dataset(dev, tokenizer, model.config.max_length), np.arange(200))
with minimoe.no_grad():
    seen_attention = model(seen.ids, seen.mask, seen.segments).attentions[0].numpy()
seen_importance = token_importance(seen_attention, seen.mask)[seen.mask]       # real tokens only
reached_by = np.array([0.8, 0.5, 0.3, 0.2, 0.1, 0.07, 0.03])                   # shares of tokens, 2 in all
thresholds = np.quantile(seen_importance, 1 - reached_by)
print("tokens seen", seen_importance.shape, "  thresholds", thresholds.round(3))
assert np.isclose(1 + reached_by.sum(), MEAN)

# %%
probabilities = output.routings[0].probabilities.numpy().reshape(1, n, E)      # of the router, lesson 3
OPTIONS = {
    "ceil": {},
    "affine": {},
    "threshold": {"thresholds": thresholds},
    "mass": {"rho": 0.25},
    "quantile": {"mean_experts": MEAN},
    "budget": {"mean_experts": MEAN},
    "pairs": {"mean_experts": MEAN, "probabilities": probabilities},
    "top_p": {"p": 0.4, "probabilities": probabilities},
}
by_rule = {rule: allocate_experts(importance, n_experts=E, allocation=rule, **options)[0]
           for rule, options in OPTIONS.items()}
for rule, counts in by_rule.items():
    print(f"{rule:10} total {counts.sum():3}   mean {counts.mean():.2f}")

# %% [markdown]
# Every panel below is one rule, every dot a token of our sentence.

# %%
figure, panels = plt.subplots(2, 4, figsize=(7.5, 4), layout="constrained", sharex=True, sharey=True)
for axes, (rule, counts) in zip(panels.flat, by_rule.items(), strict=True):
    axes.plot(importance[0], counts, "o", color=BLUE, markersize=5, alpha=0.7, markeredgewidth=0)
    axes.axhline(counts.mean(), color=RED, linewidth=1, linestyle="--")
    axes.set_title(rule, size=10, loc="left")
    axes.set(ylim=(0, E + 0.6), yticks=range(0, E + 1, 2))
    axes.spines[["top", "right"]].set_visible(False)
figure.supxlabel("importance", size=10)
figure.supylabel("experts    (dashed: mean)", size=10)
plt.show()

# %% [markdown]
# And the same word by word, darker for more experts:

# %%
experts_per_token(tokens, np.stack(list(by_rule.values())), format="figure", k_max=E, labels=list(by_rule), width=100)

# %%
order = np.argsort(importance[0], kind="stable")
for rule in ("ceil", "affine", "threshold", "mass", "quantile", "budget"):
    assert np.all(np.diff(by_rule[rule][order]) >= 0), rule         # more importance never gets fewer experts
assert by_rule["budget"].sum() == by_rule["pairs"].sum() == MEAN * n
same = allocate_experts(importance[:, ::-1].copy(), n_experts=E, allocation="top_p", **OPTIONS["top_p"])[0]
assert np.array_equal(same, by_rule["top_p"])                       # importance is not read at all

# %% [markdown]
# `budget` shares in proportion, so nearly equal importances get nearly equal numbers. `quantile` looks at ranks
# only and spreads the same total widely. `threshold` misses its mean of 3 in this sentence; it keeps it only over
# many sentences like those that gave the thresholds.
#
# For the first six rules, more importance never means fewer experts. `pairs` also asks the router: a token with
# one clear favourite among the experts does not need five. `top_p` asks the router alone, so its dots follow no
# curve; it is the published alternative ([arXiv 2403.07652](https://arxiv.org/abs/2403.07652)) in which a token
# gets more experts where the router hesitates.
#
# ## 4.4 An exact budget
#
# The `budget` rule gives every sentence of $n$ real tokens exactly
#
# $$T = \lfloor \bar K n + \tfrac12 \rfloor$$
#
# experts, where $\bar K$ is the mean that we ask for. Every token gets $K_{min}$ first. The remaining $r = T - n
# K_{min}$ are shared in proportion to importance, $r_i = r I_i / \sum_j I_j$. These shares are fractions, and
# rounding them one by one does not work: the sum comes out wrong.

# %%
rest = MEAN * n - n
shares = rest * importance[0] / importance[0].sum()
for name, rounding in (("down", np.floor), ("to nearest", np.rint), ("up", np.ceil)):
    print(f"rounded {name:10} the shares add up to {rounding(shares).sum():.0f} in place of {rest}")
assert np.isclose(shares.sum(), rest) and np.floor(shares).sum() < rest < np.ceil(shares).sum()

# %% [markdown]
# Parliaments have the same problem: seats are whole and votes are many. One of their answers is the **method of
# largest remainders**, proposed by Alexander Hamilton in 1792:
#
# 1. round every share down;
# 2. count how many are left over;
# 3. give them out one at a time, first to the token whose share lost the largest fraction.
#
# If two fractions are equal, the more important token comes first, and then the earlier one. Here it is in slow
# motion for a sentence of five words, with $T = 12$ and $K_{min} = 1$.

# %%
five = np.array([[0.62, 0.20, 0.11, 0.45, 0.32]])
given = allocate_experts(five, n_experts=8, allocation="budget", mean_experts=12 / 5)[0]
share = (12 - 5) * five[0] / five.sum()
left_over = 12 - 5 - int(np.floor(share).sum())
print("word  importance   k_min    share  rounded down  fraction   experts")
for word in range(5):
    whole, extra = int(share[word]), given[word] - 1 - int(share[word])
    print(f"{word:4} {five[0, word]:11.2f} {1:7} {share[word]:8.3f} {whole:13} {share[word] - whole:9.3f}"
          f" {given[word]:9}  {'one of the left over' if extra else ''}")
print(f"total {given.sum()}; after rounding down {left_over} were left over")
assert given.sum() == 12 and np.all(np.abs(given - 1 - share) < 1)             # nobody is off by a whole expert

# %% [markdown]
# ### Exercise 4.2: largest remainders
#
# Write the method. `importance` is a float array of shape $(n,)$, all above 0; `total` is $T$. Return $n$
# integers that are each at least `k_min` and sum to exactly `total`. There is no upper limit in this exercise.
# Where fractions and importances are equal, the earlier token comes first: `np.argsort(..., kind="stable")` keeps
# the order of equals.

# %% [exercise] share_out
def share_out(importance, total, k_min=1):
    """Whole numbers (n,), at least k_min, with sum `total`: the rest in proportion to importance (n,)."""
    ### BEGIN SOLUTION
    spare = total - k_min * len(importance)
    share = spare * importance / importance.sum()
    k = np.floor(share).astype(int)
    lost = share - k
    first = np.argsort(-lost, kind="stable")[:spare - k.sum()]
    k[first] += 1
    return k_min + k
    ### END SOLUTION

# %% [check] share_out points=3
fresh = np.random.default_rng()


def shared(shares, total, k_min):
    """The answer for importance in proportion to `shares`, as an array."""
    answer = share_out(np.array(shares) * 0.05, total, k_min)
    assert answer is not None, "share_out gives nothing back: end it with return"
    answer = np.asarray(answer)
    assert answer.shape == (len(shares),), f"K has shape {answer.shape}; it must have one number for each token"
    assert np.all(answer == np.round(answer)), "some K are not whole numbers: round the shares down first"
    return answer


answer = shared([2.2, 1.3, 0.9, 0.6], 9, 1)                         # 9 - 4 = 5 to share; fractions .2 .3 .9 .6
assert not np.array_equal(answer, [3, 2, 1, 1]), (
    "experts are missing: hand out what was left over after rounding down")
assert not np.array_equal(answer, [4, 3, 1, 1]), (
    "the left over went to the largest importances, or the smallest fractions; they go to the largest fractions")
assert not np.array_equal(answer, [5, 2, 1, 1]) and not np.array_equal(answer, [3, 2, 3, 1]), (
    "one token took everything that was left over: give one each to as many tokens as there are left over")
assert answer.sum() != 5, "the total is k_min short for each token: add k_min to what you shared out"
assert answer.sum() == 9, f"the total is {answer.sum()}, not 9: only the method's last step makes it exact"
assert np.array_equal(answer, [3, 2, 2, 2]), (
    f"shares 2.2 1.3 0.9 0.6 on top of one each must give [3 2 2 2], got {answer}: share only what is left after "
    "every token got k_min")
answer = shared([1.5, 0.3, 0.2], 6, 0)                              # k_min = 0: 6 to share, so 4.5 0.9 0.6
assert np.array_equal(answer, [4, 1, 1]), f"with k_min=0 shares 4.5 0.9 0.6 must give [4 1 1], got {answer}: use k_min"
answer = shared([1.0] * 5, 7, 1)
assert answer.sum() == 7, (
    f"five equal tokens and a total of 7 gave {answer.sum()} experts: all five shares are 0.4 and round down to 0, so "
    "hand out the two that are left over")
assert np.array_equal(answer, [2, 2, 1, 1, 1]), (
    f"equal fractions go to the earlier token: five equal tokens and a total of 7 must give [2 2 1 1 1], got {answer}")
for _ in range(20):
    many = fresh.uniform(0.05, 1, 9)
    answer = shared(many / 0.05, 31, 2)
    fair = 13 * many / many.sum()
    assert answer.sum() == 31 and answer.min() >= 2, "a random sentence of nine tokens does not add up to its total"
    off = answer - 2 - np.floor(fair)
    assert set(off) <= {0, 1} and fair[off == 1].size == 13 - np.floor(fair).sum(), "a token is off by more than one"
    assert not off.any() or (fair % 1)[off == 1].min() >= (fair % 1)[off == 0].max(), (
        "a smaller fraction was rounded up before a larger one")
print("Right: every expert is given out once, and nobody is off by a whole one.")

# %% [markdown]
# With an upper limit $K_{max}$ there is one more step. A token whose share would carry it above the limit is cut
# there, and what it cannot take is shared among the others, again and again until nobody is above. The library
# does it for all sentences at once.

# %%
steep = np.array([[0.90, 0.04, 0.03, 0.02, 0.01]])
for k_max in (8, 4, 3):
    counts = allocate_experts(steep, n_experts=8, allocation="budget", mean_experts=12 / 5, k_max=k_max)[0]
    print(f"at most {k_max}: {counts}   total {counts.sum()}")
    assert counts.sum() == 12 and counts.max() <= k_max
try:
    allocate_experts(steep, n_experts=8, allocation="budget", mean_experts=12 / 5, k_max=2)
except ValueError as error:
    print("at most 2:", error)

# %% [markdown]
# With an exact total, two importances can be compared at the same cost. Here is our sentence once more: "dull" is
# last under `rowmax` and first under `colmax`.

# %%
pair = {measure: allocate_experts(token_importance(P, measure=measure), n_experts=E, allocation="budget",
                                  mean_experts=MEAN)[0] for measure in ("rowmax", "colmax")}
assert pair["rowmax"].sum() == pair["colmax"].sum() == MEAN * n
assert pair["rowmax"].argmin() == pair["colmax"].argmax() == tokens.index("dull")
experts_per_token(tokens, np.stack(list(pair.values())), format="figure", k_max=E, labels=list(pair), width=100)

# %% [markdown]
# ## 4.5 Why equal compute matters
#
# Suppose model A gives each token 4 experts and model B gives 1, and A scores higher. Was it the clever choice of
# words, or just the fourfold work? One cannot tell. So count the work. One multiplication with one addition makes
# two **FLOPs** (floating-point operations). Forward, for one token and one layer, with width $d$, expert width
# $f$ and $n$ tokens to look at:
#
# | part | FLOPs | why |
# | --- | --- | --- |
# | attention, the four linear maps | $8 d^2$ | queries, keys, values, output: $2 d^2$ each |
# | attention, looking | $4 n d$ | $2 n d$ for the scores, $2 n d$ for the weighted sum |
# | router | $2 d E$ | one score for each expert |
# | experts | $4 d f K_i$ | two maps in each expert, $2 d f$ each |
#
# Norms, softmax and additions are small and left out.

# %%
d, f, layers = model.config.d_model, model.config.d_ff, model.config.n_layers
parts = {"linear maps": 8 * d * d, "looking": 4 * n * d, "router": 2 * d * E, "one expert": 4 * d * f}
for name, flops in parts.items():
    print(f"{name:12} {flops:7,} FLOPs per token and layer")
switch = model.config.flops_per_token(1, trained.mean_length)
ours = model.config.flops_per_token(trained.mean_experts_per_token, trained.mean_length)
print(f"whole model, Switch with K = 1: {switch:,.0f} per token; as trained with ceil: {ours:,.0f} "
      f"({ours / switch:.2f} times)")
assert ours > 1.2 * switch

# %% [markdown]
# ### Exercise 4.3: what a sentence costs
#
# `k` is an integer array of shape $(L, n)$: the experts of each of the $n$ tokens (no padding) in each of the $L$
# layers. Return the forward FLOPs of the whole sentence, all tokens and all layers, by the table above.

# %% [exercise] sentence_flops
def sentence_flops(k, d, f, n_experts):
    """Forward FLOPs of one sentence: attention, router and experts. k: whole numbers (L, n)."""
    ### BEGIN SOLUTION
    layers, n = k.shape
    same_for_all = 8 * d * d + 4 * n * d + 2 * d * n_experts
    return layers * n * same_for_all + 4 * d * f * k.sum()
    ### END SOLUTION

# %% [check] sentence_flops points=2
fresh = np.random.default_rng()
k_check = fresh.integers(1, 9, (3, 11))
k_check[0, :5] = [1, 2, 3, 4, 5]                                    # never all alike
d_check, f_check, e_check = 40, 100, 8
answer = sentence_flops(k_check, d_check, f_check, e_check)
assert answer is not None, "sentence_flops gives nothing back: end it with return"
assert np.ndim(answer) == 0, f"the answer has shape {np.shape(answer)}; one number is wanted, for the whole sentence"
linear_check, look_check, router_check = 8 * d_check**2, 4 * 11 * d_check, 2 * d_check * e_check
expert_check, sum_check = 4 * d_check * f_check, int(k_check.sum())
truth_check = 33 * (linear_check + look_check + router_check) + expert_check * sum_check
for wrong_check, words in (
    (33 * (linear_check + look_check) + expert_check * sum_check, "the router is missing: 2 d E for each token"),
    (truth_check + expert_check * (33 * e_check - sum_check),
     "every token pays for all E experts; it pays only for its own K: use k.sum()"),
    (truth_check + expert_check * (33 - sum_check), "every token pays for one expert; it has K of them: use k.sum()"),
    (truth_check / 33, "this is the mean for one token and layer: the whole sentence has n tokens and L layers"),
    (truth_check / 3, "this is the mean over layers: every layer costs, so add them up"),
    (truth_check / 11, "this is the mean over tokens: every token costs, so add them up"),
    (truth_check / 2, "half of it: one multiplication with one addition counts as two"),
    (truth_check - expert_check * sum_check / 2, "an expert has two maps, so 4 d f in all"),
    (33 * (linear_check + 4 * d_check + router_check) + expert_check * sum_check,
     "looking is too cheap: it costs 4 n d for each of the n tokens, since each looks at all n"),
    (11 * (linear_check + look_check + router_check) + expert_check * sum_check,
     "attention and router are counted for one layer only: all L layers have them"),
    (3 * (linear_check + look_check + router_check) + expert_check * sum_check,
     "attention and router are counted for one token only: all n tokens have them"),
    (33 * (linear_check + 11 * look_check + router_check) + expert_check * sum_check,
     "looking is too dear: 4 n d is the price of one token already"),
):
    assert not np.isclose(answer, wrong_check, rtol=1e-12), words
assert np.isclose(answer, truth_check, rtol=1e-12), (
    f"got {answer:,.0f}, but it must be {truth_check:,.0f}: n L (8 d d + 4 n d + 2 d E) + 4 d f (sum of all K)")
print("Right: attention and router cost every token the same; experts cost by K.")

# %% [markdown]
# So which rules keep the cost where we want it? We turn the sharpness knob of section 4.2 again, now with all
# rules that read importance, on 200 sentences. The thresholds stay as they were at $\beta = 1$.

# %%
curves = {rule: [] for rule in ("ceil", "affine", "threshold", "mass", "quantile", "budget")}
some_betas = np.linspace(0, 4, 17)
real = seen.mask
for beta in some_betas:
    keys = real[:, None, None, :] & real[:, None, :, None]
    power = np.where(keys, seen_attention ** beta, 0)              # padding stays 0, also at beta = 0
    total = power.sum(axis=-1, keepdims=True)
    at_beta = token_importance(power / np.where(total > 0, total, 1), real)
    for rule, means in curves.items():
        counts = allocate_experts(at_beta, real, n_experts=E, allocation=rule, **OPTIONS[rule])
        means.append(counts.sum() / real.sum())

# %%
axes = axes_for(7.2, 3.8)
styles = {"ceil": (RED, "-"), "affine": ("#E69F00", "-"), "threshold": ("#CC79A7", "--"), "mass": (GREEN, "-."),
          "quantile": ("black", ":"), "budget": (BLUE, "-")}
for rule, means in curves.items():
    colour, line = styles[rule]
    axes.plot(some_betas, means, line, color=colour, linewidth=2)
height = E + 1.0
for rule in sorted(curves, key=lambda rule: -curves[rule][-1]):
    height = min(curves[rule][-1], height - 0.45)     # names at the ends, moved apart if they touch
    axes.text(some_betas[-1] + 0.08, height, rule, color=styles[rule][0], va="center")
axes.axvline(1, color=GREY, linewidth=0.8)
axes.text(1.04, 0.1, "the model", color=GREY, va="bottom")
axes.set(xlabel="sharpness $\\beta$ of all heads", ylabel="mean experts per token", ylim=(0, E + 0.3), xlim=(-0.1, 4.7))
plt.show()
at_one = list(some_betas).index(1)
print("mean experts at sharpness 1:", {rule: round(float(means[at_one]), 2) for rule, means in curves.items()})
assert np.ptp(curves["budget"]) < 1e-9 and np.isclose(curves["budget"][0], MEAN)
assert abs(curves["threshold"][at_one] - MEAN) < 0.05 and np.ptp(curves["quantile"]) < 0.2
assert np.ptp(curves["ceil"]) > 3 and np.ptp(curves["threshold"]) > 1 > np.ptp(curves["mass"])

# %% [markdown]
# The ceiling runs from one expert towards all of them, and `affine` goes with it. Thresholds keep their mean as
# long as attention stays as it was when they were chosen, and lose it otherwise; in training the library lets
# them follow (`threshold_shares`). `mass`, `quantile` and `budget` do not read how large importances are, only
# how they compare within the sentence. `mass` still wanders a little, `quantile` hardly, `budget` not at all.
#
# ## 4.6 Do the words that decide get more?
#
# The idea of DA-MoE is that important words deserve more experts. Important for what? The built-in tasks are made
# by rule, so for every sentence it is known which words decide the label. A few sentences, with stars at these
# words:

# %%
for example in test.examples[6:12]:
    words = example.text.split()
    print(" ".join(f"*{word}*" if place in example.deciding else word for place, word in enumerate(words)),
          "->", test.label_names[example.label])
assert all(example.deciding for example in test.examples)

# %% [markdown]
# We run all of them at once. A **batch** pads the sentences to a common length. Its bool arrays have the shape
# $(B, S)$: `mask` is `True` at real tokens, `words` at real tokens other than `[CLS]` and `[SEP]`, and `deciding`
# at the words that decide.

# %%
batch = make_batch(encoded, np.arange(len(test)))
with minimoe.no_grad():
    answers = model(batch.ids, batch.mask, batch.segments)
attentions = [attention.numpy() for attention in answers.attentions]           # each layer (B, H, S, S)
print("sentences and padded length", batch.mask.shape, "  real tokens", batch.mask.sum())
print("words", batch.words.sum(), "  of these decide", batch.deciding.sum())


def counts_under(measure):
    """Experts per token, (L, B, S): what the same attention gives under another importance."""
    importances = [token_importance(attention, batch.mask, measure) for attention in attentions]
    return np.stack([allocate_experts(one, batch.mask, E) for one in importances])


under = {measure: counts_under(measure) for measure in ("rowmax", "colmax")}
for measure, counts in under.items():
    print(f"{measure}: K {counts.shape}, mean {counts[:, batch.mask].mean():.2f}")
assert np.mean(under["rowmax"] == np.stack([to_host(r.k).reshape(batch.mask.shape) for r in answers.routings])) > 0.999

# %% [markdown]
# ### Exercise 4.4: the gap
#
# Given `k`, numbers of shape $(B, S)$, and the bool arrays `words` and `deciding` of that shape, return the mean
# of `k` over all deciding words minus the mean over all *other words*. Deciding words are words too. `[CLS]`,
# `[SEP]` and padding belong to neither side. Every word counts the same, in long sentences and in short ones.

# %% [exercise] deciding_gap
def deciding_gap(k, words, deciding):
    """Mean of k on the words that decide minus its mean on the other words. All (B, S); returns one number."""
    ### BEGIN SOLUTION
    return k[deciding].mean() - k[words & ~deciding].mean()
    ### END SOLUTION

# %% [check] deciding_gap points=1
fresh = np.random.default_rng()
k_check = fresh.uniform(1, 8, (4, 9))
words_check = np.zeros((4, 9), bool)
for row_check, length_check in enumerate((7, 5, 4, 6)):
    words_check[row_check, 1:1 + length_check] = True
deciding_check = np.zeros((4, 9), bool)
deciding_check[[0, 0, 1, 2, 3], [1, 4, 2, 3, 1]] = True
others_check = words_check & ~deciding_check
answer = deciding_gap(k_check, words_check, deciding_check)
assert answer is not None, "deciding_gap gives nothing back: end it with return"
assert np.ndim(answer) == 0, f"the answer has shape {np.shape(answer)}; one number is wanted"
mean_check, truth_check = k_check[deciding_check].mean(), (
    k_check[deciding_check].mean() - k_check[others_check].mean())
by_sentence_check = np.mean([k_check[r][deciding_check[r]].mean() - k_check[r][others_check[r]].mean()
                             for r in range(4)])
for wrong_check, words_of_help in (
    (-truth_check, "the sign is turned: deciding minus others"),
    (mean_check - k_check[~deciding_check].mean(),
     "the others contain padding, [CLS] and [SEP]: take only what is True in words"),
    (mean_check - k_check[words_check].mean(),
     "the deciding words stand on both sides: take them out of the others, words & ~deciding"),
    (mean_check - k_check.mean(), "the second mean runs over everything: only over words that do not decide"),
    (by_sentence_check, "this is a mean of sentences; every word must count the same: pool the words of all sentences"),
    ((k_check * deciding_check).mean() - (k_check * others_check).mean(),
     "these means count the zeros of the masked array as well: pick the words first, k[deciding]"),
    (k_check[deciding_check].sum() - k_check[others_check].sum(),
     "these are sums; there are fewer deciding words, so compare means"),
):
    assert not np.isclose(answer, wrong_check, rtol=1e-12), words_of_help
assert np.isclose(answer, truth_check), (
    f"got {answer:.4f}, but it must be {truth_check:.4f}: mean over deciding words minus mean over the other words")
print("Right: two means over words, padding and marks left out.")

# %% [markdown]
# The library measures the same whenever it evaluates a model on a built-in task. Here it is for the model that
# ships, both layers together:

# %%
for measure, (deciding, others) in trained.deciding.items():
    print(f"{measure}: {deciding:.2f} experts on deciding words, {others:.2f} on the others"
          f" -> {'more' if deciding > others else 'NOT more'} on the deciding ones")
for measure in under:
    by_hand = under[measure][:, batch.deciding].mean(), under[measure][:, batch.words & ~batch.deciding].mean()
    assert np.allclose(by_hand, trained.deciding[measure], atol=0.01)

# %% [markdown]
# Read these two lines twice. Under `rowmax`, the reading of the paper that we follow by default, the words that
# decide got *fewer* experts. Under `colmax` they got many more. Which kinds of words are behind it?

# %%
text = np.array([tokenizer.tokens(row) for row in batch.ids.tolist()])         # (B, S) strings
from_grammar = minimoe.data.grammar
kinds = {"opinions (good, dull, ...)": from_grammar.GOOD + from_grammar.BAD,
         "denials (not, never, hardly)": ["not", "never", "hardly"], "but, although": ["but", "although"],
         "strength (truly, mildly, ...)": from_grammar.STRONG + from_grammar.MILD, "the": ["the"], "was": ["was"],
         "of": ["of"], "full stop": ["."], "[CLS]": ["[CLS]"]}
places = {kind: np.isin(text, members) & batch.mask for kind, members in kinds.items()}
axes = axes_for(7.2, 3.6)
heights = np.arange(len(kinds))[::-1]
for measure, colour, marker in (("rowmax", BLUE, "o"), ("colmax", RED, "s")):
    means = [under[measure][:, where].mean() for where in places.values()]
    axes.plot(means, heights, marker, color=colour, markersize=7, label=measure)
axes.set(xlabel="mean experts per token, both layers", yticks=heights, yticklabels=list(kinds), xlim=(0, E))
axes.grid(axis="y", linewidth=0.4, color="0.85")
axes.legend(frameon=False, loc="lower right")
plt.show()
opinions = places["opinions (good, dull, ...)"]
assert under["rowmax"][:, opinions].mean() < under["rowmax"][:, batch.words].mean()          # fewer than a mean word,
assert under["colmax"][:, opinions].mean() > 1.5 * under["colmax"][:, batch.words].mean()    # and many more

# %% [markdown]
# An opinion word such as "dull" is looked *at* by the others, so it does well under `colmax`. It does not itself
# look sharply at one other word, so it does badly under `rowmax`. (Denials do well under both.) These are facts
# about attention. They do not show yet that the extra experts helped anybody.
#
# ### The shuffled control
#
# Is a gap of this size remarkable at all? Compare with chance: keep the $K_i$ of every sentence and deal them out
# to its words at random. Then the words have no say, but each sentence uses as many experts as before. Do it 200
# times, and see where the real gap lies.

# %%
def gap_of(counts):
    """Deciding minus other words; counts (B, S), the mean of both layers."""
    return counts[batch.deciding].mean() - counts[batch.words & ~batch.deciding].mean()


def shuffled_within(counts, random):
    """counts (B, S), permuted at random among the words of each sentence."""
    row, column = np.nonzero(batch.words)                                      # sentence by sentence
    order = np.lexsort((random.random(row.size), row))                         # within each sentence in random order
    dealt = np.zeros(counts.shape)
    dealt[row, column] = counts[row[order], column[order]]
    return dealt


random = np.random.default_rng(0)
real_gap = {measure: gap_of(counts.mean(axis=0)) for measure, counts in under.items()}
chance = {measure: np.array([gap_of(shuffled_within(counts.mean(axis=0), random)) for _ in range(200)])
          for measure, counts in under.items()}
for axes, (measure, gaps) in zip(axes_for(7.4, 2.8, columns=2), chance.items(), strict=True):
    axes.hist(gaps, bins=15, color=GREY)
    axes.axvline(real_gap[measure], color=RED, linewidth=2)
    axes.set_title(measure, size=10, loc="left")
    axes.set(xlabel="deciding minus other words, in experts", yticks=[])
    axes.spines["left"].set_visible(False)
    top, below = axes.get_ylim()[1], real_gap[measure] < gaps.mean()           # names go between the two
    axes.text(real_gap[measure], 0.9 * top, "  real  ", color=RED, ha="left" if below else "right")
    axes.text(gaps.min() if below else gaps.max(), 0.5 * top, " shuffled ", ha="right" if below else "left")
plt.show()
for measure, gaps in chance.items():
    print(f"{measure}: real {real_gap[measure]:+.2f}, shuffled {gaps.mean():+.2f} "
          f"(from {gaps.min():+.2f} to {gaps.max():+.2f})")
    once = shuffled_within(under[measure][0], random)
    assert np.array_equal(once.sum(axis=1), (under[measure][0] * batch.words).sum(axis=1))       # the same cost
assert real_gap["rowmax"] < chance["rowmax"].min() and real_gap["colmax"] > chance["colmax"].max()

# %% [markdown]
# Both real gaps lie far outside what chance does, on opposite sides.
#
# The shuffled gaps of `rowmax` do not lie around 0. How can words picked at random have a gap? Because all words
# are pooled: some sentences have more deciding words than others, and if such sentences also use more experts for
# *all* of their words, that alone makes a gap.

# %%
length = batch.words.sum(axis=1)
deciding_share = batch.deciding.sum(axis=1) / length                           # (B,)
related = {}
for measure, counts in under.items():
    mean_of_sentence = (counts.mean(axis=0) * batch.words).sum(axis=1) / length
    related[measure] = np.corrcoef(deciding_share, mean_of_sentence)[0, 1]
    print(f"{measure}: correlation of a sentence's share of deciding words with its mean K: {related[measure]:+.2f}")
assert related["rowmax"] > 0.15 and chance["rowmax"].min() > 0

# %% [markdown]
# Shuffling within sentences keeps exactly this part of the gap. So compare with shuffles, not with 0.
#
# One caution: this is one trained model, and another may behave otherwise. `minimoe train` prints the two lines
# for a model of your own.
#
# ## 4.7 Did it help? What a claim needs
#
# We keep the weights of the trained model and change only how many experts a token gets. `shuffled(rowmax)` deals
# out the importances of each sentence at random, as above, but inside the model.

# %%
def variant(router="da", **options):
    """The trained weights with another router's way to count."""
    config = checkpoint.config | {"router": router, "router_options": options}
    return dataclasses.replace(checkpoint, config=config).model(backend=BACKEND)


variants = {
    "rowmax, ceil (as trained)": variant(),
    "shuffled(rowmax), ceil": variant(measure="shuffled(rowmax)"),
    "colmax, ceil": variant(measure="colmax"),
    "rowmax, budget 2": variant(allocation="budget", mean_experts=2.0),
    "colmax, budget 2": variant(measure="colmax", allocation="budget", mean_experts=2.0),
    "two for everybody": variant("topk", k=2),
    "one for everybody (Switch)": variant("switch"),
    "none for anybody": variant(k_min=0, k_max=0),
}
results = {name: evaluate(one, encoded, test.metrics) for name, one in variants.items()}
print(f"{'':28} experts/token  FLOPs/token  accuracy")
for name, result in results.items():
    flops = model.config.flops_per_token(result.mean_experts_per_token, result.mean_length)
    print(f"{name:28} {result.mean_experts_per_token:13.2f} {flops:12,.0f} {result.score:9.3f}")
scores = [result.score for result in results.values()]
assert max(scores) - min(scores) < 0.02

# %% [markdown]
# The rows hardly differ, and that holds for the last row as well, in which *no token gets any expert*. On this
# task the trained model finds the answer with attention and embeddings alone. So the task cannot tell which rule
# is best, and a table of these accuracies would prove nothing about any of them. (It also does not prove that
# experts are useless: the task is small, and all rows share weights that were trained with `rowmax`.)
#
# Remember this when you read, or write, a claim that importance pays. **Look first whether the task can tell.**
# Then compare at the same mean number of experts, with several seeds, each variant trained in its own way:
#
# | compare with | if the method does not win, then ... |
# | --- | --- |
# | a fixed number of experts for all, the same mean | its gain was more compute |
# | `shuffled(...)` importance, same rule | it does not matter *which* words get more |
# | `reversed(...)`, `random` | neither does the direction of importance |
# | `router_entropy`, `top_p` | attention knows nothing that the router did not know |
# | one dense block of the same cost | the experts themselves are not needed |
# | both `rowmax` and `colmax` | the reading of the paper matters, say which one |
#
# All of these are switches of the library, for example `minimoe train --importance "shuffled(rowmax)"`, or
# `--allocation budget --mean-experts 2`.

# %%
same_cost = [results[name].mean_experts_per_token for name in ("rowmax, budget 2", "colmax, budget 2",
                                                               "two for everybody")]
print("mean experts of the three rows with two:", [f"{value:.3f}" for value in same_cost])
assert np.ptp(same_cost) < 0.01                                     # these three cost the same
a, b = (results[name].mean_experts_per_token for name in ("rowmax, ceil (as trained)", "shuffled(rowmax), ceil"))
assert abs(a - b) < 0.2                                             # shuffling keeps a layer's cost

# %% [markdown]
# ## What to take away
#
# - DA-MoE as reported: $K_i = \lceil E \cdot I_i \rceil$. Uniform attention over $n \ge E$ tokens makes it a
#   Switch layer, sharp attention makes it use everything, and the cost is nobody's choice.
# - A guard keeps rounding noise from buying experts; padding gets none.
# - Largest remainders share out exactly $T = \lfloor \bar K n + 1/2 \rfloor$ experts, so that two importances can
#   be compared at the same cost.
# - `rowmax` and `colmax` can disagree about which words matter. Measure, against shuffles.
# - A difference in score means something only at equal compute and on a task that can tell.
#
# **Read on.** `minimoe/moe/schedules.py` has the rules, a few lines each, and
# `minimoe/kernels/reference/allocation.py` the exact budget with its upper limit, for all sentences at once. What
# is known of the paper, [arXiv 2409.06669](https://arxiv.org/abs/2409.06669), stands in `notation.md`. Other ways
# to count: Huang and others, *Harder Tasks Need More Experts* ([arXiv
# 2403.07652](https://arxiv.org/abs/2403.07652)), `top_p`; Zhou and others, *Mixture-of-Experts with Expert Choice
# Routing* ([arXiv 2202.09368](https://arxiv.org/abs/2202.09368)), where experts choose tokens. The Switch
# Transformer is [arXiv 2101.03961](https://arxiv.org/abs/2101.03961); section 2.1 argues for one expert for
# everybody.
#
# **Next.** Lesson 5: training, and a fair race between routers.
