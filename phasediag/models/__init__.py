"""One architecture a file; each is an ordinary `torch.nn.Module` for one network.

A model class states `registered` (its name), `declares` (its parameters besides `inputs` and
`outputs`, which the task gives), `constraints`, and the property `neuron_groups`.
"""
