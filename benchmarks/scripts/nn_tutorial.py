"""What the tutorial "What is torch.nn really?" runs from its first line to its last: logistic
regression by hand, by modules, optimisers, data sets and loaders, then three convolutions."""

import gzip
import math
import pickle
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

with gzip.open(f"{sys.argv[1]}/mnist.pkl.gz", "rb") as f:
    (x_train, y_train), (x_valid, y_valid), _ = pickle.load(f, encoding="latin-1")
x_train, y_train, x_valid, y_valid = map(torch.tensor, (x_train, y_train, x_valid, y_valid))
torch.manual_seed(0)
n, bs, lr, epochs = len(x_train), 64, 0.5, 2


def slices():
    for start in range(0, n, bs):
        yield x_train[start : start + bs], y_train[start : start + bs]


def nll(input, target):
    return -input[range(target.shape[0]), target].mean()


def accuracy(out, yb):
    return (torch.argmax(out, dim=1) == yb).float().mean()


def report(model, loss_func, xb, yb):
    print(f"loss {loss_func(model(xb), yb).item():.4f}")


# -- by hand ---------------------------------------------------------------------------------------

weights = torch.randn(784, 10) / math.sqrt(784)
weights.requires_grad_()
bias = torch.zeros(10, requires_grad=True)


def by_hand(xb):
    x = xb @ weights + bias
    return x - x.exp().sum(-1).log().unsqueeze(-1)


for _ in range(epochs):
    for xb, yb in slices():
        loss = nll(by_hand(xb), yb)
        loss.backward()
        with torch.no_grad():
            weights -= weights.grad * lr
            bias -= bias.grad * lr
            weights.grad.zero_()
            bias.grad.zero_()
report(by_hand, nll, xb, yb)
print(f"accuracy {accuracy(by_hand(xb), yb).item():.4f}")


# -- modules and optimisers ------------------------------------------------------------------------


class OwnParameters(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(784, 10) / math.sqrt(784))
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, xb):
        return xb @ self.weights + self.bias


class Logistic(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(784, 10)

    def forward(self, xb):
        return self.lin(xb)


for model in (OwnParameters(), Logistic()):
    for _ in range(epochs):
        for xb, yb in slices():
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= p.grad * lr
                model.zero_grad()
    report(model, F.cross_entropy, xb, yb)


def get_model():
    model = Logistic()
    return model, optim.SGD(model.parameters(), lr=lr)


def train(batches, model, opt):
    for xb, yb in batches:
        loss = F.cross_entropy(model(xb), yb)
        loss.backward()
        opt.step()
        opt.zero_grad()


train_ds, valid_ds = TensorDataset(x_train, y_train), TensorDataset(x_valid, y_valid)
for batches in (
    slices,
    lambda: (train_ds[start : start + bs] for start in range(0, n, bs)),
    lambda: DataLoader(train_ds, batch_size=bs),
):
    model, opt = get_model()
    for _ in range(epochs):
        train(batches(), model, opt)
    report(model, F.cross_entropy, xb, yb)

train_dl = DataLoader(train_ds, batch_size=bs, shuffle=True)
valid_dl = DataLoader(valid_ds, batch_size=bs * 2)
model, opt = get_model()
for epoch in range(epochs):
    model.train()
    train(train_dl, model, opt)
    model.eval()
    with torch.no_grad():
        valid_loss = sum(F.cross_entropy(model(xb), yb) for xb, yb in valid_dl)
    print(epoch, f"{(valid_loss / len(valid_dl)).item():.4f}")


# -- fit() and convolutions ------------------------------------------------------------------------


def loss_batch(model, loss_func, xb, yb, opt=None):
    loss = loss_func(model(xb), yb)
    if opt is not None:
        loss.backward()
        opt.step()
        opt.zero_grad()
    return loss.item(), len(xb)


def fit(model, opt, train_dl, valid_dl):
    for epoch in range(epochs):
        model.train()
        for xb, yb in train_dl:
            loss_batch(model, F.cross_entropy, xb, yb, opt)
        model.eval()
        with torch.no_grad():
            losses, nums = zip(*[loss_batch(model, F.cross_entropy, *b) for b in valid_dl])
        print(epoch, f"{np.sum(np.multiply(losses, nums)) / np.sum(nums):.4f}")


class Lambda(nn.Module):
    def __init__(self, func):
        super().__init__()
        self.func = func

    def forward(self, x):
        return self.func(x)


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(16, 16, kernel_size=3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(16, 10, kernel_size=3, stride=2, padding=1)

    def forward(self, xb):
        xb = xb.view(-1, 1, 28, 28)
        xb = F.relu(self.conv1(xb))
        xb = F.relu(self.conv2(xb))
        xb = F.relu(self.conv3(xb))
        xb = F.avg_pool2d(xb, 4)
        return xb.view(-1, xb.size(1))


def convolutions(first, last):
    return nn.Sequential(
        *first,
        nn.Conv2d(1, 16, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 10, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        last,
        Lambda(lambda x: x.view(x.size(0), -1)),
    )


class Wrapped:
    def __init__(self, dl, func):
        self.dl = dl
        self.func = func

    def __iter__(self):
        for b in self.dl:
            yield self.func(*b)


def images(x):
    return x.view(-1, 1, 28, 28)


fit(*get_model(), train_dl, valid_dl)
wrapped = [Wrapped(dl, lambda x, y: (images(x), y)) for dl in (train_dl, valid_dl)]
for model, loaders in (
    (CNN(), (train_dl, valid_dl)),
    (convolutions([Lambda(images)], nn.AvgPool2d(4)), (train_dl, valid_dl)),
    (convolutions([], nn.AdaptiveAvgPool2d(1)), wrapped),
):
    fit(model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), *loaders)
