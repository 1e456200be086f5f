"""Convolutions, norms and pooling, over 16 numbers taken as a picture of 4 times 4 or a series of 16."""
# ruff: noqa: N812

import torch
import torch.nn.functional as F
from torch import nn


class Conv1d(nn.Module):
    def __init__(self, inputs: int, outputs: int, channels: int = 4):
        super().__init__()
        self.conv = nn.Conv1d(1, channels, 3, padding=1, stride=2)
        self.head = nn.Linear(channels, outputs)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x[:, None])).mean(dim=-1))


class Conv2d(nn.Module):
    def __init__(self, inputs: int, outputs: int, channels: int = 4):
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.flat = nn.Flatten()
        self.head = nn.Linear(4 * channels, outputs)

    def forward(self, x):
        return self.head(self.flat(self.pool(torch.relu(self.conv(x.view(-1, 1, 4, 4))))))


class Circular(nn.Module):
    """Periodic padding, dilation and groups."""

    def __init__(self, inputs: int, outputs: int, channels: int = 4):
        super().__init__()
        self.wide = nn.Conv2d(1, channels, 3, padding=2, dilation=2, padding_mode="circular")
        self.depthwise = nn.Conv2d(channels, channels, 3, padding="same", groups=channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, outputs)

    def forward(self, x):
        h = torch.tanh(self.wide(x.view(-1, 1, 4, 4)))
        return self.head(self.pool(torch.tanh(self.depthwise(h))).flatten(1))


class UNet(nn.Module):
    def __init__(self, inputs: int, outputs: int, channels: int = 2):
        super().__init__()
        self.down = nn.Conv1d(1, channels, 2, stride=2)
        self.middle = nn.Conv1d(channels, channels, 3, padding=1)
        self.up = nn.ConvTranspose1d(channels, 1, 2, stride=2)
        self.head = nn.Linear(2 * inputs, outputs)

    def forward(self, x):
        h = F.gelu(self.down(x[:, None]))
        h = self.up(F.gelu(self.middle(h)))
        return self.head(torch.cat([x, h[:, 0]], dim=-1))


class ResNet(nn.Module):
    """Blocks of two convolutions with GroupNorm."""

    def __init__(self, inputs: int, outputs: int, channels: int = 4):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.GroupNorm(2, channels), nn.GroupNorm(2, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.relu = nn.ReLU()
        self.head = nn.Linear(channels, outputs)

    def forward(self, x):
        x = self.stem(x.view(-1, 1, 4, 4))
        h = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        return self.head(self.relu(x + h).mean(dim=(2, 3)))


class SqueezeExcite(nn.Module):
    def __init__(self, inputs: int, outputs: int, channels: int = 4):
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1)
        self.squeeze, self.excite = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)
        self.head = nn.Linear(channels * 16, outputs)

    def forward(self, x):
        h = torch.relu(self.conv(x.reshape(-1, 1, 4, 4)))
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(F.adaptive_avg_pool2d(h, 1)))))
        return self.head((h * gate).flatten(1))


class BatchNormStateless(nn.Module):
    """The statistics of the batch alone; its gain and shift are trained."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up = nn.Linear(inputs, width)
        self.norm = nn.BatchNorm1d(width, track_running_stats=False)
        self.down = nn.Linear(width, outputs)

    def forward(self, x):
        return self.down(torch.tanh(self.norm(self.up(x))))


class InstanceNormStateless(nn.Module):
    def __init__(self, inputs: int, outputs: int, channels: int = 3):
        super().__init__()
        self.conv = nn.Conv1d(1, channels, 3)
        self.norm = nn.InstanceNorm1d(channels, affine=True)
        self.head = nn.Linear(channels, outputs)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.conv(x[:, None]))).amax(dim=-1))


class RMSNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.up, self.norm, self.down = nn.Linear(inputs, width), nn.RMSNorm(width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.down(F.silu(self.norm(self.up(x))))


class NormsWithoutGain(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.norm = nn.LayerNorm(inputs, elementwise_affine=False)
        self.up, self.down = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        h = torch.relu(self.up(self.norm(x)))
        return self.down(F.normalize(h, dim=-1, eps=1e-6))


class LocalResponse(nn.Module):
    def __init__(self, inputs: int, outputs: int, channels: int = 4):
        super().__init__()
        self.conv = nn.Conv1d(1, channels, 3)
        self.norm = nn.LocalResponseNorm(2)
        self.pool = nn.AvgPool1d(2)
        self.head = nn.Linear(channels * 7, outputs)

    def forward(self, x):
        return self.head(self.pool(self.norm(torch.relu(self.conv(x[:, None])))).flatten(1))


class PixelShuffled(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.head = nn.Linear(64, outputs)

    def forward(self, x):
        x = x.view(-1, 1, 4, 4)
        return self.head((self.shuffle(torch.tanh(self.conv(x))) + self.up(x)).flatten(1))
