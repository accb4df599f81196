# %% hide: every chosen token becomes [MASK]
# says: every chosen token became [MASK]
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    return np.where(chosen, mask, ids), np.where(chosen, ids, -100)

# %% hide: special tokens too
# says: special tokens were chosen
def hide(ids, ordinary, mask, random):
    chosen = random.random(ids.shape) < 0.15
    fate = random.random(ids.shape)
    hidden = np.where(chosen & (fate < 0.8), mask, ids)
    hidden = np.where(chosen & (fate >= 0.9), random.choice(ordinary, ids.shape), hidden)
    return hidden, np.where(chosen, ids, -100)

# %% hide: changes ids in place
# says: ids was changed in place
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    labels = np.where(chosen, ids, -100)
    ids[chosen] = mask
    return ids, labels

# %% hide: labels taken from what the model sees
# says: a label is not the true token
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    hidden = np.where(chosen & (random.random(ids.shape) < 0.8), mask, ids)
    return hidden, np.where(chosen, hidden, -100)

# %% hide: labels everywhere
# says: labels must be -100 where a token was not chosen
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    fate = random.random(ids.shape)
    hidden = np.where(chosen & (fate < 0.8), mask, ids)
    hidden = np.where(chosen & (fate >= 0.9), random.choice(ordinary, ids.shape), hidden)
    return hidden, ids.copy()

# %% hide: the same random number decides twice
# says: every chosen token became [MASK]
def hide(ids, ordinary, mask, random):
    fate = random.random(ids.shape)
    chosen = (fate < 0.15) & np.isin(ids, ordinary)
    hidden = np.where(chosen & (fate < 0.8), mask, ids)
    hidden = np.where(chosen & (fate >= 0.9), random.choice(ordinary, ids.shape), hidden)
    return hidden, np.where(chosen, ids, -100)

# %% hide: one random token for all places
# says: draw one for every place
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    fate = random.random(ids.shape)
    hidden = np.where(chosen & (fate < 0.8), mask, ids)
    hidden = np.where(chosen & (fate >= 0.9), random.choice(ordinary), hidden)
    return hidden, np.where(chosen, ids, -100)

# %% hide: random tokens for all that are not masked
# says: no chosen token stayed
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    fate = random.random(ids.shape)
    other = ids + 1
    hidden = np.where(chosen & (fate < 0.8), mask, ids)
    hidden = np.where(chosen & (fate >= 0.8), other, hidden)
    return hidden, np.where(chosen, ids, -100)

# %% hide: nothing becomes another word
# says: no chosen token became another word
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    return np.where(chosen & (random.random(ids.shape) < 0.8), mask, ids), np.where(chosen, ids, -100)

# %% hide: only the hidden array
# says: return two arrays
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    return np.where(chosen, mask, ids)

# %% hide: the two arrays swapped
# says: return hidden first
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    return np.where(chosen, ids, -100), np.where(chosen, mask, ids)

# %% hide: the random tokens have no label
# says: give each of these its label
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    fate = random.random(ids.shape)
    hidden = np.where(chosen & (fate < 0.8), mask, ids)
    hidden = np.where(chosen & (fate >= 0.9), random.choice(ordinary, ids.shape), hidden)
    return hidden, np.where(chosen & (fate < 0.9), ids, -100)

# %% hide: ten per cent of the rest become random
# says: it must be 80 % and 10 %
def hide(ids, ordinary, mask, random):
    chosen = (random.random(ids.shape) < 0.15) & np.isin(ids, ordinary)
    masked = chosen & (random.random(ids.shape) < 0.8)
    other = chosen & ~masked & (random.random(ids.shape) < 0.1)
    hidden = np.where(masked, mask, ids)
    return np.where(other, random.choice(ordinary, ids.shape), hidden), np.where(chosen, ids, -100)

# %% matthews_of: no square root
# says: the square root in the denominator is missing
def matthews_of(table):
    (tn, fp), (fn, tp) = np.asarray(table, float)
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / spread if spread else 0.0

# %% matthews_of: degenerate tables divide by zero
# says: return 0.0 where the square root is 0
def matthews_of(table):
    (tn, fp), (fn, tp) = np.asarray(table, float).tolist()
    return (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5

# %% matthews_of: integers overflow
# says: the product overflows
def matthews_of(table):
    (tn, fp), (fn, tp) = table
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return float((tp * tn - fp * fn) / np.sqrt(spread)) if spread else 0.0

# %% matthews_of: rows read the wrong way
# says: the sign is turned
def matthews_of(table):
    (fp, tn), (tp, fn) = np.asarray(table, float)
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return float((tp * tn - fp * fn) / np.sqrt(spread)) if spread else 0.0

# %% matthews_of: the accuracy
# says: this is the accuracy
def matthews_of(table):
    return float(np.trace(table) / np.sum(table))

# %% matthews_of: one factor of the product is wrong
# says: not the correlation of labels and predictions
def matthews_of(table):
    (tn, fp), (fn, tp) = np.asarray(table, float)
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + tp)
    return float((tp * tn - fp * fn) / np.sqrt(spread)) if spread else 0.0

# %% always_yes_f1: the accuracy
# says: this is the accuracy of always yes
def always_yes_f1(labels):
    return float(np.mean(labels))

# %% always_yes_f1: true positives once below the line
# says: TP stands twice below the line
def always_yes_f1(labels):
    yes, no = np.sum(labels == 1), np.sum(labels == 0)
    return float(2 * yes / (yes + no))

# %% always_yes_f1: the recall
# says: every label 0 is a false positive
def always_yes_f1(labels):
    return 1.0

# %% always_yes_f1: the 2 is missing above
# says: not the F1
def always_yes_f1(labels):
    yes, no = np.sum(labels == 1), np.sum(labels == 0)
    return float(yes / (2 * yes + no))

# %% always_yes_f1: nothing without any yes
# says: without any label 1 there are no true positives
def always_yes_f1(labels):
    yes = np.sum(labels == 1)
    precision = yes / len(labels)
    return 2 * precision / (precision + 1) if yes else float("nan")

# %% paired_interval: separate draws
# says: draw pairs
def paired_interval(a, b, random, draws=4000):
    n = len(a)
    means = a[random.integers(0, n, (draws, n))].mean(axis=1) - b[random.integers(0, n, (draws, n))].mean(axis=1)
    return np.percentile(means, [2.5, 97.5])

# %% paired_interval: no replacement
# says: draw with replacement
def paired_interval(a, b, random, draws=4000):
    difference = a - b
    means = [random.permutation(difference).mean() for _ in range(draws)]
    return np.percentile(means, [2.5, 97.5])

# %% paired_interval: percentiles of the differences
# says: take the mean of each resample first
def paired_interval(a, b, random, draws=4000):
    return np.percentile(random.choice(a - b, draws), [2.5, 97.5])

# %% paired_interval: 90 per cent
# says: this is a 90 % interval
def paired_interval(a, b, random, draws=4000):
    difference = a - b
    means = difference[random.integers(0, len(a), (draws, len(a)))].mean(axis=1)
    return np.percentile(means, [5, 95])

# %% paired_interval: b - a
# says: the sign is turned
def paired_interval(a, b, random, draws=4000):
    difference = b - a
    means = difference[random.integers(0, len(a), (draws, len(a)))].mean(axis=1)
    return np.percentile(means, [2.5, 97.5])

# %% paired_interval: resamples of half the size
# says: each resample has as many pairs as there are
def paired_interval(a, b, random, draws=4000):
    difference = a - b
    means = difference[random.integers(0, len(a), (draws, len(a) // 2))].mean(axis=1)
    return np.percentile(means, [2.5, 97.5])

# %% paired_interval: nothing returned
# says: return two numbers
def paired_interval(a, b, random, draws=4000):
    difference = a - b
    np.percentile(difference[random.integers(0, len(a), (draws, len(a)))].mean(axis=1), [2.5, 97.5])
