"""One architecture a file; each is an ordinary `torch.nn.Module` for one network.

A model class takes `registered` (its name), `declares` (its parameters besides `inputs` and
`outputs`, which the task gives) and `constraints` from its declaration in
`phasediag.models._declared`, and states the property `neuron_groups`. Where it states `padded`,
trials that differ in these parameters may share a program: with a smaller value, its network is that
of a larger one whose parameters are zero outside of the leading corner of every tensor; with
`batch_size` among them, what it gives for a sample depends on no other sample.
"""
