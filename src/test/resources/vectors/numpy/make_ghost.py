"""Makes the cases ghost-*.npz: virtual batches that leave one value per channel, in float64 by NumPy from float32 inputs.

The batch is cut by hand: what has statistics of its own is normalized by them, piece after piece, each entering the running
statistics; a last sample that is normalized by the running statistics takes them as they are then, as constants.
"""

import json

import numpy as np

EPS = 1e-5


def make(name, shape, samples, last, rate, activation="none", residual=False):
    rng = np.random.default_rng(sum(map(ord, name)))
    batch, channels = shape
    x, dy, res = (rng.standard_normal(shape).astype(np.float32) for _ in range(3))
    weight = rng.normal(1, 0.3, channels).astype(np.float32)
    bias = rng.normal(0, 1, channels).astype(np.float32)
    running_mean = rng.normal(0, 1, channels).astype(np.float32)
    running_var = rng.uniform(0.5, 2, channels).astype(np.float32)

    cuts = list(range(0, batch, samples)) + [batch]
    if last == "merge":
        del cuts[-2]
    mean, var = running_mean.astype(np.float64), running_var.astype(np.float64)
    xhat = np.empty(shape)
    invstd = np.empty(shape)
    own = []
    for start, end in zip(cuts, cuts[1:]):
        part = x[start:end].astype(np.float64)
        m = end - start
        if m > 1:
            mu, sigma2 = part.mean(0), part.var(0)
            own.append((start, end))
            mean = (1 - rate) * mean + rate * mu
            var = (1 - rate) * var + rate * sigma2 * m / (m - 1)
        else:
            mu, sigma2 = mean, var
        invstd[start:end] = 1 / np.sqrt(sigma2 + EPS)
        xhat[start:end] = (part - mu) * invstd[start:end]
    v = xhat * weight.astype(np.float64) + bias + (res if residual else 0)
    y = np.maximum(v, 0) if activation == "relu" else v
    dy64 = dy.astype(np.float64)
    if activation == "relu":
        # Where the pre-activation is within rounding of 0 the mask is anybody's guess: give those no gradient.
        dy = np.where(np.abs(v) < 1e-4, np.float32(0), dy)
        dy64 = dy.astype(np.float64) * (v > 0)
    dx = dy64.copy()
    for start, end in own:
        g, h = dy64[start:end], xhat[start:end]
        dx[start:end] = g - g.mean(0) - h * (g * h).mean(0)
    dx *= weight.astype(np.float64) * invstd

    arrays = dict(
        x=x, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var, grad_y=dy,
        expected_y=y, expected_grad_x=dx, expected_grad_weight=(dy64 * xhat).sum(0), expected_grad_bias=dy64.sum(0),
        expected_running_mean=mean, expected_running_var=var)
    if residual:
        arrays.update(residual=res, expected_grad_residual=dy64)
    case = dict(op="batch-norm", eps=EPS, update_rate=rate, activation=activation, virtual_batch=samples,
                last_virtual_batch=last)
    arrays["case"] = np.frombuffer(json.dumps(case).encode(), np.uint8)
    np.savez_compressed(name + ".npz", **arrays)


make("ghost-merge", (9, 6), 4, "merge", 0.1)
make("ghost-merge-add-relu", (129, 17), 64, "merge", 0.25, "relu", True)
make("ghost-merge-all", (9, 6), 8, "merge", 0.1)
make("ghost-running", (9, 6), 4, "running", 0.5)
make("ghost-running-add-relu", (33, 17), 8, "running", 0.25, "relu", True)
make("ghost-running-alone", (1, 6), 8, "running", 0.1)
make("ghost-running-rate-0", (9, 6), 8, "running", 0)
