"""Written by hand: batched forward and backward in place, and the bare products of the same shapes."""

from __future__ import annotations

import torch
from peer_work import Work
from torch import Tensor


def product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Matrix products, shapes (trials, n, k) and (trials, k, m); of numbers where they are numbers."""
    multiply = torch.mul if a.shape[1:] == b.shape[1:] == (1, 1) else torch.bmm
    multiply(a, b, out=out)


def accumulate(into: Tensor, a: Tensor, b: Tensor) -> None:
    """Add such products to `into`."""
    if a.shape[1:] == b.shape[1:] == (1, 1):
        into.addcmul_(a, b)
    else:
        into.baddbmm_(a, b)


def column(values: object) -> Tensor:
    """One number a trial, shape (trials, 1, 1)."""
    return torch.as_tensor(values).view(-1, 1, 1)


class Tile:
    """The first trials of the work, side by side.

    The gradient of a trial's output is scaled by minus its learning rate at once, so that the update of a
    layer is one product added to its decayed weights.
    """

    def __init__(self, work: Work, trials: int) -> None:
        work = work.first(trials)
        self.work = work
        self.weights = [torch.tensor(w) for w in work.weights.values()]
        self.kept = column(1 - work.learning_rate * work.weight_decay)
        self.scale = column(-2 / work.batch * work.learning_rate)
        self.noise_scale = column(work.label_noise)
        self.outs = [w.new_empty(trials, work.batch, w.shape[1]) for w in self.weights]
        self.gradients = [torch.empty_like(out) for out in self.outs[:-1]]

    def advance(self, steps: int) -> None:
        """Train from the start for so many steps."""
        x, y, noise = self._gathered(steps)
        for step in range(steps):
            self._step(self._by_trial(x[step]), self._by_trial(y[step]), self._by_trial(noise[step]))

    def _gathered(self, steps: int) -> list[Tensor]:
        """The batches of all steps, shapes (steps, replicates, batch, numbers)."""
        rows = torch.from_numpy(self.work.rows[:, :steps]).long().transpose(0, 1)
        world = torch.arange(self.work.replicates).view(1, -1, 1)
        return [torch.from_numpy(part)[world, rows] for part in self.work.data]

    def _by_trial(self, part: Tensor) -> Tensor:
        """Shape (replicates, batch, numbers) to (trials, batch, numbers); one replicate is not copied."""
        points = len(self.kept) // len(part)
        return part.unsqueeze(1).expand(-1, points, -1, -1).reshape(-1, *part.shape[1:])

    def _forward(self, x: Tensor) -> Tensor:
        for w, out in zip(self.weights, self.outs, strict=True):
            product(x, w.transpose(1, 2), out)
            if self.work.settings["tanh"] and out is not self.outs[-1]:
                out.tanh_()
            x = out
        return x

    def _step(self, x: Tensor, y: Tensor, noise: Tensor) -> None:
        gradient = self._forward(x).sub_(y).addcmul_(self.noise_scale, noise, value=-1).mul_(self.scale)
        for layer in range(len(self.weights) - 1, -1, -1):
            w, below = self.weights[layer], self.outs[layer - 1] if layer else x
            if layer:
                product(gradient, w, self.gradients[layer - 1])
            accumulate(w.mul_(self.kept), gradient.transpose(1, 2), below)
            if layer:
                gradient = self.gradients[layer - 1]
                if self.work.settings["tanh"]:
                    torch.ops.aten.tanh_backward.grad_input(gradient, below, grad_input=gradient)

    def losses(self) -> Tensor:
        """Shape (trials,)."""
        x, y, noise = (self._by_trial(torch.from_numpy(part)) for part in self.work.measured)
        for w in self.weights:
            x = torch.einsum("tbi,toi->tbo", x, w)
            if self.work.settings["tanh"] and w is not self.weights[-1]:
                x = x.tanh()
        return (x - y - self.noise_scale * noise).square().sum(dim=2).mean(dim=1)


class Products:
    """The products of a step and nothing else; the first layer's inputs are shared where the work's are."""

    def __init__(self, work: Work, trials: int) -> None:
        self.pairs: list[tuple[Tensor, Tensor]] = []
        for layer, weights in enumerate(work.weights.values()):
            w = torch.tensor(weights[:trials])
            x = torch.randn(1 if layer == 0 and work.replicates == 1 else trials, work.batch, w.shape[2])
            x = x.to(w.dtype).expand(trials, -1, -1)
            g = torch.randn(trials, work.batch, w.shape[1]).to(w.dtype)
            self.pairs += [(x, w.transpose(1, 2)), (g.transpose(1, 2), x)]
            if layer:
                self.pairs.append((g, w))
        self.outs = [a.new_empty(trials, a.shape[1], b.shape[2]) for a, b in self.pairs]

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            for (a, b), out in zip(self.pairs, self.outs, strict=True):
                product(a, b, out)
