"""One dry step of each structure, beside plain PyTorch, before anything is recorded (torch)."""
