# %% [markdown]
# # 7. From pre-training to a score you can trust
#
# **What you will understand at the end**
#
# - how a model learns from text without labels, and why that can fail to help afterwards;
# - what accuracy, F1, Matthews' correlation and Pearson's correlation say, and how each can be fooled;
# - which simple marks a score must beat before it is worth talking about;
# - how to compare two methods with several seeds, paired differences and an interval, and how to read the result;
# - which control asks whether *importance* helped, and not just more computing.
#
# **What you need.** Lessons 4 and 5: importance, experts per token, training. Mean and standard deviation.
#
# **Time.** About 80 minutes with the four exercises. The page itself trains about two dozen tiny models within a
# minute, without a GPU.
#
# Fill in the exercises where it says `YOUR CODE HERE`, run the cell, then run the check below it. A check that
# fails says in words what is wrong. Nothing later on the page depends on your answers, so you may also read on
# and come back.

# %% [setup]

# %%
import json
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minimoe import Tensor, nn, ops
from minimoe.backend import to_host
from minimoe.data import load_builtin, load_glue, standard_library_text
from minimoe.optim import AdamW
from minimoe.plots import experts_per_token
from minimoe.study.published import load_results
from minimoe.training import PretrainConfig, Pretrainer, TrainConfig, Trainer, metrics

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b7280"     # told apart with every kind of colour vision


def axes_for(width=7.0, height=3.2):
    """A figure with plain axes."""
    _, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return axes

# %% [markdown]
# **GLUE** is a collection of nine language tasks, on which the DA-MoE paper compares itself with Switch. You have
# to fetch its files yourself. Without them this page uses a task that the library makes by rule, `sentiment`. If
# you have GLUE, write its folder into the next cell, and every cell below runs on SST-2 instead, the GLUE task
# about film reviews.

# %%
GLUE = ""                    # a folder that holds SST-2/train.tsv and SST-2/dev.tsv, or "" for the built-in task

# One expert layer, narrow and without dropout, so that a training takes a second.
TINY = dict(layers=1, d_model=32, heads=2, d_ff=32, experts=4, dropout=0.0, max_length=24, backend=BACKEND, threads=1)
TASK = TrainConfig(task="sst2" if GLUE else "sentiment", data_dir=GLUE or None, vocab_size=1500, lr=3e-3, epochs=1,
                   max_steps=160, **TINY)
labelled = load_glue("sst2", GLUE, "train") if GLUE else load_builtin("sentiment", "train")
print(f"task {labelled.name}: {len(labelled)} training examples, scored by {' and '.join(labelled.metrics)}")
for example in labelled.examples[:3]:
    print(f"   {labelled.label_names[example.label]:9} {example.text}")
assert labelled.n_classes == 2 and {example.label for example in labelled.examples} == {0, 1}

# %% [markdown]
# ## 7.1 Learning from text alone
#
# Labels are expensive, text is not. So hide a few words of a text and let the model guess them from the rest. It
# then has to learn which words go together, and nobody had to label anything. A model trained in this way is a
# **masked language model**, the training is called **pre-training** (BERT, arXiv 1810.04805).
#
# We need some English, and every Python brings its own: the documentation inside the standard library. The
# library picks the paragraphs that read like prose; `minimoe pretrain` reads them when no text is given.
# Paragraphs are run together, with `[SEP]` after each, and cut into **blocks** of equal length, each with `[CLS]`
# in front. Every twentieth paragraph is **held out**: the model never trains on it.

# %%
folder = tempfile.TemporaryDirectory()
docs = standard_library_text()
Path(folder.name, "docs.txt").write_text("\n".join(docs), encoding="utf-8")
reading = PretrainConfig(vocab_size=1500, lr=1e-2, epochs=9, save_every=1000, **TINY)
from_docs = Pretrainer(replace(reading, text=(f"{folder.name}/docs.txt",), out=f"{folder.name}/docs", max_steps=200),
                       progress=False)
print(f"{len(docs)} paragraphs, for example: {docs[len(docs) // 2][:90]} ...")
print("training blocks", from_docs.train_blocks.shape, "  held out", from_docs.held_out[0].shape,
      "  words in the vocabulary", from_docs.tokenizer.vocab_size)
assert from_docs.train_blocks.shape[1] == 24 and (from_docs.train_blocks[:, 0] == from_docs.tokenizer.cls_id).all()

# %% [markdown]
# Which tokens are hidden? BERT's rule, which the library follows: every ordinary token is **chosen** with
# probability 15 %. Special tokens such as `[CLS]`, `[SEP]` and `[UNK]` (a word outside the vocabulary) never are.
# Of the chosen tokens
#
# - 80 % are replaced by `[MASK]`,
# - 10 % are replaced by a random ordinary token,
# - 10 % stay as they are.
#
# The model must guess the true token at *all* chosen places. The last two kinds are there because later, when the
# model works on a task, no text has a `[MASK]` in it: the model must learn to keep an opinion about every word it
# sees. The **labels** hold the true token at the chosen places and -100 at all others, where nothing is asked.

# %%
ids, labels = from_docs.held_out                                                # what the model sees, the labels
unmasked = (labels != -100) & (ids != from_docs.tokenizer.mask_id)              # chosen, but not behind [MASK]
block = int(unmasked.any(axis=1).argmax())                                      # the first block with such a token
print("the model sees", " ".join(from_docs.tokenizer.tokens(ids[block])))
for place in np.flatnonzero(labels[block] != -100).tolist():
    saw, asked_for = from_docs.tokenizer.tokens([ids[block, place], labels[block, place]])
    print(f"   at place {place:2} it sees {saw!r} and is asked for {asked_for!r}")

share = (from_docs.held_out[1] != -100).mean()
print(f"chosen: {100 * share:.1f} % of all held-out tokens; less than 15 %, since special tokens are never chosen")
assert 0.08 < share < 0.155

# %% [markdown]
# ### Exercise 7.1: hide tokens
#
# Write the rule. `ids`: an integer array of any shape. `ordinary`: the array of all ordinary token numbers; what
# is not in it is special. `mask`: the number of `[MASK]`. `random`: a NumPy generator. Return two new arrays,
# `hidden` (what the model sees) and `labels` (the true token where it was chosen, else -100).
#
# Hint: one array of random numbers decides who is chosen, a second one what happens to the chosen. `np.isin` and
# `np.where` help, `random.choice(ordinary, ids.shape)` draws tokens.

# %% [exercise] hide
def hide(ids, ordinary, mask, random):
    """ids with 15 % of the ordinary tokens hidden, and the labels. Two arrays of the shape of ids."""
    ### BEGIN SOLUTION
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    fate = random.random(ids.shape)
    hidden = np.where(chosen & (fate < 0.8), mask, ids)
    hidden = np.where(chosen & (fate >= 0.9), random.choice(ordinary, ids.shape), hidden)
    labels = np.where(chosen, ids, -100)
    return hidden, labels
    ### END SOLUTION

# %% [check] hide points=3
fresh = np.random.default_rng()
ordinary_check = np.arange(5, 1005)
ids_check = np.where(fresh.random((400, 300)) < 0.2, fresh.integers(0, 4, (400, 300)),
                     fresh.integers(5, 1005, (400, 300)))
before = ids_check.copy()
answer = hide(ids_check, ordinary_check, 4, fresh)
assert isinstance(answer, tuple) and len(answer) == 2, "return two arrays: return hidden, labels"
hidden_check, labels_check = answer
assert not (np.asarray(hidden_check) == -100).any(), "-100 is in the first array: return hidden first, then labels"
assert np.array_equal(ids_check, before), "ids was changed in place: work on a copy, the true tokens are still needed"
assert np.shape(hidden_check) == before.shape == np.shape(labels_check), (
    f"the shapes are {np.shape(hidden_check)} and {np.shape(labels_check)}; both must be that of ids, {before.shape}")
asked = labels_check != -100
assert not asked.all(), "every place is asked: labels must be -100 where a token was not chosen"
assert (labels_check == before)[asked].all(), (
    "a label is not the true token: take labels from ids, not from what the model sees")
assert not asked[before < 5].any(), "special tokens were chosen: choose only where np.isin(ids, ordinary)"
assert (hidden_check == before)[~asked].all(), (
    "a token has changed where the label is -100: touch the chosen ones only, and give each of these its label")
share_check = asked[before >= 5].mean()
assert 0.14 < share_check < 0.16, f"{100 * share_check:.0f} % of the ordinary tokens are chosen; it must be 15 %"
masked, stayed = (hidden_check == 4)[asked].mean(), (hidden_check == before)[asked].mean()
drawn = hidden_check[asked & (hidden_check != 4) & (hidden_check != before)]
assert masked < 0.99, "every chosen token became [MASK]: 10 % must become a random token and 10 % must stay"
assert stayed > 0.01, "no chosen token stayed: 10 % must be left as they are, and still have a label"
assert len(drawn), "no chosen token became another word: 10 % must become a random ordinary token"
assert len(np.unique(drawn)) > 0.3 * len(drawn), "the random tokens are nearly all the same: draw one for every place"
assert np.isin(drawn, ordinary_check).all(), "a random token is a special one: draw from ordinary"
assert abs(masked - 0.8) < 0.02 and abs(stayed - 0.1) < 0.015, (
    f"of the chosen tokens {100 * masked:.0f} % are masked and {100 * stayed:.0f} % stay; it must be 80 % and 10 %")
print("Right: 15 % are asked, most of them behind [MASK], and no special token among them.")

# %% [markdown]
# ## 7.2 Pre-training
#
# The loss is the cross-entropy at the chosen places. Its exponential is easier to read: the **perplexity**. A
# perplexity of 50 means that the model is as unsure as if it had to pick among 50 equally likely words.
#
# Before looking at any score, ask what a model without any skill gets. Here that is the **unigram** guess: ignore
# the sentence and guess every word by how often it occurs in the training text.

# %%
figures = from_docs.train()
print(f"held-out perplexity {figures['metrics']['perplexity']:.0f}, "
      f"by frequency {figures['metrics']['unigram_perplexity']:.0f}")
assert figures["metrics"]["perplexity"] < figures["metrics"]["unigram_perplexity"]

# %% [markdown]
# What has it learnt? We hide one word and list the five that the model finds most likely.

# %%
def guesses(pretrainer, text):
    """The five likeliest words behind [MASK], with their probabilities."""
    ids = np.array([pretrainer.tokenizer.encode(text)])                                   # (1, S)
    with minimoe.no_grad():
        scores = pretrainer.model(ids).logits.numpy()[0, ids[0] == pretrainer.tokenizer.mask_id]      # (1, vocabulary)
    p = np.exp(scores[0] - scores.max())
    best = np.argsort(-p)[:5]
    return [(word, float(share)) for word, share in zip(pretrainer.tokenizer.tokens(best), (p / p.sum())[best],
                                                                  strict=True)]


def show_guesses(pretrainer, *texts):
    for text in texts:
        print(text, "\n   ", ", ".join(f"{word!r} {share:.2f}" for word, share in guesses(pretrainer, text)))


show_guesses(from_docs, "this module [MASK] not available .", "if the file does not [MASK] , an error is raised .")
counts = np.bincount(from_docs.train_blocks.reshape(-1), minlength=from_docs.tokenizer.vocab_size)
counts[:5] = 0                                                                            # the special tokens
print("the most frequent words:", " ".join(from_docs.tokenizer.tokens(np.argsort(-counts)[:8])))
likeliest = guesses(from_docs, "this module [MASK] not available .")
assert len(likeliest) == 5 and likeliest[0][1] >= likeliest[-1][1]

# %% [markdown]
# After a few seconds a model knows hardly more than which words are frequent, and its guesses look alike whatever
# stands around. That comes first in every pre-training; the use of the context comes later. BERT read 3.3 billion
# words.
#
# ## 7.3 Fine-tuning, and a trap
#
# **Fine-tuning** means: take the pre-trained weights, put a fresh classifier on top, and go on training on the
# labelled task. The key is `init_from`; the tokenizer comes along, since the weights know words only by their
# numbers in that vocabulary. And that is the trap. Let us count how many words of our task are `[UNK]` for a
# model that has read the documentation, and how many of the **deciding** words, those that make the label. (Only
# the built-in tasks know these; elsewhere it says nan.)

# %%
def prepared(config, examples=None):
    """The task of a run, its data encoded. With a number: only so many labelled examples, half as many to validate."""
    task = Trainer(config, progress=False).task

    def first(data, n):
        return replace(data, **{name: getattr(data, name)[:n] for name in ("ids", "segments", "labels", "deciding")})

    if examples is None:
        return task
    return replace(task, train=first(task.train, examples), validation=first(task.validation, examples // 2))


def unknown(task):
    """Share of [UNK] among all words and among the deciding words of the test split."""
    all_words = np.concatenate([ids[1:-1] for ids in task.test.ids])
    deciding = np.concatenate([ids[places] for ids, places in zip(task.test.ids, task.test.deciding, strict=True)])
    return [float((words == task.tokenizer.unk_id).mean()) if words.size else float("nan")
            for words in (all_words, deciding)]


FEW = 800                                                       # labelled examples: few, so that reading could help
scratch = replace(TASK, epochs=100, max_steps=200)
loaded = dict.fromkeys(("layers", "d_model", "heads", "d_ff", "experts", "max_length", "vocab_size"))   # None: as saved
starts = {"from scratch": scratch,
          "after the documentation": replace(scratch, init_from=f"{folder.name}/docs", **loaded)}
tasks = {name: prepared(config, FEW) for name, config in starts.items()}
for name, task in tasks.items():
    words, deciding = unknown(task)
    print(f"{name:24} unknown: {100 * words:3.0f} % of all words, {100 * deciding:3.0f} % of the deciding words")
assert unknown(tasks["after the documentation"])[0] > unknown(tasks["from scratch"])[0]

# %% [markdown]
# A model cannot use a word that it sees as `[UNK]`: all such words look the same. The cure is to pre-train on
# text that speaks the language of the task. Labels are not needed for that, so we may take the sentences of the
# training split, *without* their labels, and mix them into the documentation. The test sentences stay out:
# whoever lets a model read them measures something else.

# %%
mixed = docs + [example.text for example in labelled.examples[:8000]]
order = np.random.default_rng(0).permutation(len(mixed))
Path(folder.name, "mixed.txt").write_text("\n".join(mixed[i] for i in order), encoding="utf-8")
from_mixed = Pretrainer(replace(reading, text=(f"{folder.name}/mixed.txt",), out=f"{folder.name}/mixed", max_steps=600),
                        progress=False)
for text, read in (("documentation", figures), ("documentation and reviews", from_mixed.train())):
    print(f"{text}: held-out perplexity {read['metrics']['perplexity']:.0f}, "
          f"by frequency {read['metrics']['unigram_perplexity']:.0f}")
show_guesses(from_mixed, "the film was [MASK] .", "the lobby [MASK] the hotel was awful .",
             "last summer the hotel we [MASK] was really dull .")

name = "after docs and reviews"
starts[name] = replace(starts["after the documentation"], init_from=f"{folder.name}/mixed")
tasks[name] = prepared(starts[name], FEW)
print(f"unknown: {100 * unknown(tasks[name])[0]:.0f} % of all words")
assert unknown(tasks[name])[0] < unknown(tasks["after the documentation"])[0]

# %% [markdown]
# Perplexities of two texts cannot be compared, only each with its own mark. Compare the guesses with the first
# ones: the model has got past the frequencies. The curves show how it happened.

# %%
def smooth_log(run):
    """Steps and training loss of a run, averaged over five neighbours in its log."""
    text = Path(folder.name, run, "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.split("\n") if line]
    points = np.array([(line["step"], line["loss"]) for line in lines if "loss" in line])            # (n, 2)
    return np.stack([points[i:i + 5].mean(axis=0) for i in range(len(points) - 4)], axis=1)          # (2, n - 4)


axes = axes_for()
for run, pretrainer, colour, line in (("docs", from_docs, BLUE, "-"), ("mixed", from_mixed, RED, "--")):
    steps, losses = smooth_log(run)
    axes.plot(steps, losses - pretrainer.unigram, line, color=colour, linewidth=2)
    text = {"docs": "documentation only", "mixed": "with the reviews"}[run]
    axes.text(steps[-1] + 8, losses[-1] - pretrainer.unigram, text, color=colour, va="center")
axes.axhline(0, color=GREY, linewidth=1)
axes.text(740, 0.03, "guessing by frequency", color=GREY, va="bottom", ha="right")
axes.set(xlabel="step", ylabel="training loss minus\nloss by frequency", xlim=(0, 740))
plt.show()
steps, losses = smooth_log("mixed")
assert losses[-1] < losses[0] and losses[-1] < from_mixed.unigram

# %% [markdown]
# Both come down to the grey line first: frequencies. The documentation is long and varied, and its model is still
# near the line when we stop. The sentences of the task are simple, so the other gets below within seconds, and
# that means that it uses the words around the gap.
#
# A low loss is not yet good for the task. Guessing asks which words *can* stand here, and in "the hotel was ..."
# both "wonderful" and "dreadful" can. Words that stand in the same places get similar vectors, and a sentiment
# task has to tell just these apart. The cosine of two vectors is 1 when they point the same way, 0 when they have
# nothing in common:

# %%
vectors = from_mixed.model.token_embedding.weight.numpy()                                 # (vocabulary, d)
vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
cosine = {}
for first, second in (("wonderful", "great"), ("wonderful", "dreadful"), ("wonderful", "the")):
    places = [from_mixed.tokenizer.encode(word)[1] for word in (first, second)]
    cosine[second] = float(vectors[places[0]] @ vectors[places[1]])
    known = from_mixed.tokenizer.unk_id not in places
    print(f"cosine of {first} and {second}: {cosine[second]:.2f}", "" if known else "(a word is unknown: says nothing)")
assert GLUE or cosine["dreadful"] > cosine["the"]

# %% [markdown]
# Now the comparison. Each start is fine-tuned on the same few labelled examples, with two **seeds**. A seed
# decides what is random in a run: the initial weights that are not loaded, and the order of the examples.

# %%
tuned = {name: [Trainer(replace(config, seed=seed), tasks[name], progress=False).train()["score"] for seed in range(2)]
         for name, config in starts.items()}
for name, scores in tuned.items():
    print(f"{name:24}", "  ".join(f"{score:.3f}" for score in scores), f"  mean {np.mean(scores):.3f}")
best = max(tuned, key=lambda name: np.mean(tuned[name]))
print("highest mean here:", best)
assert GLUE or max(np.mean(scores) for scores in tuned.values()) > np.mean(tuned["after the documentation"])
assert GLUE or np.mean(tuned["after docs and reviews"]) > np.mean(tuned["after the documentation"])

# %% [markdown]
# On the built-in task, the wrong text made the model *worse* than no reading: most deciding words are gone before
# it starts, and what is left is close to guessing. With the right words in its vocabulary (and three times the
# steps) it comes back.
#
# Does it also get ahead of the run from scratch? Look at the means, and do not be surprised if it does not. The
# model is tiny and has read for a few seconds; the vector that the classifier reads, that of `[CLS]`, was never
# asked for anything while it read; and good and bad words have become neighbours. The gain that BERT is known for
# comes with size and with much more text. Besides, two scores each cannot settle a small difference (section 7.7
# shows what can), and they speak of *one* pre-trained model only: pre-training has seeds of its own. The
# MultiBERTs (arXiv 2106.16163) are 25 BERTs trained for that reason.
#
# ## 7.4 One number for many predictions
#
# A **metric** boils a list of predictions down to a number. GLUE uses five. For two classes, 1 being "yes",
# everything is in a table of four counts, the **confusion table**: rows are the true labels, columns the
# predictions.
#
# | | predicted 0 | predicted 1 |
# | --- | --- | --- |
# | **label 0** | true negatives, TN | false positives, FP |
# | **label 1** | false negatives, FN | true positives, TP |
#
# - **accuracy** is the share of right predictions, (TP + TN) / all;
# - **F1** = 2 TP / (2 TP + FP + FN) looks at class 1 only: TN does not occur in it;
# - **Matthews' correlation** is the correlation of the 0/1 predictions with the 0/1 labels: 1 if they always
#   agree, -1 if they never do, 0 if they have nothing to do with each other:
#
# $$\frac{TP \cdot TN - FP \cdot FN}{\sqrt{(TP+FP)(TP+FN)(TN+FP)(TN+FN)}}.$$
#
# Here are four "models" on a task in which 68 % of the labels are yes. Three of them never look at the text.

# %%
random = np.random.default_rng(0)
labels = (np.arange(1000) < 680).astype(int)
coin = random.integers(0, 2, 1000)
models = {"always yes": np.ones(1000, int), "always no": np.zeros(1000, int), "coin": coin,
          "right 3 times in 4": np.where(random.random(1000) < 0.75, labels, 1 - labels)}
print(f"{'':20}accuracy    F1  Matthews")
found = {}
for name, predictions in models.items():
    found[name] = metrics.compute(("accuracy", "f1", "matthews"), labels, predictions)
    print(f"{name:20}{found[name]['accuracy']:8.3f}{found[name]['f1']:6.3f}{found[name]['matthews']:10.3f}")
assert found["always yes"]["f1"] > found["right 3 times in 4"]["f1"]
assert found["always yes"]["matthews"] == 0 and abs(found["coin"]["matthews"]) < 0.15

# %% [markdown]
# "Always yes" knows nothing, and its F1 is above that of a model that is right three times in four. Matthews is
# not impressed: predictions that never change have no correlation with anything. Strictly the formula then says
# 0/0. Such predictions are called **degenerate**, and the agreed value is 0. They are not rare: a model that has
# not learnt anything yet usually answers with one class.
#
# ### Exercise 7.2: Matthews from a table
#
# `table` is a NumPy integer array of shape (2, 2) as above: `table[t, p]` counts the examples with label t and
# prediction p. Return Matthews' correlation as a float, and 0.0 where the square root is 0. The counts may be
# large: a product of four integers overflows the 64 bits of a NumPy integer, Python floats do not.

# %% [exercise] matthews_of
def matthews_of(table):
    """Matthews' correlation of a confusion table (2, 2), rows labels, columns predictions; 0.0 if degenerate."""
    ### BEGIN SOLUTION
    (tn, fp), (fn, tp) = np.asarray(table, float)
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return float((tp * tn - fp * fn) / np.sqrt(spread)) if spread else 0.0
    ### END SOLUTION

# %% [check] matthews_of points=2
fresh = np.random.default_rng()
small = np.array([[fresh.integers(30, 40), fresh.integers(5, 10)], [fresh.integers(15, 25), fresh.integers(50, 60)]])
t_check, p_check = (np.repeat(axis, small.reshape(-1)) for axis in ([0, 0, 1, 1], [0, 1, 0, 1]))
truth_check = float(np.corrcoef(t_check, p_check)[0, 1])
answer = matthews_of(small.copy())
assert answer is not None, "matthews_of returns nothing: end it with return"
assert np.ndim(answer) == 0, f"the answer has shape {np.shape(answer)}; it must be one number"
assert not np.isclose(answer, -truth_check), "the sign is turned: TP and TN, the right ones, stand in the first product"
(tn, fp), (fn, tp) = small.tolist()
assert not np.isclose(answer, (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))), (
    "the square root in the denominator is missing")
assert not np.isclose(answer, (tp + tn) / small.sum()), "this is the accuracy: use all four counts as in the formula"
assert np.isclose(answer, truth_check), (
    "not the correlation of labels and predictions: table[0] is TN, FP; table[1] is FN, TP; and look at the four sums")
yes_check = np.array([[0, small[0].sum()], [0, small[1].sum()]])
for degenerate in (yes_check, yes_check[:, ::-1], np.array([[0, 0], [3, 7]])):
    try:
        answer = matthews_of(degenerate)
    except ZeroDivisionError:
        answer = np.nan
    assert answer == 0, f"{answer} for predictions or labels of one class only: return 0.0 where the square root is 0"
assert np.isclose(matthews_of(small * 10**6), truth_check, rtol=1e-6), (
    "wrong for large counts: the product overflows; turn the counts into floats first")
print("Right: a correlation, 0 for whoever always says the same, and safe for large tables.")

# %% [markdown]
# For a task whose labels are numbers, such as STS-B (how similar are two sentences, 0 to 5), GLUE takes
# **Pearson's correlation**, how well a straight line fits predictions against labels, and **Spearman's**, the
# same for the *ranks*. Neither notices a wrong scale: predictions that are all too small by half still get 1. And
# both are 0/0 when the predictions are constant; the library answers 0 and warns.

# %%
similarity = np.linspace(0, 5, 200)
candidates = {"half as large": similarity / 2, "right order, bent": np.exp(2 * similarity),
              "upside down": 5 - similarity, "constant": np.full(200, 2.5)}
print(f"{'':20}Pearson  Spearman")
for name, predictions in candidates.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found[name] = metrics.compute(("pearson", "spearman"), similarity, predictions)
    print(f"{name:20}{found[name]['pearson']:7.2f}{found[name]['spearman']:10.2f}", "  warned" if caught else "")
assert found["half as large"]["pearson"] > 0.999 and found["constant"] == {"pearson": 0.0, "spearman": 0.0}
assert found["right order, bent"]["spearman"] > 0.999 > 0.9 > found["right order, bent"]["pearson"]

# %% [markdown]
# ## 7.5 Marks that a score must beat
#
# A score means nothing alone. Put three **marks** beside every one:
#
# 1. **majority**: always answer the most frequent class;
# 2. **always yes**, for F1: as we saw, it can be high;
# 3. **bag of words**: count the words of a sentence, forget their order, and put one linear layer on the counts.
#    It knows *which* words are there and nothing about how they relate. A transformer can add the order.
#
# ### Exercise 7.3: the F1 of always yes
#
# Given an array of 0/1 `labels`, return the F1 of the predictor that says 1 every time. Write it with the share
# of ones, or count TP, FP and FN. If there is no 1 among the labels, TP is 0 and F1 is 0.

# %% [exercise] always_yes_f1
def always_yes_f1(labels):
    """F1 of answering 1 to everything. labels: 0/1 integers (n,); returns a float."""
    ### BEGIN SOLUTION
    share = np.mean(labels)
    return float(2 * share / (1 + share))
    ### END SOLUTION

# %% [check] always_yes_f1 points=1
fresh = np.random.default_rng()
yes, no = fresh.integers(50, 90), fresh.integers(20, 40)
labels_check = fresh.permutation(np.repeat([1, 0], [yes, no]))
answer = always_yes_f1(labels_check.copy())
assert answer is not None, "always_yes_f1 returns nothing: end it with return"
assert np.ndim(answer) == 0, f"the answer has shape {np.shape(answer)}; it must be one number"
assert not np.isclose(answer, yes / (yes + no)), "this is the accuracy of always yes: F1 is 2 TP / (2 TP + FP + FN)"
assert not np.isclose(answer, 1.0), "1 would mean no mistakes: every label 0 is a false positive"
assert not np.isclose(answer, 2 * yes / (yes + no)), "larger than it can be: TP stands twice below the line as well"
assert np.isclose(answer, 2 * yes / (2 * yes + no)), "not the F1: TP are the labels 1, FP the labels 0, and FN is 0"
assert always_yes_f1(np.zeros(5, int)) == 0, "without any label 1 there are no true positives: F1 is 0"
print("Right: a mark that rises with the share of yes. MRPC, where about two labels in three are yes, is scored by F1.")

# %% [markdown]
# The bag-of-words mark needs no other library: counts, one `Linear`, cross-entropy. The task's own splits are
# used as for any model: learn on train, score on test.

# %%
task = prepared(TASK)
MOST = 8000                                                             # rows, so that the counts fit into memory


def word_counts(encoded):
    """How often each vocabulary entry occurs in each example: (n, vocabulary) float32."""
    counts = np.zeros((min(len(encoded.ids), MOST), task.tokenizer.vocab_size), np.float32)
    for row, ids in zip(counts, encoded.ids, strict=False):
        np.add.at(row, ids, 1)
    return counts


x, y = Tensor(word_counts(task.train), backend=BACKEND), task.train.labels[:MOST]
bag = nn.Linear(x.shape[1], 2, rng=np.random.default_rng(0)).to(BACKEND)
optimiser = AdamW(bag.parameters(), lr=0.05, weight_decay=0.0)
for _ in range(100):
    ops.cross_entropy(bag(x), y).backward()
    optimiser.step()
    optimiser.zero_grad()
with minimoe.no_grad():
    bag_predictions = to_host(bag(Tensor(word_counts(task.test), backend=BACKEND)).data).argmax(axis=1)

majority = np.bincount(task.train.labels).argmax()
marks = {"majority": float((task.test.labels == majority).mean()),
         "bag of words": float((task.test.labels == bag_predictions).mean())}
print("counts", x.shape, "  test examples", len(task.test.ids))
for name, mark in marks.items():
    print(f"{name:14} accuracy {mark:.3f}")
assert marks["bag of words"] > marks["majority"]

# %% [markdown]
# From now on, "it learnt something" means: clearly above the bag of words. The README of this library gives an
# example of why the mark belongs there: trained from scratch with the defaults, only one of six GLUE tasks was
# above it.
#
# ## 7.6 One run is an anecdote
#
# Train the same model on the same data again, only with another seed. This is the DA-MoE layer of lesson 4: the
# attention gives each word its importance, and a budget of two experts per word on average is shared out by
# importance. Two more variants follow later; in an experiment each variant is called an **arm**.

# %%
SEEDS = range(5)
ARMS = {"importance": dict(allocation="budget", mean_experts=2.0),
        "top 2": dict(router="topk", router_options={"k": 2}),
        "shuffled": dict(allocation="budget", mean_experts=2.0, importance="shuffled(rowmax)")}


def train_arm(arm):
    """One trained run for every seed, on the same data."""
    runs = [Trainer(replace(TASK, seed=seed, **ARMS[arm]), task, progress=False) for seed in SEEDS]
    for run in runs:
        run.train()
    return runs


runs = {"importance": train_arm("importance")}


def scores_of(arm):
    return np.array([run.evaluation.score for run in runs[arm]])


scores = scores_of("importance")
print("test scores", np.round(scores, 3))
print(f"mean {scores.mean():.3f}, sample standard deviation {scores.std(ddof=1):.3f}, "
      f"from {scores.min():.3f} to {scores.max():.3f}")

# %% [markdown]
# Only the seed differs. Report the mean *and* the **sample standard deviation** (divide by n - 1, `ddof=1`), and
# say how many seeds. A single run could have been any of these, and the best of five is not what a reader will
# get.
#
# There is a second kind of luck: the test set itself. If it has n examples and the true accuracy is p, the
# measured one scatters with a standard deviation of $\sqrt{p(1-p)/n}$, and 95 % of the measurements lie within
# 1.96 of these. GLUE's development splits differ a lot in size.

# %%
for name, n in {"WNLI": 71, "RTE": 277, "MRPC": 408, "SST-2": 872, "QNLI": 5463, "QQP": 40430}.items():
    print(f"{name:6} {n:6} examples: a true 0.80 is measured as 0.80 +- {1.96 * np.sqrt(0.8 * 0.2 / n):.3f}")
half_width = 1.96 * np.sqrt(0.8 * 0.2 / 71)
simulated = np.random.default_rng(0).binomial(71, 0.8, 20000) / 71
inside = (np.abs(simulated - 0.8) <= half_width).mean()
print(f"simulated for WNLI: {100 * inside:.0f} % of the measurements fall inside")
assert 0.92 < inside < 0.98

# %% [markdown]
# On WNLI, improvements of a few points are within the luck of 71 examples, whatever the model.
#
# ## 7.7 A difference, and its interval
#
# Is DA-MoE better than a router that gives every word exactly two experts? The second is the fair opponent: same
# number of experts per word on average, so the same amount of computing. We train it with the same seeds.
#
# **Pair the runs.** Under one seed both arms start from the same weights and see the same examples in the same
# order, so they share a part of their luck. Take the difference seed by seed, and what they share cancels:
#
# $$\mathrm{var}(a - b) = \mathrm{var}(a) + \mathrm{var}(b) - 2 \mathrm{cov}(a, b).$$

# %%
runs["top 2"] = train_arm("top 2")
a, b = scores_of("importance"), scores_of("top 2")
difference = a - b
for seed in SEEDS:
    print(f"seed {seed}: importance {a[seed]:.3f}   top 2 {b[seed]:.3f}   difference {difference[seed]:+.3f}")
start = [Trainer(replace(TASK, seed=0, **ARMS[arm]), task, progress=False).model.state_dict() for arm in runs]
assert all(np.array_equal(to_host(start[0][name]), to_host(start[1][name])) for name in start[0])      # the same start

covariance = np.cov(a, b)                                               # (2, 2), divides by n - 1
unpaired = np.sqrt(covariance[0, 0] + covariance[1, 1])
print(f"standard deviation of the differences: paired {difference.std(ddof=1):.4f}, as if unpaired {unpaired:.4f}")
assert np.isclose(difference.var(ddof=1), unpaired**2 - 2 * covariance[0, 1])
for arm in runs:                                                        # the same computing
    assert abs(runs[arm][0].evaluation.mean_experts_per_token - 2) < 0.04

# %% [markdown]
# The mean of five differences is an estimate. How far could it be from the truth? The **bootstrap** asks the
# data: draw n differences *with replacement* from the n that we have, take the mean, repeat thousands of times.
# The spread of these means imitates the spread we would see with fresh seeds. The range from the 2.5 % to the
# 97.5 % percentile is the **95 % bootstrap interval**.
#
# ### Exercise 7.4: a paired bootstrap interval
#
# `a` and `b` are arrays of n scores; entry i of both belongs to seed i. Return `(low, high)`, the 95 % bootstrap
# interval of the mean of a - b, from `draws` resamples. `random` is a NumPy generator. Draw *pairs*: what was
# paired stays paired.
#
# Hint: `random.integers(0, n, (draws, n))` gives all indices at once, and `np.percentile(means, [2.5, 97.5])`
# both ends.

# %% [exercise] paired_interval
def paired_interval(a, b, random, draws=4000):
    """(low, high): 95 % bootstrap interval of the mean of a - b, a and b paired (n,)."""
    ### BEGIN SOLUTION
    difference = a - b
    picks = random.integers(0, len(difference), (draws, len(difference)))
    low, high = np.percentile(difference[picks].mean(axis=1), [2.5, 97.5])
    return low, high
    ### END SOLUTION

# %% [check] paired_interval points=3
fresh = np.random.default_rng()
luck = 0.2 * fresh.standard_normal(60)
a_check = 0.8 + luck + 0.01 * fresh.uniform(-1, 1, 60)
b_check = 0.7 + luck + 0.01 * fresh.uniform(-1, 1, 60)
answer = paired_interval(a_check.copy(), b_check.copy(), fresh)
assert answer is not None and np.shape(answer) == (2,), "return two numbers: return low, high"
low, high = answer
d_check = a_check - b_check
expected = 2 * 1.96 * d_check.std() / np.sqrt(60)
assert high >= low, "low is above high: the 2.5 % percentile comes first"
assert high > 0, "the sign is turned: the difference is a - b"
assert high - low > 0.02 * expected, (
    "the interval has no width: draw with replacement, else every resample is the same set; random.integers does")
assert high - low < 20 * expected, "far too wide: draw pairs. With separate draws for a and b the shared luck returns"
assert high - low < 3 * expected, "these are percentiles of single differences: take the mean of each resample first"
assert abs((low + high) / 2 - d_check.mean()) < 0.15 * expected, "the interval is not around the mean of a - b"
assert not 0.78 < (high - low) / expected < 0.89, "this is a 90 % interval: 95 % leaves 2.5 % on each side"
assert abs((high - low) / expected - 1) < 0.11, (
    "the width is wrong: each resample has as many pairs as there are; the ends are the 2.5 % and 97.5 % percentiles")
print("Right: pairs stay together, resamples are as large as the data, 2.5 % are cut on each side.")

# %% [markdown]
# The page does the same in another form: how often each pair was drawn is a row of counts, and a matrix product
# takes all the means at once.
#
# Can the interval be trusted with five seeds? We can test that, because in a simulation the truth is known. Draw
# many experiments of n differences from a bell curve (the normal distribution) with mean 0, and count how often
# the interval contains 0. It should be 95 %. Beside it stands the older interval, mean $\pm t \cdot s / \sqrt{n}$
# with the sample standard deviation s. **Student's t** makes up for not knowing the true spread; it is large for
# few seeds, and can be simulated too.

# %%
def bootstrap_interval(values, level=0.95, draws=2000):
    """The bootstrap interval of the mean over the last axis of values (..., n): low and high."""
    n = values.shape[-1]
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), draws)         # (draws, n): how often each one
    return np.quantile(values @ drawn.T / n, [(1 - level) / 2, (1 + level) / 2], axis=-1)


def student_interval(values, level=0.95):
    """mean -+ t s / sqrt(n) over the last axis, t found by simulation."""
    n = values.shape[-1]
    pure = np.random.default_rng(0).standard_normal((200_000, n))
    t = np.quantile(np.abs(pure.mean(axis=1)) / (pure.std(axis=1, ddof=1) / np.sqrt(n)), level)
    half = t * values.std(axis=-1, ddof=1) / np.sqrt(n)
    return np.stack([values.mean(axis=-1) - half, values.mean(axis=-1) + half])


coverage = {}
for n in (3, 5, 10, 20):
    experiments = np.random.default_rng(1).standard_normal((2000, n))                  # true mean 0
    for name, interval in (("bootstrap", bootstrap_interval), ("Student", student_interval)):
        low, high = interval(experiments)
        coverage[name, n] = float(((low <= 0) & (0 <= high)).mean())
    print(f"{n:3} seeds: the truth is inside {100 * coverage['bootstrap', n]:.0f} % of the bootstrap intervals, "
          f"{100 * coverage['Student', n]:.0f} % of Student's")
assert coverage["bootstrap", 5] < 0.90 < coverage["bootstrap", 20] and abs(coverage["Student", 5] - 0.95) < 0.02

# %% [markdown]
# With few seeds the bootstrap is too sure of itself: five values cannot show how rare values look. So with five
# seeds we draw both intervals and judge by the wider one. (And with five seeds all pointing the same way the
# matter is not settled: if there is no difference at all, that happens in 1 experiment of 16.)
#
# The verdict follows from the interval alone, and code can say it.

# %%
def verdict(low, high):
    """In words: is 0 inside the interval?"""
    if low > 0:
        return f"better by {low:.3f} to {high:.3f}"
    if high < 0:
        return f"worse by {-high:.3f} to {-low:.3f}"
    return f"within noise (from {low:+.3f} to {high:+.3f})"


low, high = student_interval(difference)
print("importance against top 2:", verdict(low, high))
needed = (2.8 * difference.std(ddof=1) / 0.005) ** 2            # 2.8: found in 4 experiments of 5, at the 95 % level
print(f"to see a true difference of 0.005 we would need about {int(np.ceil(max(needed, 2)))} seeds")
assert verdict(0.01, 0.02).startswith("better") and verdict(-0.02, -0.01).startswith("worse")
assert verdict(-0.01, 0.01).startswith("within noise")

# %% [markdown]
# **Within noise does not mean equal.** It means that this experiment cannot tell. Read the interval: every value
# in it is still possible. If both ends are so small that you would not care, you may call the two equal for
# practical purposes. If not, more seeds are needed; the interval shrinks with $\sqrt{n}$, so half the width costs
# four times the seeds.
#
# The interval over seeds says what *another training run* would give, on this same test set. For *another test
# set* resample the examples instead. There, too, pairing helps: most examples are right or wrong under both
# models. The two questions are different, and may get different answers: an interval over examples speaks of
# these two trained models only, and one lucky seed is enough to make it exclude 0.

# %%
right = {arm: (runs[arm][0].evaluation.predictions == task.test.labels) * 1.0 for arm in runs}          # (n,) each
n = len(task.test.labels)
se_paired = (right["importance"] - right["top 2"]).std(ddof=1) / np.sqrt(n)
se_unpaired = np.sqrt(right["importance"].var(ddof=1) / n + right["top 2"].var(ddof=1) / n)
print(f"both right or both wrong: {100 * (right['importance'] == right['top 2']).mean():.0f} % of {n} test examples")
low, high = bootstrap_interval(right["importance"] - right["top 2"])
print(f"seed 0, over test examples: {verdict(low, high)}")
print(f"standard error paired {se_paired:.4f}, unpaired {se_unpaired:.4f}")
assert se_paired < se_unpaired

# %% [markdown]
# ## 7.8 How looking often makes a score
#
# Two common habits produce good scores out of nothing.
#
# **Choosing on the data that is reported.** Train 20 epochs, look at the test score after each, report the best.
# Below, the models are pure guessers: every epoch is a fresh set of coin flips on n examples, true accuracy 0.5.
# The honest way chooses the epoch on a **validation split**, examples carved out of the training data, and only
# then looks at the test score of *that* epoch. The library carves a tenth, and chooses by it where a run has
# several epochs, as in 7.3. GLUE makes this necessary: its test labels are hidden, so papers report the
# development split, which must not choose the epoch as well.

# %%
print(f"this page's runs: {len(task.train.ids)} examples to train, {len(task.validation.ids)} to choose the epoch, "
      f"{len(task.test.ids)} to report")
random = np.random.default_rng(0)
looks = np.array([1, 2, 3, 5, 10, 20, 40])
reported = {("test", 71): [], ("test", 277): [], ("validation", 71): []}
for (chosen_on, n), means in reported.items():
    for count in looks:
        on_test, on_validation = random.binomial(n, 0.5, (2, 4000, count)) / n         # 4000 experiments
        judge = on_test if chosen_on == "test" else on_validation
        means.append(np.take_along_axis(on_test, judge.argmax(axis=1)[:, None], axis=1).mean())

axes = axes_for()
for (key, means), colour, marker in zip(reported.items(), (RED, BLUE, GREEN), "os^", strict=True):
    axes.plot(looks, means, marker + "-", color=colour)
    axes.text(42, means[-1], f"chosen on {key[0]},\n{key[1]} examples", color=colour, va="center")
axes.set(xscale="log", xticks=looks, xticklabels=looks, xlabel="epochs to choose from", ylabel="mean reported accuracy",
         ylim=(0.48, 0.66), xlim=(0.95, 130))
axes.minorticks_off()
plt.show()
assert reported["test", 71][-1] > 0.6 and abs(reported["validation", 71][-1] - 0.5) < 0.01

# %% [markdown]
# A guesser that looks forty times at 71 examples reports well over 0.6, without having learnt anything. The
# epochs of a real run resemble each other, so there the gift is smaller, but it is a gift.
#
# **Comparing many things and telling the best.** At the 95 % level one true "no difference" in 20 looks like one.
# Whoever tries m ideas that all do nothing finds at least one "significant" success with probability $1 -
# 0.95^m$. A simple cure is **Bonferroni's**: with m comparisons, ask each for a level of $1 - 0.05 / m$. And
# count *all* that you tried, not only what you show.

# %%
worst = np.random.default_rng(0).random((20000, 20)).min(axis=1)           # no effect: 20 uniform p values each
print(f"at least one of 20 below 0.05:      {(worst < 0.05).mean():.2f}, by the formula {1 - 0.95**20:.2f}")
print(f"at least one of 20 below 0.05 / 20: {(worst < 0.05 / 20).mean():.2f}")
assert abs((worst < 0.05).mean() - (1 - 0.95**20)) < 0.02 and (worst < 0.05 / 20).mean() < 0.06

# %% [markdown]
# ## 7.9 The control: is it importance, or only experts?
#
# Suppose DA-MoE beats top 2. Was it because *important* words got more experts? Perhaps it is enough that words
# get different numbers of experts, no matter which. The **control** for this you know from lessons 4 and 5:
# `--importance "shuffled(rowmax)"` computes importance as always (`rowmax` is the default measure), then hands
# the values to random words of the same sentence. The **histogram** of experts per word stays, and with it the
# computing. Only the link between a word and its importance is cut. Here is one sentence, read by one trained
# model, under both.

# %%
run = runs["importance"][0]
text = task.test_data.examples[0].text
ids = np.array([task.tokenizer.encode(text, max_length=24)])
mask = np.ones(ids.shape, bool)
with minimoe.no_grad():
    output = run.model(ids)
    router = run.model.layers[0].moe.router
    twin = router.with_measure("shuffled(rowmax)")
    attentions = [attention.data for attention in output.attentions]
    mask = minimoe.Tensor(mask, backend=BACKEND).data
    shuffled_k = twin.experts_per_token(output.routings[0].probabilities.data, twin.importance(attentions, mask), mask)
k = np.stack([to_host(array).reshape(-1) for array in (output.routings[0].k, shuffled_k)])            # (2, S)
assert np.array_equal(*np.sort(k, axis=1))                              # the same numbers, at other words
experts_per_token(task.tokenizer.tokens(ids[0]), k, format="figure", k_max=4,
                  labels=["importance", "shuffled"])

# %% [markdown]
# If DA-MoE beats top 2 *and* its shuffled twin, importance carries information that the experts can use. If it
# beats top 2 but not the twin, the gain comes from unequal numbers as such. If it beats neither, there is nothing
# to explain. On the built-in task that would be no wonder: in lessons 4 and 5 a model without any expert scored
# about as well, so do not expect much from handing experts out in another way.
#
# Now the third arm, then all comparisons in one **forest plot**: a row for each, the dots are the seeds, the
# diamond is their mean, the thick bar is the bootstrap interval, the thin line Student's. A row whose thin line
# crosses 0 is within noise. There are two comparisons that we planned, so Bonferroni asks for intervals at the
# level $1 - 0.05/2$.

# %%
runs["shuffled"] = train_arm("shuffled")
pairs = [("importance", "top 2"), ("importance", "shuffled")]
level = 1 - 0.05 / len(pairs)

axes = axes_for(7.2, 2.4)
for row, (first, second) in enumerate(pairs):
    d = scores_of(first) - scores_of(second)
    low, high = student_interval(d, level)
    print(f"{first} against {second}: mean {d.mean():+.4f}, {verdict(low, high)}")
    axes.plot([low, high], [row, row], color=BLUE, linewidth=1.2)
    axes.plot(bootstrap_interval(d, level), [row, row], color=BLUE, linewidth=6, alpha=0.45, solid_capstyle="butt")
    axes.plot(d.mean(), row, "D", color=BLUE, markersize=7)
    axes.plot(d, np.full(len(d), row - 0.25), "o", color=GREY, markersize=4)
axes.axvline(0, color="black", linewidth=1)
axes.set(yticks=range(len(pairs)), yticklabels=[f"{first}\nminus {second}" for first, second in pairs],
         ylim=(1.5, -0.6), xlabel="difference of test scores")
plt.show()

# %% [markdown]
# And the scores themselves, with the marks of section 7.5. Grey lines join the runs of one seed; the bar beside
# them is mean and standard deviation.

# %%
table = np.array([scores_of(arm) for arm in runs])                                      # (arms, seeds)
axes = axes_for(7.0, 3.4)
axes.plot(range(3), table, color=GREY, linewidth=0.8, alpha=0.7)
for place, (colour, marker) in enumerate(zip((BLUE, RED, GREEN), "os^", strict=True)):
    axes.plot(np.full(len(SEEDS), place), table[place], marker, color=colour)
    axes.errorbar(place + 0.12, table[place].mean(), table[place].std(ddof=1), fmt="_", color=colour, capsize=3)
for name, mark in marks.items():
    axes.axhline(mark, color=GREY, linewidth=1, linestyle="--")
    axes.text(2.55, mark + 0.005, name, color=GREY, ha="right", va="bottom")
axes.set(xticks=range(3), xticklabels=list(runs), ylabel="test accuracy", xlim=(-0.4, 2.6))
plt.show()
assert GLUE or (table.mean(axis=1) > marks["bag of words"]).all()
assert all(abs(run.evaluation.mean_experts_per_token - 2) < 0.04 for arm in runs for run in runs[arm])

# %% [markdown]
# Whatever your plot says, it says it about models of this size, a second of training, one task and five seeds.
# What we learn from it is the *form* of an answer: an interval for a fair comparison and one for the control.
#
# Remember what is certain about DA-MoE. That attention decides the number of experts, and that it was compared
# with Switch on GLUE, is **confirmed** by the paper's abstract. How importance is computed is **reported** by
# reading notes, and much else is **assumed** by this library. A budget as used here is not from the paper: we
# need it to keep the computing equal.
#
# ## 7.10 The full experiment
#
# A grid is a loop over arms and seeds. The command `minimoe compare` runs one that is described in a file: every
# cell writes its own result file, an interrupted grid goes on where it stopped, and `--report` makes tables and
# figures. A claim that importance helps needs, at the same mean number of experts (within 2 %): `topk` with the
# numbers just below and above it, `shuffled(...)`, `random`, `reversed(...)` and `router_entropy` as importance, a
# dense model (`--experts 0`) of the same computing, and both `rowmax` and `colmax`. If the shuffled control ties, the
# gain is computing, and one says so.
#
# We ran such grids (`benchmarks/grids`), and their results come with the library. Below is the decisive comparison,
# every row minus its own shuffled control, on the built-in tasks: rows called *ceil* are the paper's rule as it is
# read (it fixes no mean, so its control may compute a little more or less), *budget* ones have the mean number of
# experts in their name, and *colmax* counts the looks *at* a word. Dots are seeds.

# %%
shipped = {(row["grid"], row["task"], row["row"]): row for row in load_results()}


def against_control(grid):
    """[(task, row, paired differences over seeds)] of a grid's rows that have a shuffled control."""
    found = []
    for (place, task, name), row in shipped.items():
        control = shipped.get((grid, task, f"{name}-shuffled"))
        if place == grid and control:
            sign = 1 if row["better"] == "higher" else -1
            seeds = sorted(row["scores"].keys() & control["scores"].keys())
            found.append((task, name, np.array([sign * (row["scores"][s] - control["scores"][s]) for s in seeds])))
    return found


pairs = against_control("builtin")
axes = axes_for(7.2, 0.9 + 0.27 * len(pairs))
clear = 0
for line, d in enumerate(differences for _, _, differences in pairs):
    low, high = student_interval(d)
    surest = student_interval(d, 1 - 0.05 / len(pairs))                 # Bonferroni: all of them count
    clear += surest[0] > 0 or surest[1] < 0
    axes.plot(d, np.full(len(d), line), "o", color=GREY, markersize=3, alpha=0.6)
    axes.plot([low, high], [line, line], color=BLUE, linewidth=2)
    axes.plot(d.mean(), line, "D", color=BLUE, markersize=5)
axes.axvline(0, color="black", linewidth=1)
axes.set(yticks=range(len(pairs)), yticklabels=[f"{task}, {name}" for task, name, _ in pairs],
         ylim=(len(pairs) - 0.4, -0.6), xlabel="accuracy minus that of its shuffled control")
plt.show()
print(f"{len(pairs)} comparisons; {clear} have an interval clear of 0 when all are counted.")

# %% [markdown]
# Does the rule at least *find* the words that matter? On the built-in tasks we know which words decide the label.

# %%
for (grid, task, name), row in shipped.items():
    if grid == "builtin" and name in ("ceil", "budget2", "budget2-colmax"):
        deciding, others = row["deciding_k"], row["other_k"]
        print(f"{task:14} {name:15} experts of deciding words {deciding:.2f}, of the others {others:.2f}")
        assert deciding > others if name == "budget2-colmax" else name != "ceil" or deciding < others

# %% [markdown]
# Under `rowmax`, the rule as it is read, the deciding words get *fewer* experts than the others; under `colmax` they
# get more. The README says under *Does it help?* what all grids that were run say together, and `benchmarks/results`
# holds every number.

# %%
folder.cleanup()

# %% [markdown]
# ## What to take away
#
# - Pre-training asks for hidden words; it helps later only if it has read the words that matter.
# - Know how your metric can be fooled, and put majority, always-yes and bag-of-words marks beside every score.
# - Several seeds; mean and sample standard deviation; paired differences with an interval. With five seeds the
#   bootstrap is too narrow, so look at Student's as well.
# - Within noise means: cannot tell. Choose the epoch on a split carved from train, and count all comparisons.
# - Equal computing is half of a fair comparison; shuffled importance is the other half.
#
# **Read on.** `minimoe/training/masking.py`, `pretrainer.py` and `metrics.py`; `minimoe/moe/controls.py` for the
# controls. J. Devlin et al., *BERT* ([arXiv 1810.04805](https://arxiv.org/abs/1810.04805)), section 3.1, for
# hiding tokens. A. Wang et al., *GLUE* ([arXiv 1804.07461](https://arxiv.org/abs/1804.07461)), section 3 for the
# tasks and their metrics. J. Dodge et al., *Fine-tuning pretrained language models: weight initializations, data
# orders, and early stopping* ([arXiv 2002.06305](https://arxiv.org/abs/2002.06305)), on seeds. T. Sellam et al.,
# *The MultiBERTs* ([arXiv 2106.16163](https://arxiv.org/abs/2106.16163)), on seeds of pre-training. DA-MoE is
# [arXiv 2409.06669](https://arxiv.org/abs/2409.06669); its abstract is what is confirmed.
#
# **Next.** Lesson 8, `08_your_own_router.ipynb`: write a router of your own, and judge it by what you have learnt
# here.
