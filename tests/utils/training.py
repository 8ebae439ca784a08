"""A small training run, for ``test_checkpointer``: prints a hash of its weights when it is through.

``python training.py FOLDER WORKERS EVERY KILL`` saves after every so many steps and kills itself
after step ``KILL`` (0: never), without any warning, as a machine that goes down does. It trains
with what makes resuming hard: shuffling, samples with random noise, dropout, batch norm, Adam, a
schedule, a last batch of another size, and programs that are compiled on the way.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
from typing import Any

import numpy as np

import cresset as torch
from cresset import nn

EPOCHS, SAMPLES, BATCH = 2, 100, 8


class Noisy(torch.utils.data.Dataset):
    """Samples that differ whenever they are looked at, by all three kinds of random numbers."""

    def __init__(self) -> None:
        self.x = torch.randn(SAMPLES, 20)
        self.y = torch.randint(0, 5, (SAMPLES,))

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        noise = torch.randn(20) + random.random() + float(np.random.rand())
        return self.x[i] + 0.1 * noise, self.y[i]


def main(folder: str, workers: int, every: int, kill: int) -> None:
    torch.manual_seed(1)
    random.seed(2)
    np.random.seed(3)
    model = nn.Sequential(
        nn.Linear(20, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 64), nn.BatchNorm1d(64),
        nn.Tanh(), nn.Linear(64, 5),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)
    loader = torch.utils.data.DataLoader(
        Noisy(), batch_size=BATCH, shuffle=True, num_workers=workers
    )
    run = torch.utils.Checkpointer(folder, model=model, optimizer=optimizer, scheduler=scheduler)
    run.resume()
    for _ in run.epochs(EPOCHS):
        for x, y in run.batches(loader):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            if run.steps == kill:
                os.kill(os.getpid(), signal.SIGKILL)
            if every and run.steps % every == 0:
                run.save()
        scheduler.step()
        if every:
            run.save()
    marks = hashlib.sha256()
    for value in model.state_dict().values():
        marks.update(value.numpy().tobytes())
    print(run.steps, marks.hexdigest())


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
