"""Wrong and unusual solutions of unit 06, each with the hint that its author needs."""

import numpy as np

from grader.misconceptions import alternative, misconception

# ---- sgd -----------------------------------------------------------------------------------------


@misconception(
    "sgd",
    "The gradient points uphill. Which way do you want to go? Try w = 1, dw = 10, lr = 0.1 by hand.",
    name="climbs",
)
def sgd(w, dw, state, *, lr):
    """Walks uphill."""
    return w + lr * dw, state


@misconception(
    "sgd",
    "Look at `w` after your function has returned. Does the caller still have the old weight? `w -= ...` and `w - ...` differ.",
    name="in_place",
)
def sgd(w, dw, state, *, lr):
    """The caller's weight is overwritten."""
    w -= lr * dw
    return w, state


@misconception(
    "sgd",
    "With lr = 0.1 your step is ten times too long. Where does the rate come in?",
    name="forgets_rate",
)
def sgd(w, dw, state, *, lr):
    """The learning rate is not used."""
    return w - dw, state


@alternative("sgd", name="one_by_one")
def sgd(w, dw, state, *, lr):
    """Number by number, in a copy."""
    w_next = np.array(w, dtype=np.float64)
    for place in np.ndindex(w_next.shape):
        w_next[place] = float(w[place]) - lr * float(dw[place])
    return w_next, state


@alternative("sgd", name="new_state")
def sgd(w, dw, state, *, lr):
    """Returns a state of its own and prints."""
    w_next = np.subtract(w, np.multiply(lr, dw))
    print("step")
    return [w_next, {"steps": state.get("steps", 0) + 1}]


# ---- momentum ------------------------------------------------------------------------------------


@misconception(
    "momentum",
    "Put in the gradient 1 again and again. The text says that v grows to 1 / (1 - m). To what does yours grow?",
    name="averages",
)
def momentum(w, dw, state, *, lr, momentum=0.9):
    """A running mean: the new gradient is weighted with 1 - m."""
    v = momentum * state.get("v", 0) + (1 - momentum) * dw
    return w - lr * v, {"v": v}


@misconception(
    "momentum",
    "The first step is right, the second is not. Which velocity does the second call find in its state?",
    name="forgets",
)
def momentum(w, dw, state, *, lr, momentum=0.9):
    """The velocity is computed and never kept."""
    v = momentum * state.get("v", 0) + dw
    return w - lr * v, state


@misconception(
    "momentum",
    "At the first step v was 0. Does your weight move at the first step? The step uses the velocity after this gradient.",
    name="steps_with_old",
)
def momentum(w, dw, state, *, lr, momentum=0.9):
    """Steps with the velocity before this gradient."""
    v = state.get("v", 0)
    return w - lr * v + 0 * dw, {"v": momentum * v + dw}


@misconception(
    "momentum",
    "Two weights, one after the other: a gets a gradient, then b. Does the first step of b know of a? Only `state` belongs to one weight; everything else is shared by all.",
    name="shared_memory",
)
def momentum(w, dw, state, *, lr, momentum=0.9, memory={}):  # noqa: B006
    """The velocity lives in the function, shared by all weights."""
    v = momentum * memory.get("v", 0) + dw
    memory["v"] = v
    return w - lr * v, state


@misconception(
    "momentum",
    "`v = dw` does not copy: v and dw are one array from then on. Which array does `v *= momentum` change in the next step?",
    name="velocity_is_gradient",
    fails=["momentum-contract"],
)
def momentum(w, dw, state, *, lr, momentum=0.9):
    """The first gradient itself becomes the velocity, which is later changed in place."""
    if "v" not in state:
        state["v"] = dw
    else:
        state["v"] *= momentum
        state["v"] += dw
    return w - lr * state["v"], state


@alternative("momentum", name="rate_inside")
def momentum(w, dw, state, *, lr, momentum=0.9):
    """The rate inside of the velocity, and a minus, as CS231n has it."""
    v = state.setdefault("velocity", np.zeros_like(w))
    v = momentum * v - lr * dw
    state["velocity"] = v
    return w + v, state


@alternative("momentum", name="in_place_state")
def momentum(w, dw, state, *, lr, momentum=0.9):
    """The state's own array is changed in place; everything in float64."""
    if not state:
        state["v"] = np.zeros(np.shape(w), dtype=np.float64)
    state["v"] *= momentum
    state["v"] += dw
    return np.asarray(w) - lr * state["v"], state


# ---- nesterov ------------------------------------------------------------------------------------


@misconception(
    "nesterov",
    "The look-ahead goes along the velocity after this gradient. What is your first step, in units of lr * dw? It should be 1 + m.",
    name="old_velocity",
)
def nesterov(w, dw, state, *, lr, momentum=0.9):
    """Looks ahead along the velocity before this gradient."""
    v = state.get("v", 0)
    return w - lr * (dw + momentum * v), {"v": momentum * v + dw}


@misconception(
    "nesterov",
    "This is `momentum`. By how much does the first step of `nesterov` differ from it, for the same gradient?",
    name="plain_momentum",
)
def nesterov(w, dw, state, *, lr, momentum=0.9):
    """Momentum without the look-ahead."""
    v = momentum * state.get("v", 0) + dw
    return w - lr * v, {"v": v}


@misconception(
    "nesterov",
    "The gradient itself stands in the step once, and m times the velocity. Try step 2 of the table by hand: 2 + 0.5 * 2.5.",
    name="twice_the_velocity",
)
def nesterov(w, dw, state, *, lr, momentum=0.9):
    """Adds m v to v, instead of to the gradient."""
    v = momentum * state.get("v", 0) + dw
    return w - lr * (v + momentum * v), {"v": v}


@misconception(
    "nesterov",
    "Two weights, one after the other: a gets a gradient, then b. Does the first step of b know of a? Only `state` belongs to one weight; everything else is shared by all.",
    name="shared_memory",
)
def nesterov(w, dw, state, *, lr, momentum=0.9, memory={}):  # noqa: B006
    """The velocity lives in the function, shared by all weights."""
    v = momentum * memory.get("v", 0) + dw
    memory["v"] = v
    return w - lr * (dw + momentum * v), state


@alternative("nesterov", name="cs231n_form")
def nesterov(w, dw, state, *, lr, momentum=0.9):
    """The form of the CS231n notes: -m v_prev + (1 + m) v."""
    v_prev = state.get("v", 0 * dw)
    v = momentum * v_prev - lr * dw
    return w - momentum * v_prev + (1 + momentum) * v, {"v": v}


@alternative("nesterov", name="in_place_state")
def nesterov(w, dw, state, *, lr, momentum=0.9):
    """The state's own array is changed in place."""
    v = state.get("v")
    if v is None:
        v = np.array(dw, dtype=float)
    else:
        v = v * momentum
        v += dw
    state["v"] = v
    step = v * momentum + dw
    return w - step * lr, state


# ---- delta_bar_delta -----------------------------------------------------------------------------


@misconception(
    "delta_bar_delta",
    "You put this gradient into the trace, and then compare the gradient with the trace. With theta = 0 you compare it with itself. What is the order in the text?",
    name="trace_first",
)
def delta_bar_delta(w, dw, state, *, lr, kappa=0.01, phi=0.1, theta=0.7):
    """The trace takes in the gradient before it is compared."""
    rate, trace = state.get("rate", lr), state.get("trace", 0 * dw)
    trace = (1 - theta) * dw + theta * trace
    agree = trace * dw
    rate = np.where(agree > 0, rate + kappa, np.where(agree < 0, rate * (1 - phi), rate))
    return w - rate * dw, {"rate": rate, "trace": trace}


@misconception(
    "delta_bar_delta",
    "You compare with the last gradient. Step 3 of the table: the second weight had -1.5 and now has +1. What does the trace say?",
    name="last_gradient",
    fails=["delta_bar_delta-trace", "delta_bar_delta-contract"],
)
def delta_bar_delta(w, dw, state, *, lr, kappa=0.01, phi=0.1, theta=0.7):
    """Compares with the last gradient instead of the trace."""
    rate, trace = state.get("rate", lr), state.get("trace", 0 * dw)
    agree = trace * dw
    rate = np.where(agree > 0, rate + kappa, np.where(agree < 0, rate * (1 - phi), rate))
    return w - rate * dw, {"rate": rate, "trace": dw}


@misconception(
    "delta_bar_delta",
    "Up and down are not alike: one adds, one multiplies. With rate 0.1 and kappa 0.05, what is the next rate up?",
    name="multiplies_up",
)
def delta_bar_delta(w, dw, state, *, lr, kappa=0.01, phi=0.1, theta=0.7):
    """The rate is multiplied by 1 + kappa."""
    rate, trace = state.get("rate", lr), state.get("trace", 0 * dw)
    agree = trace * dw
    rate = np.where(agree > 0, rate * (1 + kappa), np.where(agree < 0, rate * (1 - phi), rate))
    return w - rate * dw, {"rate": rate, "trace": (1 - theta) * dw + theta * trace}


@misconception(
    "delta_bar_delta",
    "Can a rate become negative in your version? Let the signs alternate for a while.",
    name="subtracts_down",
)
def delta_bar_delta(w, dw, state, *, lr, kappa=0.01, phi=0.1, theta=0.7):
    """phi is subtracted from the rate."""
    rate, trace = state.get("rate", lr), state.get("trace", 0 * dw)
    agree = trace * dw
    rate = np.where(agree > 0, rate + kappa, np.where(agree < 0, rate - phi, rate))
    return w - rate * dw, {"rate": rate, "trace": (1 - theta) * dw + theta * trace}


@misconception(
    "delta_bar_delta",
    "Step 2 of the table: is the weight moved with the rate before or after the change?",
    name="old_rate",
)
def delta_bar_delta(w, dw, state, *, lr, kappa=0.01, phi=0.1, theta=0.7):
    """Steps with the rate before the change."""
    rate, trace = state.get("rate", lr), state.get("trace", 0 * dw)
    agree = trace * dw
    new = np.where(agree > 0, rate + kappa, np.where(agree < 0, rate * (1 - phi), rate))
    return w - rate * dw, {"rate": new, "trace": (1 - theta) * dw + theta * trace}


@misconception(
    "delta_bar_delta",
    "At the first step the trace is 0. Is 0 a different sign? There are three cases.",
    name="two_cases",
)
def delta_bar_delta(w, dw, state, *, lr, kappa=0.01, phi=0.1, theta=0.7):
    """What is not the same sign counts as a flip, zero too."""
    rate, trace = state.get("rate", lr), state.get("trace", 0 * dw)
    rate = np.where(trace * dw > 0, rate + kappa, rate * (1 - phi))
    return w - rate * dw, {"rate": rate, "trace": (1 - theta) * dw + theta * trace}


@alternative("delta_bar_delta", name="masks")
def delta_bar_delta(w, dw, state, *, lr, kappa=0.01, phi=0.1, theta=0.7):
    """Boolean masks, products instead of signs, the state in place."""
    if not state:
        state["rate"], state["bar"] = np.full(np.shape(w), float(lr)), np.zeros(np.shape(w))
    product = state["bar"] * dw
    state["rate"] = state["rate"] + kappa * (product > 0) - phi * state["rate"] * (product < 0)
    state["bar"] = state["bar"] + (1 - theta) * (dw - state["bar"])
    return w - state["rate"] * dw, state


@alternative("delta_bar_delta", name="one_by_one")
def delta_bar_delta(w, dw, state, *, lr, kappa=0.01, phi=0.1, theta=0.7):
    """Loops over all numbers."""
    g, place = np.asarray(dw, dtype=float), np.array(w, dtype=float)
    rate = state.get("rate", np.full(g.shape, float(lr))).copy()
    bar = state.get("bar", np.zeros(g.shape)).copy()
    for i in np.ndindex(g.shape):
        if (bar[i] > 0 and g[i] > 0) or (bar[i] < 0 and g[i] < 0):
            rate[i] += kappa
        elif bar[i] * g[i] != 0:
            rate[i] *= 1 - phi
        place[i] -= rate[i] * g[i]
        bar[i] = (1 - theta) * g[i] + theta * bar[i]
    return place, {"rate": rate, "bar": bar}


# ---- adagrad -------------------------------------------------------------------------------------


@misconception(
    "adagrad",
    "Try eps = 1 and the gradient 3 by hand. Is it sqrt(9) + 1 or sqrt(9 + 1)?",
    name="eps_inside",
)
def adagrad(w, dw, state, *, lr, eps=1e-10):
    """Epsilon stands inside of the root."""
    s = state.get("s", 0) + dw**2
    return w - lr * dw / np.sqrt(s + eps), {"s": s}


@misconception(
    "adagrad",
    "With gradients 3 and 4 the second divisor is 5. What is yours?",
    name="no_root",
)
def adagrad(w, dw, state, *, lr, eps=1e-10):
    """Divides by the sum of squares, not by its root."""
    s = state.get("s", 0) + dw**2
    return w - lr * dw / (s + eps), {"s": s}


@misconception(
    "adagrad",
    "What do you divide by at the first step? This gradient belongs to the sum.",
    name="sum_before",
)
def adagrad(w, dw, state, *, lr, eps=1e-10):
    """Divides by the sum of the gradients before this one."""
    s = state.get("s", 0 * dw)
    return w - lr * dw / (np.sqrt(s) + eps), {"s": s + dw**2}


@misconception(
    "adagrad",
    "Every step of yours has the same length. Is anything left of the earlier gradients?",
    name="only_this_one",
)
def adagrad(w, dw, state, *, lr, eps=1e-10):
    """Only the last square is kept."""
    s = dw**2
    return w - lr * dw / (np.sqrt(s) + eps), {"s": s}


@misconception(
    "adagrad",
    "Two weights, one after the other: a gets a gradient, then b. Does the first step of b know of a? Only `state` belongs to one weight; everything else is shared by all.",
    name="shared_memory",
)
def adagrad(w, dw, state, *, lr, eps=1e-10, memory={}):  # noqa: B006
    """The sum lives in the function, shared by all weights."""
    s = memory.get("s", 0) + dw**2
    memory["s"] = s
    return w - lr * dw / (np.sqrt(s) + eps), state


@alternative("adagrad", name="cs231n_style")
def adagrad(w, dw, state, *, lr, eps=1e-10):
    """A cache in the state, changed in place."""
    state.setdefault("cache", np.zeros_like(w))
    cache = np.array(state["cache"])
    cache += dw * dw
    state["cache"] = cache
    return w - lr * dw / (np.sqrt(cache) + eps), state


@alternative("adagrad", name="all_gradients")
def adagrad(w, dw, state, *, lr, eps=1e-10):
    """Keeps all gradients and adds up their squares anew."""
    seen = [*state.get("seen", []), np.array(dw, dtype=float)]
    s = sum(g * g for g in seen)
    return w - lr * np.asarray(dw) / (s**0.5 + eps), {"seen": seen}


# ---- rmsprop -------------------------------------------------------------------------------------


@misconception(
    "rmsprop",
    "alpha weights the old mean. With alpha = 0.99, how many steps does your mean remember?",
    name="swapped_alpha",
)
def rmsprop(w, dw, state, *, lr, alpha=0.99, eps=1e-8):
    """alpha weights the new square."""
    s = (1 - alpha) * state.get("s", 0) + alpha * dw**2
    return w - lr * dw / (np.sqrt(s) + eps), {"s": s}


@misconception(
    "rmsprop",
    "Try eps = 2, alpha = 0.75 and the gradient 4 by hand. Where does the text put epsilon?",
    name="eps_inside",
)
def rmsprop(w, dw, state, *, lr, alpha=0.99, eps=1e-8):
    """Epsilon stands inside of the root."""
    s = alpha * state.get("s", 0) + (1 - alpha) * dw**2
    return w - lr * dw / np.sqrt(s + eps), {"s": s}


@misconception(
    "rmsprop",
    "You divide the mean by 1 - alpha**t. That comes in part 6. What is the first step of RMSprop, by hand?",
    name="bias_corrected",
)
def rmsprop(w, dw, state, *, lr, alpha=0.99, eps=1e-8):
    """The bias correction of Adam."""
    t = state.get("t", 0) + 1
    s = alpha * state.get("s", 0) + (1 - alpha) * dw**2
    return w - lr * dw / (np.sqrt(s / (1 - alpha**t)) + eps), {"s": s, "t": t}


@misconception(
    "rmsprop",
    "The weights of a mean add up to 1. Yours are alpha and 1.",
    name="not_a_mean",
)
def rmsprop(w, dw, state, *, lr, alpha=0.99, eps=1e-8):
    """The new square is not weighted."""
    s = alpha * state.get("s", 0) + dw**2
    return w - lr * dw / (np.sqrt(s) + eps), {"s": s}


@misconception(
    "rmsprop",
    "Your mean starts with the first square. The text starts with 0: the first step is lr / sqrt(1 - alpha) long, not lr.",
    name="starts_with_first",
)
def rmsprop(w, dw, state, *, lr, alpha=0.99, eps=1e-8):
    """The mean begins with the first square."""
    g2 = dw**2
    s = alpha * state["s"] + (1 - alpha) * g2 if "s" in state else g2
    return w - lr * dw / (np.sqrt(s) + eps), {"s": s}


@alternative("rmsprop", name="cs231n_style")
def rmsprop(w, dw, state, *, lr, alpha=0.99, eps=1e-8):
    """A cache in the state, zeros at first."""
    cache = state.get("cache")
    if cache is None:
        cache = np.zeros_like(w)
    cache = alpha * cache + (1 - alpha) * (dw * dw)
    state["cache"] = cache
    return w + -lr * dw / (np.sqrt(cache) + eps), state


@alternative("rmsprop", name="moves_towards")
def rmsprop(w, dw, state, *, lr, alpha=0.99, eps=1e-8):
    """The mean moves a share of the way; float64 throughout."""
    g = np.asarray(dw, dtype=np.float64)
    mean = np.asarray(state.get("mean", np.zeros(g.shape)))
    mean = mean + (1 - alpha) * (np.square(g) - mean)
    return np.asarray(w) - np.divide(lr * g, np.power(mean, 0.5) + eps), {"mean": mean}


# ---- adadelta ------------------------------------------------------------------------------------


@misconception(
    "adadelta",
    "Here epsilon stands inside of both roots. What is your first step: sqrt(0.09) / sqrt(0.25) times 0.8, or something else?",
    name="eps_outside",
)
def adadelta(w, dw, state, *, lr=1.0, rho=0.9, eps=1e-6):
    """Epsilon stands outside of both roots."""
    s = rho * state.get("s", 0) + (1 - rho) * dw**2
    u = state.get("u", 0)
    step = (np.sqrt(u) + eps) / (np.sqrt(s) + eps) * dw
    return w - lr * step, {"s": s, "u": rho * u + (1 - rho) * step**2}


@misconception(
    "adadelta",
    "Your first step is right, your second is not. Does the average of squared steps take in the step with or without lr?",
    name="rate_in_average",
    fails=["adadelta-steps", "adadelta-contract"],
)
def adadelta(w, dw, state, *, lr=1.0, rho=0.9, eps=1e-6):
    """The average takes in the step times lr."""
    s = rho * state.get("s", 0) + (1 - rho) * dw**2
    u = state.get("u", 0)
    step = lr * np.sqrt(u + eps) / np.sqrt(s + eps) * dw
    return w - step, {"s": s, "u": rho * u + (1 - rho) * step**2}


@misconception(
    "adadelta",
    "Which of your two averages is still 0 after the first step?",
    name="forgets_steps",
    fails=["adadelta-steps", "adadelta-contract"],
)
def adadelta(w, dw, state, *, lr=1.0, rho=0.9, eps=1e-6):
    """The average of squared steps is never updated."""
    s = rho * state.get("s", 0) + (1 - rho) * dw**2
    step = np.sqrt(eps) / np.sqrt(s + eps) * dw
    return w - lr * step, {"s": s}


@misconception(
    "adadelta",
    "That is RMSprop. What stands above the fraction line?",
    name="no_numerator",
)
def adadelta(w, dw, state, *, lr=1.0, rho=0.9, eps=1e-6):
    """No average of steps: RMSprop with epsilon inside."""
    s = rho * state.get("s", 0) + (1 - rho) * dw**2
    return w - lr * dw / np.sqrt(s + eps), {"s": s}


@misconception(
    "adadelta",
    "rho weights the old average, 1 - rho the new square. Check both lines.",
    name="swapped_rho",
)
def adadelta(w, dw, state, *, lr=1.0, rho=0.9, eps=1e-6):
    """rho weights the new squares."""
    s = (1 - rho) * state.get("s", 0) + rho * dw**2
    u = state.get("u", 0)
    step = np.sqrt(u + eps) / np.sqrt(s + eps) * dw
    return w - lr * step, {"s": s, "u": (1 - rho) * u + rho * step**2}


@alternative("adadelta", name="one_root")
def adadelta(w, dw, state, *, lr=1.0, rho=0.9, eps=1e-6):
    """One root over the quotient, averages in place."""
    if not state:
        state["g2"], state["d2"] = np.zeros(np.shape(w)), np.zeros(np.shape(w))
    state["g2"] = state["g2"] * rho + (1 - rho) * np.multiply(dw, dw)
    step = np.sqrt((state["d2"] + eps) / (state["g2"] + eps)) * dw
    state["d2"] = state["d2"] * rho + (1 - rho) * step * step
    return w - lr * step, state


@alternative("adadelta", name="tuple_in_state")
def adadelta(w, dw, state, *, lr=1.0, rho=0.9, eps=1e-6):
    """Both averages in one entry, negative steps."""
    s, u = state.get("both", (0.0, 0.0))
    g = np.asarray(dw, dtype=float)
    s = rho * s + (1 - rho) * g**2
    step = -(((u + eps) ** 0.5) / ((s + eps) ** 0.5)) * g
    u = rho * u + (1 - rho) * step**2
    return w + lr * step, {"both": (s, u)}


# ---- adam ----------------------------------------------------------------------------------------


@misconception(
    "adam",
    "Your first step is 3.16 times too long for the default betas. Divide by what the weights of the mean add up to.",
    name="no_correction",
)
def adam(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """No bias correction."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    return w - lr * m / (np.sqrt(v) + eps), {"t": t, "m": m, "v": v}


@misconception(
    "adam",
    "At the first step 1 - beta**t should cancel the 1 - beta of the mean. What is your t at the first step?",
    name="counts_from_two",
)
def adam(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """The count is one too large."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m_hat, v_hat = m / (1 - beta1 ** (t + 1)), v / (1 - beta2 ** (t + 1))
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), {"t": t, "m": m, "v": v}


@misconception(
    "adam",
    "The first step is right, the second is not. Do you remember the means, or the corrected means?",
    name="keeps_corrected",
    fails=["adam-steps", "adam-contract"],
)
def adam(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """The corrected means are remembered."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m, v = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m / (np.sqrt(v) + eps), {"t": t, "m": m, "v": v}


@misconception(
    "adam",
    "You moved the corrections into the rate. Then epsilon is added to the uncorrected root. Try eps = 4 with the gradient 4.",
    name="eps_before_correction",
)
def adam(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Epsilon is added before the correction."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return w - rate * m / (np.sqrt(v) + eps), {"t": t, "m": m, "v": v}


@misconception(
    "adam",
    "Try eps = 4 with the gradient 4: 4 / (4 + 4). Where does the text put epsilon?",
    name="eps_inside",
)
def adam(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Epsilon stands inside of the root."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m_hat / np.sqrt(v_hat + eps), {"t": t, "m": m, "v": v}


@misconception(
    "adam",
    "A network has many weights, and each of them counts its own steps. Who else increases your count?",
    name="shared_count",
)
def adam(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, count={}):  # noqa: B006
    """The number of steps is counted in the function, for all weights together."""
    count["t"] = count.get("t", 0) + 1
    t = count["t"]
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), {"m": m, "v": v}


@alternative("adam", name="cs231n_style")
def adam(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """State with defaults, changed in place."""
    state.setdefault("m", np.zeros_like(w))
    state.setdefault("v", np.zeros_like(w))
    state.setdefault("t", 0)
    state["t"] += 1
    state["m"] = beta1 * state["m"] + (1 - beta1) * dw
    mt = state["m"] / (1 - beta1 ** state["t"])
    state["v"] = beta2 * state["v"] + (1 - beta2) * (dw**2)
    vt = state["v"] / (1 - beta2 ** state["t"])
    return w - lr * mt / (np.sqrt(vt) + eps), state


@alternative("adam", name="unrolled_sums")
def adam(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Keeps every gradient and adds up the unrolled sums anew."""
    seen = [*state.get("seen", []), np.array(dw, dtype=float)]
    n = len(seen)
    first = sum(beta1 ** (n - 1 - i) * g for i, g in enumerate(seen))
    second = sum(beta2 ** (n - 1 - i) * g * g for i, g in enumerate(seen))
    first = first / sum(beta1**i for i in range(n))
    second = second / sum(beta2**i for i in range(n))
    return w - lr * first / (second**0.5 + eps), {"seen": seen}


# ---- adamw ---------------------------------------------------------------------------------------


@misconception(
    "adamw",
    "That is L2: the decay goes through the moments and is divided by the root. In AdamW the moments never see it. What happens to a weight without a gradient?",
    name="l2_in_gradient",
)
def adamw(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """The decay is added to the gradient."""
    dw = dw + weight_decay * w
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), {"t": t, "m": m, "v": v}


@misconception(
    "adamw",
    "With lr = 0.5 the decay should be half as strong. Is it?",
    name="decay_without_rate",
)
def adamw(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """The decay is not multiplied by lr."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w * (1 - weight_decay) - lr * m_hat / (np.sqrt(v_hat) + eps), {"t": t, "m": m, "v": v}


@misconception(
    "adamw",
    "10 * 0.9 - 1 = 8, but (10 - 1) * 0.9 = 8.1. Which comes first?",
    name="decays_last",
)
def adamw(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """The weight is decayed after the step."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return (w - lr * m_hat / (np.sqrt(v_hat) + eps)) * (1 - lr * weight_decay), {
        "t": t,
        "m": m,
        "v": v,
    }


@misconception(
    "adamw",
    "That is Adam. What becomes of a weight whose gradient is 0?",
    name="no_decay",
)
def adamw(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """No decay at all."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), {"t": t, "m": m, "v": v}


@misconception(
    "adamw",
    "The decay is right. Epsilon is not: it stands outside of the root, as in `adam`.",
    name="eps_inside",
)
def adamw(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """Epsilon stands inside of the root."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w * (1 - lr * weight_decay) - lr * m_hat / np.sqrt(v_hat + eps), {"t": t, "m": m, "v": v}


@alternative("adamw", name="decay_in_the_step")
def adamw(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """The decay as a second term of the step, with the old weight."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    step = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps) + weight_decay * w
    state.update(t=t, m=m, v=v)
    return w - lr * step, state


@alternative("adamw", name="torch_order")
def adamw(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """A float64 copy is changed in place, in the order of PyTorch."""
    w_next, g = np.array(w, dtype=np.float64), np.asarray(dw, dtype=np.float64)
    w_next *= 1 - lr * weight_decay
    t, m, v = state.get("tmv", (0, np.zeros(g.shape), np.zeros(g.shape)))
    t, m, v = t + 1, m + (1 - beta1) * (g - m), v * beta2 + (1 - beta2) * g * g
    root = np.sqrt(v) / np.sqrt(1 - beta2**t) + eps
    w_next -= lr / (1 - beta1**t) * m / root
    return w_next, {"tmv": (t, m, v)}


# ---- step_decay ----------------------------------------------------------------------------------


@misconception(
    "step_decay",
    "At t = 3 of 4 the rate should still be lr0. How often has it been multiplied by then? A whole number.",
    name="smooth",
)
def step_decay(t, *, lr0, factor, every):
    """The exponent is not a whole number."""
    return lr0 * factor ** (t / every)


@misconception(
    "step_decay",
    "Counting starts at 0: with every = 4 the first four steps are 0 to 3. At which t does your rate fall for the first time?",
    name="one_early",
)
def step_decay(t, *, lr0, factor, every):
    """Falls one step too early."""
    return lr0 * factor ** ((t + 1) // every)


@misconception(
    "step_decay",
    "After twice `every` steps the rate has been multiplied twice. How often is yours?",
    name="only_once",
)
def step_decay(t, *, lr0, factor, every):
    """The factor is applied once."""
    return lr0 * factor if t >= every else lr0


@misconception(
    "step_decay",
    "For t < every the rate should be lr0. What is factor times 0?",
    name="linear",
)
def step_decay(t, *, lr0, factor, every):
    """Multiplies by the number of decays instead of raising to a power."""
    return lr0 * factor * (t // every)


@alternative("step_decay", name="loop")
def step_decay(t, *, lr0, factor, every):
    """Multiplies again and again."""
    lr = lr0
    for _ in range(int(t // every)):
        lr *= factor
    return lr


@alternative("step_decay", name="with_math")
def step_decay(t, *, lr0, factor, every):
    """By way of floor."""
    return lr0 * np.power(factor, np.floor(t / every))


# ---- exponential_decay ---------------------------------------------------------------------------


@misconception(
    "exponential_decay",
    "1 - k is only nearly exp(-k). Try k = ln 2.",
    name="compound",
)
def exponential_decay(t, *, lr0, k):
    """Multiplies by 1 - k at each step."""
    return lr0 * (1 - k) ** t


@misconception(
    "exponential_decay",
    "Your rate grows. Where is the minus?",
    name="grows",
)
def exponential_decay(t, *, lr0, k):
    """The sign of the exponent is missing."""
    return lr0 * np.exp(k * t)


@misconception(
    "exponential_decay",
    "exp has the base e = 2.718. With k = ln 2 the rate should halve at each step.",
    name="base_two",
)
def exponential_decay(t, *, lr0, k):
    """The base is 2."""
    return lr0 * 2 ** (-k * t)


@alternative("exponential_decay", name="with_math")
def exponential_decay(t, *, lr0, k):
    """The math module, and a quotient."""
    import math

    return lr0 / math.exp(k * t)


@alternative("exponential_decay", name="array")
def exponential_decay(t, *, lr0, k):
    """A NumPy power of e, as a 0-d array."""
    return np.asarray(lr0 * np.e ** (-k * t))


# ---- inverse_time_decay --------------------------------------------------------------------------


@misconception(
    "inverse_time_decay",
    "For k = 1: a half, a third, a quarter. Yours: a half, a quarter, an eighth. Which operation grows too fast?",
    name="power",
)
def inverse_time_decay(t, *, lr0, k):
    """Divides by (1 + k) to the power of t."""
    return lr0 / (1 + k) ** t


@misconception(
    "inverse_time_decay",
    "For k = 1 and t = 1 the rate should be half of lr0.",
    name="root",
)
def inverse_time_decay(t, *, lr0, k):
    """Divides by the root."""
    return lr0 / np.sqrt(1 + k * t)


@misconception(
    "inverse_time_decay",
    "Which way does a larger k push the rate? Try k = 0.5 at t = 2.",
    name="divides_by_k",
)
def inverse_time_decay(t, *, lr0, k):
    """t is divided by k instead of multiplied."""
    return lr0 / (1 + t / k) if k else lr0


@alternative("inverse_time_decay", name="power_minus_one")
def inverse_time_decay(t, *, lr0, k):
    """A power of -1."""
    return lr0 * (1.0 + k * t) ** -1.0


@alternative("inverse_time_decay", name="float32_free")
def inverse_time_decay(t, *, lr0, k):
    """By NumPy functions."""
    return np.divide(lr0, np.add(1.0, np.multiply(k, t)))


# ---- cosine --------------------------------------------------------------------------------------


@misconception(
    "cosine",
    "Where is your rate in the middle? A whole period comes back to the top.",
    name="full_period",
)
def cosine(t, *, lr0, total, lr_min=0.0):
    """A whole period instead of half of one."""
    return lr_min + (lr0 - lr_min) * (1 + np.cos(2 * np.pi * t / total)) / 2


@misconception(
    "cosine",
    "At t = 0 the rate should be lr0. Is yours lr0 + lr_min?",
    name="adds_lr_min",
)
def cosine(t, *, lr0, total, lr_min=0.0):
    """lr_min is added, and not taken off the height."""
    return lr_min + lr0 * (1 + np.cos(np.pi * t / total)) / 2


@misconception(
    "cosine",
    "The contract says: lr_min at t = total. Where do you reach it?",
    name="one_early",
)
def cosine(t, *, lr0, total, lr_min=0.0):
    """Reaches lr_min at total - 1."""
    return lr_min + (lr0 - lr_min) * (1 + np.cos(np.pi * t / max(total - 1, 1))) / 2


@misconception(
    "cosine",
    "Half-way and at both ends you are right. At a quarter of the way a cosine is still high. What do you draw?",
    name="straight",
)
def cosine(t, *, lr0, total, lr_min=0.0):
    """A straight line."""
    return lr0 + (lr_min - lr0) * t / total


@alternative("cosine", name="squared")
def cosine(t, *, lr0, total, lr_min=0.0):
    """cos squared of half the angle, with the math module."""
    import math

    return lr_min + (lr0 - lr_min) * math.cos(0.5 * math.pi * t / total) ** 2


@alternative("cosine", name="mean_of_ends")
def cosine(t, *, lr0, total, lr_min=0.0):
    """Middle plus half the height."""
    middle, height = (lr0 + lr_min) / 2, (lr0 - lr_min) / 2
    return middle + height * np.cos(t * np.pi / total)


# ---- warm_restarts -------------------------------------------------------------------------------


@misconception(
    "warm_restarts",
    "What is the rate at t = period: lr0 again, or lr_min? Where does the next cycle begin?",
    name="restarts_late",
)
def warm_restarts(t, *, lr0, period, factor=1, lr_min=0.0):
    """The restart comes one step late."""
    while t > period:
        t, period = t - period, period * factor
    return lr_min + (lr0 - lr_min) * (1 + np.cos(np.pi * t / period)) / 2


@misconception(
    "warm_restarts",
    "With period 2 and factor 2 the second cycle has 4 steps. How long is yours?",
    name="ignores_factor",
    fails=["warm_restarts-growing"],
)
def warm_restarts(t, *, lr0, period, factor=1, lr_min=0.0):
    """All cycles are equally long."""
    t = t % period
    return lr_min + (lr0 - lr_min) * (1 + np.cos(np.pi * t / period)) / 2


@misconception(
    "warm_restarts",
    "The cycles have period, period * factor, period * factor**2 steps. Write down the first three of yours for period 2, factor 2.",
    name="grows_by_adding",
    fails=["warm_restarts-growing"],
)
def warm_restarts(t, *, lr0, period, factor=1, lr_min=0.0):
    """Cycles become longer by the same number of steps each time."""
    length = period
    while t >= length:
        t, length = t - length, length + (factor - 1) * period
    return lr_min + (lr0 - lr_min) * (1 + np.cos(np.pi * t / length)) / 2


@misconception(
    "warm_restarts",
    "Each cycle starts at lr0 itself. What is your rate at the first restart?",
    name="lower_each_time",
)
def warm_restarts(t, *, lr0, period, factor=1, lr_min=0.0):
    """The peak is halved at each restart."""
    while t >= period:
        t, period, lr0 = t - period, period * factor, lr0 / 2
    return lr_min + (lr0 - lr_min) * (1 + np.cos(np.pi * t / period)) / 2


@misconception(
    "warm_restarts",
    "Your cosine runs on after the end of the cycle, and comes up the way it went down. What should happen at t = period?",
    name="never_restarts",
)
def warm_restarts(t, *, lr0, period, factor=1, lr_min=0.0):
    """A cosine that runs on."""
    return lr_min + (lr0 - lr_min) * (1 + np.cos(np.pi * t / period)) / 2


@alternative("warm_restarts", name="list_of_starts")
def warm_restarts(t, *, lr0, period, factor=1, lr_min=0.0):
    """Makes a list of where cycles begin and looks up the last one."""
    starts, length = [0], period
    while starts[-1] + length <= t:
        starts.append(starts[-1] + length)
        length *= factor
    share = (t - starts[-1]) / length
    return lr_min + 0.5 * (lr0 - lr_min) * (1 + np.cos(np.pi * share))


@alternative("warm_restarts", name="recursive")
def warm_restarts(t, *, lr0, period, factor=1, lr_min=0.0):
    """Calls itself for the rest."""
    import math

    if t >= period:
        return warm_restarts(
            t - period, lr0=lr0, period=period * factor, factor=factor, lr_min=lr_min
        )
    return lr_min + (lr0 - lr_min) * math.cos(math.pi / 2 * t / period) ** 2


# ---- clip_gradient_norm --------------------------------------------------------------------------


@misconception(
    "clip_gradient_norm",
    "(2, 3) and (6): you have one length for the first and another for the second. The text has one length over all arrays.",
    name="each_alone",
)
def clip_gradient_norm(grads, max_norm):
    """Each array is clipped by its own norm."""
    clipped = []
    for g in grads:
        norm = np.sqrt(np.sum(g**2))
        clipped.append(g * (max_norm / norm) if norm > max_norm else g)
    return clipped


@misconception(
    "clip_gradient_norm",
    "You cut each number. That turns the gradient into another direction. By which one factor is everything multiplied?",
    name="by_value",
)
def clip_gradient_norm(grads, max_norm):
    """Each number is cut to [-max_norm, max_norm]."""
    return [np.clip(g, -max_norm, max_norm) for g in grads]


@misconception(
    "clip_gradient_norm",
    "What happens to gradients that are short enough? And to zeros?",
    name="always_scales",
    fails=["clip_gradient_norm-leaves"],
)
def clip_gradient_norm(grads, max_norm):
    """Short gradients are made longer."""
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    return [g * (max_norm / norm) for g in grads]


@misconception(
    "clip_gradient_norm",
    "Call your function twice with the same list. Does the second call still see the gradients of the first?",
    name="in_place",
)
def clip_gradient_norm(grads, max_norm):
    """The caller's arrays are changed."""
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    if norm > max_norm:
        for g in grads:
            g *= max_norm / norm
    return list(grads)


@misconception(
    "clip_gradient_norm",
    "For (2, 3) and (6) the length is 7. Is yours 49?",
    name="no_root",
)
def clip_gradient_norm(grads, max_norm):
    """The squared length is used."""
    norm = sum(np.sum(g**2) for g in grads)
    return [g * (max_norm / norm) if norm > max_norm else g for g in grads]


@misconception(
    "clip_gradient_norm",
    "3 + 4 = 7, but the length of (3, 4) is 5. How do lengths of parts make the length of the whole?",
    name="sum_of_norms",
)
def clip_gradient_norm(grads, max_norm):
    """The norms of the arrays are added."""
    norm = sum(float(np.sqrt(np.sum(g**2))) for g in grads)
    return [g * (max_norm / norm) if norm > max_norm else g for g in grads]


@alternative("clip_gradient_norm", name="torch_style")
def clip_gradient_norm(grads, max_norm):
    """PyTorch's epsilon, and a minimum instead of a condition."""
    total = np.linalg.norm([np.linalg.norm(np.ravel(g)) for g in grads])
    share = min(max_norm / (total + 1e-6), 1.0)
    return [np.array(g) * share for g in grads]


@alternative("clip_gradient_norm", name="one_long_row")
def clip_gradient_norm(grads, max_norm):
    """All numbers in one row, float64; short ones come back as they are."""
    row = np.concatenate([np.asarray(g, dtype=np.float64).ravel() for g in grads])
    length = float(np.sqrt(row @ row))
    if length <= max_norm:
        return list(grads)
    clipped = []
    for g in grads:
        clipped.append(np.asarray(g, dtype=np.float64) / length * max_norm)
    return clipped
