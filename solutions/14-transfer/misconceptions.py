"""Wrong and unusual solutions of unit 14, each with the hint that its author needs."""

import copy
import hashlib
import io
import re
from pathlib import Path

import torch
from torch import nn

from grader.misconceptions import alternative, misconception

# ---- extract_features -----------------------------------------------------------------------


@misconception(
    "extract_features",
    "Send the same picture through twice, with dropout in the network. Which mode is it in?",
    name="training_mode",
    fails=["extract_features-features", "extract_features-left_alone"],
)
def extract_features(model, x, batch_size=256):
    """Leaves the model in the mode that it is in."""
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    caught = []
    hook = head.register_forward_pre_hook(lambda m, inputs: caught.append(inputs[0].detach()))
    try:
        with torch.no_grad():
            for xb in x.split(batch_size):
                model(xb)
    finally:
        hook.remove()
    return torch.cat(caught)


@misconception(
    "extract_features",
    "A network whose batch norm was put into evaluation mode, the rest in training mode: in which modes does your "
    "function leave them? model.train() visits every module.",
    name="restores_the_root",
    fails=["extract_features-left_alone"],
)
def extract_features(model, x, batch_size=256):
    """model.train(was_training): a frozen batch norm wakes up."""
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    caught, was_training = [], model.training
    hook = head.register_forward_pre_hook(lambda m, inputs: caught.append(inputs[0]))
    model.eval()
    try:
        with torch.no_grad():
            for xb in x.split(batch_size):
                model(xb)
    finally:
        hook.remove()
        model.train(was_training)
    return torch.cat(caught)


@misconception(
    "extract_features",
    "nn.Sequential(*children) runs the children in the order in which they were made. Does a network with a branch, "
    "or with a flatten or a mean in its forward, do that?",
    name="all_children_but_the_last",
    fails=["extract_features-features", "extract_features-left_alone"],
)
def extract_features(model, x, batch_size=256):
    """Runs all top-level children but the last one."""
    model.eval()
    body = nn.Sequential(*list(model.children())[:-1])
    with torch.no_grad():
        return torch.cat([body(xb) for xb in x.split(batch_size)]).flatten(1)


@misconception(
    "extract_features",
    "Are these the numbers that go into the head, or those that come out of it? One of the two has as many columns as "
    "there are classes.",
    name="output_of_the_head",
    fails=["extract_features-features"],
)
def extract_features(model, x, batch_size=256):
    """The logits."""
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    modes = [(m, m.training) for m in model.modules()]
    caught = []
    hook = head.register_forward_hook(lambda m, inputs, output: caught.append(output))
    model.eval()
    try:
        with torch.no_grad():
            for xb in x.split(batch_size):
                model(xb)
    finally:
        hook.remove()
        for m, training in modes:
            m.training = training
    return torch.cat(caught)


@misconception(
    "extract_features",
    "Look at requires_grad of what you return, and at the hooks of the head after an error in forward.",
    name="keeps_the_graph",
    fails=["extract_features-left_alone"],
)
def extract_features(model, x, batch_size=256):
    """No no_grad, and no finally."""
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    modes = [(m, m.training) for m in model.modules()]
    caught = []
    hook = head.register_forward_pre_hook(lambda m, inputs: caught.append(inputs[0]))
    model.eval()
    for xb in x.split(batch_size):
        model(xb)
    hook.remove()
    for m, training in modes:
        m.training = training
    return torch.cat(caught)


@misconception(
    "extract_features",
    "How many pictures go through the network at once? The argument batch_size is there for a network that would need "
    "all of the memory otherwise.",
    name="all_at_once",
    fails=["extract_features-features"],
)
def extract_features(model, x, batch_size=256):
    """One batch of everything."""
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    modes = [(m, m.training) for m in model.modules()]
    caught = []
    hook = head.register_forward_pre_hook(lambda m, inputs: caught.append(inputs[0]))
    model.eval()
    try:
        with torch.no_grad():
            model(x)
    finally:
        hook.remove()
        for m, training in modes:
            m.training = training
    return caught[0]


@alternative("extract_features", name="identity_in_its_place")
def extract_features(model, x, batch_size=256):
    """An identity sits in the head's place for a while."""
    name = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
    parent, _, place = name.rpartition(".")
    home = model.get_submodule(parent)
    head = getattr(home, place)
    modes = {m: m.training for m in model.modules()}
    results = []

    class Catch(nn.Module):
        def forward(self, inputs):
            results.append(inputs.clone())
            return head(inputs)

    setattr(home, place, Catch())
    model.eval()
    head.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(x), batch_size):
                model(x[start : start + batch_size].to(head.weight.device))
    finally:
        setattr(home, place, head)
        for m, mode in modes.items():
            m.training = mode
    print("done")
    return torch.cat(results).to(x.device).clone()


@alternative("extract_features", name="copy_of_the_model")
def extract_features(model, x, batch_size=256):
    """A copy is put into evaluation mode; the original is never touched."""
    twin = copy.deepcopy(model).eval()
    head = list(filter(lambda m: isinstance(m, nn.Linear), twin.modules()))[-1]
    found = []

    def listen(module, inputs, output):
        found.append(inputs[0].detach())

    head.register_forward_hook(listen)
    for k in range(-(-len(x) // batch_size)):
        with torch.no_grad():
            twin(x[k * batch_size : (k + 1) * batch_size].to(head.weight.device))
    return torch.cat(found, dim=0).to(x.device)


# ---- replace_head ---------------------------------------------------------------------------


@misconception(
    "replace_head",
    "out_features is a number that print shows. Which tensor decides how many numbers come out?",
    name="changes_the_label",
)
def replace_head(model, num_classes):
    """Writes out_features."""
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    head.out_features = num_classes
    return model


@misconception(
    "replace_head",
    "Not every model calls its head fc. Which names does a VGG have? Where is the last nn.Linear of any model?",
    name="only_fc",
)
def replace_head(model, num_classes):
    """Knows ResNets only."""
    if hasattr(model, "fc"):
        model.fc = nn.Linear(model.fc.in_features, num_classes)
    return model


@misconception(
    "replace_head",
    "A classifier of several layers ends in a Linear, and begins with one as well. Which one decides the classes?",
    name="first_linear",
)
def replace_head(model, num_classes):
    """The first Linear in the place of the last."""
    name, old = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear))
    parent, _, place = name.rpartition(".")
    kind = {"device": old.weight.device, "dtype": old.weight.dtype}
    setattr(model.get_submodule(parent), place, nn.Linear(old.in_features, num_classes, **kind))
    return model


@misconception(
    "replace_head",
    "Put the model into float64, or on another device, or take its head's bias away. What is the new layer like?",
    name="default_kind",
    fails=["replace_head-kind"],
)
def replace_head(model, num_classes):
    """Always float32, on the CPU, with a bias."""
    linear = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise ValueError("no Linear")
    name, old = linear[-1]
    parent, _, place = name.rpartition(".")
    setattr(model.get_submodule(parent), place, nn.Linear(old.in_features, num_classes))
    return model


@misconception(
    "replace_head",
    "setattr(model, 'classifier.1', ...) makes a new attribute with a dot in its name. Whose attribute is '1'?",
    name="dotted_setattr",
    fails=["replace_head-place"],
)
def replace_head(model, num_classes):
    """add a module under the dotted name to the outermost module."""
    linear = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise ValueError("no Linear")
    name, old = linear[-1]
    kind = {"device": old.weight.device, "dtype": old.weight.dtype, "bias": old.bias is not None}
    setattr(model, name.rpartition(".")[2], nn.Linear(old.in_features, num_classes, **kind))
    return model if "." not in name else nn.Sequential(model)


@misconception(
    "replace_head",
    "Compare the new head's numbers with the old one's. Should a class that you never had inherit a row?",
    name="keeps_old_rows",
    fails=["replace_head-place", "replace_head-kind"],
)
def replace_head(model, num_classes):
    """Cuts or pads the old weights."""
    linear = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise ValueError("no Linear")
    name, old = linear[-1]
    parent, _, place = name.rpartition(".")
    kind = {"device": old.weight.device, "dtype": old.weight.dtype, "bias": old.bias is not None}
    new = nn.Linear(old.in_features, num_classes, **kind)
    n = min(num_classes, old.out_features)
    new.weight.data[:n] = old.weight.data[:n]
    new.requires_grad_(old.weight.requires_grad)
    setattr(model.get_submodule(parent), place, new)
    return model


@misconception(
    "replace_head",
    "In a model whose parameters were all frozen first, is there anything that can still be trained after your function?",
    name="stays_frozen",
    fails=["replace_head-kind"],
)
def replace_head(model, num_classes):
    """The new head takes requires_grad from the old one."""
    linear = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise ValueError("no Linear")
    name, old = linear[-1]
    parent, _, place = name.rpartition(".")
    kind = {"device": old.weight.device, "dtype": old.weight.dtype, "bias": old.bias is not None}
    new = nn.Linear(old.in_features, num_classes, **kind)
    new.requires_grad_(old.weight.requires_grad)
    setattr(model.get_submodule(parent), place, new)
    return model


@alternative("replace_head", name="recursive")
def replace_head(model, num_classes):
    """Walks down by hand; zeros as the first weights."""

    def last(module):
        found = None
        for place, child in module.named_children():
            found = (module, place, child) if isinstance(child, nn.Linear) else last(child) or found
        return found

    found = last(model)
    if found is None:
        raise ValueError("this model has no nn.Linear")
    home, place, old = found
    new = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    for p in new.parameters():
        nn.init.zeros_(p)
    home._modules[place] = new.to(old.weight)
    return model


# ---- freeze ---------------------------------------------------------------------------------


@misconception(
    "freeze",
    "Send a batch through in training mode and look at running_mean before and after. It is no parameter, so "
    "requires_grad does not hold it.",
    name="requires_grad_only",
    fails=["freeze-statistics", "freeze-thaw"],
)
def freeze(module, frozen=True):
    """What every tutorial does."""
    for p in module.parameters():
        p.requires_grad_(not frozen)
        p.grad = None
    return module


@misconception(
    "freeze",
    "Call model.train() after your freeze, as 09's train does in each epoch. In which mode is the batch norm now?",
    name="eval_once",
    fails=["freeze-statistics", "freeze-thaw"],
)
def freeze(module, frozen=True):
    """module.eval(), undone by the next train()."""
    for p in module.parameters():
        p.requires_grad = not frozen
        p.grad = None
    module.train(not frozen)
    return module


@misconception(
    "freeze",
    "With momentum 0 the running statistics stand still. And by which statistics does a batch norm in training mode "
    "normalize? Send 4 and 6 through.",
    name="momentum_zero",
    fails=["freeze-statistics", "freeze-thaw"],
)
def freeze(module, frozen=True):
    """Holds the buffers, and normalizes by the batch."""
    for p in module.parameters():
        p.requires_grad = not frozen
        p.grad = None
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            if not hasattr(part, "old"):
                part.old = part.momentum
            part.momentum = 0.0 if frozen else part.old
    return module


@misconception(
    "freeze",
    "A frozen layer in the middle of a network: do the layers before it still get their gradients? Freezing a weight is "
    "not the same as cutting the graph.",
    name="cuts_the_graph",
)
def freeze(module, frozen=True):
    """Runs the frozen part without gradients."""
    for p in module.parameters():
        p.requires_grad = not frozen
        p.grad = None
    forward = type(module).forward

    def silent(*args):
        with torch.no_grad():
            return forward(module.eval(), *args)

    if frozen:
        module.forward = silent
    return module


@misconception(
    "freeze",
    "An optimizer that was made before the freeze still holds these parameters. What does SGD with weight decay do to a "
    "parameter whose grad is left over from the last backward pass?",
    name="leaves_old_gradients",
    fails=["freeze-gradients"],
)
def freeze(module, frozen=True):
    """The last gradients stay, and the optimizer steps once more."""

    def hold(norm, inputs):
        norm.eval()

    for p in module.parameters():
        p.requires_grad = not frozen
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            if hasattr(part, "held"):
                part.held.remove()
            if frozen:
                part.held = part.register_forward_pre_hook(hold)
    return module


@misconception(
    "freeze",
    "Freeze, thaw, train(), and send a batch through. Do the statistics move again? What is still attached?",
    name="never_thaws_the_norms",
    fails=["freeze-thaw"],
)
def freeze(module, frozen=True):
    """The hooks stay for ever."""

    def hold(norm, inputs):
        norm.eval()

    for p in module.parameters():
        p.requires_grad = not frozen
        p.grad = None
    for part in module.modules():
        if frozen and isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            part.register_forward_pre_hook(hold)
    return module


@misconception(
    "freeze",
    "What about dropout inside of the frozen part? And in a copy of the model: whose train does your function call?",
    name="everything_in_evaluation_mode",
    fails=["freeze-statistics", "freeze-thaw"],
)
def freeze(module, frozen=True):
    """Dropout is switched off as well."""
    for p in module.parameters():
        p.requires_grad = not frozen
        p.grad = None
    for part in module.modules():
        part.__dict__.pop("train", None)
        if frozen:
            part.training = False
            part.train = lambda mode=True, part=part: part
    return module


@misconception(
    "freeze",
    "A batch norm two levels down, and a batch norm that is handed over by itself: does your loop reach both? children() "
    "is one level.",
    name="children_only",
    fails=["freeze-statistics", "freeze-thaw"],
)
def freeze(module, frozen=True):
    """Looks at the direct children alone."""

    def hold(norm, inputs):
        norm.eval()

    for p in module.parameters():
        p.requires_grad = not frozen
        p.grad = None
    for part in module.children():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            if hasattr(part, "held"):
                part.held.remove()
            if frozen:
                part.held = part.register_forward_pre_hook(hold)
    return module


@alternative("freeze", name="own_forward")
def freeze(module, frozen=True):
    """Each batch norm gets a forward that does not ask for the mode."""
    from types import MethodType

    def held(norm, x):
        numbers = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return nn.functional.batch_norm(x, *numbers, training=False, eps=norm.eps)

    for p in module.parameters():
        p.requires_grad_(not frozen)
        p.grad = None
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            vars(part).pop("forward", None)
            if frozen:
                part.forward = MethodType(held, part)
    return module


@alternative("freeze", name="own_train")
def freeze(module, frozen=True):
    """Each batch norm gets a train that ignores its argument."""
    module.requires_grad_(not frozen)
    module.zero_grad(set_to_none=True)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.__dict__.pop("train", None)
            if frozen:
                part.eval()
                part.train = lambda mode=True, part=part: part
    return module


@alternative("freeze", name="conditional_hook")
def freeze(module, frozen=True):
    """One hook for ever, which looks at a flag of its own module."""

    def hold(norm, inputs):
        if norm.is_held:
            norm.training = False

    for p in module.parameters():
        p.requires_grad = not frozen
        p.grad = None
    for part in [module, *module.modules()]:
        if isinstance(part, nn.modules.batchnorm._NormBase) and not isinstance(
            part, nn.modules.instancenorm._InstanceNorm
        ):
            if not hasattr(part, "is_held"):
                part.register_forward_pre_hook(hold)
            part.is_held = frozen
    return module


# ---- parameter_groups -----------------------------------------------------------------------


@misconception(
    "parameter_groups",
    "Which end of the network gets the largest rate? Print the rate of the head.",
    name="largest_rate_below",
    fails=["parameter_groups-rates", "parameter_groups-once"],
)
def parameter_groups(model, base_lr, factor=0.5, weight_decay=0.0):
    """Counts from the input."""
    groups, placed, lr = [], set(), base_lr
    for layer in [*model.children(), model]:
        new = [p for p in layer.parameters() if p.requires_grad and p not in placed]
        placed.update(new)
        for p in new:
            groups.append({"params": [p], "lr": lr, "weight_decay": weight_decay * (p.ndim > 1)})
        if new:
            lr *= factor
    return groups


@misconception(
    "parameter_groups",
    "A ReLU between two layers has nothing to train. Is it a step of the factor?",
    name="counts_empty_layers",
    fails=["parameter_groups-rates"],
)
def parameter_groups(model, base_lr, factor=0.5, weight_decay=0.0):
    """Every child is a step."""
    groups, placed = [], set()
    for depth, layer in enumerate([*reversed(list(model.children())), model]):
        for p in layer.parameters():
            if p.requires_grad and p not in placed:
                placed.add(p)
                decay = weight_decay if p.ndim > 1 else 0.0
                groups.append({"params": [p], "lr": base_lr * factor**depth, "weight_decay": decay})
    return groups


@misconception(
    "parameter_groups",
    "Two layers that share a weight: in how many of your groups is it? torch refuses such a list.",
    name="shared_twice",
    fails=["parameter_groups-once"],
)
def parameter_groups(model, base_lr, factor=0.5, weight_decay=0.0):
    """A shared tensor is in two groups."""
    groups, lr = [], base_lr
    layers = [list(child.parameters()) for child in model.children()]
    layers.insert(0, list(model.parameters(recurse=False)))
    for layer in reversed(layers):
        new = [p for p in layer if p.requires_grad]
        for p in new:
            decay = weight_decay if p.ndim > 1 else 0.0
            groups.append({"params": [p], "lr": lr, "weight_decay": decay})
        if new:
            lr *= factor
    return groups


@misconception(
    "parameter_groups",
    "A model may have parameters of its own, beside those of its children (a class token, a scale). In which of your "
    "groups are they? Compare the number of all parameters with the number in your groups.",
    name="forgets_the_models_own",
    fails=["parameter_groups-rates", "parameter_groups-decay"],
)
def parameter_groups(model, base_lr, factor=0.5, weight_decay=0.0):
    """Children only."""
    groups, placed, lr = [], set(), base_lr
    for layer in reversed(list(model.children())):
        new = [p for p in layer.parameters() if p.requires_grad and p not in placed]
        placed.update(new)
        for p in new:
            groups.append({"params": [p], "lr": lr, "weight_decay": weight_decay * (p.ndim > 1)})
        if new:
            lr *= factor
    return groups


@misconception(
    "parameter_groups",
    "Which weight decay do your gamma, beta and biases have?",
    name="decays_everything",
    fails=["parameter_groups-decay"],
)
def parameter_groups(model, base_lr, factor=0.5, weight_decay=0.0):
    """Biases and norms decay as well."""
    groups, placed, lr = [], set(), base_lr
    for layer in [*reversed(list(model.children())), model]:
        new = [p for p in layer.parameters() if p.requires_grad and p not in placed]
        placed.update(new)
        if new:
            groups.append({"params": new, "lr": lr, "weight_decay": weight_decay})
            lr *= factor
    return groups


@misconception(
    "parameter_groups",
    "Freeze the first layer and look for its weight in your groups.",
    name="includes_frozen",
    fails=["parameter_groups-rates", "parameter_groups-once"],
)
def parameter_groups(model, base_lr, factor=0.5, weight_decay=0.0):
    """Frozen parameters are handed to the optimizer."""
    groups, placed, lr = [], set(), base_lr
    for layer in [*reversed(list(model.children())), model]:
        new = [p for p in layer.parameters() if p not in placed]
        placed.update(new)
        for p in new:
            groups.append({"params": [p], "lr": lr, "weight_decay": weight_decay * (p.ndim > 1)})
        if new:
            lr *= factor
    return groups


@misconception(
    "parameter_groups",
    "Is each convolution a layer of its own, or each child of the model? Count the different rates in your groups.",
    name="every_leaf_a_layer",
    fails=["parameter_groups-rates"],
)
def parameter_groups(model, base_lr, factor=0.5, weight_decay=0.0):
    """One step of the factor for each module that has parameters of its own."""
    groups, placed, lr = [], set(), base_lr
    for layer in [*reversed(list(model.modules()))]:
        new = [p for p in layer.parameters(recurse=False) if p.requires_grad and p not in placed]
        placed.update(new)
        for p in new:
            groups.append({"params": [p], "lr": lr, "weight_decay": weight_decay * (p.ndim > 1)})
        if new:
            lr *= factor
    return groups


@misconception(
    "parameter_groups",
    "Is every parameter without decay called bias? What are gamma and beta called in a BatchNorm2d, and how many "
    "dimensions do they have?",
    name="bias_by_name",
    fails=["parameter_groups-decay"],
)
def parameter_groups(model, base_lr, factor=0.5, weight_decay=0.0):
    """No decay for what is called bias."""
    free = {p for name, p in model.named_parameters() if name.endswith("bias")}
    groups, placed, lr = [], set(), base_lr
    for layer in [*reversed(list(model.children())), model]:
        new = [p for p in layer.parameters() if p.requires_grad and p not in placed]
        placed.update(new)
        for p in new:
            decay = 0.0 if p in free else weight_decay
            groups.append({"params": [p], "lr": lr, "weight_decay": decay})
        if new:
            lr *= factor
    return groups


@alternative("parameter_groups", name="one_group_each")
def parameter_groups(model, base_lr, factor=0.5, weight_decay=0.0):
    """One group for each parameter, from the input to the head."""
    owner = {}
    layers = [
        list(model.parameters(recurse=False)),
        *(list(c.parameters()) for c in model.children()),
    ]
    for k, layer in enumerate(layers):
        for p in layer:
            if p.requires_grad:
                owner[id(p)] = (k, p)
    used = sorted({k for k, _ in owner.values()}, reverse=True)
    return [
        {
            "params": [p],
            "lr": base_lr * factor ** used.index(k),
            "weight_decay": 0.0 if p.dim() < 2 else weight_decay,
        }
        for k, p in owner.values()
    ]


# ---- thawed ---------------------------------------------------------------------------------


@misconception(
    "thawed",
    "In epoch 0, which layer should learn: the one next to the picture, or the one that knows nothing yet?",
    name="from_the_input",
)
def thawed(model, epoch, every=1):
    """Thaws from below."""
    names = [name for name, child in model.named_children() if list(child.parameters())]
    return names[: epoch // every + 1]


@misconception(
    "thawed",
    "A slice up to epoch // every: how many layers learn in epoch 0?",
    name="nothing_at_first",
)
def thawed(model, epoch, every=1):
    """Off by one."""
    names = [name for name, child in model.named_children() if list(child.parameters())]
    return names[::-1][: epoch // every]


@misconception(
    "thawed",
    "A pooling layer has nothing to learn. Does it cost an epoch in your list?",
    name="counts_pooling",
)
def thawed(model, epoch, every=1):
    """Children without parameters count."""
    names = [name for name, _ in model.named_children()]
    return names[::-1][: epoch // every + 1]


@misconception(
    "thawed",
    "Do the layers that were thawed earlier go on learning?",
    name="one_at_a_time",
)
def thawed(model, epoch, every=1):
    """Only the newest layer."""
    names = [name for name, child in model.named_children() if list(child.parameters())][::-1]
    return [names[min(epoch // every, len(names) - 1)]]


@misconception(
    "thawed",
    "You call thawed to find out which frozen layers to thaw. What does it say about a child that is frozen now?",
    name="skips_what_is_frozen",
)
def thawed(model, epoch, every=1):
    """Counts only what can learn already."""
    names = [
        name
        for name, child in model.named_children()
        if any(p.requires_grad for p in child.parameters())
    ]
    return names[::-1][: epoch // every + 1]


@alternative("thawed", name="loop")
def thawed(model, epoch, every=1):
    """A loop from the head down."""
    found = []
    for name, child in reversed(list(model.named_children())):
        if sum(1 for _ in child.parameters()) and len(found) * every <= epoch:
            found.append(name)
    return tuple(found)


# ---- read_weights ---------------------------------------------------------------------------


@misconception(
    "read_weights",
    "The test's file makes a folder when it is loaded. Look at all arguments of torch.load.",
    name="runs_the_pickle",
    fails=["read_weights-safe"],
)
def read_weights(path, sha256=None):
    """weights_only=False."""
    data = Path(path).read_bytes()
    if sha256 is None:
        said = re.search("-([0-9a-f]{8,64})$", Path(path).stem)
        sha256 = said[1] if said else None
    if sha256 is not None:
        digest = hashlib.sha256(data).hexdigest()
        if len(sha256) < 8 or not digest.startswith(sha256.lower()):
            raise ValueError("checksum")
    weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    for key in ("state_dict", "model"):
        if isinstance(weights, dict) and isinstance(weights.get(key), dict):
            weights = weights[key]
    if not isinstance(weights, dict) or not all(torch.is_tensor(v) for v in weights.values()):
        raise ValueError("no tensors")
    return weights


@misconception(
    "read_weights",
    "When is the checksum compared: before anything in the file is interpreted, or after?",
    name="checks_after_reading",
    fails=["read_weights-checksum", "read_weights-safe"],
)
def read_weights(path, sha256=None):
    """Loads first."""
    data = Path(path).read_bytes()
    weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if sha256 is None:
        said = re.search("-([0-9a-f]{8,64})$", Path(path).stem)
        sha256 = said[1] if said else None
    if sha256 is not None:
        digest = hashlib.sha256(data).hexdigest()
        if len(sha256) < 8 or not digest.startswith(sha256.lower()):
            raise ValueError("checksum")
    for key in ("state_dict", "model"):
        if isinstance(weights, dict) and isinstance(weights.get(key), dict):
            weights = weights[key]
    if not isinstance(weights, dict) or not all(torch.is_tensor(v) for v in weights.values()):
        raise ValueError("no tensors")
    return weights


@misconception(
    "read_weights",
    "No sha256 was given, but the file is called net-0a1b2c3d.pth. What do the eight digits say?",
    name="ignores_the_name",
    fails=["read_weights-checksum"],
)
def read_weights(path, sha256=None):
    """Only the argument is checked."""
    data = Path(path).read_bytes()
    if sha256 is not None:
        digest = hashlib.sha256(data).hexdigest()
        if len(sha256) < 8 or not digest.startswith(sha256.lower()):
            raise ValueError("checksum")
    weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(weights, dict) and isinstance(weights.get(key), dict):
            weights = weights[key]
    if not isinstance(weights, dict) or not all(torch.is_tensor(v) for v in weights.values()):
        raise ValueError("no tensors")
    return weights


@misconception(
    "read_weights",
    "`digits in digest` is true wherever the digits stand, and also for an empty text. Where must they stand? How many "
    "must there be?",
    name="any_prefix",
    fails=["read_weights-checksum"],
)
def read_weights(path, sha256=None):
    """A checksum of no digits fits everything."""
    data = Path(path).read_bytes()
    if not sha256:
        said = re.search("-([0-9a-f]{8,64})$", Path(path).stem)
        sha256 = said[1] if said else ""
    if not hashlib.sha256(data).hexdigest().startswith(sha256.lower()):
        raise ValueError("checksum")
    weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(weights, dict) and isinstance(weights.get(key), dict):
            weights = weights[key]
    if not isinstance(weights, dict) or not all(torch.is_tensor(v) for v in weights.values()):
        raise ValueError("no tensors")
    return weights


@misconception(
    "read_weights",
    "A training script saves {'epoch': ..., 'state_dict': {...}}. Where are the tensors?",
    name="does_not_unwrap",
    fails=["read_weights-tensors"],
)
def read_weights(path, sha256=None):
    """Returns what is in the file."""
    data = Path(path).read_bytes()
    if sha256 is None:
        said = re.search("-([0-9a-f]{8,64})$", Path(path).stem)
        sha256 = said[1] if said else None
    if sha256 is not None:
        digest = hashlib.sha256(data).hexdigest()
        if len(sha256) < 8 or not digest.startswith(sha256.lower()):
            raise ValueError("checksum")
    weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(weights, dict) or not all(torch.is_tensor(v) for v in weights.values()):
        raise ValueError("no tensors")
    return weights


@misconception(
    "read_weights",
    "weights_only=True refuses programs. A file may still hold a list, or an epoch number beside the tensors, or weights "
    "in a wrapping that you do not know. What does your function return then?",
    name="believes_the_content",
    fails=["read_weights-safe"],
)
def read_weights(path, sha256=None):
    """Looks at no value."""
    data = Path(path).read_bytes()
    if sha256 is None:
        said = re.search("-([0-9a-f]{8,64})$", Path(path).stem)
        sha256 = said[1] if said else None
    if sha256 is not None:
        digest = hashlib.sha256(data).hexdigest()
        if len(sha256) < 8 or not digest.startswith(sha256.lower()):
            raise ValueError("checksum")
    weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(weights.get(key), dict):
            weights = weights[key]
    return weights


@misconception(
    "read_weights",
    "resnet18-best.pt has a hyphen, too, and net-1234567 has seven digits. Which names say a checksum?",
    name="last_piece_of_the_name",
    fails=["read_weights-tensors"],
)
def read_weights(path, sha256=None):
    """Takes whatever stands behind the last hyphen for a checksum."""
    data = Path(path).read_bytes()
    if sha256 is None and "-" in Path(path).stem:
        sha256 = Path(path).stem.split("-")[-1]
    if sha256 is not None:
        digest = hashlib.sha256(data).hexdigest()
        if len(sha256) < 8 or not digest.startswith(sha256.lower()):
            raise ValueError("checksum")
    weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(weights, dict) and isinstance(weights.get(key), dict):
            weights = weights[key]
    if not isinstance(weights, dict) or not all(torch.is_tensor(v) for v in weights.values()):
        raise ValueError("no tensors")
    return weights


@alternative("read_weights", name="by_hand")
def read_weights(path, sha256=None):
    """No regular expression; reads the file twice."""
    path = Path(path)
    if sha256 is None and "-" in path.stem:
        last = path.stem.split("-")[-1]
        if 8 <= len(last) <= 64 and set(last) <= set("0123456789abcdef"):
            sha256 = last
    if sha256 is not None:
        with open(path, "rb") as file:
            real = hashlib.file_digest(file, "sha256").hexdigest()
        if not 8 <= len(sha256) <= 64 or real[: len(sha256)] != sha256.lower():
            raise ValueError(f"{path.name} is not the file that was published")
    content = torch.load(str(path), weights_only=True, map_location=torch.device("cpu"))
    if type(content).__name__ not in ("dict", "OrderedDict"):
        raise ValueError("no dict")
    for key in ("state_dict", "model"):
        if type(content.get(key)).__name__ in ("dict", "OrderedDict"):
            content = dict(content[key])
    for name, value in content.items():
        if not torch.is_tensor(value):
            raise ValueError(f"{name} is no tensor")
    return content


# ---- rename_keys ----------------------------------------------------------------------------


@misconception(
    "rename_keys",
    'lstrip takes a set of letters. Try "module.layer1".lstrip("module.").',
    name="lstrip",
    fails=["rename_keys-prefix"],
)
def rename_keys(weights, rename=None):
    """Strips letters."""
    parallel = all(name.startswith("module.") for name in weights)
    renamed = {}
    for name, value in weights.items():
        if parallel:
            name = name.lstrip("module.")
        for old, new in (rename or {}).items():
            if name == old or name.startswith(old + "."):
                name = (new + name.removeprefix(old)).removeprefix(".")
                break
        if name in renamed:
            raise ValueError(name)
        renamed[name] = value
    return renamed


@misconception(
    "rename_keys",
    "bn1 in layer1.0.bn1 is another layer than the bn1 at the top. str.replace changes every place where the text stands.",
    name="replaces_everywhere",
    fails=["rename_keys-pieces"],
)
def rename_keys(weights, rename=None):
    """str.replace."""
    parallel = all(name.startswith("module.") for name in weights)
    renamed = {}
    for name, value in weights.items():
        if parallel:
            name = name.removeprefix("module.")
        for old, new in (rename or {}).items():
            if old in name:
                name = name.replace(old, new).removeprefix(".")
                break
        if name in renamed:
            raise ValueError(name)
        renamed[name] = value
    return renamed


@misconception(
    "rename_keys",
    "layer1 begins layer10, too. What must follow the beginning, for it to be a whole piece?",
    name="half_pieces",
    fails=["rename_keys-pieces"],
)
def rename_keys(weights, rename=None):
    """startswith without the dot."""
    parallel = all(name.startswith("module.") for name in weights)
    renamed = {}
    for name, value in weights.items():
        if parallel:
            name = name.removeprefix("module.")
        for old, new in (rename or {}).items():
            if name.startswith(old):
                name = (new + name.removeprefix(old)).removeprefix(".")
                break
        if name in renamed:
            raise ValueError(name)
        renamed[name] = value
    return renamed


@misconception(
    "rename_keys",
    "One name of three begins with module. Is that DataParallel, or a layer that is called so?",
    name="prefix_of_some",
    fails=["rename_keys-prefix", "rename_keys-pieces"],
)
def rename_keys(weights, rename=None):
    """Drops module. from each name that has it."""
    renamed = {}
    for name, value in weights.items():
        name = name.removeprefix("module.")
        for old, new in (rename or {}).items():
            if name == old or name.startswith(old + "."):
                name = (new + name.removeprefix(old)).removeprefix(".")
                break
        if name in renamed:
            raise ValueError(name)
        renamed[name] = value
    return renamed


@misconception(
    "rename_keys",
    "Two tensors end up under one name. Which of them is in your dict?",
    name="loses_one",
    fails=["rename_keys-pieces"],
)
def rename_keys(weights, rename=None):
    """The later one wins without a word."""
    parallel = all(name.startswith("module.") for name in weights)
    renamed = {}
    for name, value in weights.items():
        if parallel:
            name = name.removeprefix("module.")
        for old, new in (rename or {}).items():
            if name == old or name.startswith(old + "."):
                name = (new + name.removeprefix(old)).removeprefix(".")
                break
        renamed[name] = value
    return renamed


@misconception(
    "rename_keys",
    "After the first pair that fits, the name is done. With {'a': 'b', 'b': 'a'}, what becomes of a.w?",
    name="goes_on_renaming",
    fails=["rename_keys-pieces"],
)
def rename_keys(weights, rename=None):
    """All pairs, one after the other."""
    parallel = all(name.startswith("module.") for name in weights)
    renamed = {}
    for name, value in weights.items():
        if parallel:
            name = name.removeprefix("module.")
        for old, new in (rename or {}).items():
            if name == old or name.startswith(old + "."):
                name = (new + name.removeprefix(old)).removeprefix(".")
        if name in renamed:
            raise ValueError(name)
        renamed[name] = value
    return renamed


@misconception(
    "rename_keys",
    "All names begin with module., and rename says {'bn': 'norm'}. Which of the two steps comes first?",
    name="renames_before_module",
    fails=["rename_keys-pieces"],
)
def rename_keys(weights, rename=None):
    """Drops module. at the end."""
    renamed = {}
    for name, value in weights.items():
        for old, new in (rename or {}).items():
            if name == old or name.startswith(old + "."):
                name = (new + name.removeprefix(old)).removeprefix(".")
                break
        if name in renamed:
            raise ValueError(name)
        renamed[name] = value
    if all(name.startswith("module.") for name in renamed):
        renamed = {name.removeprefix("module."): value for name, value in renamed.items()}
    return renamed


@alternative("rename_keys", name="lists_of_pieces")
def rename_keys(weights, rename=None):
    """Compares lists of pieces."""
    names = [name.split(".") for name in weights]
    if all(len(pieces) > 1 and pieces[0] == "module" for pieces in names):
        names = [pieces[1:] for pieces in names]
    table = [(old.split("."), new.split(".") if new else []) for old, new in (rename or {}).items()]
    results = []
    for pieces in names:
        for old, new in table:
            if pieces[: len(old)] == old:
                pieces = new + pieces[len(old) :]
                break
        results.append(".".join(pieces))
    if len(set(results)) < len(results):
        raise ValueError(f"names that come twice: {results}")
    return dict(zip(results, weights.values(), strict=True))


# ---- match_by_order -------------------------------------------------------------------------


@misconception(
    "match_by_order",
    "zip stops at the shorter one. What happens to a model that has two tensors more than the file?",
    name="zip_stops",
    fails=["match_by_order-refused"],
)
def match_by_order(weights, own):
    """Says nothing about what is left over."""
    theirs = [(n, v) for n, v in weights.items() if not n.endswith("num_batches_tracked")]
    mine = [(n, v) for n, v in own.items() if not n.endswith("num_batches_tracked")]
    matched = {}
    for (name, value), (place, now) in zip(theirs, mine, strict=False):
        if value.shape != now.shape:
            raise ValueError(f"{name} does not fit {place}")
        matched[place] = value
    return matched


@misconception(
    "match_by_order",
    "A convolution of shape (3, 1, 2, 2) and one of (1, 3, 2, 2) have equally many numbers. Do they fit?",
    name="counts_numbers",
    fails=["match_by_order-refused"],
)
def match_by_order(weights, own):
    """Compares numel and reshapes."""
    theirs = [(n, v) for n, v in weights.items() if not n.endswith("num_batches_tracked")]
    mine = [(n, v) for n, v in own.items() if not n.endswith("num_batches_tracked")]
    matched = {}
    for (name, value), (place, now) in zip(theirs, mine, strict=True):
        if value.numel() != now.numel():
            raise ValueError(f"{name} does not fit {place}")
        matched[place] = value.reshape(now.shape)
    return matched


@misconception(
    "match_by_order",
    "An old file has no num_batches_tracked. Which tensor does your third one meet?",
    name="counts_the_counters",
    fails=["match_by_order-pairs"],
)
def match_by_order(weights, own):
    """num_batches_tracked takes part."""
    if len(weights) != len(own):
        raise ValueError("another number of tensors")
    matched = {}
    for (name, value), (place, now) in zip(weights.items(), own.items(), strict=True):
        if value.shape != now.shape:
            raise ValueError(f"{name} does not fit {place}")
        matched[place] = value
    return matched


@misconception(
    "match_by_order",
    "By order, and not by the alphabet: 10 comes before 2 there.",
    name="sorted_by_name",
    fails=["match_by_order-pairs", "match_by_order-refused"],
)
def match_by_order(weights, own):
    """Sorts both sides."""
    theirs = sorted((n, v) for n, v in weights.items() if not n.endswith("num_batches_tracked"))
    mine = sorted((n, v) for n, v in own.items() if not n.endswith("num_batches_tracked"))
    matched = {}
    for (name, value), (place, now) in zip(theirs, mine, strict=True):
        if value.shape != now.shape:
            raise ValueError(f"{name} does not fit {place}")
        matched[place] = value
    return matched


@alternative("match_by_order", name="indices")
def match_by_order(weights, own):
    """Lists and indices, and copies of the tensors."""
    a = [n for n in weights if n.split(".")[-1] != "num_batches_tracked"]
    b = [n for n in own if n.split(".")[-1] != "num_batches_tracked"]
    for k in range(min(len(a), len(b))):
        if tuple(weights[a[k]].shape) != tuple(own[b[k]].shape):
            raise ValueError(f"number {k}: {a[k]} is no {b[k]}")
    if len(a) != len(b):
        raise ValueError("there are more of one than of the other")
    return {b[k]: weights[a[k]].clone() for k in range(len(a))}


# ---- load_matching --------------------------------------------------------------------------


@misconception(
    "load_matching",
    "strict=False forgives everything that is missing or unexpected, even if it is all of it. Look at what it returns.",
    name="strict_false",
    fails=["load_matching-refused", "load_matching-head"],
)
def load_matching(model, weights, head=True):
    """Loads what fits, and says nothing."""
    own = model.state_dict()
    weights = {n: v for n, v in weights.items() if n not in own or own[n].shape == v.shape}
    model.load_state_dict(weights, strict=False)
    return [n for n in own if n not in weights]


@misconception(
    "load_matching",
    "After the error, look at a layer that was in the file with the right shape: is it as before? When does "
    "load_state_dict raise, before it copies or after?",
    name="loads_half",
    fails=["load_matching-refused"],
)
def load_matching(model, weights, head=True):
    """Relies on strict=True, which copies first."""
    own = model.state_dict()
    last = ["", *(n for n, m in model.named_modules() if isinstance(m, nn.Linear))][-1]
    kept = () if head else (f"{last}.weight", f"{last}.bias")
    chosen = {n: v for n, v in weights.items() if n not in kept}
    left = [n for n in own if n not in chosen]
    fill = {n: own[n] for n in left if n in kept or n.endswith("num_batches_tracked")}
    try:
        model.load_state_dict(chosen | fill)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    return left


@misconception(
    "load_matching",
    "Which of the problems does your message name? Somebody will mend one, and start again, and find the next.",
    name="first_problem_only",
    fails=["load_matching-refused"],
)
def load_matching(model, weights, head=True):
    """Stops at the first mistake."""
    own = model.state_dict()
    last = ["", *(n for n, m in model.named_modules() if isinstance(m, nn.Linear))][-1]
    kept = () if head else (f"{last}.weight", f"{last}.bias")
    chosen = {n: v for n, v in weights.items() if n not in kept}
    left = [n for n in own if n not in chosen]
    for n in left:
        if n not in kept and not n.endswith("num_batches_tracked"):
            raise ValueError(f"{n} is missing")
    for n in chosen:
        if n not in own:
            raise ValueError(f"{n} is unexpected")
        if chosen[n].shape != own[n].shape:
            raise ValueError(f"{n} has another shape")
    model.load_state_dict(chosen, strict=False)
    return left


@misconception(
    "load_matching",
    "Compare dtype and memory of the model's tensors with those of weights after loading. Are they the model's own?",
    name="assigns_instead_of_copies",
    fails=["load_matching-values"],
)
def load_matching(model, weights, head=True):
    """The model's tensors are those of weights."""
    own = model.state_dict()
    last = ["", *(n for n, m in model.named_modules() if isinstance(m, nn.Linear))][-1]
    kept = () if head else (f"{last}.weight", f"{last}.bias")
    chosen = {n: v for n, v in weights.items() if n not in kept}
    left = [n for n in own if n not in chosen]
    bad = [n for n in left if n not in kept and not n.endswith("num_batches_tracked")]
    bad += [n for n in chosen if n not in own or chosen[n].shape != own[n].shape]
    if bad:
        raise ValueError(f"these do not fit: {bad}")
    model.load_state_dict(chosen, strict=False, assign=True)
    return left


@misconception(
    "load_matching",
    "A file from 2017 has no num_batches_tracked. Is it a bad file?",
    name="demands_the_counters",
    fails=["load_matching-values", "load_matching-head"],
)
def load_matching(model, weights, head=True):
    """num_batches_tracked must be there."""
    own = model.state_dict()
    last = ["", *(n for n, m in model.named_modules() if isinstance(m, nn.Linear))][-1]
    kept = () if head else (f"{last}.weight", f"{last}.bias")
    chosen = {n: v for n, v in weights.items() if n not in kept}
    left = [n for n in own if n not in chosen]
    bad = [n for n in left if n not in kept]
    bad += [n for n in chosen if n not in own or chosen[n].shape != own[n].shape]
    if bad:
        raise ValueError(f"these do not fit: {bad}")
    model.load_state_dict(chosen, strict=False)
    return left


@misconception(
    "load_matching",
    "head=False, and the file's head happens to have the same size as yours: whose numbers should be in it?",
    name="head_only_if_it_fits",
    fails=["load_matching-head"],
)
def load_matching(model, weights, head=True):
    """The head is left out only where its shape differs."""
    own = model.state_dict()
    last = ["", *(n for n, m in model.named_modules() if isinstance(m, nn.Linear))][-1]
    kept = [] if head else [f"{last}.weight", f"{last}.bias"]
    kept = [n for n in kept if n not in weights or n not in own or weights[n].shape != own[n].shape]
    chosen = {n: v for n, v in weights.items() if n not in kept}
    left = [n for n in own if n not in chosen]
    bad = [n for n in left if n not in kept and not n.endswith("num_batches_tracked")]
    bad += [n for n in chosen if n not in own or chosen[n].shape != own[n].shape]
    if bad:
        raise ValueError(f"these do not fit: {bad}")
    model.load_state_dict(chosen, strict=False)
    return left


@alternative("load_matching", name="copies_by_hand")
def load_matching(model, weights, head=True):
    """Sets and copy_."""
    linears = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    prefix = list(linears)[-1] if linears else ""
    mine = dict(model.state_dict())
    skip = set() if head else {prefix + ".weight", prefix + ".bias"}
    theirs = {n: t for n, t in weights.items() if n not in skip}
    need = {n for n in mine if not n.endswith(".num_batches_tracked")} - skip
    problems = [f"{n} is missing" for n in sorted(need - set(theirs))]
    problems += [f"{n} is not known here" for n in sorted(set(theirs) - set(mine))]
    problems += [
        f"{n} is {tuple(t.shape)}"
        for n, t in theirs.items()
        if n in mine and t.shape != mine[n].shape
    ]
    if problems:
        raise ValueError("; ".join(problems))
    with torch.no_grad():
        for n, t in theirs.items():
            mine[n].copy_(t)
    return [n for n in mine if n not in theirs]
