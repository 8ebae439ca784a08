"""Random numbers at NumPy level: PyTorch's CPU generator and its exact recipes.

``generator`` holds the Mersenne Twister and its state in PyTorch's byte format, ``recipes`` turns
its 32-bit draws into distributions the way PyTorch does, ``boxmuller`` is the one recipe that needs
PyTorch's own float32 logarithm and sine. ``machine`` makes long draws by machine code.
"""
