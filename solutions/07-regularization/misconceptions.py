"""Wrong and unusual solutions of unit 07, each with the hint that its author needs."""

import numpy as np

from grader.misconceptions import alternative, misconception

# ---- zeros_init -----------------------------------------------------------------------------


@misconception(
    "zeros_init",
    "Print the dtype of your array. Could an optimizer store 0.01 in it?",
    name="integer_zeros",
)
def zeros_init(shape, rng=None):
    """Whole numbers."""
    return np.zeros(shape, dtype=int)


@misconception(
    "zeros_init",
    "Small is not zero, and here zero is asked for. What are the biases of a fresh layer?",
    name="small_numbers",
)
def zeros_init(shape, rng=None):
    """Small random numbers, as zeros are said to be bad."""
    rng = np.random.default_rng(0) if rng is None else rng
    return 0.01 * rng.standard_normal(shape)


@alternative("zeros_init", name="full")
def zeros_init(shape, rng=None):
    """A constant array in single precision."""
    return np.full(shape, 0.0, dtype=np.float32)


@alternative("zeros_init", name="times_zero")
def zeros_init(shape, rng=None):
    """Ones, times zero, with a word about it."""
    print("zeros of", shape)
    return np.ones(shape) * 0.0


# ---- he_init --------------------------------------------------------------------------------


@misconception(
    "he_init",
    "Is your std larger or smaller for a larger fan-in? You divide where you should multiply.",
    name="divides_by_root",
    fails=["he_init-dense", "he_init-convolution"],
)
def he_init(shape, rng):
    """random(n) / sqrt(2 / n), as some lecture notes have it."""
    fan_in = shape[0] if len(shape) == 2 else np.prod(shape[1:])
    return rng.standard_normal(shape) / np.sqrt(2 / fan_in)


@misconception(
    "he_init",
    "Count the inputs of one unit, not its outputs. In a dense weight of shape (fan_in, fan_out), which axis is it?",
    name="fan_out",
    fails=["he_init-dense", "he_init-convolution"],
)
def he_init(shape, rng):
    """fan_out instead of fan_in."""
    fan_out = shape[1] if len(shape) == 2 else shape[0] * np.prod(shape[2:])
    return rng.standard_normal(shape) * np.sqrt(2 / fan_out)


@misconception(
    "he_init",
    "Dense weights are right. How many numbers does one output pixel of a convolution add up?",
    name="no_kernel_area",
    fails=["he_init-convolution"],
)
def he_init(shape, rng):
    """The fan-in of a convolution is taken as C_in."""
    fan_in = shape[0] if len(shape) == 2 else shape[1]
    return rng.standard_normal(shape) * np.sqrt(2 / fan_in)


@misconception(
    "he_init",
    "Half of the signal is cut off by the ReLU. Where is that half in your formula?",
    name="lecun",
    fails=["he_init-dense", "he_init-convolution"],
)
def he_init(shape, rng):
    """1 / fan_in: the ReLU is forgotten."""
    fan_in = shape[0] if len(shape) == 2 else np.prod(shape[1:])
    return rng.standard_normal(shape) / np.sqrt(fan_in)


@misconception(
    "he_init",
    "Two layers of one network would get the same weights from you. Draw from the rng that you are given.",
    name="own_seed",
    fails=["he_init-stream"],
)
def he_init(shape, rng):
    """A generator of its own, always with the same seed."""
    fan_in = shape[0] if len(shape) == 2 else np.prod(shape[1:])
    return np.random.default_rng(42).standard_normal(shape) * np.sqrt(2 / fan_in)


@alternative("he_init", name="uniform")
def he_init(shape, rng):
    """Uniform with the same variance."""
    fan_in = shape[0]
    if len(shape) == 4:
        fan_in = shape[1] * shape[2] * shape[3]
    bound = (6 / fan_in) ** 0.5
    return rng.uniform(-bound, bound, size=shape)


@alternative("he_init", name="normal_float32")
def he_init(shape, rng):
    """rng.normal with a scale, in single precision."""
    n = shape[0] if len(shape) < 3 else int(np.prod(shape)) // shape[0]
    return rng.normal(0.0, np.sqrt(2.0 / n), shape).astype(np.float32)


@alternative("he_init", name="one_at_a_time")
def he_init(shape, rng):
    """A loop, one unit after the other."""
    w = np.empty(shape)
    if len(shape) == 2:
        for j in range(shape[1]):
            w[:, j] = np.sqrt(2 / shape[0]) * rng.standard_normal(shape[0])
    else:
        for f in range(shape[0]):
            w[f] = np.sqrt(2 / w[f].size) * rng.standard_normal(shape[1:])
    return w


# ---- xavier_init ----------------------------------------------------------------------------


@misconception(
    "xavier_init",
    "That is 1 / fan_in, the forward condition alone. Glorot and Bengio take the middle of two conditions.",
    name="fan_in_only",
    fails=["xavier_init-dense", "xavier_init-convolution"],
)
def xavier_init(shape, rng):
    """1 / fan_in."""
    fan_in = shape[0] if len(shape) == 2 else np.prod(shape[1:])
    return rng.standard_normal(shape) / np.sqrt(fan_in)


@misconception(
    "xavier_init",
    "sqrt(6 / (fan_in + fan_out)) is the bound of a uniform distribution. What is the std of that?",
    name="bound_as_std",
    fails=["xavier_init-dense", "xavier_init-convolution"],
)
def xavier_init(shape, rng):
    """Normal with the uniform distribution's bound as its std."""
    fans = (shape[0] + shape[1]) * np.prod(shape[2:])
    return rng.standard_normal(shape) * np.sqrt(6 / fans)


@misconception(
    "xavier_init",
    "The variance is 2 / (fan_in + fan_out). By what do you multiply numbers whose variance is 1?",
    name="no_root",
    fails=["xavier_init-dense", "xavier_init-convolution"],
)
def xavier_init(shape, rng):
    """The variance is used as the standard deviation."""
    fans = (shape[0] + shape[1]) * np.prod(shape[2:])
    return rng.standard_normal(shape) * 2 / fans


@misconception(
    "xavier_init",
    "Dense weights are right. Both fans of a convolution contain the size of the kernel.",
    name="channels_only",
    fails=["xavier_init-convolution"],
)
def xavier_init(shape, rng):
    """C_in + C_out, without kH * kW."""
    return rng.standard_normal(shape) * np.sqrt(2 / (shape[0] + shape[1]))


@misconception(
    "xavier_init",
    "The numbers are right, and they come from the wrong place. Who gave you rng, and what for?",
    name="global_random",
    fails=["xavier_init-stream"],
)
def xavier_init(shape, rng):
    """NumPy's global generator."""
    fans = (shape[0] + shape[1]) * np.prod(shape[2:])
    bound = np.sqrt(6 / fans)
    return np.random.uniform(-bound, bound, shape)


@alternative("xavier_init", name="normal")
def xavier_init(shape, rng):
    """Normal, with both fans written out."""
    if len(shape) == 2:
        fan_in, fan_out = shape
    else:
        C_out, C_in, kH, kW = shape
        fan_in, fan_out = C_in * kH * kW, C_out * kH * kW
    return rng.normal(scale=np.sqrt(2 / (fan_in + fan_out)), size=shape)


@alternative("xavier_init", name="shifted_random")
def xavier_init(shape, rng):
    """rng.random, stretched and moved."""
    area = 1
    for side in shape[2:]:
        area *= side
    bound = np.sqrt(6.0 / (shape[0] * area + shape[1] * area))
    return (2 * rng.random(shape) - 1) * bound


# ---- truncated_normal -----------------------------------------------------------------------


@misconception(
    "truncated_normal",
    "Draw a histogram of your weights: two towers stand at the ends. Clipped is not drawn again.",
    name="clips",
    fails=["truncated_normal-redrawn"],
)
def truncated_normal(shape, rng, std=1.0, bound=2.0):
    """What lies outside is moved to the bound."""
    return std * np.clip(rng.standard_normal(shape), -bound, bound)


@misconception(
    "truncated_normal",
    "You draw again once. Can the new number not lie outside as well?",
    name="redraws_once",
    fails=["truncated_normal-bounds", "truncated_normal-redrawn"],
)
def truncated_normal(shape, rng, std=1.0, bound=2.0):
    """A single second chance."""
    z = rng.standard_normal(shape)
    outside = np.abs(z) > bound
    z[outside] = rng.standard_normal(outside.sum())
    return std * z


@misconception(
    "truncated_normal",
    "Try std=0.1, bound=1.5. In which unit does the bound count?",
    name="bound_is_absolute",
    fails=["truncated_normal-bounds", "truncated_normal-redrawn"],
)
def truncated_normal(shape, rng, std=1.0, bound=2.0):
    """The bound is compared with the scaled number."""
    w = std * rng.standard_normal(shape)
    outside = np.abs(w) > bound
    while outside.any():
        w[outside] = std * rng.standard_normal(outside.sum())
        outside = np.abs(w) > bound
    return w


@misconception(
    "truncated_normal",
    "You repair the variance after the cut, and so you move the bounds. Here std is the one before the cut.",
    name="corrects_std",
    fails=["truncated_normal-bounds", "truncated_normal-redrawn"],
)
def truncated_normal(shape, rng, std=1.0, bound=2.0):
    """Rescaled so that the standard deviation is std after the cut."""
    z = rng.standard_normal(shape)
    outside = np.abs(z) > bound
    while outside.any():
        z[outside] = rng.standard_normal(outside.sum())
        outside = np.abs(z) > bound
    return std * z / z.std()


@misconception(
    "truncated_normal",
    "The numbers are right, and they come from the wrong place. Who gave you rng, and what for?",
    name="global_random",
    fails=["truncated_normal-stream"],
)
def truncated_normal(shape, rng, std=1.0, bound=2.0):
    """NumPy's global generator."""
    z = np.random.standard_normal(shape)
    while (np.abs(z) > bound).any():
        z = np.where(np.abs(z) > bound, np.random.standard_normal(shape), z)
    return std * z


@alternative("truncated_normal", name="one_at_a_time")
def truncated_normal(shape, rng, std=1.0, bound=2.0):
    """A loop over the weights."""
    values = []
    while len(values) < np.prod(shape):
        value = float(rng.normal())
        if -bound <= value <= bound:
            values.append(value * std)
    return np.reshape(values, shape)


@alternative("truncated_normal", name="inverse_distribution")
def truncated_normal(shape, rng, std=1.0, bound=2.0):
    """Uniform numbers through the inverse distribution function."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr(-bound), ndtr(bound)
    return std * ndtri(rng.uniform(low, high, shape))


# ---- l1 -------------------------------------------------------------------------------------


@misconception(
    "l1",
    "With a mean, the pull on one weight depends on how many others there are. What does the formula say?",
    name="mean",
)
def l1(w, strength):
    """Mean instead of sum."""
    return strength * np.mean(np.abs(w)), strength * np.sign(w) / w.size


@misconception(
    "l1",
    "Your gradient is that of L2: it grows with the weight. How steep is |w| at 3, and at 0.1?",
    name="l2_gradient",
    fails=["l1-gradient"],
)
def l1(w, strength):
    """The gradient of the squared penalty."""
    return strength * np.sum(np.abs(w)), strength * w


@misconception(
    "l1",
    "How steep is |w| for negative w? Which way must the gradient push such a weight?",
    name="gradient_without_sign",
    fails=["l1-gradient"],
)
def l1(w, strength):
    """strength everywhere."""
    return strength * np.sum(np.abs(w)), strength * np.ones(w.shape)


@misconception(
    "l1",
    "What does your gradient say where the weight is 0? It should leave such a weight alone.",
    name="pulls_at_zero",
    fails=["l1-gradient"],
)
def l1(w, strength):
    """+1 or -1, also at 0."""
    return strength * np.sum(np.abs(w)), np.where(w >= 0, strength, -strength)


@alternative("l1", name="loop")
def l1(w, strength):
    """A loop over the weights; the result is a float."""
    total, gradient = 0.0, np.zeros(w.shape)
    for place, value in np.ndenumerate(w):
        total += abs(float(value))
        gradient[place] = strength * value / abs(value) if value else 0.0
    return strength * total, gradient


@alternative("l1", name="linalg_norm")
def l1(w, strength):
    """The 1-norm, and a list of two results made a tuple."""
    flat = np.asarray(w, dtype=np.float64).ravel()
    parts = [strength * np.linalg.norm(flat, 1), strength * np.where(w > 0, 1.0, -1.0) * (w != 0)]
    return tuple(parts)


# ---- l2 -------------------------------------------------------------------------------------


@misconception(
    "l2",
    "Penalty and gradient do not belong together. Differentiate your penalty, or look for the half.",
    name="no_half",
    fails=["l2-penalty"],
)
def l2(w, strength):
    """The half is missing in the penalty."""
    return strength * np.sum(w**2), strength * w


@misconception(
    "l2",
    "That is Keras's convention, twice as strong. Here the penalty has a half, and the gradient is strength * w.",
    name="keras_convention",
)
def l2(w, strength):
    """No half: the gradient is 2 * strength * w."""
    return strength * np.sum(w**2), 2 * strength * w


@misconception(
    "l2",
    "The penalty is right. What remains of the 2 from the square after the half has met it?",
    name="gradient_twice",
    fails=["l2-gradient"],
)
def l2(w, strength):
    """The half is forgotten in the gradient."""
    return strength / 2 * np.sum(w**2), 2 * strength * w


@misconception(
    "l2",
    "For the weights 3, -4, 0 you add up to 5, and not to 25. Is there a root in the formula?",
    name="norm_not_squared",
    fails=["l2-penalty"],
)
def l2(w, strength):
    """The length of w, not its square."""
    return strength / 2 * np.sqrt(np.sum(w**2)), strength * w


@alternative("l2", name="dot")
def l2(w, strength):
    """A dot product of w with itself."""
    flat = np.ravel(w).astype(float)
    return 0.5 * strength * float(flat @ flat), np.multiply(w, strength)


@alternative("l2", name="loop")
def l2(w, strength):
    """A loop, and a word about it."""
    total = 0.0
    for value in np.asarray(w, dtype=float).flat:
        total += 0.5 * strength * value * value
    print("penalty", total)
    return np.float64(total), strength * np.asarray(w, dtype=float)


# ---- max_norm -------------------------------------------------------------------------------


@misconception(
    "max_norm",
    "Two units of lengths 5 and 0.5, limit 1: what happens to the second one? You treat the matrix as one unit.",
    name="whole_array",
)
def max_norm(w, limit):
    """One length for all weights."""
    length = np.sqrt(np.sum(w**2))
    return w * (limit / np.maximum(length, limit))


@misconception(
    "max_norm",
    "Filters are right. In a dense weight (fan_in, fan_out), do the weights of one unit stand in a row or in a column?",
    name="dense_rows",
    fails=["max_norm-dense", "max_norm-keeps"],
)
def max_norm(w, limit):
    """Rows of a dense weight are taken as units."""
    axes = tuple(range(1, w.ndim))
    length = np.sqrt(np.sum(w**2, axis=axes, keepdims=True))
    return w * (limit / np.maximum(length, limit))


@misconception(
    "max_norm",
    "Dense weights are right. A filter of two channels is one unit and has one length, not two.",
    name="each_kernel",
    fails=["max_norm-convolution", "max_norm-keeps"],
)
def max_norm(w, limit):
    """Each (kH, kW) piece has its own length."""
    axes = 0 if w.ndim == 2 else (2, 3)
    length = np.sqrt(np.sum(w**2, axis=axes, keepdims=True))
    return w * (limit / np.maximum(length, limit))


@misconception(
    "max_norm",
    "A unit of length 0.5 and a limit of 1: what does a limit ask of it?",
    name="normalises_all",
)
def max_norm(w, limit):
    """Every unit gets length limit, short ones as well."""
    axes = 0 if w.ndim == 2 else (1, 2, 3)
    length = np.sqrt(np.sum(w**2, axis=axes, keepdims=True))
    return w * limit / np.maximum(length, 1e-12)


@misconception(
    "max_norm",
    "Try a unit whose weights are all 0, and look for nan.",
    name="divides_by_zero",
    fails=["max_norm-keeps"],
)
def max_norm(w, limit):
    """0 / 0 for a unit without weights."""
    axes = 0 if w.ndim == 2 else (1, 2, 3)
    length = np.sqrt(np.sum(w**2, axis=axes, keepdims=True))
    return w / length * np.minimum(length, limit)


@alternative("max_norm", name="loop")
def max_norm(w, limit):
    """One unit after another."""
    out = np.array(w, dtype=float)
    units = out.T if out.ndim == 2 else out
    for unit in units:
        length = np.linalg.norm(unit)
        if length > limit:
            unit *= limit / length
    return out


@alternative("max_norm", name="where")
def max_norm(w, limit):
    """A rescaled copy where the limit is passed, w elsewhere; a small number guards the division."""
    flat = w if w.ndim == 2 else w.reshape(w.shape[0], -1).T
    length = np.linalg.norm(flat, axis=0)
    scaled = np.where(length > limit, flat * limit / (length + 1e-12), flat)
    return scaled if w.ndim == 2 else scaled.T.reshape(w.shape)


# ---- dropout --------------------------------------------------------------------------------


@misconception(
    "dropout",
    "What is the mean of y if x is all ones? Inverted dropout keeps it at 1.",
    name="not_inverted",
    fails=["dropout-mask", "dropout-frequency"],
)
def dropout(x, p, rng, training=True):
    """The survivors are not scaled."""
    if not training:
        return x * 1.0, None
    mask = (rng.random(x.shape) >= p).astype(float)
    return x * mask, mask


@misconception(
    "dropout",
    "You scale at inference. Inverted dropout scales in training, and then there is nothing left to do.",
    name="scales_at_inference",
    fails=["dropout-mask", "dropout-frequency", "dropout-inference"],
)
def dropout(x, p, rng, training=True):
    """The dropout of the first papers."""
    if not training:
        return x * (1 - p), None
    mask = (rng.random(x.shape) >= p).astype(float)
    return x * mask, mask


@misconception(
    "dropout",
    "Try p = 0.2 and count the zeros. In another course p is the probability to keep. Here it is to drop.",
    name="p_keeps",
    fails=["dropout-mask", "dropout-frequency"],
)
def dropout(x, p, rng, training=True):
    """CS231n's p."""
    if not training:
        return x * 1.0, None
    mask = (rng.random(x.shape) < p) / max(p, 1e-9)
    return x * mask, mask


@misconception(
    "dropout",
    "Look at two pictures of one batch. Were the same units dropped in both?",
    name="one_mask_for_the_batch",
    fails=["dropout-frequency"],
)
def dropout(x, p, rng, training=True):
    """One row of throws, shared by all examples."""
    if not training:
        return x * 1.0, None
    mask = np.ones(x.shape) * (rng.random(x.shape[-1:]) >= p) / (1 - p)
    return x * mask, mask


@misconception(
    "dropout",
    "Your masks are right, but not from the rng that you were given.",
    name="global_random",
    fails=["dropout-stream"],
)
def dropout(x, p, rng, training=True):
    """NumPy's global generator."""
    if not training:
        return x * 1.0, None
    mask = (np.random.random(x.shape) >= p) / (1 - p)
    return x * mask, mask


@alternative("dropout", name="binomial")
def dropout(x, p, rng, training=True):
    """rng.binomial, in float32, with a number as the mask of inference."""
    if training:
        keep = 1 - p
        mask = (rng.binomial(1, keep, size=x.shape) / keep).astype(np.float32)
        return mask * x, mask
    return x, 1


@alternative("dropout", name="same_dtype")
def dropout(x, p, rng, training=True):
    """The form of CS231n: one way out, in the dtype of x."""
    mask = None
    if training:
        mask = (rng.random(x.shape) < 1 - p) / (1 - p)
        out = x * mask
    else:
        out = x
    return out.astype(x.dtype, copy=False), mask


@alternative("dropout", name="element_by_element")
def dropout(x, p, rng, training=True):
    """A loop with one throw for each element."""
    mask = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        if not training:
            mask[place] = 1.0
        elif rng.random() > p:
            mask[place] = 1 / (1 - p)
    return mask * x, mask


@alternative("dropout", name="choice")
def dropout(x, p, rng, training=True):
    """rng.choice from the two values."""
    if not training:
        return x.copy(), np.ones_like(x)
    mask = rng.choice([0.0, 1 / (1 - p)], size=x.shape, p=[p, 1 - p])
    return np.multiply(x, mask), mask


# ---- dropout_backward -----------------------------------------------------------------------


@misconception(
    "dropout_backward",
    "Which elements are passed is right. What were the survivors multiplied by in the forward call?",
    name="forgets_scale",
)
def dropout_backward(dy, mask):
    """Only zero or not."""
    return dy * (mask > 0)


@misconception(
    "dropout_backward",
    "y = x * mask is linear in x. Where has the second factor come from?",
    name="scales_twice",
)
def dropout_backward(dy, mask):
    """The scale is put in once more."""
    return dy * mask * mask.max()


@misconception(
    "dropout_backward",
    "The contract says that no argument is changed. Whose array do you write into?",
    name="in_place",
)
def dropout_backward(dy, mask):
    """dy is overwritten."""
    dy *= mask
    return dy


@alternative("dropout_backward", name="where")
def dropout_backward(dy, mask):
    """np.where instead of a product with zeros."""
    return np.where(mask != 0, dy * mask, 0.0)


@alternative("dropout_backward", name="multiply")
def dropout_backward(dy, mask):
    """The same in float64."""
    return np.einsum("...,...->...", np.asarray(dy, dtype=float), np.asarray(mask, dtype=float))


# ---- EarlyStopping --------------------------------------------------------------------------


@misconception(
    "EarlyStopping",
    "Follow your counter through the table. How many updates without improvement does patience 2 allow?",
    name="one_too_patient",
    fails=["EarlyStopping-patience", "EarlyStopping-delta"],
)
class EarlyStopping:
    """Stops one update too late."""

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best, self.best_params, self.waited = np.inf, None, 0

    def update(self, loss, params=None):
        if loss < self.best - self.min_delta:
            self.best, self.waited = loss, 0
            if params is not None:
                self.best_params = {name: w.copy() for name, w in params.items()}
        else:
            self.waited += 1
        return self.waited > self.patience


@misconception(
    "EarlyStopping",
    "You compare with the loss before. After a bad epoch a slightly less bad one is no improvement over the best.",
    name="compares_with_last",
)
class EarlyStopping:
    """The previous loss in the place of the best."""

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best, self.best_params, self.waited = np.inf, None, 0

    def update(self, loss, params=None):
        if loss < self.best - self.min_delta:
            self.waited = 0
            if params is not None:
                self.best_params = {name: w.copy() for name, w in params.items()}
        else:
            self.waited += 1
        self.best = loss
        return self.waited >= self.patience


@misconception(
    "EarlyStopping",
    "Does dict(params) copy the arrays? Look at best_params after one more step of the optimizer.",
    name="keeps_references",
    fails=["EarlyStopping-weights"],
)
class EarlyStopping:
    """The dict is copied, the arrays are not."""

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best, self.best_params, self.waited = np.inf, None, 0

    def update(self, loss, params=None):
        if loss < self.best - self.min_delta:
            self.best, self.waited = loss, 0
            if params is not None:
                self.best_params = dict(params)
        else:
            self.waited += 1
        return self.waited >= self.patience


@misconception(
    "EarlyStopping",
    "A loss that creeps down by less than min_delta moves your best along, although it never counts.",
    name="best_creeps",
    fails=["EarlyStopping-delta", "EarlyStopping-best"],
)
class EarlyStopping:
    """best is the smallest loss, whether it counted or not."""

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best, self.best_params, self.waited = np.inf, None, 0

    def update(self, loss, params=None):
        if loss < self.best - self.min_delta:
            self.waited = 0
            if params is not None:
                self.best_params = {name: w.copy() for name, w in params.items()}
        else:
            self.waited += 1
        if loss < self.best:
            self.best = loss
        return self.waited >= self.patience


@misconception(
    "EarlyStopping",
    "Give it a loss of NaN. Every comparison with NaN is False: which branch does it take?",
    name="nan_improves",
    fails=["EarlyStopping-patience", "EarlyStopping-best"],
)
class EarlyStopping:
    """Asks whether the loss is worse."""

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best, self.best_params, self.waited = np.inf, None, 0

    def update(self, loss, params=None):
        if loss >= self.best - self.min_delta:
            self.waited += 1
        else:
            self.best, self.waited = loss, 0
            if params is not None:
                self.best_params = {name: w.copy() for name, w in params.items()}
        return self.waited >= self.patience


@alternative("EarlyStopping", name="history")
class EarlyStopping:
    """Counts epochs and remembers the best one; deep copies; returns 1 or 0."""

    def __init__(self, patience, min_delta=0.0):
        self.patience = patience
        self.min_delta = min_delta
        self.best = float("inf")
        self.best_params = None
        self.epoch = 0
        self.best_epoch = 0

    def update(self, loss, params=None):
        import copy

        self.epoch += 1
        if self.best - loss > self.min_delta:
            self.best = float(loss)
            self.best_epoch = self.epoch
            self.best_params = copy.deepcopy(params)
        return np.bool_(self.epoch - self.best_epoch >= self.patience)


@alternative("EarlyStopping", name="flag")
class EarlyStopping:
    """A flag that stays up once it is up."""

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best, self.best_params = float("inf"), None
        self.counter, self.early_stop = 0, False

    def update(self, loss, params=None):
        if loss < self.best - self.min_delta:
            self.best, self.counter = loss, 0
            if params is not None:
                self.best_params = {name: w.copy() for name, w in params.items()}
        else:
            self.counter += 1
            if self.counter == self.patience:
                self.early_stop = True
        return self.early_stop


@alternative("EarlyStopping", name="countdown")
class EarlyStopping:
    """Counts down, and overwrites its copies in place."""

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta, self.left = patience, min_delta, patience
        self.best, self.best_params = np.inf, None

    def update(self, loss, params=None):
        if np.isnan(loss) or loss >= self.best - self.min_delta:
            self.left -= 1
            return self.left <= 0
        self.best = loss
        self.left = self.patience
        if params is not None:
            kept = {}
            for name in params:
                kept[name] = np.array(params[name])
            self.best_params = kept
        return False


# ---- random_flip ----------------------------------------------------------------------------


@misconception(
    "random_flip",
    "Flip ten copies of one picture. Do all ten share one fate?",
    name="one_throw_for_all",
    fails=["random_flip-draws"],
)
def random_flip(x, rng, p=0.5):
    """The batch is flipped as a whole."""
    return x[..., ::-1].copy() if rng.random() < p else x.copy()


@misconception(
    "random_flip",
    "Your pictures stand on their heads. Which axis runs from left to right in (N, C, H, W)?",
    name="upside_down",
    fails=["random_flip-mirror", "random_flip-draws"],
)
def random_flip(x, rng, p=0.5):
    """Axis 2 is mirrored."""
    chosen = rng.random(len(x)) < p
    return np.where(chosen[:, None, None, None], x[:, :, ::-1], x)


@misconception(
    "random_flip",
    "Look at the pictures that you were given, after the call. Work on a copy.",
    name="in_place",
    fails=["random_flip-mirror"],
)
def random_flip(x, rng, p=0.5):
    """The caller's pictures are mirrored."""
    chosen = rng.random(len(x)) < p
    x[chosen] = x[chosen][..., ::-1]
    return x


@misconception(
    "random_flip",
    "In a colour picture, do all channels share one fate?",
    name="throw_for_each_channel",
    fails=["random_flip-draws"],
)
def random_flip(x, rng, p=0.5):
    """Each channel has its own throw."""
    chosen = rng.random(x.shape[:2]) < p
    return np.where(chosen[:, :, None, None], x[..., ::-1], x)


@alternative("random_flip", name="loop")
def random_flip(x, rng, p=0.5):
    """One picture after another."""
    y = np.array(x)
    for n in range(len(y)):
        if rng.binomial(1, p):
            y[n] = np.flip(x[n], axis=2)
    return y


@alternative("random_flip", name="masked_copy")
def random_flip(x, rng, p=0.5):
    """A mask by rng.choice, the result in float64."""
    y = x.astype(float)
    mask = rng.choice([True, False], size=len(x), p=[p, 1 - p])
    y[mask] = y[mask, :, :, ::-1]
    return y


# ---- random_crop ----------------------------------------------------------------------------


@misconception(
    "random_crop",
    "rng.integers(a, b) never gives b. Try a window as large as the picture.",
    name="last_place_missing",
)
def random_crop(x, rng, size):
    """The last place never comes."""
    h, w = size
    windows = []
    for picture in x:
        top = rng.integers(0, x.shape[2] - h)
        left = rng.integers(0, x.shape[3] - w)
        windows.append(picture[:, top : top + h, left : left + w])
    return np.stack(windows)


@misconception(
    "random_crop",
    "Cut from ten copies of one picture. Are all ten windows the same?",
    name="one_place_for_all",
    fails=["random_crop-draws"],
)
def random_crop(x, rng, size):
    """One place for the whole batch."""
    h, w = size
    top = rng.integers(0, x.shape[2] - h + 1)
    left = rng.integers(0, x.shape[3] - w + 1)
    return x[:, :, top : top + h, left : left + w].copy()


@misconception(
    "random_crop",
    "size is (h, w), height first. Which axis of the picture is the height?",
    name="width_first",
    fails=["random_crop-windows", "random_crop-draws"],
)
def random_crop(x, rng, size):
    """h and w are exchanged."""
    w, h = size
    windows = []
    for picture in x:
        top = rng.integers(0, max(x.shape[2] - h, 0) + 1)
        left = rng.integers(0, max(x.shape[3] - w, 0) + 1)
        windows.append(picture[:, top : top + h, left : left + w])
    return np.stack(windows)


@misconception(
    "random_crop",
    "Row and column have their own draws. Which windows can never come if they share one?",
    name="diagonal_places",
    fails=["random_crop-draws"],
)
def random_crop(x, rng, size):
    """One draw for both directions."""
    h, w = size
    windows = []
    for picture in x:
        u = rng.random()
        top, left = int(u * (x.shape[2] - h + 1)), int(u * (x.shape[3] - w + 1))
        windows.append(picture[:, top : top + h, left : left + w])
    return np.stack(windows)


@alternative("random_crop", name="all_draws_first")
def random_crop(x, rng, size):
    """All places at once, an empty result filled."""
    N, C, H, W = x.shape
    tops = rng.integers(0, H - size[0], size=N, endpoint=True)
    lefts = rng.integers(0, W - size[1], size=N, endpoint=True)
    y = np.empty((N, C, *size))
    for n in range(N):
        y[n] = x[n, :, tops[n] : tops[n] + size[0], lefts[n] : lefts[n] + size[1]]
    return y


@alternative("random_crop", name="window_view")
def random_crop(x, rng, size):
    """All windows as a view, one of them chosen for each picture."""
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))
    rows = (rng.random(len(x)) * windows.shape[2]).astype(int)
    columns = (rng.random(len(x)) * windows.shape[3]).astype(int)
    return windows[np.arange(len(x)), :, rows, columns]


# ---- random_shift ---------------------------------------------------------------------------


@misconception(
    "random_shift",
    "What leaves on the right comes back on the left. Zeros should come in.",
    name="rolls",
    fails=["random_shift-places"],
)
def random_shift(x, rng, most):
    """np.roll."""
    moves = rng.integers(-most, most + 1, size=(len(x), 2))
    return np.stack(
        [np.roll(one, tuple(move), axis=(1, 2)) for one, move in zip(x, moves, strict=True)]
    )


@misconception(
    "random_shift",
    "Count the places that a pixel comes to. Does it ever move by +most? rng.integers leaves out its upper end.",
    name="upper_end_missing",
    fails=["random_shift-places", "random_shift-draws"],
)
def random_shift(x, rng, most):
    """From -most to most - 1."""
    H, W = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (most, most), (most, most)))
    windows = []
    for picture in padded:
        top, left = rng.integers(0, 2 * most, size=2)
        windows.append(picture[:, top : top + H, left : left + W])
    return np.stack(windows)


@misconception(
    "random_shift",
    "Move ten copies of one picture. Do all ten move alike?",
    name="one_move_for_all",
    fails=["random_shift-draws"],
)
def random_shift(x, rng, most):
    """The batch moves as a whole."""
    H, W = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (most, most), (most, most)))
    top, left = rng.integers(0, 2 * most + 1, size=2)
    return padded[:, :, top : top + H, left : left + W].copy()


@misconception(
    "random_shift",
    "Your pictures move down and to the right only. The draws go from -most to +most.",
    name="one_way",
    fails=["random_shift-draws"],
)
def random_shift(x, rng, most):
    """From 0 to most."""
    y = np.zeros(x.shape)
    for n, picture in enumerate(x):
        down, right = rng.integers(0, most + 1, size=2)
        H, W = picture.shape[1:]
        y[n, :, down:, right:] = picture[:, : H - down, : W - right]
    return y


@alternative("random_shift", name="slices")
def random_shift(x, rng, most):
    """No padding: slices from and to."""
    N, _, H, W = x.shape
    y = np.zeros_like(x, dtype=float)
    for n in range(N):
        a = int(rng.integers(-most, most, endpoint=True))
        b = int(rng.integers(-most, most, endpoint=True))
        y[n, :, max(a, 0) : H + min(a, 0), max(b, 0) : W + min(b, 0)] = x[
            n, :, max(-a, 0) : H + min(-a, 0), max(-b, 0) : W + min(-b, 0)
        ]
    return y


@alternative("random_shift", name="rolled_then_cleared")
def random_shift(x, rng, most):
    """np.roll, then zeros where something came back."""
    moves = rng.choice(np.arange(-most, most + 1), size=(len(x), 2))
    y = []
    for one, (down, right) in zip(x, moves, strict=True):
        moved = np.roll(one, (down, right), axis=(1, 2))
        if down > 0:
            moved[:, :down] = 0
        elif down < 0:
            moved[:, down:] = 0
        if right > 0:
            moved[:, :, :right] = 0
        elif right < 0:
            moved[:, :, right:] = 0
        y.append(moved)
    return np.array(y)


# ---- rotate ---------------------------------------------------------------------------------


@misconception(
    "rotate",
    "Your pictures turn clockwise. Rows grow downward: which sine has a minus?",
    name="clockwise",
)
def rotate(x, angles):
    """The wrong way round."""
    H, W = x.shape[2:]
    rows, columns = np.indices((H, W))
    down, right = rows - (H - 1) / 2, columns - (W - 1) / 2
    ring = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    turned = []
    for picture, angle in zip(ring, np.radians(angles), strict=True):
        a = down * np.cos(angle) - right * np.sin(angle) + (H + 1) / 2
        b = right * np.cos(angle) + down * np.sin(angle) + (W + 1) / 2
        a, b = np.clip(a, 0, H + 1), np.clip(b, 0, W + 1)
        i, j = np.minimum(a.astype(int), H), np.minimum(b.astype(int), W)
        a, b = a - i, b - j
        upper = (1 - b) * picture[:, i, j] + b * picture[:, i, j + 1]
        lower = (1 - b) * picture[:, i + 1, j] + b * picture[:, i + 1, j + 1]
        turned.append((1 - a) * upper + a * lower)
    # A single pixel of a symmetric picture does not tell; everything else does
    return np.stack(turned)


@misconception(
    "rotate",
    "Right angles are right. Between them you take the nearest pixel; the mean of four is asked for.",
    name="nearest",
    fails=["rotate-any_angle"],
)
def rotate(x, angles):
    """The nearest pixel instead of four."""
    H, W = x.shape[2:]
    rows, columns = np.indices((H, W))
    down, right = rows - (H - 1) / 2, columns - (W - 1) / 2
    ring = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    turned = []
    for picture, angle in zip(ring, np.radians(angles), strict=True):
        a = down * np.cos(angle) + right * np.sin(angle) + (H + 1) / 2
        b = right * np.cos(angle) - down * np.sin(angle) + (W + 1) / 2
        i = np.clip(np.rint(a), 0, H + 1).astype(int)
        j = np.clip(np.rint(b), 0, W + 1).astype(int)
        turned.append(picture[:, i, j])
    return np.stack(turned)


@misconception(
    "rotate",
    "np.cos and np.sin want radians. What do 90 radians look like?",
    name="radians",
    fails=["rotate-right_angles", "rotate-any_angle"],
)
def rotate(x, angles):
    """Degrees are taken as radians."""
    H, W = x.shape[2:]
    rows, columns = np.indices((H, W))
    down, right = rows - (H - 1) / 2, columns - (W - 1) / 2
    ring = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    turned = []
    for picture, angle in zip(ring, angles, strict=True):
        a = down * np.cos(angle) + right * np.sin(angle) + (H + 1) / 2
        b = right * np.cos(angle) - down * np.sin(angle) + (W + 1) / 2
        a, b = np.clip(a, 0, H + 1), np.clip(b, 0, W + 1)
        i, j = np.minimum(a.astype(int), H), np.minimum(b.astype(int), W)
        a, b = a - i, b - j
        upper = (1 - b) * picture[:, i, j] + b * picture[:, i, j + 1]
        lower = (1 - b) * picture[:, i + 1, j] + b * picture[:, i + 1, j + 1]
        turned.append((1 - a) * upper + a * lower)
    return np.stack(turned)


@misconception(
    "rotate",
    "The middle of 3 pixels is pixel 1, and of 4 pixels 1.5. Yours is off by half a pixel.",
    name="middle_off_by_half",
    fails=["rotate-right_angles", "rotate-any_angle"],
)
def rotate(x, angles):
    """Turns around (H / 2, W / 2)."""
    H, W = x.shape[2:]
    rows, columns = np.indices((H, W))
    down, right = rows - H / 2, columns - W / 2
    ring = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    turned = []
    for picture, angle in zip(ring, np.radians(angles), strict=True):
        a = down * np.cos(angle) + right * np.sin(angle) + H / 2 + 1
        b = right * np.cos(angle) - down * np.sin(angle) + W / 2 + 1
        a, b = np.clip(a, 0, H + 1), np.clip(b, 0, W + 1)
        i, j = np.minimum(a.astype(int), H), np.minimum(b.astype(int), W)
        a, b = a - i, b - j
        upper = (1 - b) * picture[:, i, j] + b * picture[:, i, j + 1]
        lower = (1 - b) * picture[:, i + 1, j] + b * picture[:, i + 1, j + 1]
        turned.append((1 - a) * upper + a * lower)
    return np.stack(turned)


@misconception(
    "rotate",
    "Inside you are right. Outside of the picture there is nothing: your border pixels smear outward.",
    name="smears_the_border",
    fails=["rotate-any_angle"],
)
def rotate(x, angles):
    """Places outside are moved to the border."""
    H, W = x.shape[2:]
    rows, columns = np.indices((H, W))
    down, right = rows - (H - 1) / 2, columns - (W - 1) / 2
    turned = []
    for picture, angle in zip(x, np.radians(angles), strict=True):
        a = np.clip(down * np.cos(angle) + right * np.sin(angle) + (H - 1) / 2, 0, H - 1)
        b = np.clip(right * np.cos(angle) - down * np.sin(angle) + (W - 1) / 2, 0, W - 1)
        i, j = a.astype(int), b.astype(int)
        i_next, j_next = np.minimum(i + 1, H - 1), np.minimum(j + 1, W - 1)
        a, b = a - i, b - j
        upper = (1 - b) * picture[:, i, j] + b * picture[:, i, j_next]
        lower = (1 - b) * picture[:, i_next, j] + b * picture[:, i_next, j_next]
        turned.append((1 - a) * upper + a * lower)
    return np.stack(turned)


@alternative("rotate", name="scipy")
def rotate(x, angles):
    """scipy.ndimage, with zeros that count at the border."""
    from scipy.ndimage import affine_transform

    middle = (np.array(x.shape[2:]) - 1) / 2
    y = np.zeros(x.shape)
    for n, angle in enumerate(np.deg2rad(angles)):
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        offset = middle - matrix @ middle
        for c in range(x.shape[1]):
            y[n, c] = affine_transform(
                x[n, c].astype(float), matrix, offset, order=1, mode="grid-constant"
            )
    return y


@alternative("rotate", name="pixel_by_pixel")
def rotate(x, angles):
    """Loops; a neighbour outside is left out."""
    N, _, H, W = x.shape
    y = np.zeros(x.shape)
    for n in range(N):
        t = float(angles[n]) * np.pi / 180
        for r in range(H):
            for c in range(W):
                d, e = r - (H - 1) / 2, c - (W - 1) / 2
                a = d * np.cos(t) + e * np.sin(t) + (H - 1) / 2
                b = e * np.cos(t) - d * np.sin(t) + (W - 1) / 2
                i, j = int(np.floor(a)), int(np.floor(b))
                for k in (i, i + 1):
                    for m in (j, j + 1):
                        if 0 <= k < H and 0 <= m < W:
                            y[n, :, r, c] += (1 - abs(a - k)) * (1 - abs(b - m)) * x[n, :, k, m]
    return y


# ---- random_brightness ----------------------------------------------------------------------


@misconception(
    "random_brightness",
    "A white pixel, times 1.3? Nothing may be above 1.",
    name="not_cut_off",
    fails=["random_brightness-factor"],
)
def random_brightness(x, rng, most):
    """Values above 1 stay."""
    return x * rng.uniform(1 - most, 1 + most, (len(x), 1, 1, 1))


@misconception(
    "random_brightness",
    "Brighten ten copies of one picture. Are all ten equally bright?",
    name="one_factor_for_all",
    fails=["random_brightness-draws"],
)
def random_brightness(x, rng, most):
    """One factor for the batch."""
    return np.minimum(x * rng.uniform(1 - most, 1 + most), 1)


@misconception(
    "random_brightness",
    "You make noise: every pixel has its own factor. A lamp shines on all of them.",
    name="factor_for_each_pixel",
    fails=["random_brightness-factor"],
)
def random_brightness(x, rng, most):
    """A factor for each pixel."""
    return np.minimum(x * rng.uniform(1 - most, 1 + most, x.shape), 1)


@misconception(
    "random_brightness",
    "You add, and black becomes grey. Multiply.",
    name="adds",
    fails=["random_brightness-factor", "random_brightness-draws"],
)
def random_brightness(x, rng, most):
    """Something is added to all pixels."""
    return np.clip(x + rng.uniform(-most, most, (len(x), 1, 1, 1)), 0, 1)


@alternative("random_brightness", name="loop")
def random_brightness(x, rng, most):
    """One picture after another."""
    y = np.zeros(x.shape)
    for n in range(len(x)):
        factor = 1 + most * (2 * rng.random() - 1)
        y[n] = np.clip(factor * x[n], 0.0, 1.0)
    return y


@alternative("random_brightness", name="where")
def random_brightness(x, rng, most):
    """Factors in float32 where x is float32."""
    factors = (1 - most + 2 * most * rng.random(len(x))).astype(x.dtype)
    y = np.einsum("nchw,n->nchw", x, factors)
    y[y > 1] = 1
    return y


# ---- cutout ---------------------------------------------------------------------------------


@misconception(
    "cutout",
    "Some of your pictures have no hole. What does row[-1:2] give?",
    name="negative_start",
    fails=["cutout-square", "cutout-draws"],
)
def cutout(x, rng, size):
    """A negative start counts from the end."""
    y = x.copy()
    for picture in y:
        top = rng.integers(0, x.shape[2]) - size // 2
        left = rng.integers(0, x.shape[3]) - size // 2
        picture[:, top : top + size, left : left + size] = 0
    return y


@misconception(
    "cutout",
    "Your holes are always whole. The centre may be any pixel, also one in the corner.",
    name="always_inside",
    fails=["cutout-square", "cutout-draws"],
)
def cutout(x, rng, size):
    """The square lies inside."""
    y = x.copy()
    for picture in y:
        top = rng.integers(0, x.shape[2] - size + 1)
        left = rng.integers(0, x.shape[3] - size + 1)
        picture[:, top : top + size, left : left + size] = 0
    return y


@misconception(
    "cutout",
    "The pixel that you draw is the centre of the square, not its corner.",
    name="corner_is_drawn",
    fails=["cutout-square", "cutout-draws"],
)
def cutout(x, rng, size):
    """The drawn pixel is the upper left corner."""
    y = x.copy()
    for picture in y:
        top, left = rng.integers(0, x.shape[2]), rng.integers(0, x.shape[3])
        picture[:, top : top + size, left : left + size] = 0
    return y


@misconception(
    "cutout",
    "In a colour picture the hole must go through all channels.",
    name="first_channel_only",
    fails=["cutout-square"],
)
def cutout(x, rng, size):
    """Only the first channel is cut."""
    y = x.copy()
    for picture in y:
        top = rng.integers(0, x.shape[2]) - size // 2
        left = rng.integers(0, x.shape[3]) - size // 2
        picture[0, max(top, 0) : top + size, max(left, 0) : left + size] = 0
    return y


@alternative("cutout", name="masks")
def cutout(x, rng, size):
    """All holes at once, by comparing coordinates."""
    N, _, H, W = x.shape
    place = rng.integers(0, H * W, N)
    top = (place // W - size // 2)[:, None, None]
    left = (place % W - size // 2)[:, None, None]
    r, c = np.arange(H)[None, :, None], np.arange(W)[None, None, :]
    hole = (r >= top) & (r < top + size) & (c >= left) & (c < left + size)
    return np.where(hole[:, None], 0.0, x)


@alternative("cutout", name="padded")
def cutout(x, rng, size):
    """Cut in a padded picture, where nothing is outside."""
    H, W = x.shape[2:]
    sides = (size, size)
    wide = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    for n in range(len(x)):
        i, j = int(rng.random() * H), int(rng.random() * W)
        start_i, start_j = i - size // 2 + size, j - size // 2 + size
        wide[n, :, start_i : start_i + size, start_j : start_j + size] = 0
    return wide[:, :, size : size + H, size : size + W]


# ---- augment --------------------------------------------------------------------------------


@misconception(
    "augment",
    "What does the second step get: the pictures, or the result of the first step?",
    name="last_one_wins",
)
def augment(x, rng, steps):
    """Every step gets the original pictures."""
    y = x
    for step in steps:
        y = step(x, rng)
    return y


@misconception(
    "augment",
    "First double, then add, is not the same as first add, then double. Which step of the list is the first?",
    name="from_the_end",
)
def augment(x, rng, steps):
    """The last step comes first."""
    for step in reversed(steps):
        x = step(x, rng)
    return x


@misconception(
    "augment",
    "Two steps that draw random numbers get the same ones from you. Hand on the rng itself.",
    name="fresh_rng_for_each",
)
def augment(x, rng, steps):
    """A new generator for each step."""
    for step in steps:
        x = step(x, np.random.default_rng(0))
    return x


@alternative("augment", name="reduce")
def augment(x, rng, steps):
    """functools.reduce."""
    from functools import reduce

    return reduce(lambda pictures, step: step(pictures, rng), steps, x)


@alternative("augment", name="recursion")
def augment(x, rng, steps):
    """The first step, then the rest; starts from a copy."""
    if not steps:
        return np.array(x)
    return augment(steps[0](np.array(x), rng), rng, steps[1:])
