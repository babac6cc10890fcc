"""Programs judged and timed on a card by a trusted referee process, on a clock they cannot touch.

The executor itself never creates a CUDA context and imports neither torch nor cupy: it owns the lease, NVML and
the kill. Below it stand a zygote, armed candidates and the referee, each a process of its own.
"""
