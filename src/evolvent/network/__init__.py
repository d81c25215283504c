"""Architectures made real: plans, modules, costs, and the training loop."""
