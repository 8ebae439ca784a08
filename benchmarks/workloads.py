"""The training steps that the tables compare, written against whichever ``torch`` is handed in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

Step = Callable[[], Any]


class Compiling:
    """What a net, or a function, goes through before it is used: nothing, or ``torch.compile``."""

    prepare: Callable[[Any], Any] = staticmethod(lambda f: f)


def _classifier(torch: Any, net: Any, x: Any, classes: int, momentum: float = 0.9) -> Step:
    """zero_grad, forward, cross entropy, backward, SGD; then the loss is looked at."""
    y = torch.randint(0, classes, (x.shape[0],))
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=momentum)
    net = Compiling.prepare(net)

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def cifar_net(torch: Any) -> Any:
    """The network of the CIFAR-10 tutorial: two convolutions, three linear layers."""
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 6, 5)
            self.pool = nn.MaxPool2d(2, 2)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 5 * 5, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x: Any) -> Any:
            x = self.pool(F.relu(self.conv1(x)))
            x = self.pool(F.relu(self.conv2(x)))
            x = x.view(-1, 16 * 5 * 5)
            x = F.relu(self.fc1(x))
            x = F.relu(self.fc2(x))
            return self.fc3(x)

    return Net()


def cifar(batch: int) -> Callable[[Any], Step]:
    def build(torch: Any) -> Step:
        torch.manual_seed(0)
        return _classifier(torch, cifar_net(torch), torch.randn(batch, 3, 32, 32), 10)

    return build


def lenet(torch: Any, batch: int = 64) -> Step:
    """The network of PyTorch's MNIST example: two convolutions, dropout of maps and of values."""
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
            self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
            self.conv2_drop = nn.Dropout2d()
            self.fc1 = nn.Linear(320, 50)
            self.fc2 = nn.Linear(50, 10)

        def forward(self, x: Any) -> Any:
            x = F.relu(F.max_pool2d(self.conv1(x), 2))
            x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
            x = x.view(-1, 320)
            x = F.relu(self.fc1(x))
            x = F.dropout(x, training=self.training)
            return self.fc2(x)

    torch.manual_seed(0)
    return _classifier(torch, Net(), torch.randn(batch, 1, 28, 28), 10)


def logistic(torch: Any) -> Step:
    torch.manual_seed(0)
    return _classifier(torch, torch.nn.Linear(784, 10), torch.randn(64, 784), 10, momentum=0.0)


def three_convolutions(torch: Any, batch: int = 64) -> Step:
    """The CNN of the nn tutorial: three strided convolutions and a pooling."""
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 10, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    return _classifier(torch, net, torch.randn(batch, 1, 28, 28), 10)


def mlp(torch: Any) -> Step:
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )
    return _classifier(torch, net, torch.randn(128, 784), 10)


def resnet18(torch: Any) -> Step:
    """ResNet-18 as it is cut for small images: a 3x3 stem, no pooling before the blocks."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Sequential()
            if stride != 1 or inputs != outputs:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + self.shortcut(x))

    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    width = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(width, outputs, stride), Block(outputs, outputs, 1)]
        width = outputs
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return _classifier(torch, net, torch.randn(16, 3, 32, 32), 10)


def transformer(torch: Any) -> Step:
    """A Transformer encoder of four layers, width 128, over 16 sequences of 64."""
    nn = torch.nn
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(
        128, 4, 512, dropout=0.0, activation="gelu", batch_first=True
    )
    net = nn.TransformerEncoder(layer, 4)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    net = Compiling.prepare(net)
    x, y = torch.randn(16, 64, 128), torch.randn(16, 64, 128)

    def step() -> Any:
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def lstm(torch: Any) -> Step:
    """An LSTM of 128 units over 20 sequences of 35 vectors of 64."""
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.LSTM(64, 128)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    net = Compiling.prepare(net)
    x, y = torch.randn(35, 20, 64), torch.randn(35, 20, 128)

    def step() -> Any:
        optimizer.zero_grad()
        loss = ((net(x)[0] - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def norm_and_gelu(torch: Any) -> Step:
    torch.manual_seed(0)
    norm, x = torch.nn.LayerNorm(1024), torch.randn(4096, 1024)

    def forward() -> Any:
        with torch.no_grad():
            return torch.nn.functional.gelu(norm(x))

    return Compiling.prepare(forward)


def softmax(torch: Any) -> Step:
    torch.manual_seed(0)
    x = torch.randn(4096, 1024)
    return Compiling.prepare(lambda: torch.softmax(x, -1))


TRAINING: dict[str, Callable[[Any], Step]] = {
    "CIFAR-10 net of the blitz tutorial, batch 4": cifar(4),
    "the same, batch 128": cifar(128),
    "LeNet with dropout on MNIST, batch 64": lenet,
    "logistic regression 784x10, batch 64": logistic,
    "3-conv CNN of the nn tutorial, batch 64": three_convolutions,
    "MLP 784-512-512-10, batch 128": mlp,
    "ResNet-18 on 3x32x32, batch 16": resnet18,
    "Transformer encoder, 4 layers of width 128, AdamW": transformer,
    "LSTM 64-128 over 35 steps, batch 20, Adam": lstm,
}
#: Forward only; the result is looked at through one of its elements.
FORWARD: dict[str, Callable[[Any], Step]] = {
    "layer norm and GELU, 4096x1024": norm_and_gelu,
    "softmax, 4096x1024": softmax,
}


# -- programs that look at every value -------------------------------------------------------------


def add_item(torch: Any) -> Step:
    a, b = torch.tensor(1.5), torch.tensor(2.5)
    return lambda: (a + b).item()


def viterbi(torch: Any) -> Step:
    """Ten steps over five tags with Python deciding by values, as in the CRF tutorial."""
    torch.manual_seed(0)
    moves, emissions = torch.randn(5, 5), torch.randn(10, 5)

    def decode() -> list[int]:
        scores = emissions[0]
        back = []
        for t in range(1, 10):
            best = []
            row = []
            for tag in range(5):
                candidates = scores + moves[tag]
                from_tag = int(candidates.argmax())
                best.append(from_tag)
                row.append(candidates[from_tag])
            scores = torch.stack(row) + emissions[t]
            back.append(best)
        tag = int(scores.argmax())
        path = [tag]
        for best in reversed(back):
            tag = best[tag]
            path.append(tag)
        return path

    return decode


LOOKING: dict[str, Callable[[Any], Step]] = {
    "(a + b).item() on scalars": add_item,
    "Viterbi decoding, 10 steps of 5 tags": viterbi,
}

# -- how the cost grows with the batch -------------------------------------------------------------

SIZES = (1, 4, 16, 64, 256, 1024)
GROWING: dict[str, Callable[[Any, int], Step]] = {
    "CIFAR-10 net": lambda torch, batch: cifar(batch)(torch),
    "LeNet with dropout": lenet,
    "3-conv CNN": three_convolutions,
}
SCALING: dict[str, Callable[[Any], Step]] = {
    f"{name}, batch {batch}": functools.partial(build, batch=batch)
    for name, build in GROWING.items()
    for batch in SIZES
}
