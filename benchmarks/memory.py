"""100,000 steps of a small net, and a loss accumulated 100,000 times without a look: flat memory?

``python benchmarks/memory.py`` takes about a minute and prints the resident set on the way.
"""

from __future__ import annotations

import os
import sys

import cresset as torch


def resident() -> float:
    """Megabytes of memory that the process holds."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def steps(count: int) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, y = torch.randn(16, 4), torch.randn(16, 1)
    for i in range(count):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
        if i % (count // 5) == count // 50:
            print(f"  step {i:>7}: {resident():.1f} MB")


def unseen(count: int) -> None:
    total = torch.zeros(())
    for i in range(count):
        total = total + 1
        if i % (count // 5) == count // 50:
            print(f"  sum  {i:>7}: {resident():.1f} MB")
    assert total.item() == count


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print("training steps")
    steps(count)
    print("a sum nobody looks at")
    unseen(count)
