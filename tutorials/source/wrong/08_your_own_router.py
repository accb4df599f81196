# %% top_p_counts: without the crossing expert
# says: the expert with which the sum reaches p is missing
def top_p_counts(probabilities, p):
    sums = np.cumsum(-np.sort(-probabilities, axis=1), axis=1)
    return (sums < p).sum(axis=1)

# %% top_p_counts: the smallest first
# says: the smallest probabilities are added first
def top_p_counts(probabilities, p):
    sums = np.cumsum(np.sort(probabilities, axis=1), axis=1)
    return np.minimum((sums < p).sum(axis=1) + 1, probabilities.shape[1])

# %% top_p_counts: in the order of the experts
# says: sort each row
def top_p_counts(probabilities, p):
    sums = np.cumsum(probabilities, axis=1)
    return np.minimum((sums < p).sum(axis=1) + 1, probabilities.shape[1])

# %% top_p_counts: more than p
# says: that already reaches p, so one expert is enough
def top_p_counts(probabilities, p):
    sums = np.cumsum(-np.sort(-probabilities, axis=1), axis=1)
    return np.minimum((sums <= p).sum(axis=1) + 1, probabilities.shape[1])

# %% top_p_counts: more experts than there are
# says: the answer must be E, neither more nor 1
def top_p_counts(probabilities, p):
    sums = np.cumsum(-np.sort(-probabilities, axis=1), axis=1)
    return (sums < p).sum(axis=1) + 1

# %% top_p_counts: the first place that reaches p, where there is none
# says: the answer must be E, neither more nor 1
def top_p_counts(probabilities, p):
    sums = np.cumsum(-np.sort(-probabilities, axis=1), axis=1)
    return (sums >= p).argmax(axis=1) + 1

# %% top_p_counts: a mean in place of a count
# says: it must hold integers
def top_p_counts(probabilities, p):
    sums = np.cumsum(-np.sort(-probabilities, axis=1), axis=1)
    return (sums < p).mean(axis=1) * probabilities.shape[1] + 1

# %% ConfidenceGap: the sure tokens get more
# says: the sure tokens got the second expert
class ConfidenceGap(Router):
    def experts_per_token(self, probabilities, importance, mask):
        ranked = np.sort(probabilities, axis=1)
        gap = (ranked[:, -1] - ranked[:, -2]).reshape(mask.shape)
        mean = np.where(mask, gap, 0).sum(axis=1, keepdims=True) / mask.sum(axis=1, keepdims=True)
        return np.where(gap > mean, 2, 1)

# %% ConfidenceGap: the mean includes padding
# says: padding moves the mean
class ConfidenceGap(Router):
    def experts_per_token(self, probabilities, importance, mask):
        ranked = np.sort(probabilities, axis=1)
        gap = (ranked[:, -1] - ranked[:, -2]).reshape(mask.shape)
        return np.where(gap < gap.mean(axis=1, keepdims=True), 2, 1)

# %% ConfidenceGap: padding is left out of the sum only
# says: divide by the number of real tokens
class ConfidenceGap(Router):
    def experts_per_token(self, probabilities, importance, mask):
        ranked = np.sort(probabilities, axis=1)
        gap = (ranked[:, -1] - ranked[:, -2]).reshape(mask.shape)
        return np.where(gap < (gap * mask).mean(axis=1, keepdims=True), 2, 1)

# %% ConfidenceGap: one mean for the whole batch
# says: a sample's counts change with the other samples
class ConfidenceGap(Router):
    def experts_per_token(self, probabilities, importance, mask):
        ranked = np.sort(probabilities, axis=1)
        gap = (ranked[:, -1] - ranked[:, -2]).reshape(mask.shape)
        return np.where(gap < gap[mask].mean(), 2, 1)

# %% ConfidenceGap: flat
# says: reshape the gap to mask.shape
class ConfidenceGap(Router):
    def experts_per_token(self, probabilities, importance, mask):
        ranked = np.sort(probabilities, axis=1)
        gap = ranked[:, -1] - ranked[:, -2]
        return np.where(gap < gap.mean(), 2, 1)

# %% ConfidenceGap: the two smallest probabilities
# says: the gap is largest minus second largest
class ConfidenceGap(Router):
    def experts_per_token(self, probabilities, importance, mask):
        ranked = np.sort(probabilities, axis=1)
        gap = (ranked[:, 1] - ranked[:, 0]).reshape(mask.shape)
        mean = np.where(mask, gap, 0).sum(axis=1, keepdims=True) / mask.sum(axis=1, keepdims=True)
        return np.where(gap < mean, 2, 1)

# %% ConfidenceGap: the largest probability alone
# says: the gap is largest minus second largest
class ConfidenceGap(Router):
    def experts_per_token(self, probabilities, importance, mask):
        best = probabilities.max(axis=1).reshape(mask.shape)
        mean = np.where(mask, best, 0).sum(axis=1, keepdims=True) / mask.sum(axis=1, keepdims=True)
        return np.where(best < mean, 2, 1)

# %% ConfidenceGap: answers with True and False
# says: it must hold integers
class ConfidenceGap(Router):
    def experts_per_token(self, probabilities, importance, mask):
        ranked = np.sort(probabilities, axis=1)
        gap = (ranked[:, -1] - ranked[:, -2]).reshape(mask.shape)
        return gap < gap.mean(axis=1, keepdims=True)

# %% ConfidenceGap: a plain class
# says: must be derived from Router
class ConfidenceGap:
    def experts_per_token(self, probabilities, importance, mask):
        return np.ones(mask.shape, int)

# %% leaks: compares only the counts
# says: compare the outputs y
def leaks(layer, x, importance, mask):
    together = layer(x, importance, mask)[1].k.reshape(mask.shape)
    for b, n in enumerate(mask.sum(axis=1)):
        alone = layer(x[b:b + 1, :n], importance[b:b + 1, :n], mask[b:b + 1, :n])[1].k
        if (together[b, :n] != alone).any():
            return True
    return False

# %% leaks: keeps the padding
# says: a leak through padding is missed
def leaks(layer, x, importance, mask):
    together = layer(x, importance, mask)[0].numpy()
    for b in range(len(mask)):
        alone = layer(x[b:b + 1], importance[b:b + 1], mask[b:b + 1])[0].numpy()
        if np.abs(together[b] - alone[0]).max() > 1e-6:
            return True
    return False

# %% leaks: equal to the last bit
# says: allow 1e-6
def leaks(layer, x, importance, mask):
    together = layer(x, importance, mask)[0].numpy()
    for b, n in enumerate(mask.sum(axis=1)):
        alone = layer(x[b:b + 1, :n], importance[b:b + 1, :n], mask[b:b + 1, :n])[0].numpy()
        if (together[b, :n] != alone[0]).any():
            return True
    return False

# %% leaks: answers after the first sample
# says: compare every sample, and one that differs is enough
def leaks(layer, x, importance, mask):
    together = layer(x, importance, mask)[0].numpy()
    for b, n in enumerate(mask.sum(axis=1)):
        alone = layer(x[b:b + 1, :n], importance[b:b + 1, :n], mask[b:b + 1, :n])[0].numpy()
        return bool(np.abs(together[b, :n] - alone[0]).max() > 1e-6)

# %% leaks: always the first row of the batch
# says: an honest router is accused
def leaks(layer, x, importance, mask):
    together = layer(x, importance, mask)[0].numpy()
    for b, n in enumerate(mask.sum(axis=1)):
        alone = layer(x[b:b + 1, :n], importance[b:b + 1, :n], mask[b:b + 1, :n])[0].numpy()
        if np.abs(together[0, :n] - alone[0]).max() > 1e-6:
            return True
    return False

# %% leaks: the difference in place of a verdict
# says: it must be True or False
def leaks(layer, x, importance, mask):
    together = layer(x, importance, mask)[0].numpy()
    worst = 0.0
    for b, n in enumerate(mask.sum(axis=1)):
        alone = layer(x[b:b + 1, :n], importance[b:b + 1, :n], mask[b:b + 1, :n])[0].numpy()
        worst = max(worst, float(np.abs(together[b, :n] - alone[0]).max()))
    return worst

# %% share_experts: rounds up for everybody
# says: not within 2 %
def share_experts(importance, mask, mean_experts):
    return np.where(mask, int(np.ceil(mean_experts)), 0)

# %% share_experts: counts padding
# says: padding is counted in n
def share_experts(importance, mask, mean_experts):
    base = int(np.floor(mean_experts))
    k = np.where(mask, base, 0)
    for b, real in enumerate(mask):
        n = len(real)
        left = int(np.floor(mean_experts * n + 0.5)) - base * n
        k[b, np.argsort(np.where(real, -importance[b], np.inf), kind="stable")[:left]] += 1
    return k * mask

# %% share_experts: the best tokens of the whole batch
# says: each sample must get its own floor(mean * n + 1/2)
def share_experts(importance, mask, mean_experts):
    base = int(np.floor(mean_experts))
    k = np.where(mask, base, 0)
    n = int(mask.sum())
    left = int(np.floor(mean_experts * n + 0.5)) - base * n
    best = np.argsort(np.where(mask, -importance, np.inf).ravel(), kind="stable")[:left]
    k.reshape(-1)[best] += 1
    return k

# %% share_experts: the least important tokens
# says: the least important tokens got the extra experts
def share_experts(importance, mask, mean_experts):
    base = int(np.floor(mean_experts))
    k = np.where(mask, base, 0)
    for b, real in enumerate(mask):
        n = int(real.sum())
        left = int(np.floor(mean_experts * n + 0.5)) - base * n
        k[b, np.argsort(np.where(real, importance[b], np.inf), kind="stable")[:left]] += 1
    return k

# %% share_experts: the first tokens, whatever their importance
# says: did not go to the most important tokens
def share_experts(importance, mask, mean_experts):
    base = int(np.floor(mean_experts))
    k = np.where(mask, base, 0)
    for b, real in enumerate(mask):
        n = int(real.sum())
        k[b, :int(np.floor(mean_experts * n + 0.5)) - base * n] += 1
    return k

# %% share_experts: a threshold
# says: a threshold takes all of them or none
def share_experts(importance, mask, mean_experts):
    base = int(np.floor(mean_experts))
    k = np.where(mask, base, 0)
    for b, real in enumerate(mask):
        n = int(real.sum())
        left = int(np.floor(mean_experts * n + 0.5)) - base * n
        k[b] += real & (importance[b] >= np.sort(importance[b, real])[n - left])
    return k

# %% share_experts: ties to the last
# says: the first ones come first
def share_experts(importance, mask, mean_experts):
    base = int(np.floor(mean_experts))
    k = np.where(mask, base, 0)
    for b, real in enumerate(mask):
        n = int(real.sum())
        left = int(np.floor(mean_experts * n + 0.5)) - base * n
        k[b, np.argsort(np.where(real, importance[b], -np.inf), kind="stable")[::-1][:left]] += 1
    return k

# %% share_experts: all of the rest to one token
# says: what is left goes out one each
def share_experts(importance, mask, mean_experts):
    base = int(np.floor(mean_experts))
    k = np.where(mask, base, 0)
    for b, real in enumerate(mask):
        n = int(real.sum())
        k[b, np.argmax(importance[b] * real)] += int(np.floor(mean_experts * n + 0.5)) - base * n
    return k

# %% share_experts: padding gets the same
# says: padding got experts
def share_experts(importance, mask, mean_experts):
    base = int(np.floor(mean_experts))
    k = np.full(mask.shape, base)
    for b, real in enumerate(mask):
        n = int(real.sum())
        left = int(np.floor(mean_experts * n + 0.5)) - base * n
        k[b, np.argsort(np.where(real, -importance[b], np.inf), kind="stable")[:left]] += 1
    return k
