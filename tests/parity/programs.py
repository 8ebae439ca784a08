"""Whole training programs, written once and run by PyTorch and by Cresset.

Each takes the module that plays ``torch`` and returns what must agree: the sums of the initial
weights, the first batches, the losses, and printed text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .wild import WILD

STEPS = 200


def _weights(net: Any) -> list[list[float]]:
    return [p.detach().reshape(-1)[:8].tolist() for p in net.parameters()]


def _result(net: Any, losses: list[float], **more: Any) -> dict[str, Any]:
    return {"losses": losses, **more}


def blitz(T: Any) -> dict[str, Any]:
    """The CIFAR-10 net of the 60-minute blitz, batch 4, SGD with momentum."""
    nn, F = T.nn, T.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 6, 5)
            self.pool = nn.MaxPool2d(2, 2)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 5 * 5, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x):
            x = self.pool(F.relu(self.conv1(x)))
            x = self.pool(F.relu(self.conv2(x)))
            x = x.view(-1, 16 * 5 * 5)
            return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

    T.manual_seed(0)
    net = Net()
    weights, shown = _weights(net), str(net)
    criterion = nn.CrossEntropyLoss()
    optimizer = T.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    data = T.utils.data.TensorDataset(T.randn(64, 3, 32, 32), T.randint(0, 10, (64,)))
    loader = T.utils.data.DataLoader(data, batch_size=4, shuffle=True)
    losses, labels = [], []
    while len(losses) < STEPS:
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            labels.append(y.tolist())
    return _result(net, losses[:STEPS], weights=weights, shown=shown, labels=labels[:16])


def lenet(T: Any) -> dict[str, Any]:
    """LeNet with both kinds of dropout on 28x28 images."""
    nn, F = T.nn, T.nn.functional

    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
            self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
            self.conv2_drop = nn.Dropout2d()
            self.fc1 = nn.Linear(320, 50)
            self.fc2 = nn.Linear(50, 10)

        def forward(self, x):
            x = F.relu(F.max_pool2d(self.conv1(x), 2))
            x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
            x = F.relu(self.fc1(x.view(-1, 320)))
            x = F.dropout(x, training=self.training)
            return F.log_softmax(self.fc2(x), dim=1)

    T.manual_seed(1)
    net = LeNet()
    weights, shown = _weights(net), str(net)
    optimizer = T.optim.SGD(net.parameters(), lr=0.005, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        x, y = T.randn(8, 1, 28, 28), T.randint(0, 10, (8,))
        loss = F.nll_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return _result(net, losses, weights=weights, shown=shown)


def from_scratch(T: Any) -> dict[str, Any]:
    """The nn tutorial's logistic regression by hand, then its three convolutions."""
    nn, F = T.nn, T.nn.functional
    T.manual_seed(2)
    x_all, y_all = T.rand(256, 784), T.randint(0, 10, (256,))
    weights = T.randn(784, 10) / 28.0
    weights.requires_grad_()
    bias = T.zeros(10, requires_grad=True)
    losses = []
    for i in range(STEPS):
        start = i * 32 % 256
        xb, yb = x_all[start : start + 32], y_all[start : start + 32]
        z = xb @ weights + bias
        pred = z - z.exp().sum(-1).log().unsqueeze(-1)
        loss = -pred[range(yb.shape[0]), yb].mean()
        loss.backward()
        with T.no_grad():
            weights -= weights.grad * 0.02
            bias -= bias.grad * 0.02
            weights.grad.zero_()
            bias.grad.zero_()
        losses.append(loss.item())
    net = nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 10, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    shown = str(net)
    optimizer = T.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    for i in range(STEPS):
        start = i * 32 % 256
        xb, yb = x_all[start : start + 32].view(-1, 1, 28, 28), y_all[start : start + 32]
        loss = F.cross_entropy(net(xb), yb)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return _result(net, losses, shown=shown)


def char_lstm(T: Any) -> dict[str, Any]:
    """A character model: embedding, two LSTM layers with dropout, Adam, clipped gradients."""
    nn = T.nn
    text = "the quick brown fox jumps over the lazy dog. " * 20
    letters = sorted(set(text))
    T.manual_seed(3)
    data = T.tensor([letters.index(c) for c in text])

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(len(letters), 12)
            self.lstm = nn.LSTM(12, 16, num_layers=2, dropout=0.1)
            self.out = nn.Linear(16, len(letters))

        def forward(self, x, state):
            y, state = self.lstm(self.embedding(x), state)
            return self.out(y), state

    net = Model()
    weights, shown = _weights(net), str(net)
    optimizer = T.optim.Adam(net.parameters(), lr=0.01)
    losses, state = [], None
    for i in range(STEPS):
        start = i * 8 % (len(text) - 9)
        x, y = data[start : start + 8].view(8, 1), data[start + 1 : start + 9]
        scores, state = net(x, state)
        state = tuple(s.detach() for s in state)
        loss = nn.functional.cross_entropy(scores.view(8, -1), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return _result(net, losses, weights=weights, shown=shown)


def transformer(T: Any) -> dict[str, Any]:
    """A small encoder with GELU and dropout, AdamW and a cosine schedule."""
    nn = T.nn
    T.manual_seed(4)
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, activation="gelu", batch_first=True)
    net = nn.Sequential(nn.Linear(6, 16), nn.TransformerEncoder(layer, 2), nn.Linear(16, 3))
    weights = _weights(net)
    optimizer = T.optim.AdamW(net.parameters(), lr=1e-3)
    schedule = T.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    x, y = T.randn(4, 7, 6), T.randint(0, 3, (4, 7))
    losses = []
    for _ in range(STEPS):
        loss = nn.functional.cross_entropy(net(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return _result(net, losses, weights=weights)


def vae(T: Any) -> dict[str, Any]:
    """A variational auto-encoder: sampling inside the net, sums of BCE and KL."""
    nn, F = T.nn, T.nn.functional

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(64, 32)
            self.mean, self.logvar = nn.Linear(32, 4), nn.Linear(32, 4)
            self.fc3, self.fc4 = nn.Linear(4, 32), nn.Linear(32, 64)

        def forward(self, x):
            h = F.relu(self.fc1(x))
            mean, logvar = self.mean(h), self.logvar(h)
            std = T.exp(0.5 * logvar)
            z = mean + T.randn_like(std) * std
            return T.sigmoid(self.fc4(F.relu(self.fc3(z)))), mean, logvar

    T.manual_seed(5)
    net = VAE()
    optimizer = T.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(STEPS):
        x = T.rand(16, 64)
        recon, mean, logvar = net(x)
        bce = F.binary_cross_entropy(recon, x, reduction="sum")
        kld = -0.5 * T.sum(1 + logvar - mean.pow(2) - logvar.exp())
        loss = bce + kld
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return _result(net, losses)


PROGRAMS: dict[str, Callable[[Any], dict[str, Any]]] = {
    f.__name__: f for f in (blitz, lenet, from_scratch, char_lstm, transformer, vae, *WILD)
}
