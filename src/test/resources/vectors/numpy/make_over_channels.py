"""Makes the cases channels-*.npz: layer normalization of the channels of each position, in float64 by NumPy from float32 inputs.

Axis 1 is reduced as it stands; channels-last files have the same arrays with that axis moved to the end.
"""

import json

import numpy as np

EPS = 1e-6


def make(name, shape, layout="channels-first", activation="none", residual=False, past=False):
    rng = np.random.default_rng(sum(map(ord, name)))
    channels = shape[1]
    x, dy, res, more = (rng.standard_normal(shape).astype(np.float32) for _ in range(4))
    x += np.float32(3)
    weight = rng.normal(1, 0.3, channels).astype(np.float32)
    bias = rng.normal(0, 1, channels).astype(np.float32)
    along = (1, channels) + (1,) * (len(shape) - 2)
    gamma, beta = (p.astype(np.float64).reshape(along) for p in (weight, bias))

    x64 = x.astype(np.float64)
    invstd = 1 / np.sqrt(x64.var(1, keepdims=True) + EPS)
    xhat = (x64 - x64.mean(1, keepdims=True)) * invstd
    v = xhat * gamma + beta + (res if residual else 0)
    y = np.maximum(v, 0) if activation == "relu" else v
    if activation == "relu":
        # Where the pre-activation is within rounding of 0 the mask is anybody's guess: give those no gradient.
        dy = np.where(np.abs(v) < 1e-4, np.float32(0), dy)
    dv = dy.astype(np.float64) * ((v > 0) if activation == "relu" else 1)
    g = dv * gamma
    dx = invstd * (g - g.mean(1, keepdims=True) - xhat * (g * xhat).mean(1, keepdims=True))
    others = tuple(i for i in range(len(shape)) if i != 1)

    arrays = dict(x=x, grad_y=dy, expected_y=y, expected_grad_x=dx + (more if past else 0))
    if residual:
        arrays.update(residual=res, expected_grad_residual=dv)
    if past:
        arrays["grad_sum"] = more
    if layout == "channels-last":
        arrays = {key: np.ascontiguousarray(np.moveaxis(array, 1, -1)) for key, array in arrays.items()}
    arrays.update(
        weight=weight, bias=bias, expected_grad_weight=(dv * xhat).sum(others), expected_grad_bias=dv.sum(others))
    case = dict(op="layer-norm", eps=EPS, over_channels=True, layout=layout, activation=activation)
    arrays["case"] = np.frombuffer(json.dumps(case).encode(), np.uint8)
    np.savez_compressed(name + ".npz", **arrays)


make("channels-nchw", (2, 24, 7, 7))
make("channels-nhwc", (2, 24, 7, 7), layout="channels-last")
make("channels-volume-add-relu", (2, 7, 3, 4, 5), activation="relu", residual=True)
make("channels-past", (3, 33, 17), past=True)
make("channels-2d", (5, 13), activation="relu")
