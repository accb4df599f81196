"""stub"""
import numpy as np
def compute(names, labels, predictions):
    return {n: float((labels==predictions).mean()) for n in names}
def score(values): return float(np.mean(list(values.values())))
