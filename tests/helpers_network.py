"""What tests of several families of networks look at."""

import torch


def shapes(net, x):
    """Shape of what every module gives, by its name."""
    found, hooks = {}, []
    for name, module in net.named_children():

        def note(module, inputs, output, name=name):
            found[name] = tuple(output.shape[1:])

        hooks.append(module.register_forward_hook(note))
    with torch.no_grad():
        y = net(x)
    for hook in hooks:
        hook.remove()
    return found, y
