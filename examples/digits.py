"""Trains a small convolutional network on 1,438 handwritten digits and tests it on 359 others.

The digits come with Cresset, so this needs no download. It prints the loss and the accuracy per
class, saves a checkpoint, loads it into a new network, and draws out/digits.png.

    python examples/digits.py
"""

from pathlib import Path

import matplotlib
from tqdm import tqdm

import cresset as torch
import cresset.nn.functional as F
from cresset import nn
from cresset.utils.data import DataLoader
from cresset.vision import datasets, transforms
from cresset.vision.utils import make_grid

matplotlib.use("Agg")  # draws into files; needs no screen
import matplotlib.pyplot as plt  # noqa: E402

EPOCHS = 20
OUT = Path("out")


class LeNet(nn.Module):
    """Two convolutions and two linear layers, for 8x8 images in place of LeNet's 32x32."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(32 * 2 * 2, 64)
        self.fc2 = nn.Linear(64, 10)
        self.dropout = nn.Dropout(0.25)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc2(self.dropout(x))


def train(net, loader):
    """Adam with a falling learning rate; returns the loss of every step."""
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    losses = []
    net.train()
    progress = tqdm(range(EPOCHS), desc="training", unit="epoch")
    for _ in progress:
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        progress.set_postfix(loss=f"{sum(losses[-len(loader) :]) / len(loader):.4f}")
    return losses


@torch.no_grad()
def predict(net, images):
    net.eval()
    return net(images).argmax(dim=1)


def draw(losses, images, labels, predicted, filters, path):
    figure, (curve, digits, first) = plt.subplots(1, 3, figsize=(13, 4))
    curve.semilogy(losses)
    curve.set(title="training loss", xlabel="step")
    digits.imshow(make_grid(images[:16], nrow=4, normalize=True).permute(1, 2, 0).numpy())
    rows = [" ".join(str(p) for p in row) for row in predicted[:16].view(4, 4).tolist()]
    right = int((predicted[:16] == labels[:16]).sum())
    digits.set_title("predicted: " + " / ".join(rows), fontsize=10)
    digits.set_xlabel(f"{right} of 16 right")
    tiles = make_grid(filters, nrow=4, padding=1, normalize=True, scale_each=True)
    first.imshow(tiles.permute(1, 2, 0).numpy())
    first.set(title="first layer's filters")
    for axes in (digits, first):
        axes.set(xticks=[], yticks=[])
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    torch.manual_seed(0)
    to_input = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.3,), (0.35,))])
    train_set = datasets.Digits(train=True, transform=to_input)
    test_set = datasets.Digits(train=False, transform=to_input)

    net = LeNet()
    losses = train(net, DataLoader(train_set, batch_size=64, shuffle=True))
    print(f"loss: {losses[0]:.4f} at the first step, {losses[-1]:.4f} at the last")

    images, labels = next(iter(DataLoader(test_set, batch_size=len(test_set))))
    predicted = predict(net, images)
    for digit, name in enumerate(test_set.classes):
        right = predicted[labels == digit] == digit
        print(f"  digit {name}: {int(right.sum()):3d} of {len(right)} right")
    print(f"accuracy on {len(labels)} held-out digits: {(predicted == labels).float().mean():.2%}")

    OUT.mkdir(exist_ok=True)
    torch.save(net.state_dict(), OUT / "digits.pt")
    again = LeNet()
    again.load_state_dict(torch.load(OUT / "digits.pt"))
    assert torch.equal(predict(again, images), predicted)
    draw(losses, images, labels, predicted, net.conv1.weight.detach(), OUT / "digits.png")
    print(f"saved {OUT / 'digits.pt'} (loaded again: same predictions) and {OUT / 'digits.png'}")


if __name__ == "__main__":
    main()
