"""Wrong and unusual solutions of unit 01, each with the hint that its author needs."""

import numpy as np

from grader.misconceptions import alternative, misconception

# ---- resize ---------------------------------------------------------------------------------


@misconception(
    "resize",
    "Five pixels become three: which old pixels do you take? A new pixel asks what lies under its "
    "middle. What does yours ask?",
    name="no_half_pixel",
)
def resize(x, size):
    """Takes the old pixel under the left edge of the new one."""
    H, W = x.shape[2:]
    rows = np.arange(size[0]) * H // size[0]
    columns = np.arange(size[1]) * W // size[1]
    return 1.0 * x[:, :, rows][:, :, :, columns]


@misconception(
    "resize",
    "Try a picture that is not square. Which of your two numbers of `size` is the height?",
    name="width_first",
)
def resize(x, size):
    """Reads size as (width, height)."""
    H, W = x.shape[2:]
    W_out, H_out = size
    rows = ((np.arange(H_out) + 0.5) * H / H_out).astype(int)
    columns = ((np.arange(W_out) + 0.5) * W / W_out).astype(int)
    return 1.0 * x[:, :, rows][:, :, :, columns]


@misconception(
    "resize",
    "Your first new pixel is the first old one, and your last new pixel the last old one. Do the "
    "middles of the first and the last new pixel lie there?",
    name="corners_aligned",
)
def resize(x, size):
    """Spreads the new pixels from the first old one to the last."""
    H, W = x.shape[2:]
    rows = np.linspace(0, H - 1, size[0]).round().astype(int)
    columns = np.linspace(0, W - 1, size[1]).round().astype(int)
    return 1.0 * x[:, :, rows][:, :, :, columns]


@misconception(
    "resize",
    "The values are right. What kind of numbers does the contract promise, whatever goes in?",
    name="bytes_out",
    fails=["resize-grow"],
)
def resize(x, size):
    """The result has the dtype of the picture."""
    H, W = x.shape[2:]
    rows = ((np.arange(size[0]) + 0.5) * H / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * W / size[1]).astype(int)
    return x[:, :, rows][:, :, :, columns]


@misconception(
    "resize",
    "It can shrink. Now make three pixels into six: how large is your step from one old pixel to the next?",
    name="whole_steps",
)
def resize(x, size):
    """Takes every k-th pixel, for a whole k, and cuts off the rest."""
    H, W = x.shape[2:]
    down, across = max(H // size[0], 1), max(W // size[1], 1)
    return 1.0 * x[:, :, down // 2 :: down, across // 2 :: across][:, :, : size[0], : size[1]]


@alternative("resize", name="loops")
def resize(x, size):
    """One pixel at a time, with whole numbers only."""
    N, C, H, W = x.shape
    H_out, W_out = size
    y = np.zeros((N, C, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            y[:, :, i, j] = x[:, :, (2 * i + 1) * H // (2 * H_out), (2 * j + 1) * W // (2 * W_out)]
    return y


@alternative("resize", name="one_index")
def resize(x, size):
    """Rows and columns in one index; prints."""
    scale = x.shape[2] / size[0], x.shape[3] / size[1]
    rows, columns = (
        np.floor((np.arange(n) + 0.5) * s).astype(np.int32)
        for n, s in zip(size, scale, strict=True)
    )
    print("scale", scale)
    return x[:, :, rows[:, None], columns].astype(np.float64)


# ---- standardise ----------------------------------------------------------------------------


@misconception(
    "standardise",
    "Hand over a picture that is brighter than all of the reference. Is it still brighter afterwards? "
    "Whose mean did you subtract?",
    name="own_statistics",
    fails=["standardise-reference"],
)
def standardise(x, reference):
    """Takes mean and deviation from x instead of the reference."""
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    return (x - mean) / x.std(axis=(0, 2, 3), keepdims=True)


@misconception(
    "standardise",
    "One mean for all colours? Look at the check with two channels: each has its own mean and deviation.",
    name="all_channels_together",
    fails=["standardise-channels", "standardise-reference"],
)
def standardise(x, reference):
    """One mean and one deviation over everything."""
    return (x - reference.mean()) / reference.std()


@misconception(
    "standardise",
    "The mean is right. Do you divide by the standard deviation, or by its square?",
    name="divides_by_variance",
)
def standardise(x, reference):
    """Divides by the variance."""
    mean = reference.mean(axis=(0, 2, 3), keepdims=True)
    return (x - mean) / reference.var(axis=(0, 2, 3), keepdims=True)


@misconception(
    "standardise",
    "The formula divides by N H W, all the numbers of a channel. By how many does your deviation divide?",
    name="one_less",
)
def standardise(x, reference):
    """The sample deviation, with n - 1."""
    mean = reference.mean(axis=(0, 2, 3), keepdims=True)
    return (x - mean) / reference.std(axis=(0, 2, 3), keepdims=True, ddof=1)


@misconception(
    "standardise",
    "Is every pixel centred by itself? Over which axes does the mean of a *channel* run?",
    name="per_picture",
)
def standardise(x, reference):
    """Each picture of x is standardised by itself, channel by channel, as far as shapes allow."""
    deviation = np.maximum(x.std(axis=(1, 2, 3), keepdims=True), 1e-12)
    return (x - x.mean(axis=(1, 2, 3), keepdims=True)) / deviation


@alternative("standardise", name="channel_loop")
def standardise(x, reference):
    """One channel at a time, in float64."""
    y = np.empty(x.shape)
    for c in range(x.shape[1]):
        values = np.asarray(reference[:, c], dtype=np.float64).ravel()
        mean = values.sum() / values.size
        y[:, c] = (x[:, c] - mean) / np.sqrt(((values - mean) ** 2).sum() / values.size)
    return y


# ---- perceptron -----------------------------------------------------------------------------


@misconception(
    "perceptron",
    "What does the text say for z = 0, exactly on the threshold?",
    name="zero_is_yes",
    fails=["perceptron-contract"],
)
def perceptron(x, w, b):
    """Says 1 at z = 0."""
    return np.where((1.0 * x) @ w + b >= 0, 1.0, 0.0)


@misconception(
    "perceptron",
    "Your unit says -1 where the text says 0.",
    name="minus_one",
)
def perceptron(x, w, b):
    """Answers with the sign, -1 or 1."""
    return np.where((1.0 * x) @ w + b > 0, 1.0, -1.0)


@misconception(
    "perceptron",
    "A threshold that is subtracted and a bias that is added have opposite signs. Which one is b?",
    name="bias_as_threshold",
)
def perceptron(x, w, b):
    """Compares the weighted sum with b."""
    return np.where((1.0 * x) @ w > b, 1.0, 0.0)


@misconception(
    "perceptron",
    "Your numbers are True and False. The text asks for 1.0 and 0.0.",
    name="returns_bools",
    fails=["perceptron-contract"],
)
def perceptron(x, w, b):
    """Returns an array of bools."""
    return (1.0 * x) @ w + b > 0


@misconception(
    "perceptron",
    "Zeros and ones are right. Are yours whole numbers? The contract promises floating ones.",
    name="integers_out",
    fails=["perceptron-contract"],
)
def perceptron(x, w, b):
    """Returns integers."""
    return np.where(x @ w + b > 0, 1, 0)


@misconception(
    "perceptron",
    "You return the weighted sum itself. What has to happen with it at the end?",
    name="no_step",
)
def perceptron(x, w, b):
    """Returns z."""
    return (1.0 * x) @ w + b


@alternative("perceptron", name="loops")
def perceptron(x, w, b):
    """Two loops and an if."""
    y = np.zeros(len(x))
    for n in range(len(x)):
        z = float(b)
        for d in range(len(w)):
            z += float(x[n, d]) * float(w[d])
        if z > 0:
            y[n] = 1.0
    return y


@alternative("perceptron", name="heaviside")
def perceptron(x, w, b):
    """NumPy's step function, in float64."""
    return np.heaviside(np.einsum("nd,d->n", x.astype(float), w.astype(float)) + b, 0.0)


# ---- dense ----------------------------------------------------------------------------------


@misconception(
    "dense",
    "Your layer wants w as (D_out, D_in), as torch stores it. Here column k belongs to unit k.",
    name="transposed_weights",
    fails=["dense-formula", "dense-contract"],
)
def dense(x, w, b):
    """w is taken as (D_out, D_in)."""
    return (1.0 * x) @ np.reshape(w, w.shape[::-1]).T + b


@misconception(
    "dense",
    "Show it the input zero. What should come out, and where is it lost?",
    name="no_bias",
    fails=["dense-formula", "dense-contract"],
)
def dense(x, w, b):
    """Forgets the bias."""
    return (1.0 * x) @ w


@misconception(
    "dense",
    "It is right for floats. If the pixels are bytes, what kind of numbers does your result hold?",
    name="bytes_out",
    fails=["dense-contract"],
)
def dense(x, w, b):
    """The result has the dtype of the picture."""
    y = np.zeros((len(x), w.shape[1]), dtype=x.dtype)
    for n in range(len(x)):
        y[n] = (x[n] @ w + b).astype(y.dtype)
    return y


@misconception(
    "dense",
    "A dense layer alone keeps negative sums. Who asked for the bend?",
    name="with_relu",
    fails=["dense-formula", "dense-contract"],
)
def dense(x, w, b):
    """Puts a ReLU behind the layer."""
    return np.maximum((1.0 * x) @ w + b, 0.0)


@misconception(
    "dense",
    "`y += b` is fine, but what did you add to first? Look at your arguments after the call.",
    name="adds_to_weights",
    fails=["dense-formula", "dense-contract"],
)
def dense(x, w, b):
    """The right numbers, but w has been changed in place."""
    y = (1.0 * x) @ w + b
    w += b
    return y


@alternative("dense", name="einsum")
def dense(x, w, b):
    """The sum of the text, in float64."""
    return np.einsum("nd,dk->nk", x.astype(float), w.astype(float)) + b[None, :]


@alternative("dense", name="appended_one")
def dense(x, w, b):
    """The bias as the weight of one more input that is always 1."""
    with_one = np.hstack([x, np.ones((len(x), 1))])
    return with_one @ np.vstack([w, b])


# ---- sigmoid --------------------------------------------------------------------------------


@misconception(
    "sigmoid",
    "Try x = 1000. What is inf / inf? The text has a second way to write the same fraction.",
    name="overflows",
    fails=["sigmoid-extremes"],
)
def sigmoid(x):
    """exp(x) / (1 + exp(x)) is nan for large x."""
    x = 1.0 * x
    return np.exp(x) / (1 + np.exp(x))


@misconception(
    "sigmoid",
    "Is sigmoid(3) larger or smaller than sigmoid(-3)? Look at the sign in the exponent.",
    name="wrong_sign",
)
def sigmoid(x):
    """1 / (1 + exp(x)): the mirror image."""
    return 1 / (1 + np.exp(1.0 * x))


@misconception(
    "sigmoid",
    "You clip x to be safe. What does your function say at 13, and what does the formula say?",
    name="clips_at_ten",
)
def sigmoid(x):
    """Clips x at 10, where the sigmoid is not flat yet."""
    return 1 / (1 + np.exp(-np.clip(1.0 * x, -10, 10)))


@misconception(
    "sigmoid",
    "Your values go from -1 to 1. Which of the curves in the table does that?",
    name="is_tanh",
)
def sigmoid(x):
    """The tanh instead."""
    return np.tanh(1.0 * x)


@alternative("sigmoid", name="plain_formula")
def sigmoid(x):
    """The first form: exp may overflow to inf (a warning), and 1 / inf is 0."""
    return 1 / (1 + np.exp(-x))


@alternative("sigmoid", name="by_tanh")
def sigmoid(x):
    """(1 + tanh(x / 2)) / 2."""
    return 0.5 * (1.0 + np.tanh(0.5 * x.astype(np.float64)))


@alternative("sigmoid", name="masks")
def sigmoid(x):
    """Both forms, chosen by masks, in a new array."""
    y = np.zeros(x.shape)
    up = x >= 0
    y[up] = 1 / (1 + np.exp(-x[up].astype(float)))
    e = np.exp(x[~up].astype(float))
    y[~up] = e / (1 + e)
    return y


# ---- tanh -----------------------------------------------------------------------------------


@misconception(
    "tanh",
    "Try x = 1000. Numerator and denominator are both inf.",
    name="overflows",
)
def tanh(x):
    """The formula with four exponentials is nan for large x."""
    x = 1.0 * x
    return (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))


@misconception(
    "tanh",
    "tanh is a sigmoid, stretched in both directions: 2 sigmoid(2x) - 1. Which of the two 2s is missing?",
    name="not_stretched",
)
def tanh(x):
    """2 sigmoid(x) - 1."""
    return 2 / (1 + np.exp(-1.0 * x)) - 1


@misconception(
    "tanh",
    "Is tanh(-1) positive or negative? A curve that is centred at 0 keeps the sign.",
    name="loses_the_sign",
)
def tanh(x):
    """The safe exponential of |x|, and the sign of x forgotten."""
    small = np.exp(-2.0 * np.abs(x))
    return (1 - small) / (1 + small)


@alternative("tanh", name="by_sigmoid")
def tanh(x):
    """2 sigmoid(2x) - 1, with a warning for large x."""
    return 2 / (1 + np.exp(-2.0 * x.astype(float))) - 1


@alternative("tanh", name="one_exponential")
def tanh(x):
    """With exp(-2|x|), which cannot overflow, and the sign."""
    small = np.exp(-2.0 * np.abs(1.0 * x))
    return np.sign(x.astype(float)) * (1 - small) / (1 + small)


# ---- relu -----------------------------------------------------------------------------------


@misconception(
    "relu",
    "Look at x after the call. Whose array did you write into?",
    name="in_place",
)
def relu(x):
    """The caller's negative numbers are set to 0."""
    x[x < 0] = 0
    return 1.0 * x


@misconception(
    "relu",
    "ReLU removes the sign of no number: what becomes of -2?",
    name="absolute_value",
)
def relu(x):
    """|x|."""
    return np.abs(1.0 * x)


@misconception(
    "relu",
    "The step says 1 for every positive number. What does ReLU say for 3?",
    name="step_instead",
)
def relu(x):
    """The slope of ReLU instead of ReLU."""
    return np.where(x > 0, 1.0, 0.0)


@misconception(
    "relu",
    "ReLU has no upper end. What does yours say for 7?",
    name="capped",
)
def relu(x):
    """Clipped at 6, as in ReLU6."""
    return np.clip(1.0 * x, 0.0, 6.0)


@alternative("relu", name="plain")
def relu(x):
    """The zero first, and an integer."""
    return np.maximum(0, x)


@alternative("relu", name="where")
def relu(x):
    """A question per number."""
    return np.where(x > 0, x, 0.0).astype(float)


@alternative("relu", name="copy_and_mask")
def relu(x):
    """A floating copy, its negative numbers set to 0."""
    y = np.array(x, dtype=float)
    y[y < 0] = 0
    return y


@alternative("relu", name="times_mask")
def relu(x):
    """Times 1 or 0; prints."""
    print("relu of", x.shape)
    return (1.0 * x) * (x > 0)


# ---- leaky_relu -----------------------------------------------------------------------------


@misconception(
    "leaky_relu",
    "The larger of x and a x is right as long as a is at most 1. Try a = 2, x = -3.",
    name="maximum_trick",
    fails=["leaky_relu-any_slope"],
)
def leaky_relu(x, negative_slope=0.01):
    """max(x, a x) goes wrong for slopes above 1."""
    return np.maximum(1.0 * x, negative_slope * x)


@misconception(
    "leaky_relu",
    "Call it with another slope. Do your results change?",
    name="fixed_slope",
)
def leaky_relu(x, negative_slope=0.01):
    """The slope is always 0.01."""
    return np.where(x > 0, 1.0 * x, 0.01 * x)


@misconception(
    "leaky_relu",
    "Below 0 it is a line through the origin, not a constant. What is a times -100?",
    name="constant_leak",
)
def leaky_relu(x, negative_slope=0.01):
    """max(a, x): the slope as a floor."""
    return np.maximum(1.0 * x, negative_slope)


@misconception(
    "leaky_relu",
    "Look at x after the call. Whose array did you write into?",
    name="in_place",
    fails=["leaky_relu-small_slope"],
)
def leaky_relu(x, negative_slope=0.01):
    """The caller's array is changed."""
    below = x < 0
    x[below] = negative_slope * x[below]
    return 1.0 * x


@misconception(
    "leaky_relu",
    "Is your line below 0 rising to the right? For x = -2 and a = 0.25 the answer is -0.5.",
    name="wrong_sign",
)
def leaky_relu(x, negative_slope=0.01):
    """The leak goes up instead of down."""
    return np.where(x > 0, 1.0 * x, -negative_slope * x)


@alternative("leaky_relu", name="two_parts")
def leaky_relu(x, negative_slope=0.01):
    """The positive part plus the slope times the negative part."""
    return np.maximum(0, x) + negative_slope * np.minimum(0, x)


@alternative("leaky_relu", name="loop")
def leaky_relu(x, negative_slope=0.01):
    """Number by number, over a flat copy."""
    flat = [float(v) if v > 0 else negative_slope * float(v) for v in x.ravel()]
    return np.array(flat, dtype=float).reshape(x.shape)


# ---- swish ----------------------------------------------------------------------------------


@misconception(
    "swish",
    "With beta = 2 something must change. Where does beta stand in the formula?",
    name="ignores_beta",
    fails=["swish-beta"],
)
def swish(x, beta=1.0):
    """beta is never used."""
    x = 1.0 * x
    return x / (1 + np.exp(-x))


@misconception(
    "swish",
    "beta goes inside the sigmoid only. What does yours give for beta = 0?",
    name="beta_outside",
    fails=["swish-beta"],
)
def swish(x, beta=1.0):
    """beta multiplies the whole."""
    x = 1.0 * x
    return beta * x / (1 + np.exp(-x))


@misconception(
    "swish",
    "Both factors get beta in your function: sigmoid(beta x) times what?",
    name="beta_twice",
    fails=["swish-beta"],
)
def swish(x, beta=1.0):
    """beta x sigmoid(beta x)."""
    z = beta * (1.0 * x)
    return z / (1 + np.exp(-z))


@misconception(
    "swish",
    "Try x = 1000. What is inf / inf?",
    name="overflows",
    fails=["swish-values"],
)
def swish(x, beta=1.0):
    """exp(z) / (1 + exp(z)) is nan for large z."""
    e = np.exp(beta * (1.0 * x))
    return x * e / (1 + e)


@misconception(
    "swish",
    "That is the sigmoid. What is it multiplied by?",
    name="only_sigmoid",
)
def swish(x, beta=1.0):
    """Forgets the factor x."""
    return 1 / (1 + np.exp(-beta * (1.0 * x)))


@alternative("swish", name="plain_division")
def swish(x, beta=1.0):
    """x / (1 + exp(-beta x)): exp may overflow to inf, with a warning."""
    return x / (1 + np.exp(-beta * x))


@alternative("swish", name="by_tanh")
def swish(x, beta=1.0):
    """With the sigmoid as a tanh."""
    return 0.5 * x * (1 + np.tanh(0.5 * beta * x.astype(float)))


# ---- softmax --------------------------------------------------------------------------------


@misconception(
    "softmax",
    "Large numbers along the last axis are fine. Try columns around 1000 with axis=0.",
    name="safe_in_last_axis_only",
    fails=["softmax-large"],
)
def softmax(x, axis=-1):
    """Subtracts the maximum only where axis is -1."""
    x = 1.0 * x
    e = np.exp(x - x.max(axis=-1, keepdims=True) if axis == -1 else x)
    return e / e.sum(axis=axis, keepdims=True)


@misconception(
    "softmax",
    "Try the row (2000, 2001). Softmax knows only differences: what may you subtract first?",
    name="overflows",
    fails=["softmax-large"],
)
def softmax(x, axis=-1):
    """No maximum is subtracted."""
    e = np.exp(1.0 * x)
    return e / e.sum(axis=axis, keepdims=True)


@misconception(
    "softmax",
    "You subtract one maximum from all rows. What is left of a row that lies 2000 below it?",
    name="one_maximum",
    fails=["softmax-large"],
)
def softmax(x, axis=-1):
    """The largest number of the whole array is subtracted."""
    e = np.exp(x - 1.0 * x.max())
    return e / e.sum(axis=axis, keepdims=True)


@misconception(
    "softmax",
    "Add up each of your rows, and then everything. What should be 1?",
    name="sums_everything",
)
def softmax(x, axis=-1):
    """Divides by the sum of the whole array."""
    e = np.exp(1.0 * x - x.max(axis=axis, keepdims=True))
    return e / e.sum()


@misconception(
    "softmax",
    "It works along the last axis. Does your function look at `axis` at all?",
    name="ignores_axis",
    fails=["softmax-axis", "softmax-large"],
)
def softmax(x, axis=-1):
    """Always along the last axis."""
    x = 1.0 * x
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@misconception(
    "softmax",
    "Divide the logits by their sum? Think of negative logits: what makes all of them positive first?",
    name="no_exp",
)
def softmax(x, axis=-1):
    """The logits divided by their sum."""
    x = 1.0 * x
    return x / x.sum(axis=axis, keepdims=True)


@misconception(
    "softmax",
    "Look at x after the call. `x -= ...` writes into the caller's array.",
    name="in_place",
    fails=["softmax-values", "softmax-large"],
)
def softmax(x, axis=-1):
    """The maximum is subtracted in the caller's array."""
    x -= x.max(axis=axis, keepdims=True)
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


@alternative("softmax", name="log_sum_exp")
def softmax(x, axis=-1):
    """exp(x - log sum exp x)."""
    x = np.asarray(x, dtype=np.float64)
    m = np.max(x, axis=axis, keepdims=True)
    return np.exp(x - (m + np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True))))


@alternative("softmax", name="row_by_row")
def softmax(x, axis=-1):
    """A function of one row, applied along the axis."""

    def row(values):
        e = np.exp(values - np.max(values))
        return e / np.sum(e)

    return np.apply_along_axis(row, axis, x.astype(float))


# ---- mse ------------------------------------------------------------------------------------


@misconception(
    "mse",
    "You divide by the number of examples. Over what does the mean run, if each has three outputs?",
    name="per_example",
)
def mse(p, y):
    """Divides by the number of rows."""
    return float(np.sum((1.0 * p - y) ** 2) / len(p))


@misconception(
    "mse",
    "A factor of one half makes the slope prettier, and it is not in the definition.",
    name="halved",
)
def mse(p, y):
    """Half of the mean squared error."""
    return float(0.5 * np.mean((1.0 * p - y) ** 2))


@misconception(
    "mse",
    "That is the root of it: rms. Which one is asked for?",
    name="takes_root",
)
def mse(p, y):
    """The root mean square."""
    return float(np.sqrt(np.mean((1.0 * p - y) ** 2)))


@misconception(
    "mse",
    "Is it a sum or a mean? Does the number grow with the number of examples?",
    name="sums",
)
def mse(p, y):
    """The sum, not the mean."""
    return float(np.sum((1.0 * p - y) ** 2))


@alternative("mse", name="plain")
def mse(p, y):
    """The truth minus the answer, squared."""
    return np.square(y - p).mean()


@alternative("mse", name="dot")
def mse(p, y):
    """The difference times itself, over its size; a 0-d array comes back."""
    d = (p.astype(float) - y.astype(float)).ravel()
    return np.array(d @ d / d.size)


@alternative("mse", name="mean_of_means")
def mse(p, y):
    """The mean of the means of the examples; all have the same size."""
    d = p.astype(float) - y.astype(float)
    return np.mean([np.mean(row**2) for row in d])


# ---- mae ------------------------------------------------------------------------------------


@misconception(
    "mae",
    "An error of +1 and an error of -1: do they cancel in your function? Should they?",
    name="signs_cancel",
)
def mae(p, y):
    """The absolute value of the mean error."""
    return float(np.abs(np.mean(1.0 * p - y)))


@misconception(
    "mae",
    "You divide by the number of examples. Over what does the mean run, if each has three outputs?",
    name="per_example",
)
def mae(p, y):
    """Divides by the number of rows."""
    return float(np.sum(np.abs(1.0 * p - y)) / len(p))


@misconception(
    "mae",
    "That is the squared error. How does an error of 3 count here: 3 or 9?",
    name="squares",
)
def mae(p, y):
    """The mean squared error."""
    return float(np.mean((1.0 * p - y) ** 2))


@alternative("mae", name="where")
def mae(p, y):
    """The larger minus the smaller, in float64."""
    p, y = np.asarray(p, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return np.where(p > y, p - y, y - p).mean()


# ---- binary_cross_entropy -------------------------------------------------------------------


@misconception(
    "binary_cross_entropy",
    "Try p = 1, y = 1. What is 0 times log 0 in the computer, and which of the two terms did you need?",
    name="zero_times_infinity",
    fails=["binary_cross_entropy-certain"],
)
def binary_cross_entropy(p, y):
    """The formula as it stands: nan where p is 0 or 1."""
    p = 1.0 * p
    return float(-np.mean(y * np.log(p) + (1.0 - y) * np.log(1 - p)))


@misconception(
    "binary_cross_entropy",
    "You push p away from 0. What does somebody pay who gave 1e-12 to what then happened: 16.1 or 27.6?",
    name="clips_much",
    fails=["binary_cross_entropy-tiny"],
)
def binary_cross_entropy(p, y):
    """Clips at 1e-7."""
    p = np.clip(1.0 * p.astype(float), 1e-7, 1 - 1e-7)
    return float(-np.mean(y * np.log(p) + (1.0 - y) * np.log(1 - p)))


@misconception(
    "binary_cross_entropy",
    "What does your function say for p = 0.9, y = 0? Where do the examples with label 0 pay?",
    name="only_ones",
)
def binary_cross_entropy(p, y):
    """Only the examples with label 1 are counted."""
    p = 1.0 * p
    q = np.where(y == 1, p, 1.0)
    return float(-np.mean(np.log(np.maximum(q, 1e-7))))


@misconception(
    "binary_cross_entropy",
    "Is it a sum or a mean? Does the number grow with the number of examples?",
    name="sums",
    fails=[
        "binary_cross_entropy-values",
        "binary_cross_entropy-certain",
        "binary_cross_entropy-tiny",
    ],
)
def binary_cross_entropy(p, y):
    """The sum, not the mean."""
    p = 1.0 * p
    return float(-np.sum(np.log(np.where(y == 1, p, 1 - p))))


@misconception(
    "binary_cross_entropy",
    "A loss is 0 at best and otherwise positive. Where did the minus go?",
    name="no_minus",
)
def binary_cross_entropy(p, y):
    """The sign is lost."""
    p = 1.0 * p
    return float(np.mean(np.log(np.where(y == 1, p, 1 - p))))


@misconception(
    "binary_cross_entropy",
    "A coin, p = 1/2, costs ln 2 = 0.69. Which logarithm gives 1?",
    name="log_two",
)
def binary_cross_entropy(p, y):
    """The logarithm to base 2."""
    p = 1.0 * p
    return float(-np.mean(np.log2(np.where(y == 1, p, 1 - p))))


@misconception(
    "binary_cross_entropy",
    "What does your function do to `p`? Look at it after the call, where it held a 0 or a 1.",
    name="clips_in_place",
    fails=["binary_cross_entropy-values", "binary_cross_entropy-certain"],
)
def binary_cross_entropy(p, y):
    """Clips the caller's array, to a range that is too narrow for single bytes of it."""
    np.clip(p, 0.05 if p.size > 8 else 0.0, 1.0, out=p)
    q = np.where(y == 1, 1.0 * p, 1 - 1.0 * p)
    return float(-np.mean(np.log(q)))


@misconception(
    "binary_cross_entropy",
    "Print `np.float32(1 - 1e-12)`. Does your guard still keep float32 probabilities away from 1?",
    name="guard_lost_in_float32",
    fails=["binary_cross_entropy-certain"],
)
def binary_cross_entropy(p, y):
    """Clips at 1e-12 in the dtype of p: in float32 the upper end is 1."""
    p = 1.0 * p
    p = np.clip(p, p.dtype.type(1e-12), p.dtype.type(1 - 1e-12))
    return -np.mean(y * np.log(p) + (1.0 - y) * np.log(1.0 - p))


@misconception(
    "binary_cross_entropy",
    "Labels may be bytes. What is -1, for a byte? Put the minus in front of the mean, or make y floating first.",
    name="negates_labels",
    fails=["binary_cross_entropy-certain"],
)
def binary_cross_entropy(p, y):
    """-y of unsigned labels counts round the ring."""
    p = np.clip(p.astype(float), 1e-15, 1 - 1e-15)
    return np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p))


@alternative("binary_cross_entropy", name="small_clip")
def binary_cross_entropy(p, y):
    """The formula, with a guard of 1e-15."""
    p = np.clip(np.asarray(p, dtype=np.float64), 1e-15, 1 - 1e-15)
    y = np.asarray(y, dtype=np.float64)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


@alternative("binary_cross_entropy", name="adds_epsilon")
def binary_cross_entropy(p, y):
    """The formula, with 1e-12 added inside the logarithms."""
    p, y = p.astype(float), y.astype(float)
    losses = -y * np.log(p + 1e-12) - (1 - y) * np.log(1 - p + 1e-12)
    return np.mean(losses)


@alternative("binary_cross_entropy", name="loop")
def binary_cross_entropy(p, y):
    """One example at a time, with an if."""
    total = 0.0
    for probability, label in zip(p.ravel(), y.ravel(), strict=True):
        q = float(probability) if label else 1 - float(probability)
        total -= np.log(q)
    return total / p.size


@alternative("binary_cross_entropy", name="replaces_nan")
def binary_cross_entropy(p, y):
    """The formula with its nan turned into 0, the value of the term that does not count."""
    p, y = p.astype(float), y.astype(float)
    with np.errstate(all="ignore"):
        losses = -(np.nan_to_num(y * np.log(p)) + np.nan_to_num((1 - y) * np.log(1 - p)))
    return losses.mean()


# ---- cross_entropy --------------------------------------------------------------------------


@misconception(
    "cross_entropy",
    "Softmax first and log afterwards: with logits 10000 and -10000 the probability is exactly 0. "
    "Put the logarithm into the formula before you compute.",
    name="softmax_then_log",
    fails=["cross_entropy-large"],
)
def cross_entropy(x, y, from_logits=True):
    """log(softmax(x)) is -inf where the softmax is 0."""
    x = 1.0 * x
    labels = y if y.ndim == 1 else y.argmax(axis=1)
    if from_logits:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        x = e / e.sum(axis=1, keepdims=True)
    return float(-np.mean(np.log(x[np.arange(len(x)), labels])))


@misconception(
    "cross_entropy",
    "What do you do with x when from_logits is False? It is a probability already.",
    name="softmax_twice",
    fails=["cross_entropy-probabilities", "cross_entropy-one_hot", "cross_entropy-labels"],
)
def cross_entropy(x, y, from_logits=True):
    """Probabilities are taken for logits."""
    x = 1.0 * x
    labels = y if y.ndim == 1 else y.argmax(axis=1)
    x = x - x.max(axis=1, keepdims=True)
    logs = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return float(-np.mean(logs[np.arange(len(x)), labels]))


@misconception(
    "cross_entropy",
    "One-hot times log: where the truth is 0 and the probability is 0, what is 0 times log 0?",
    name="zero_times_infinity",
    fails=["cross_entropy-probabilities", "cross_entropy-one_hot"],
)
def cross_entropy(x, y, from_logits=True):
    """One-hot times log of the probabilities is nan where both are 0."""
    x = 1.0 * x
    hot = np.eye(x.shape[1])[y] if y.ndim == 1 else y
    if from_logits:
        x = x - x.max(axis=1, keepdims=True)
        logs = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    else:
        logs = np.log(x)
    return float(-np.mean(np.sum(hot * logs, axis=1)))


@misconception(
    "cross_entropy",
    "The mean runs over the N examples. Did you also divide by the number of classes?",
    name="mean_over_classes",
)
def cross_entropy(x, y, from_logits=True):
    """The mean over all N K elements."""
    x = 1.0 * x
    hot = np.eye(x.shape[1])[y] if y.ndim == 1 else 1.0 * y
    if from_logits:
        x = x - x.max(axis=1, keepdims=True)
        logs = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    else:
        logs = np.log(np.where(hot > 0, x, 1.0))
    return float(-np.mean(hot * logs))


@misconception(
    "cross_entropy",
    "Try logits near 10000. What is exp(10000)? You know a number that may be subtracted.",
    name="overflows",
    fails=["cross_entropy-large"],
)
def cross_entropy(x, y, from_logits=True):
    """No maximum is subtracted."""
    x = 1.0 * x
    labels = y if y.ndim == 1 else y.argmax(axis=1)
    picked = x[np.arange(len(x)), labels]
    if not from_logits:
        return float(-np.mean(np.log(picked)))
    return float(np.mean(np.log(np.exp(x).sum(axis=1)) - picked))


@misconception(
    "cross_entropy",
    "Logits may add up to 1, too. Who tells you what the numbers are: the numbers, or `from_logits`?",
    name="guesses_from_the_sum",
    fails=["cross_entropy-logits"],
)
def cross_entropy(x, y, from_logits=True):
    """Takes rows that add up to 1 for probabilities, whatever from_logits says."""
    x = 1.0 * x
    picked = x[np.arange(len(x)), y if y.ndim == 1 else y.argmax(axis=1)]
    if np.allclose(x.sum(axis=1), 1):
        return -np.mean(np.log(picked))
    m = x.max(axis=1)
    return np.mean(m + np.log(np.exp(x - m[:, None]).sum(axis=1)) - picked)


@misconception(
    "cross_entropy",
    "How do you tell labels from one-hot rows? Their length may be the same: four examples, four classes.",
    name="length_tells",
    fails=["cross_entropy-labels"],
)
def cross_entropy(x, y, from_logits=True):
    """Labels are taken for a one-hot row if there are as many examples as classes."""
    x = 1.0 * x
    N, K = x.shape
    labels = np.broadcast_to(y, (N, K)).argmax(axis=1) if y.shape[-1] == K and N > 2 else y
    if labels.ndim > 1:
        labels = labels.argmax(axis=1)
    picked = x[np.arange(N), labels]
    if not from_logits:
        return float(-np.mean(np.log(picked)))
    m = x.max(axis=1)
    return float(np.mean(m + np.log(np.exp(x - m[:, None]).sum(axis=1)) - picked))


@misconception(
    "cross_entropy",
    "You guard the logarithm. What does somebody pay who gave 1e-12 to the true class, and what at logits of 10000?",
    name="guards_much",
    fails=["cross_entropy-probabilities", "cross_entropy-large"],
)
def cross_entropy(x, y, from_logits=True):
    """Adds 1e-8 inside the logarithm."""
    x = 1.0 * x
    labels = y if y.ndim == 1 else y.argmax(axis=1)
    if from_logits:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        x = e / e.sum(axis=1, keepdims=True)
    return float(-np.mean(np.log(x[np.arange(len(x)), labels] + 1e-8)))


@misconception(
    "cross_entropy",
    "What does your function do with one-hot rows of shape (N, K)? Ask for the number of dimensions.",
    name="labels_only",
    fails=["cross_entropy-one_hot"],
)
def cross_entropy(x, y, from_logits=True):
    """One-hot rows are used as indices."""
    x = 1.0 * x
    if from_logits:
        x = x - x.max(axis=1, keepdims=True)
        logs = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    else:
        logs = np.log(np.maximum(x, 1e-300))
    return float(-np.mean(logs[np.arange(len(x)), y.astype(int).T]))


@misconception(
    "cross_entropy",
    "One-hot rows may be bytes. What is -1, for a byte? Put the minus in front of the mean.",
    name="negates_one_hot",
    fails=["cross_entropy-one_hot"],
)
def cross_entropy(x, y, from_logits=True):
    """-y of unsigned one-hot rows counts round the ring."""
    hot = np.eye(x.shape[1])[y] if y.ndim == 1 else y
    if from_logits:
        x = x - x.max(axis=1, keepdims=True)
        logs = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    else:
        logs = np.log(np.maximum(x, 1e-30))
    return np.mean(np.sum(-hot * logs, axis=1))


@alternative("cross_entropy", name="one_hot_sum")
def cross_entropy(x, y, from_logits=True):
    """Everything as one-hot; logarithms only where they count."""
    x = np.asarray(x, dtype=np.float64)
    hot = np.zeros(x.shape)
    if y.ndim == 2:
        hot[:] = y
    else:
        hot[np.arange(len(y)), y.astype(np.int64)] = 1
    if from_logits:
        m = np.max(x, axis=1, keepdims=True)
        logs = x - m - np.log(np.sum(np.exp(x - m), axis=1, keepdims=True))
    else:
        logs = np.log(x, out=np.zeros_like(x), where=hot > 0)
    return np.sum(-hot * logs) / len(x)


@alternative("cross_entropy", name="loop")
def cross_entropy(x, y, from_logits=True):
    """Row by row; np.logaddexp adds in logarithms. Prints."""
    total = 0.0
    for n in range(len(x)):
        label = int(np.argmax(y[n])) if y.ndim == 2 else int(y[n])
        row = x[n].astype(float)
        if from_logits:
            total += float(np.logaddexp.reduce(row)) - row[label]
        else:
            total -= np.log(row[label])
    print("rows:", len(x))
    return total / len(x)


@alternative("cross_entropy", name="clips_little")
def cross_entropy(x, y, from_logits=True):
    """Probabilities with a guard of 1e-12, logits by log-softmax."""
    x = x.astype(np.float64)
    labels = np.argmax(y, axis=1) if np.ndim(y) == 2 else y
    if from_logits:
        x = x - x.max(axis=1)[:, None]
        log_p = x - np.log(np.exp(x).sum(axis=1))[:, None]
    else:
        log_p = np.log(np.clip(x, 1e-12, 1.0))
    return -np.mean(np.take_along_axis(log_p, labels[:, None].astype(int), axis=1))
