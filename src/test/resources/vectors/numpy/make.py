"""Makes the cases of this folder: batch normalization far from zero, computed in float64 by NumPy from float32 inputs.

The data is normal with standard deviation 1 around a mean of 10^4 and 10^5, so that float32's spacing there (0.001 and
0.008) is a good part of what is normalized, and any loss of the mean's low digits shows. One channel in four has a
mean of its own sign; the statistics are exact sums (math.fsum) over the float32 values.
"""

import json
import math

import numpy as np


def exact_mean(a):
    return math.fsum(a.ravel().tolist()) / a.size


def make(name, shape, layout, mean, activation, residual):
    rng = np.random.default_rng(len(name) + int(mean))
    channels = shape[1]
    per = (1, channels) + (1,) * (len(shape) - 2)
    centre = np.where(np.arange(channels) % 4 == 3, -mean, mean) * (1 + 0.01 * np.arange(channels))
    x = (centre.reshape(per) + rng.standard_normal(shape)).astype(np.float32)
    weight = rng.normal(1, 0.3, channels).astype(np.float32)
    bias = rng.normal(0, 1, channels).astype(np.float32)
    dy = rng.standard_normal(shape).astype(np.float32)
    res = rng.standard_normal(shape).astype(np.float32) if residual else None
    running_mean = rng.normal(0, 1, channels).astype(np.float32)
    running_var = rng.uniform(0.5, 2, channels).astype(np.float32)
    eps, rate = 1e-5, 0.1

    x64, dy64 = x.astype(np.float64), dy.astype(np.float64)
    m = x.size // channels
    mu = np.array([exact_mean(x64[:, c]) for c in range(channels)])
    d = x64 - mu.reshape(per)
    var = np.array([math.fsum((d[:, c] ** 2).ravel().tolist()) / m for c in range(channels)])
    invstd = 1 / np.sqrt(var + eps)
    xhat = d * invstd.reshape(per)
    v = xhat * weight.astype(np.float64).reshape(per) + bias.astype(np.float64).reshape(per)
    if residual:
        v = v + res
    y = np.maximum(v, 0) if activation == "relu" else v
    if activation == "relu":
        # Where the pre-activation is within rounding of 0 the mask is anybody's guess: give those no gradient.
        dy = np.where(np.abs(v) < 1e-4, np.float32(0), dy)
        dy64 = dy.astype(np.float64) * (v > 0)
    db = np.array([math.fsum(dy64[:, c].ravel().tolist()) for c in range(channels)])
    dg = np.array([math.fsum((dy64[:, c] * xhat[:, c]).ravel().tolist()) for c in range(channels)])
    scale = (weight.astype(np.float64) * invstd).reshape(per)
    dx = scale * (dy64 - db.reshape(per) / m - xhat * dg.reshape(per) / m)

    arrays = dict(
        x=x, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var, grad_y=dy,
        expected_y=y, expected_grad_x=dx, expected_grad_weight=dg, expected_grad_bias=db,
        expected_save_mean=mu, expected_save_invstd=invstd,
        expected_running_mean=(1 - rate) * running_mean.astype(np.float64) + rate * mu,
        expected_running_var=(1 - rate) * running_var.astype(np.float64) + rate * var * m / (m - 1))
    if residual:
        arrays.update(residual=res, expected_grad_residual=dy64)
    if layout == "channels-last":
        arrays = {k: np.ascontiguousarray(np.moveaxis(a, 1, -1)) if a.ndim > 2 else a for k, a in arrays.items()}
    case = dict(op="batch-norm", mode="train", eps=eps, update_rate=rate, layout=layout, activation=activation)
    arrays["case"] = np.frombuffer(json.dumps(case).encode(), np.uint8)
    np.savez_compressed(name + ".npz", **arrays)


make("mean-1e4-nchw", (8, 5, 17, 13), "channels-first", 1e4, "none", False)
make("mean-1e4-nhwc-add-relu", (8, 5, 17, 13), "channels-last", 1e4, "relu", True)
make("mean-1e5-nchw-relu", (6, 7, 16, 16), "channels-first", 1e5, "relu", False)
make("mean-1e5-nhwc", (6, 7, 16, 16), "channels-last", 1e5, "none", False)
make("mean-1e5-2d", (257, 33), "channels-first", 1e5, "none", False)
