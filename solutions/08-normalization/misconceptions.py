"""Wrong and unusual solutions of unit 08, each with the hint that its author needs."""

import numpy as np

from grader.misconceptions import alternative, misconception

# ---- batch_norm -----------------------------------------------------------------------------


@misconception(
    "batch_norm",
    "Take eps = 4 and a variance of 5: the root of what is 3? Where does eps stand in the formula?",
    name="eps_outside_the_root",
    fails=["batch_norm-rows", "batch_norm-pictures", "batch_norm-inference", "batch_norm-contract"],
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """Divides by sqrt(var) + eps."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    if training:
        mean, var, m = x.mean(axis=axes), x.var(axis=axes), x.size / x.shape[1]
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean
        running_var[...] = (1 - momentum) * running_var + momentum * var * m / (m - 1)
    else:
        mean, var = running_mean, running_var
    x_hat = (x - mean.reshape(shape)) / (np.sqrt(var.reshape(shape)) + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "batch_norm",
    "Which of the two variances goes into the running one, and which into the normalization? Look at four numbers: "
    "1, 3, 5, 7 have the biased variance 5 and the unbiased one 20/3.",
    name="running_var_biased",
    fails=["batch_norm-running"],
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """The running variance takes the biased variance, as CS231n's does."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    if training:
        mean, var = x.mean(axis=axes), x.var(axis=axes)
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean
        running_var[...] = (1 - momentum) * running_var + momentum * var
    else:
        mean, var = running_mean, running_var
    x_hat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "batch_norm",
    "The normalization divides by m, not by m - 1: only the running variance is unbiased.",
    name="normalizes_by_unbiased",
    fails=["batch_norm-rows", "batch_norm-pictures", "batch_norm-contract"],
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """The unbiased variance everywhere."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    if training:
        mean, var = x.mean(axis=axes), x.var(axis=axes, ddof=1)
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean
        running_var[...] = (1 - momentum) * running_var + momentum * var
    else:
        mean, var = running_mean, running_var
    x_hat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "batch_norm",
    "Print running_mean before and after the call, outside of your function. `running_mean = ...` gives a new array a "
    "name that only your function knows.",
    name="rebinds_running_statistics",
    fails=["batch_norm-running"],
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """The running statistics are computed and lost."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    if training:
        mean, var, m = x.mean(axis=axes), x.var(axis=axes), x.size / x.shape[1]
        running_mean = (1 - momentum) * running_mean + momentum * mean
        running_var = (1 - momentum) * running_var + momentum * var * m / (m - 1)
    else:
        mean, var = running_mean, running_var
    x_hat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "batch_norm",
    "With momentum 0.1, how much of the old running mean should be left after one batch: a tenth, or nine tenths? "
    "CS231n and PyTorch disagree; the text says which one this course follows.",
    name="momentum_weights_the_old",
    fails=["batch_norm-running"],
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """momentum weights the old value."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    if training:
        mean, var, m = x.mean(axis=axes), x.var(axis=axes), x.size / x.shape[1]
        running_mean[...] = momentum * running_mean + (1 - momentum) * mean
        running_var[...] = momentum * running_var + (1 - momentum) * var * m / (m - 1)
    else:
        mean, var = running_mean, running_var
    x_hat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "batch_norm",
    "One row alone, training=False: what are its mean and variance? Those of the batch have no business there.",
    name="ignores_training",
    fails=["batch_norm-inference", "batch_norm-contract"],
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """Always normalizes by the batch; only the update looks at training."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    mean, var, m = x.mean(axis=axes), x.var(axis=axes), x.size / x.shape[1]
    if training:
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean
        running_var[...] = (1 - momentum) * running_var + momentum * var * m / (m - 1)
    x_hat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "batch_norm",
    "Call your function with training=False and look at running_mean afterwards. When may it move?",
    name="updates_in_use",
    fails=["batch_norm-inference"],
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """The running statistics are updated in use, too."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    old = running_mean.copy(), running_var.copy()
    mean, var, m = x.mean(axis=axes), x.var(axis=axes), x.size / x.shape[1]
    running_mean[...] = (1 - momentum) * running_mean + momentum * mean
    running_var[...] = (1 - momentum) * running_var + momentum * var * m / max(m - 1, 1)
    mean, var = (mean, var) if training else old
    x_hat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "batch_norm",
    "Look at a single example of your result: has it mean 0 and variance 1? Batch norm asks that of a channel over the "
    "whole batch.",
    name="normalizes_examples",
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """Averages over each example instead of over each channel: layer norm."""
    axes = tuple(range(1, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    if training:
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean.mean()
        running_var[...] = (1 - momentum) * running_var + momentum * var.mean()
    x_hat = (x - mean) / np.sqrt(var + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "batch_norm",
    "For rows it works. In pictures, over which axes do you average? The places of a map belong to the channel, too: "
    "N * H * W numbers share one mean.",
    name="each_place_by_itself",
    fails=["batch_norm-pictures", "batch_norm-running", "batch_norm-contract"],
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """Pictures are averaged over the examples only; each place has statistics of its own."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    if training:
        mean, var, m = x.mean(axis=0, keepdims=True), x.var(axis=0, keepdims=True), len(x)
        places = tuple(range(2, x.ndim))
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean[0].mean(
            axis=tuple(a - 1 for a in places)
        )
        unbiased = var[0].mean(axis=tuple(a - 1 for a in places)) * m / max(m - 1, 1)
        running_var[...] = (1 - momentum) * running_var + momentum * unbiased
    else:
        mean, var = running_mean.reshape(shape), running_var.reshape(shape)
    x_hat = (x - mean) / np.sqrt(var + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "batch_norm",
    "gamma and beta are given to you: they are learned, and start at 1 and 0. What happens if you set them to the "
    "batch's sigma and mu? Work out y.",
    name="gamma_is_sigma",
    fails=["batch_norm-rows", "batch_norm-pictures", "batch_norm-inference", "batch_norm-contract"],
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """gamma and beta are taken to be the batch's standard deviation and mean."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    if training:
        mean, var, m = x.mean(axis=axes), x.var(axis=axes), x.size / x.shape[1]
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean
        running_var[...] = (1 - momentum) * running_var + momentum * var * m / (m - 1)
    else:
        mean, var = running_mean, running_var
    x_hat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    return np.sqrt(var).reshape(shape) * x_hat + mean.reshape(shape)


@misconception(
    "batch_norm",
    "Try numbers around 100,000 that differ by 0.01. The mean of the squares minus the square of the mean loses its "
    "digits there. Subtract the mean first.",
    name="square_of_mean",
    fails=["batch_norm-contract"],
)
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """The variance as mean of squares minus square of the mean."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    x = np.asarray(x, dtype=float)
    if training:
        mean, m = x.mean(axis=axes), x.size / x.shape[1]
        var = np.maximum((x**2).mean(axis=axes) - mean**2, 0)
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean
        running_var[...] = (1 - momentum) * running_var + momentum * var * m / (m - 1)
    else:
        mean, var = running_mean, running_var
    x_hat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@alternative("batch_norm", name="four_lines")
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """np.var and reshape, always in float64."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    x = np.asarray(x, dtype=float)
    mean, var = running_mean, running_var
    if training:
        mean, var = x.mean(axis=axes), x.var(axis=axes)
        running_mean *= 1 - momentum
        running_mean += momentum * mean
        running_var *= 1 - momentum
        running_var += momentum * x.var(axis=axes, ddof=1)
    x_hat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@alternative("batch_norm", name="loop_over_channels")
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """One channel after the other; prints."""
    y = np.empty(x.shape)
    for c in range(x.shape[1]):
        channel = np.asarray(x[:, c], dtype=float)
        mean, var = running_mean[c], running_var[c]
        if training:
            mean = channel.sum() / channel.size
            var = ((channel - mean) ** 2).sum() / channel.size
            running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean
            running_var[c] = (1 - momentum) * running_var[c] + momentum * var * channel.size / (
                channel.size - 1
            )
        y[:, c] = gamma[c] * (channel - mean) * (var + eps) ** -0.5 + beta[c]
    print("channels:", x.shape[1])
    return y


@alternative("batch_norm", name="pictures_as_rows")
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """Brings pictures to rows, as people do after CS231n's spatial batch norm."""
    rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]).astype(float)
    if training:
        mu, var, m = np.mean(rows, axis=0), np.var(rows, axis=0), len(rows)
        out = gamma * (rows - mu) / np.sqrt(var + eps) + beta
        running_mean[:] = (1 - momentum) * running_mean + momentum * mu
        running_var[:] = (1 - momentum) * running_var + momentum * var * m / (m - 1)
    else:
        out = gamma * (rows - running_mean) / np.sqrt(running_var + eps) + beta
    shape = (x.shape[0], *x.shape[2:], x.shape[1])
    return np.moveaxis(out.reshape(shape), -1, 1)


# ---- batch_norm_backward --------------------------------------------------------------------


@misconception(
    "batch_norm_backward",
    "Your dx has one term. Mean and variance depend on x as well: moving one number moves them, and with them every "
    "other result of the channel.",
    name="statistics_are_constants",
    fails=[
        "batch_norm_backward-dx",
        "batch_norm_backward-pictures",
        "batch_norm_backward-contract",
    ],
)
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """Treats mean and variance as constants."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    mean, root = x.mean(axis=axes).reshape(shape), np.sqrt(x.var(axis=axes) + eps).reshape(shape)
    x_hat = (x - mean) / root
    return gamma.reshape(shape) * dy / root, (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)


@misconception(
    "batch_norm_backward",
    "Does your dx leave out what points along x_hat? The variance depends on x, too, not only the mean.",
    name="forgets_the_variance",
    fails=[
        "batch_norm_backward-dx",
        "batch_norm_backward-pictures",
        "batch_norm_backward-contract",
    ],
)
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """The path through the mean is there, the one through the variance is missing."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    mean, root = x.mean(axis=axes).reshape(shape), np.sqrt(x.var(axis=axes) + eps).reshape(shape)
    x_hat = (x - mean) / root
    dx = gamma.reshape(shape) / root * (dy - dy.mean(axis=axes).reshape(shape))
    return dx, (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)


@misconception(
    "batch_norm_backward",
    "gamma multiplies x_hat in the forward pass, not x. So what multiplies dy in dgamma?",
    name="dgamma_with_x",
    fails=[
        "batch_norm_backward-dgamma",
        "batch_norm_backward-pictures",
        "batch_norm_backward-contract",
    ],
)
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """dgamma is the sum of dy * x; dx is right."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    mean, root = x.mean(axis=axes).reshape(shape), np.sqrt(x.var(axis=axes) + eps).reshape(shape)
    x_hat = (x - mean) / root
    along = (dy * x_hat).mean(axis=axes).reshape(shape)
    dx = gamma.reshape(shape) / root * (dy - dy.mean(axis=axes).reshape(shape) - x_hat * along)
    return dx, (dy * x).sum(axis=axes), dy.sum(axis=axes)


@misconception(
    "batch_norm_backward",
    "One beta serves all rows. Its uses add up: sum, do not average. The same for gamma.",
    name="averages_uses",
    fails=[
        "batch_norm_backward-dbeta",
        "batch_norm_backward-dgamma",
        "batch_norm_backward-pictures",
        "batch_norm_backward-contract",
    ],
)
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """dbeta and dgamma are means instead of sums."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    mean, root = x.mean(axis=axes).reshape(shape), np.sqrt(x.var(axis=axes) + eps).reshape(shape)
    x_hat = (x - mean) / root
    along = (dy * x_hat).mean(axis=axes)
    dx = (
        gamma.reshape(shape)
        / root
        * (dy - dy.mean(axis=axes).reshape(shape) - x_hat * along.reshape(shape))
    )
    return dx, along, dy.mean(axis=axes)


@misconception(
    "batch_norm_backward",
    "Try gamma = 12 instead of 1: dx must grow with it.",
    name="dx_without_gamma",
    fails=[
        "batch_norm_backward-dx",
        "batch_norm_backward-pictures",
        "batch_norm_backward-contract",
    ],
)
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """gamma is missing in dx."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    mean, root = x.mean(axis=axes).reshape(shape), np.sqrt(x.var(axis=axes) + eps).reshape(shape)
    x_hat = (x - mean) / root
    along = (dy * x_hat).mean(axis=axes).reshape(shape)
    dx = (dy - dy.mean(axis=axes).reshape(shape) - x_hat * along) / root
    return dx, (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)


@misconception(
    "batch_norm_backward",
    "How many numbers share one mean in a picture? m is N * H * W there, not N.",
    name="m_is_n",
    fails=["batch_norm_backward-pictures", "batch_norm_backward-contract"],
)
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """Divides by the number of examples where places count, too."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    mean, root = x.mean(axis=axes).reshape(shape), np.sqrt(x.var(axis=axes) + eps).reshape(shape)
    x_hat = (x - mean) / root
    dgamma, dbeta, m = (dy * x_hat).sum(axis=axes), dy.sum(axis=axes), len(x)
    dx = (
        gamma.reshape(shape)
        / root
        * (dy - dbeta.reshape(shape) / m - x_hat * dgamma.reshape(shape) / m)
    )
    return dx, dgamma, dbeta


@misconception(
    "batch_norm_backward",
    "eps belongs to the forward pass, so it belongs to its gradient. Take eps = 4, as the check does.",
    name="eps_left_out",
    fails=[
        "batch_norm_backward-dgamma",
        "batch_norm_backward-dx",
        "batch_norm_backward-pictures",
    ],
)
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """Always the default eps."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    mean, root = x.mean(axis=axes).reshape(shape), np.sqrt(x.var(axis=axes) + 1e-5).reshape(shape)
    x_hat = (x - mean) / root
    along = (dy * x_hat).mean(axis=axes).reshape(shape)
    dx = gamma.reshape(shape) / root * (dy - dy.mean(axis=axes).reshape(shape) - x_hat * along)
    return dx, (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)


@misconception(
    "batch_norm_backward",
    "Your formulas are right, and your caller's array is not what it was. `dy *= ...` and `x -= ...` write into the arguments.",
    name="changes_its_arguments",
    fails=["batch_norm_backward-contract"],
)
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """Computes dx in the memory of dy."""
    axes, shape = ((0, 2, 3), (1, -1, 1, 1)) if x.ndim == 4 else ((0,), (1, -1))
    mean, root = x.mean(axis=axes).reshape(shape), np.sqrt(x.var(axis=axes) + eps).reshape(shape)
    x_hat = (x - mean) / root
    dgamma, dbeta = (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)
    m = x.size / x.shape[1]
    dy -= dbeta.reshape(shape) / m + x_hat * dgamma.reshape(shape) / m
    dy *= gamma.reshape(shape) / root
    return dy, dgamma, dbeta


@alternative("batch_norm_backward", name="the_table")
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """The graph of the text, step by step, on rows."""
    pictures = x.ndim == 4
    rows, d = x.astype(float), dy
    if pictures:
        rows, d = (a.transpose(0, 2, 3, 1).reshape(-1, x.shape[1]) for a in (x.astype(float), dy))
    m = len(rows)
    c = rows - rows.mean(axis=0)
    v = (c**2).mean(axis=0)
    s = (v + eps) ** -0.5
    dbeta = d.sum(axis=0)
    dgamma = (d * c * s).sum(axis=0)
    dx_hat = gamma * d
    ds = (dx_hat * c).sum(axis=0)
    dv = -0.5 * s**3 * ds
    dc = s * dx_hat + 2 / m * c * dv
    dmu = -dc.sum(axis=0)
    dx = dc + dmu / m
    if pictures:
        N, C, H, W = x.shape
        dx = dx.reshape(N, H, W, C).transpose(0, 3, 1, 2)
    return dx, dgamma, dbeta


@alternative("batch_norm_backward", name="jacobian")
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """The matrix of derivatives of each channel."""
    dx, dgamma, dbeta = np.zeros(x.shape), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for c in range(x.shape[1]):
        values, d = (
            np.asarray(x[:, c], dtype=float).ravel(),
            np.asarray(dy[:, c], dtype=float).ravel(),
        )
        m = len(values)
        root = np.sqrt(np.var(values) + eps)
        x_hat = (values - values.mean()) / root
        matrix = (np.eye(m) - 1 / m - np.outer(x_hat, x_hat) / m) / root
        dx[:, c] = (gamma[c] * matrix @ d).reshape(dx[:, c].shape)
        dgamma[c], dbeta[c] = d @ x_hat, d.sum()
    return dx, dgamma, dbeta


# ---- layer_norm -----------------------------------------------------------------------------


@misconception(
    "layer_norm",
    "For rows it is right. In a picture, layer norm has one mean for the whole example: channels, height and width.",
    name="channels_only",
    fails=["layer_norm-pictures"],
)
def layer_norm(x, gamma, beta, eps=1e-5):
    """Averages over the channels alone, at each place."""
    mean, var = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@misconception(
    "layer_norm",
    "You average over the examples. Layer norm of one example does not know that there are others.",
    name="averages_over_batch",
)
def layer_norm(x, gamma, beta, eps=1e-5):
    """Batch norm: averages over axis 0."""
    mean, var = x.mean(axis=0, keepdims=True), x.var(axis=0, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@misconception(
    "layer_norm",
    "You average over the last axis only, as a transformer on (N, length, features) would. Here it is all axes but the first.",
    name="last_axis_only",
    fails=["layer_norm-pictures"],
)
def layer_norm(x, gamma, beta, eps=1e-5):
    """Averages over the last axis only."""
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@misconception(
    "layer_norm",
    "The variance 5 and eps 4 make a root of 3. What does your function divide by? (Is the variance biased, and eps inside the root?)",
    name="standard_deviation_plus_eps",
)
def layer_norm(x, gamma, beta, eps=1e-5):
    """Divides by sqrt(var) + eps."""
    axes = tuple(range(1, x.ndim))
    mean, root = x.mean(axis=axes, keepdims=True), x.std(axis=axes, keepdims=True) + eps
    return gamma * (x - mean) / root + beta


@alternative("layer_norm", name="axes")
def layer_norm(x, gamma, beta, eps=1e-5):
    """np.mean and np.var over all axes but the first."""
    axes = tuple(range(1, x.ndim))
    mean, var = np.mean(x, axis=axes, keepdims=True), np.var(x, axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * gamma + beta


@alternative("layer_norm", name="one_by_one")
def layer_norm(x, gamma, beta, eps=1e-5):
    """A list of examples."""
    y = []
    for example in x:
        example = np.array(example, dtype=float)
        y.append(gamma * (example - example.mean()) / (example.var() + eps) ** 0.5 + beta)
    return np.array(y)


# ---- instance_norm --------------------------------------------------------------------------


@misconception(
    "instance_norm",
    "You average over the examples as well. Two pictures, one bright and one dark: each has its own mean here.",
    name="batch_norm_again",
)
def instance_norm(x, gamma, beta, eps=1e-5):
    """Batch norm: averages over (N, H, W)."""
    mean, var = x.mean(axis=(0, 2, 3), keepdims=True), x.var(axis=(0, 2, 3), keepdims=True)
    return gamma.reshape(1, -1, 1, 1) * (x - mean) / np.sqrt(var + eps) + beta.reshape(1, -1, 1, 1)


@misconception(
    "instance_norm",
    "Each channel has a mean of its own. Yours share one for the whole picture.",
    name="layer_norm_again",
)
def instance_norm(x, gamma, beta, eps=1e-5):
    """Layer norm: averages over (C, H, W)."""
    mean, var = x.mean(axis=(1, 2, 3), keepdims=True), x.var(axis=(1, 2, 3), keepdims=True)
    return gamma.reshape(1, -1, 1, 1) * (x - mean) / np.sqrt(var + eps) + beta.reshape(1, -1, 1, 1)


@misconception(
    "instance_norm",
    "x_hat is right. gamma and beta are missing: what if they are not 1 and 0?",
    name="no_scale",
)
def instance_norm(x, gamma, beta, eps=1e-5):
    """gamma and beta are ignored."""
    mean, var = x.mean(axis=(2, 3), keepdims=True), x.var(axis=(2, 3), keepdims=True)
    return (x - mean) / np.sqrt(var + eps)


@misconception(
    "instance_norm",
    "eps stands inside the root, and the variance divides by H * W, not by H * W - 1.",
    name="unbiased",
)
def instance_norm(x, gamma, beta, eps=1e-5):
    """The unbiased variance."""
    mean, var = x.mean(axis=(2, 3), keepdims=True), x.var(axis=(2, 3), keepdims=True, ddof=1)
    return gamma.reshape(1, -1, 1, 1) * (x - mean) / np.sqrt(var + eps) + beta.reshape(1, -1, 1, 1)


@alternative("instance_norm", name="loops")
def instance_norm(x, gamma, beta, eps=1e-5):
    """Map by map, in float64."""
    y = np.zeros(x.shape)
    for n, c in np.ndindex(x.shape[:2]):
        values = x[n, c].astype(float)
        y[n, c] = gamma[c] * (values - values.mean()) / np.sqrt(values.var() + eps) + beta[c]
    return y


@alternative("instance_norm", name="one_channel_per_group")
def instance_norm(x, gamma, beta, eps=1e-5):
    """Maps as rows."""
    N, C = x.shape[:2]
    rows = x.reshape(N * C, -1)
    x_hat = (rows - rows.mean(axis=1)[:, None]) / np.sqrt(rows.var(axis=1) + eps)[:, None]
    return np.tile(gamma, N).reshape(N, C, 1, 1) * x_hat.reshape(x.shape) + beta.reshape(C, 1, 1)


# ---- group_norm -----------------------------------------------------------------------------


@misconception(
    "group_norm",
    "Which channels are in group 0 of 2, if there are four: 0 and 1, or 0 and 2? Groups are neighbours.",
    name="every_gth_channel",
)
def group_norm(x, num_groups, gamma, beta, eps=1e-5):
    """Group g is every num_groups-th channel."""
    y = np.zeros(x.shape)
    for g in range(num_groups):
        part = x[:, g::num_groups].astype(float)
        axes = tuple(range(1, x.ndim))
        mean, var = part.mean(axis=axes, keepdims=True), part.var(axis=axes, keepdims=True)
        y[:, g::num_groups] = (part - mean) / np.sqrt(var + eps)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return gamma.reshape(shape) * y + beta.reshape(shape)


@misconception(
    "group_norm",
    "Two groups of four channels, or four groups of two? num_groups counts the groups, not the channels in one.",
    name="num_groups_is_group_size",
)
def group_norm(x, num_groups, gamma, beta, eps=1e-5):
    """Takes num_groups for the number of channels in a group."""
    C = x.shape[1]
    size = num_groups if C % num_groups == 0 else 1
    groups = x.reshape(len(x), C // size, -1)
    mean, var = groups.mean(axis=2, keepdims=True), groups.var(axis=2, keepdims=True)
    x_hat = ((groups - mean) / np.sqrt(var + eps)).reshape(x.shape)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "group_norm",
    "You average over the batch as well. The point of group norm is that it does not know the batch.",
    name="averages_over_batch",
)
def group_norm(x, num_groups, gamma, beta, eps=1e-5):
    """One mean per group for the whole batch."""
    groups = x.reshape(len(x), num_groups, -1)
    mean, var = groups.mean(axis=(0, 2), keepdims=True), groups.var(axis=(0, 2), keepdims=True)
    x_hat = ((groups - mean) / np.sqrt(var + eps)).reshape(x.shape)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@misconception(
    "group_norm",
    "The groups are right. But gamma belongs to channels: channel 1 takes gamma[1], in whichever group it is.",
    name="gamma_per_group",
    fails=["group_norm-scale"],
)
def group_norm(x, num_groups, gamma, beta, eps=1e-5):
    """All channels of a group take gamma and beta of its first channel."""
    groups = x.reshape(len(x), num_groups, -1)
    mean, var = groups.mean(axis=2, keepdims=True), groups.var(axis=2, keepdims=True)
    size = x.shape[1] // num_groups
    gamma, beta = np.repeat(gamma[::size], size), np.repeat(beta[::size], size)
    x_hat = ((groups - mean) / np.sqrt(var + eps)).reshape(x.shape)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return gamma.reshape(shape) * x_hat + beta.reshape(shape)


@alternative("group_norm", name="loop_over_groups")
def group_norm(x, num_groups, gamma, beta, eps=1e-5):
    """One group at a time, slices of channels."""
    size = x.shape[1] // num_groups
    y = np.empty(x.shape)
    axes = tuple(range(1, x.ndim))
    for start in range(0, x.shape[1], size):
        part = np.asarray(x[:, start : start + size], dtype=float)
        mean = part.mean(axis=axes, keepdims=True)
        y[:, start : start + size] = (part - mean) / np.sqrt(
            part.var(axis=axes, keepdims=True) + eps
        )
    for c in range(x.shape[1]):
        y[:, c] = gamma[c] * y[:, c] + beta[c]
    return y


@alternative("group_norm", name="five_axes")
def group_norm(x, num_groups, gamma, beta, eps=1e-5):
    """A reshape to (N, G, C/G, H, W)."""
    N, C, H, W = x.shape
    g = x.reshape(N, num_groups, C // num_groups, H, W)
    g = (g - g.mean(axis=(2, 3, 4), keepdims=True)) / np.sqrt(
        g.var(axis=(2, 3, 4), keepdims=True) + eps
    )
    return g.reshape(N, C, H, W) * gamma.reshape(1, C, 1, 1) + beta.reshape(1, C, 1, 1)


# ---- local_response_norm --------------------------------------------------------------------


@misconception(
    "local_response_norm",
    "You have written the paper's formula. PyTorch divides alpha by the size of the window, and so does this exercise.",
    name="alpha_not_divided",
)
def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """The AlexNet paper's convention."""
    squares = np.pad(
        np.asarray(x, dtype=float) ** 2, ((0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0))
    )
    total = sum(squares[:, s : s + x.shape[1]] for s in range(size))
    return x / (k + alpha * total) ** beta


@misconception(
    "local_response_norm",
    "At the rim fewer channels are in the window. You divide by how many there are; PyTorch always divides by size.",
    name="mean_of_present",
)
def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """Takes the mean over the channels that exist."""
    x = np.asarray(x, dtype=float)
    y, C = np.zeros(x.shape), x.shape[1]
    for c in range(C):
        window = x[:, max(0, c - size // 2) : min(C, c + (size - 1) // 2 + 1)]
        y[:, c] = x[:, c] / (k + alpha * (window**2).mean(axis=1)) ** beta
    return y


@misconception(
    "local_response_norm",
    "Odd sizes are right. For an even one, is the extra channel before or after the middle?",
    name="even_size_other_side",
    fails=["local_response_norm-even"],
)
def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """An even window looks one channel further behind than before."""
    squares = np.pad(
        np.asarray(x, dtype=float) ** 2, ((0, 0), ((size - 1) // 2, size // 2), (0, 0), (0, 0))
    )
    total = sum(squares[:, s : s + x.shape[1]] for s in range(size))
    return x / (k + alpha / size * total) ** beta


@misconception(
    "local_response_norm",
    "Your window has one channel too many for an even size: from c - size // 2 to c + size // 2 there are size + 1.",
    name="even_size_grows",
    fails=["local_response_norm-even"],
)
def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """The paper's limits: half the size on either side."""
    x = np.asarray(x, dtype=float)
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        window = x[:, max(0, c - size // 2) : c + size // 2 + 1]
        y[:, c] = x[:, c] / (k + alpha / size * (window**2).sum(axis=1)) ** beta
    return y


@misconception(
    "local_response_norm",
    "Your window lies in the picture. It should run across the channels, at one place.",
    name="window_in_space",
)
def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """Sums over neighbouring columns instead of channels."""
    squares = np.pad(
        np.asarray(x, dtype=float) ** 2, ((0, 0), (0, 0), (0, 0), (size // 2, (size - 1) // 2))
    )
    total = sum(squares[..., s : s + x.shape[3]] for s in range(size))
    return x / (k + alpha / size * total) ** beta


@misconception(
    "local_response_norm",
    "What is np.uint8(200) ** 2? Turn the numbers into floats before you square them.",
    name="squares_bytes",
    fails=["local_response_norm-odd"],
)
def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """Squares overflow in uint8."""
    squares = np.pad(x * x, ((0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0)))
    total = sum(squares[:, s : s + x.shape[1]].astype(float) for s in range(size))
    return x / (k + alpha / size * total) ** beta


@alternative("local_response_norm", name="channel_by_channel")
def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """A slice of channels for each channel."""
    x = np.asarray(x, dtype=float)
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        window = x[:, max(0, c - size // 2) : c + (size + 1) // 2]
        y[:, c] = x[:, c] * (k + alpha * np.square(window).sum(axis=1) / size) ** -beta
    return y


@alternative("local_response_norm", name="banded_matrix")
def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """The window as a matrix of zeros and ones."""
    x = np.asarray(x, dtype=np.float64)
    offset = np.arange(x.shape[1]) - np.arange(x.shape[1])[:, None]  # c' - c
    band = ((offset >= -(size // 2)) & (offset <= (size - 1) // 2)).astype(float)
    return x / (k + alpha / size * np.einsum("cd,ndij->ncij", band, x**2)) ** beta


# ---- fold_batch_norm ------------------------------------------------------------------------


@misconception(
    "fold_batch_norm",
    "The old bias goes through the batch norm, too: it is scaled by t.",
    name="bias_not_scaled",
    fails=["fold_batch_norm-bias"],
)
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """The old bias is added behind the batch norm."""
    t = gamma / np.sqrt(running_var + eps)
    bias = 0 if b is None else b
    return w * t[:, None, None, None], bias + beta - t * running_mean


@misconception(
    "fold_batch_norm",
    "No bias before, but there is one afterwards: what does batch norm do to a channel that is 0?",
    name="none_stays_none",
    fails=["fold_batch_norm-no_bias"],
)
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """Without a bias none is returned."""
    t = gamma / np.sqrt(running_var + eps)
    return w * t[:, None, None, None], None if b is None else t * (b - running_mean) + beta


@misconception(
    "fold_batch_norm",
    "A variance of 5 and eps 4: the root is 3. You divide by the variance, or leave out the root.",
    name="divides_by_variance",
)
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """The root is missing."""
    t = gamma / (running_var + eps)
    bias = np.zeros(len(w)) if b is None else b
    return w * t[:, None, None, None], t * (bias - running_mean) + beta


@misconception(
    "fold_batch_norm",
    "t belongs to filters, axis 0 of w. You scaled the input channels.",
    name="scales_inputs",
)
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """Scales along axis 1 of w where the shapes allow it."""
    t = gamma / np.sqrt(running_var + eps)
    bias = np.zeros(len(w)) if b is None else b
    scale = t.reshape(1, -1, 1, 1) if w.shape[1] == len(t) else t[0]
    return w * scale, t * (bias - running_mean) + beta


@misconception(
    "fold_batch_norm",
    "Look at w after the call: the network that is still training has lost its weights. `w *= t` writes into the caller's array.",
    name="writes_into_w",
)
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """w is scaled in place."""
    t = gamma / np.sqrt(running_var + eps)
    bias = np.zeros(len(w)) if b is None else b
    w *= t[:, None, None, None]
    return w, t * (bias - running_mean) + beta


@misconception(
    "fold_batch_norm",
    "Where is beta? A constant that batch norm adds must be added by the folded convolution.",
    name="forgets_beta",
)
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """beta is missing."""
    t = gamma / np.sqrt(running_var + eps)
    bias = np.zeros(len(w)) if b is None else b
    return w * t[:, None, None, None], t * (bias - running_mean)


@alternative("fold_batch_norm", name="filter_by_filter")
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """One filter after the other, in float64."""
    new_w, new_b = np.array(w, dtype=float), np.zeros(len(w))
    for f in range(len(w)):
        t = gamma[f] * (running_var[f] + eps) ** -0.5
        new_w[f] = t * new_w[f]
        new_b[f] = beta[f] + t * ((0.0 if b is None else b[f]) - running_mean[f])
    return new_w, new_b


@alternative("fold_batch_norm", name="einsum")
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """A diagonal matrix times the filters."""
    t = np.diag(gamma / np.sqrt(running_var + eps))
    bias = np.zeros(len(w)) if b is None else b
    return np.einsum("fg,gcij->fcij", t, w), t @ (bias - running_mean) + beta
