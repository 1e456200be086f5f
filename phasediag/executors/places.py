"""Places for workers on GPUs."""


def workers_on(devices: float, gpus: float) -> int:
    """How many workers have room on so many GPUs; one that takes a share has all of it on one GPU."""
    return int(devices) * int(1 / gpus) if gpus < 1 else int(devices / gpus)
