"""Kernels that start warm and cannot do harm: a zygote forks them, bubblewrap builds the rooms."""
