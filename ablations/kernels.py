"""Training steps of one fully connected network after the other, compiled by Numba.

`take_steps` trains M trials, one after the other, over the steps up to an evaluation. What a
trial needs stays in the cache of one core meanwhile, and nothing is spent on calls: see
`compiled`, which says which stacks are trained so.

Matrix products are OpenBLAS's, which scipy brings. Examples come first here, (N, H), unlike in
`layers`, and weights lie transposed, (D, H): of the three products of a layer, the one that its
routines for small matrices are slow at is that by the transposed weights, which the first layer
does without. All numbers have the type of the parameters.
"""

from __future__ import annotations

import math

import numpy as np

from ablations.compiled import ACTIVATIONS, LOSSES, RULES
from ablations.elementary import compiled, errors, exponentials, log1ps, sigmoids, tangents
from ablations.layers import SOFTPLUS_THRESHOLD
from ablations.products import LIGHT

TILE = 16  # columns of a matrix that are turned at once

(
    IDENTITY, RELU, LEAKY_RELU, ELU, GELU, SILU, MISH, SOFTPLUS, SOFTSIGN, TANH, SIGMOID, HARDTANH,
    HARDSWISH, HARDSHRINK, SOFTSHRINK, TANHSHRINK,
) = range(len(ACTIVATIONS))  # fmt: skip
CROSS_ENTROPY, BCE, MSE, QUADRATIC, L1, HUBER = range(len(LOSSES))
SGD, MOMENTUM, NESTEROV, ADAGRAD, ADADELTA, RMSPROP, ADAM, ADAMW, NADAM, RADAM, ADAMAX = range(
    len(RULES)
)

ROOT_HALF, NORMAL = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)
GAMMA, MIX1, MIX2 = map(
    np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)  # of SplitMix64


@compiled
def activated(x, slopes, kind, setting):
    """Write an activation over x, and its derivative into `slopes`, both flat.

    Settings: LeakyReLU's slope; scale, scale times alpha, and inner factor of ELU, SELU or CELU;
    beta of Softplus; lambda of the shrinking ones.
    """
    zero, one = x.dtype.type(0), x.dtype.type(1)
    if kind == IDENTITY:
        slopes[:] = one
    elif kind == RELU:
        for i in range(x.size):
            slopes[i] = zero if x[i] <= zero else one
            x[i] = zero if x[i] <= zero else x[i]  # NaN stays NaN
    elif kind == LEAKY_RELU:
        for i in range(x.size):
            slopes[i] = one if x[i] > zero else setting[0]
            x[i] *= slopes[i]
    elif kind == SOFTSIGN:
        for i in range(x.size):
            rest = one / (one + abs(x[i]))
            slopes[i] = rest * rest
            x[i] *= rest
    elif kind == TANH:
        tangents(x)
        for i in range(x.size):
            slopes[i] = one - x[i] * x[i]
    elif kind == SIGMOID:
        sigmoids(x)
        for i in range(x.size):
            slopes[i] = (one - x[i]) * x[i]
    elif kind == HARDTANH:
        for i in range(x.size):
            slopes[i] = zero if abs(x[i]) >= one else one
            v = -one if x[i] < -one else x[i]
            x[i] = one if v > one else v
    elif kind == TANHSHRINK:
        slopes[:] = x
        tangents(slopes)
        for i in range(x.size):
            x[i] -= slopes[i]
            slopes[i] *= slopes[i]
    elif kind == HARDSHRINK:
        for i in range(x.size):
            slopes[i] = zero if abs(x[i]) <= setting[0] else one
            x[i] = zero if abs(x[i]) <= setting[0] else x[i]
    elif kind == SOFTSHRINK:
        for i in range(x.size):
            slopes[i] = zero if abs(x[i]) <= setting[0] else one
            v = x[i] + setting[0] if x[i] < zero else x[i] - setting[0]
            x[i] = zero if abs(x[i]) <= setting[0] else v
    elif kind == HARDSWISH:
        three, six = x.dtype.type(3), x.dtype.type(6)
        for i in range(x.size):
            v = x[i]
            slope = one if v >= three else (v + v + three) / six
            slopes[i] = zero if v <= -three else slope
            y = v if v >= three else v * (v + three) / six
            x[i] = zero if v <= -three else y
    else:
        curved(x, slopes, kind, setting)


@compiled
def curved(x, slopes, kind, setting):
    """The activations that are made of exponentials."""
    zero, one, half = x.dtype.type(0), x.dtype.type(1), x.dtype.type(0.5)
    if kind == ELU:
        for i in range(x.size):
            slopes[i] = zero if x[i] > zero else x[i] * setting[2]
        less = slopes.copy()
        exponentials(slopes, zero)
        exponentials(less, one)
        for i in range(x.size):
            slopes[i] *= setting[1] * setting[2]
            slopes[i] = setting[0] if x[i] > zero else slopes[i]
            x[i] = setting[0] * x[i] if x[i] > zero else setting[1] * less[i]
    elif kind == SILU:
        slopes[:] = x
        sigmoids(slopes)
        for i in range(x.size):
            s = slopes[i]
            slopes[i] = s * (one + x[i] * (one - s))
            x[i] *= s
    elif kind == GELU:  # x times the normal distribution's function
        density = np.empty_like(x)
        for i in range(x.size):
            density[i] = -half * x[i] * x[i]
            slopes[i] = x[i] * x.dtype.type(ROOT_HALF)
        exponentials(density, zero)
        errors(slopes)
        for i in range(x.size):
            share = half + half * slopes[i]
            slopes[i] = share + x[i] * density[i] * x.dtype.type(NORMAL)
            x[i] *= share
    elif kind == MISH:  # tanh(softplus(x)) is n / (n + 2) with n = e^x (e^x + 2)
        two, far = x.dtype.type(2), x.dtype.type(20)
        for i in range(x.size):
            slopes[i] = far if x[i] > far else x[i]
        exponentials(slopes, zero)
        for i in range(x.size):
            e = slopes[i]
            n = e * (e + two)
            w = n / (n + two)
            slopes[i] = w + x[i] * (one - w * w) * (e / (one + e))
            x[i] *= w
    elif kind == SOFTPLUS:
        far = x.dtype.type(SOFTPLUS_THRESHOLD)
        for i in range(x.size):
            slopes[i] = -abs(x[i] * setting[0])
        exponentials(slopes, zero)
        rest = slopes.copy()
        log1ps(rest)
        for i in range(x.size):
            e = slopes[i]
            slope = (e if x[i] < zero else one) / (one + e)
            y = (zero if x[i] < zero else x[i]) + rest[i] / setting[0]
            slopes[i] = one if x[i] * setting[0] > far else slope
            x[i] = x[i] if x[i] * setting[0] > far else y


@compiled
def dropped(x, slopes, rate, key, start):
    """Zero numbers with a probability and scale up the rest, in place: x and slopes, flat.

    Number i is the output start + i of SplitMix64 (Steele, Lea and Flood, 2014) seeded by `key`.
    """
    kept = x.dtype.type(1) / (x.dtype.type(1) - rate)
    least = np.uint64(math.ceil(rate * (1 << 24)))
    for i in range(x.size):
        z = key + (start + np.uint64(i) + np.uint64(1)) * GAMMA
        z = (z ^ (z >> np.uint64(30))) * MIX1
        z = (z ^ (z >> np.uint64(27))) * MIX2
        z ^= z >> np.uint64(31)
        factor = kept if (z >> np.uint64(40)) >= least else x.dtype.type(0)
        x[i] *= factor
        slopes[i] *= factor


@compiled
def taken(examples, m, rows, smoothing, x, y):
    """Write inputs and targets of trial m into x (N, D) and y (N, C).

    Classes are one-hot, smoothed towards 1/C.
    """
    factor, offset = examples.factor[m], examples.offset[m]
    if examples.pixels.size > 0:
        for i in range(len(x)):
            pixels = examples.pixels[rows[i]]
            for j in range(x.shape[1]):
                x[i, j] = pixels[j] * factor[j] - offset[j]
    else:
        for i in range(len(x)):
            inputs = examples.inputs[rows[i]]
            for j in range(x.shape[1]):
                x[i, j] = inputs[j] * factor[j] - offset[j]
    if examples.labels.size == 0:
        for i in range(len(y)):
            for j in range(y.shape[1]):
                y[i, j] = examples.numbers[rows[i], j] * examples.unit[m] - examples.middle[m]
        return
    y[:] = smoothing / y.dtype.type(y.shape[1])
    for i in range(len(y)):
        y[i, examples.labels[rows[i]]] += y.dtype.type(1) - smoothing


@compiled
def softmax(z):
    """Write the softmax over each row of z (N, C)."""
    n, classes = z.shape
    for i in range(n):
        largest = z[i, 0]
        for j in range(1, classes):
            largest = z[i, j] if z[i, j] > largest else largest
        for j in range(classes):
            z[i, j] -= largest
    exponentials(z.reshape(z.size), z.dtype.type(0))
    for i in range(n):
        total = z[i, 0]
        for j in range(1, classes):
            total += z[i, j]
        for j in range(classes):
            z[i, j] /= total


@compiled
def output_gradient(z, y, recipe, count):
    """Write the gradient of the loss over the outputs z (N, C), for targets y (N, C).

    The formulas of `losses.loss_gradient`; `count` is how many examples the mean is over.
    """
    one, delta, kind = z.dtype.type(1), recipe.delta, recipe.loss
    examples, numbers = z.dtype.type(count), z.dtype.type(count * z.shape[1])
    if kind == CROSS_ENTROPY:
        softmax(z)
    elif kind in (BCE, QUADRATIC):
        sigmoids(z.reshape(z.size))
    z, y = z.reshape(z.size), y.reshape(y.size)
    if kind == QUADRATIC:
        for i in range(z.size):
            z[i] = (z[i] - y[i]) * z[i] * (one - z[i]) / examples
        return
    for i in range(z.size):
        z[i] -= y[i]
    if kind == CROSS_ENTROPY:
        for i in range(z.size):
            z[i] /= examples
    elif kind == BCE:
        for i in range(z.size):
            z[i] /= numbers
    elif kind == MSE:
        for i in range(z.size):
            z[i] = (z[i] + z[i]) / numbers
    elif kind == L1:
        for i in range(z.size):
            z[i] = np.sign(z[i]) / numbers
    elif kind == HUBER:
        for i in range(z.size):
            e = -delta if z[i] < -delta else z[i]
            z[i] = (delta if e > delta else e) / numbers


@compiled
def updated(p, g, first, second, kind, c):
    """One step of an optimizer: the formulas of `optimizers.RULES`, whose coefficients c are."""
    if kind == SGD:
        for i in range(p.size):
            p[i] += g[i] * c[0]
    elif kind == MOMENTUM:
        for i in range(p.size):
            first[i] = first[i] * c[1] + g[i]
            p[i] += first[i] * c[0]
    elif kind == NESTEROV:
        for i in range(p.size):
            first[i] = first[i] * c[1] + g[i]
            p[i] += (g[i] + first[i] * c[1]) * c[0]
    elif kind == ADAGRAD:
        for i in range(p.size):
            first[i] += g[i] * g[i]
            p[i] += g[i] / (math.sqrt(first[i]) + c[1]) * c[0]
    elif kind == ADADELTA:
        for i in range(p.size):
            first[i] = first[i] * c[1] + g[i] * g[i] * c[2]
            delta = math.sqrt(second[i] + c[3]) / math.sqrt(first[i] + c[3]) * g[i]
            second[i] = second[i] * c[1] + delta * delta * c[2]
            p[i] += delta * c[0]
    elif kind == RMSPROP:
        for i in range(p.size):
            first[i] = first[i] * c[1] + g[i] * g[i] * c[2]
            p[i] += g[i] / (math.sqrt(first[i]) + c[3]) * c[0]
    elif kind == ADAMAX:
        for i in range(p.size):
            first[i] += (g[i] - first[i]) * c[1]
            largest, here = second[i] * c[2], abs(g[i]) + c[3]
            second[i] = largest if largest > here else here
            p[i] += first[i] / second[i] * c[0]
    else:
        moved_by_moments(p, g, first, second, kind, c)


@compiled
def moved_by_moments(p, g, first, second, kind, c):
    """One step of Adam, NAdam or RAdam."""
    for i in range(p.size):
        first[i] += (g[i] - first[i]) * c[3]
        second[i] = second[i] * c[2] + g[i] * g[i] * c[4]
    if kind in (ADAM, ADAMW):
        for i in range(p.size):
            p[i] += first[i] / (math.sqrt(second[i]) + c[1]) * c[0]
    elif kind == NADAM:
        for i in range(p.size):
            p[i] += (g[i] * c[0] + first[i] * c[5]) / (math.sqrt(second[i]) + c[1])
    elif kind == RADAM:
        for i in range(p.size):
            p[i] += first[i] * c[5] + first[i] / (math.sqrt(second[i]) + c[1]) * c[0]


@compiled
def penalised(g, p, recipe, decay):
    """Add the gradient of the penalties, on weights alone, and of the weight decay, on all."""
    if recipe.l1 != 0 or recipe.l2 != 0:
        end = 0
        for k in range(len(recipe.sizes) - 1):
            start = end
            end = start + recipe.sizes[k] * recipe.sizes[k + 1]
            for i in range(start, end):
                g[i] += np.sign(p[i]) * recipe.l1 + p[i] * recipe.l2
            end += recipe.sizes[k + 1]
    if decay != 0:
        for i in range(p.size):
            g[i] += p[i] * decay


@compiled
def turned(flat, own, sizes):
    """Copy M trials' parameters (M, P), the weights of each layer transposed to (D, H)."""
    for m in range(len(own)):
        end = 0
        for k in range(len(sizes) - 1):
            start, end = end, end + sizes[k] * sizes[k + 1]
            here = flat[m, start:end].reshape(sizes[k + 1], sizes[k])
            there = own[m, start:end].reshape(sizes[k], sizes[k + 1])
            transposed(here, there)
            start, end = end, end + sizes[k + 1]
            own[m, start:end] = flat[m, start:end]


@compiled
def turned_back(p, flat, sizes):
    """Copy the parameters of one trial (P,) from where `turned` has put them."""
    end = 0
    for k in range(len(sizes) - 1):
        start, end = end, end + sizes[k] * sizes[k + 1]
        here = p[start:end].reshape(sizes[k], sizes[k + 1])
        there = flat[start:end].reshape(sizes[k + 1], sizes[k])
        transposed(here, there)
        start, end = end, end + sizes[k + 1]
        flat[start:end] = p[start:end]


@compiled
def transposed(a, b):
    """Copy a matrix to its transposed."""
    for left in range(0, a.shape[1], TILE):
        for i in range(len(a)):
            for j in range(left, min(left + TILE, a.shape[1])):
                b[j, i] = a[i, j]


@compiled
def product(a, b, out):
    """a b, (N, D) by (D, H), in two halves where that takes OpenBLAS's routines for small ones.

    See `products`: they refuse more than a million multiplications.
    """
    n, work = len(a), a.size * b.shape[1]
    if LIGHT < work <= 2 * LIGHT:
        np.dot(a[: n // 2], b, out[: n // 2])
        np.dot(a[n // 2 :], b, out[n // 2 :])
    else:
        np.dot(a, b, out)


@compiled
def summed(x, d, out, thin):
    """x' d, (N, D) and (N, H) to (D, H): a sum over examples.

    `thin` is up to how many rows or columns the result is summed here: see `products`.
    """
    inputs, units = out.shape
    if units == 1:
        np.dot(d.reshape(len(d)), x, out.reshape(inputs))
    elif inputs == 1:
        np.dot(x.reshape(len(x)), d, out.reshape(units))
    elif inputs <= thin:
        out[:] = 0
        for i in range(len(x)):
            for k in range(inputs):
                for j in range(units):
                    out[k, j] += x[i, k] * d[i, j]
    elif units <= thin:
        across = np.zeros((units, inputs), out.dtype)
        for i in range(len(x)):
            for j in range(units):
                for k in range(inputs):
                    across[j, k] += d[i, j] * x[i, k]
        transposed(across, out)
    else:
        np.dot(x.T, d, out)


@compiled
def biased(z, bias, rectified):
    """Add the bias (H,) to z (N, H), and apply ReLU if told."""
    zero = z.dtype.type(0)
    if z.shape[1] == 1:
        flat = z.reshape(len(z))
        for i in range(flat.size):
            v = flat[i] + bias[0]
            flat[i] = zero if rectified and v <= zero else v
        return
    for i in range(len(z)):
        for j in range(z.shape[1]):
            v = z[i, j] + bias[j]
            z[i, j] = zero if rectified and v <= zero else v  # NaN stays NaN


@compiled
def layers_of(p, sizes):
    """Weights (D, H) and biases (H,) of each layer: views into flat parameters."""
    ends = np.cumsum(sizes[:-1] * sizes[1:] + sizes[1:])
    weights = [
        p[ends[k] - (sizes[k] + 1) * sizes[k + 1] : ends[k] - sizes[k + 1]].reshape(
            sizes[k], sizes[k + 1]
        )
        for k in range(len(ends))
    ]
    return weights, [p[ends[k] - sizes[k + 1] : ends[k]] for k in range(len(ends))]


@compiled
def between(room, n, sizes):
    """What lies behind each layer for n examples, (n, H) each, and the same flat: views."""
    ends = np.cumsum(n * sizes[1:])
    flat = [room[ends[k] - n * sizes[k + 1] : ends[k]] for k in range(len(ends))]
    return flat, [flat[k].reshape(n, sizes[k + 1]) for k in range(len(ends))]


@compiled
def passed(layers, gradients, x, y, outputs, slopes, pulls, ones, recipe, count, key, start):
    """Write the gradient by the parameters that comes from examples x (N, D), y (N, C).

    Args:
        layers, gradients: as `layers_of` gives them.
        outputs, slopes, pulls: as `between` gives them: outputs, the derivatives of their
            activations, and the gradients by them.
        ones: (N,).
        count: how many examples the loss is a mean over.
        key, start: of the random numbers of dropout.
    """
    weights, biases = layers
    flat, rows = outputs
    last = len(weights) - 1
    rectified = recipe.activation == RELU and recipe.dropout < 0  # then outputs tell the slopes
    here, drawn = x, start
    for k in range(last + 1):
        product(here, weights[k], rows[k])
        here = rows[k]
        biased(here, biases[k], rectified and k < last)
        if k < last and not rectified:
            activated(flat[k], slopes[k], recipe.activation, recipe.setting)
            if recipe.dropout >= 0:
                dropped(flat[k], slopes[k], recipe.dropout, key, drawn)
                drawn += np.uint64(flat[k].size)
    output_gradient(here, y, recipe, count)
    for k in range(last, -1, -1):
        np.dot(ones, here, gradients[1][k])
        summed(rows[k - 1] if k > 0 else x, here, gradients[0][k], recipe.thin)
        if k > 0:
            np.dot(here, weights[k].T, pulls[1][k - 1])
            here = pulls[1][k - 1]
            if rectified:
                rectified_back(pulls[0][k - 1], flat[k - 1])
            else:
                multiplied(pulls[0][k - 1], slopes[k - 1])


@compiled
def rectified_back(d, y):
    """Zero the gradient d where a ReLU gave y = 0, both flat."""
    zero = d.dtype.type(0)
    for i in range(d.size):
        d[i] = zero if y[i] <= zero else d[i]


@compiled
def multiplied(d, slopes):
    """Multiply the gradient d by the derivative of the activation, both flat."""
    for i in range(d.size):
        d[i] *= slopes[i]


@compiled
def take_steps(values, recipe, schedule, examples):
    """Train M fully connected networks for T steps, one after the other: see `compiled`."""
    sizes, kind, steps = recipe.sizes, values.own.dtype, len(schedule.coefficients)
    most, own = schedule.rows.shape[2], values.own.shape[1]
    size, hidden = min(most, recipe.at_once), sizes[1:-1].sum()
    x, y = np.empty((most, sizes[0]), kind), np.empty((most, sizes[-1]), kind)
    room = np.empty((3, size * sizes[1:].sum()), kind)
    g, part, ones = np.empty(own, kind), np.empty(own, kind), np.ones(size, kind)
    gradients, parts = layers_of(g, sizes), layers_of(part, sizes)
    n = size
    outputs, slopes, pulls = (
        between(room[0], n, sizes),
        between(room[1], n, sizes),
        between(room[2], n, sizes),
    )
    for m in range(len(values.own)):
        p, first, second = values.own[m], values.first[m], values.second[m]
        layers, key = layers_of(p, sizes), examples.keys[m]
        for t in range(steps):
            here = t % len(schedule.counts)
            count = schedule.counts[here]
            if t == 0 or len(schedule.counts) > 1:
                rows = schedule.rows[m, here, :count]
                taken(examples, m, rows, recipe.smoothing, x[:count], y[:count])
            for start in range(0, count, size):
                end = min(start + size, count)
                if end - start != n:
                    n = end - start
                    outputs, slopes, pulls = (
                        between(room[0], n, sizes),
                        between(room[1], n, sizes),
                        between(room[2], n, sizes),
                    )
                drawn = np.uint64(((schedule.start + t) * most + start) * hidden)
                passed(
                    layers, parts if start else gradients, x[start:end], y[start:end], outputs,
                    slopes[0], pulls, ones[:n], recipe, count, key, drawn,
                )  # fmt: skip
                if start:
                    g += part
            if t == steps - 1:
                values.gradient[m, :own] = g
            penalised(g, p, recipe, schedule.decay[t, m])
            if schedule.shrink[t, m] != 1:
                p *= schedule.shrink[t, m]
            updated(p, g, first, second, recipe.rule, schedule.coefficients[t, m])
        turned_back(p, values.flat[m], sizes)
