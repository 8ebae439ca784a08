"""Programs of the kind that people publish, shortened: each hangs on other parts of the library.

Like those in ``programs.py`` they take the module that plays ``torch``.
"""

from __future__ import annotations

import copy
import io
import math
import random
from typing import Any


def dcgan(T: Any) -> dict[str, Any]:
    """Two nets against each other: transposed convolutions, BatchNorm, LeakyReLU, BCELoss."""
    nn = T.nn
    T.manual_seed(999)

    def start(m: Any) -> None:
        name = m.__class__.__name__
        if name.find("Conv") != -1:
            nn.init.normal_(m.weight.data, 0.0, 0.02)
        elif name.find("BatchNorm") != -1:
            nn.init.normal_(m.weight.data, 1.0, 0.02)
            nn.init.constant_(m.bias.data, 0)

    made = nn.Sequential(
        nn.ConvTranspose2d(8, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(True),
        nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(True),
        nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    judge = nn.Sequential(
        nn.Conv2d(3, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(8, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
    )  # fmt: skip
    made.apply(start)
    judge.apply(start)
    criterion = nn.BCELoss()
    opt_judge = T.optim.Adam(judge.parameters(), lr=0.002, betas=(0.5, 0.999))
    opt_made = T.optim.Adam(made.parameters(), lr=0.002, betas=(0.5, 0.999))
    data = T.tanh(T.randn(40, 3, 16, 16))
    losses = []
    for _ in range(3):
        for real in T.utils.data.DataLoader(data, batch_size=8, shuffle=True):
            judge.zero_grad()
            label = T.full((real.size(0),), 1.0, dtype=T.float)
            real_loss = criterion(judge(real).view(-1), label)
            real_loss.backward()
            fake = made(T.randn(real.size(0), 8, 1, 1))
            label.fill_(0.0)
            fake_loss = criterion(judge(fake.detach()).view(-1), label)
            fake_loss.backward()
            opt_judge.step()
            made.zero_grad()
            label.fill_(1.0)
            fooled = criterion(judge(fake).view(-1), label)
            fooled.backward()
            opt_made.step()
            losses += [(real_loss + fake_loss).item(), fooled.item()]
    return {"losses": losses, "shown": str(made) + str(judge)}


def reinforce(T: Any) -> dict[str, Any]:
    """Policy gradients on a walk of ten fields: every action is looked at, lists of losses."""
    nn, F = T.nn, T.nn.functional
    T.manual_seed(543)
    chance = random.Random(0)
    policy = nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 2))
    optimizer = T.optim.Adam(policy.parameters(), lr=1e-2)
    losses, lengths = [], []
    for _ in range(25):
        place, log_probs, rewards = 0, [], []
        while abs(place) < 5 and len(rewards) < 15:
            state = T.tensor([place / 5, len(rewards) / 20, 1.0]).unsqueeze(0)
            choice = T.distributions.Categorical(F.softmax(policy(state), dim=1))
            action = choice.sample()
            log_probs.append(choice.log_prob(action))
            place += 1 if action.item() == 1 else -1
            if chance.random() < 0.1:
                place -= 1
            rewards.append(1.0 if place >= 5 else -0.05)
        total, returns = 0.0, []
        for r in rewards[::-1]:
            total = r + 0.99 * total
            returns.insert(0, total)
        goal = T.tensor(returns)
        goal = (goal - goal.mean()) / (goal.std() + 1e-7)
        loss = T.cat([-p * g for p, g in zip(log_probs, goal)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        lengths.append(len(rewards))
    return {"losses": losses, "labels": lengths}


def crf(T: Any) -> dict[str, Any]:
    """A bidirectional LSTM with a conditional random field, element by element; Viterbi."""
    nn = T.nn
    T.manual_seed(1)
    START, STOP, tags = 3, 4, 5  # noqa: N806
    embedding, lstm = nn.Embedding(12, 5), nn.LSTM(5, 2, bidirectional=True)
    to_tags = nn.Linear(4, tags)
    transitions = nn.Parameter(T.randn(tags, tags))
    transitions.data[START, :] = -10000
    transitions.data[:, STOP] = -10000

    def log_sum_exp(v: Any) -> Any:
        top = v[0, v.max(1)[1].item()]
        return top + T.log(T.sum(T.exp(v - top.view(1, -1).expand(1, v.size()[1]))))

    def features(words: Any) -> Any:
        state = (T.randn(2, 1, 2), T.randn(2, 1, 2))
        out, _ = lstm(embedding(words).view(len(words), 1, -1), state)
        return to_tags(out.view(len(words), 4))

    def begin() -> Any:
        first = T.full((1, tags), -10000.0)
        first[0][START] = 0.0
        return first

    def forward(feats: Any) -> Any:
        alpha = begin()
        for feat in feats:
            parts = []
            for tag in range(tags):
                emit = feat[tag].view(1, -1).expand(1, tags)
                parts.append(log_sum_exp(alpha + transitions[tag].view(1, -1) + emit).view(1))
            alpha = T.cat(parts).view(1, -1)
        return log_sum_exp(alpha + transitions[STOP])

    def score(feats: Any, truth: Any) -> Any:
        total = T.zeros(1)
        truth = T.cat([T.tensor([START], dtype=T.long), truth])
        for i, feat in enumerate(feats):
            total = total + transitions[truth[i + 1], truth[i]] + feat[truth[i + 1]]
        return total + transitions[STOP, truth[-1]]

    def viterbi(feats: Any) -> tuple[float, list[int]]:
        pointers, best = [], begin()
        for feat in feats:
            steps = [best + transitions[tag] for tag in range(tags)]
            chosen = [step.argmax(1).item() for step in steps]
            pointers.append(chosen)
            best = (T.cat([s[0][c].view(1) for s, c in zip(steps, chosen)]) + feat).view(1, -1)
        last = (best + transitions[STOP]).argmax(1).item()
        path = [last]
        for chosen in reversed(pointers):
            path.append(chosen[path[-1]])
        return best[0][last].item(), path[::-1]

    words, truth = T.tensor([0, 1, 2, 3, 4, 5, 6]), T.tensor([0, 1, 1, 2, 2, 2, 0])
    parts = [*embedding.parameters(), *lstm.parameters(), *to_tags.parameters(), transitions]
    optimizer = T.optim.SGD(parts, lr=0.01, weight_decay=1e-4)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        feats = features(words)
        loss = (forward(feats) - score(feats, truth)).sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with T.no_grad():
        value, path = viterbi(features(words))
    return {"losses": [*losses, value], "labels": path}


def translation(T: Any) -> dict[str, Any]:
    """Reversing sentences with nn.Transformer: masks, padding, Xavier, warm-up, greedy decoding."""
    nn = T.nn
    T.manual_seed(0)
    size, words = 16, 12
    places = T.arange(0, 50).reshape(50, 1)
    scale = T.exp(-T.arange(0, size, 2) * math.log(10000) / size)
    code = T.zeros((50, size))
    code[:, 0::2] = T.sin(places * scale)
    code[:, 1::2] = T.cos(places * scale)
    pairs = []
    for _ in range(12):
        s = T.randint(3, words, (int(T.randint(2, 7, (1,))),))
        ends = T.tensor([1]), T.tensor([2])
        pairs.append((T.cat([ends[0], s, ends[1]]), T.cat([ends[0], s.flip(0), ends[1]])))
    source, target = (
        nn.utils.rnn.pad_sequence([p[i] for p in pairs], padding_value=0) for i in (0, 1)
    )
    net = nn.ModuleDict({
        "transformer": nn.Transformer(size, 4, 1, 1, 32, 0.1), "source": nn.Embedding(words, size),
        "target": nn.Embedding(words, size), "out": nn.Linear(size, words),
    })  # fmt: skip
    for p in net.parameters():
        if p.dim() > 1:
            nn.init.xavier_uniform_(p)

    def embed(table: Any, x: Any) -> Any:
        return table(x) * math.sqrt(size) + code.unsqueeze(1)[: x.size(0)]

    def causal(n: int) -> Any:
        allowed = (T.triu(T.ones((n, n))) == 1).transpose(0, 1)
        return allowed.float().masked_fill(allowed == 0, float("-inf")).masked_fill(allowed == 1, 0)

    optimizer = T.optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9)
    schedule = T.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) ** -0.5, (s + 1) * 5**-1.5)
    )
    criterion = nn.CrossEntropyLoss(ignore_index=0)
    seen, losses = target[:-1], []
    for _ in range(25):
        y = net["transformer"](
            embed(net["source"], source), embed(net["target"], seen),
            T.zeros((len(source), len(source))).type(T.bool), causal(len(seen)) != 0, None,
            (source == 0).transpose(0, 1), (seen == 0).transpose(0, 1),
            (source == 0).transpose(0, 1),
        )  # fmt: skip
        loss = criterion(net["out"](y).reshape(-1, words), target[1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    net.eval()
    with T.no_grad():
        said = T.ones(1, 1).fill_(1).type(T.long)
        memory = net["transformer"].encoder(embed(net["source"], source[:, :1]), None)
        for _ in range(5):
            y = net["transformer"].decoder(embed(net["target"], said), memory, causal(said.size(0)))
            _, word = T.max(net["out"](y.transpose(0, 1)[:, -1]), dim=1)
            said = T.cat([said, T.ones(1, 1).type_as(source.data).fill_(word.item())], dim=0)
    return {"losses": losses, "labels": said.view(-1).tolist()}


def siamese(T: Any) -> dict[str, Any]:
    """Shared weights and metric losses: contrastive, triplet, cosine; RMSprop with momentum."""
    nn, F = T.nn, T.nn.functional
    T.manual_seed(7)
    net = nn.Sequential(
        nn.ReflectionPad2d(1), nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4),
        nn.Dropout2d(0.2), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=1), nn.PReLU(),
        nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(), nn.Linear(32, 16), nn.ELU(), nn.Linear(16, 4),
    )  # fmt: skip
    optimizer = T.optim.RMSprop(net.parameters(), lr=1e-3, alpha=0.99, momentum=0.9)
    schedule = T.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)
    triplet, cosine = nn.TripletMarginLoss(margin=1.0), nn.CosineEmbeddingLoss(margin=0.2)
    base, losses = T.randn(3, 1, 12, 12), []
    for _ in range(25):
        i, j = T.randint(3, (16,)), T.randint(0, 3, (16,))
        a = net(base[i] + 0.3 * T.randn(16, 1, 12, 12))
        b = net(base[j] + 0.3 * T.randn(16, 1, 12, 12))
        unlike = (i != j).float().unsqueeze(1)
        d = F.pairwise_distance(a, b, keepdim=True)
        contrast = (1 - unlike) * d.pow(2) + unlike * T.clamp(2.0 - d, min=0.0).pow(2)
        loss = contrast.mean() + 0.1 * triplet(a, b, b.roll(1, 0))
        loss = loss + 0.1 * cosine(a, b, (1 - 2 * unlike).squeeze(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    net.eval()
    with T.no_grad():
        e = net(base)
        losses += T.cdist(e, e).flatten().tolist()[1:3] + F.cosine_similarity(e[:1], e).tolist()
    return {"losses": losses, "labels": schedule.get_last_lr()}


def factorisation(T: Any) -> dict[str, Any]:
    """Recommending by matrix factors: embeddings, parameter groups, random_split, plateau."""
    nn = T.nn
    T.manual_seed(11)
    truth = T.randn(20, 3) @ T.randn(3, 15)
    users, items = T.nonzero(T.rand(20, 15) < 0.5, as_tuple=True)
    whole = T.utils.data.TensorDataset(users, items, truth[users, items])
    generator = T.Generator().manual_seed(2)
    train, test = T.utils.data.random_split(whole, [len(whole) - 30, 30], generator=generator)
    u, v, bu, bv = (nn.Embedding(n, k) for n, k in ((20, 3), (15, 3), (20, 1), (15, 1)))
    nn.init.normal_(u.weight, std=0.1)
    nn.init.uniform_(v.weight, -0.1, 0.1)
    bu.weight.data.zero_()
    bv.weight.data.fill_(0)
    optimizer = T.optim.AdamW([
        {"params": [u.weight, v.weight], "weight_decay": 1e-3},
        {"params": [bu.weight, bv.weight], "weight_decay": 0.0, "lr": 0.05},
    ], lr=0.03)  # fmt: skip
    schedule = T.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5)

    def predict(i: Any, j: Any) -> Any:
        return (u(i) * v(j)).sum(-1) + bu(i).squeeze() + bv(j).squeeze()

    losses, labels = [], []
    for _ in range(6):
        for i, j, r in T.utils.data.DataLoader(train, 16, shuffle=True, drop_last=True):
            loss = nn.functional.smooth_l1_loss(predict(i, j), r)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_value_([*u.parameters(), *v.parameters()], 0.5)
            optimizer.step()
            losses.append(loss.item())
            labels.append(i[:4].tolist())
        with T.inference_mode():
            i, j, r = next(iter(T.utils.data.DataLoader(test, 30)))
            error = ((predict(i, j) - r) ** 2).mean().sqrt()
        schedule.step(error)
        losses.append(error.item())
    sampler = T.utils.data.WeightedRandomSampler(T.arange(1.0, 6.0), 10)
    return {"losses": losses, "labels": [*labels[:12], list(sampler)]}


def averaged(T: Any) -> dict[str, Any]:
    """Residual blocks: accumulated and clipped gradients, an average of weights, a checkpoint."""
    nn, F = T.nn, T.nn.functional
    T.manual_seed(9)

    class Block(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.c1 = nn.Conv2d(c, c, 3, padding=1, bias=False)
            self.b1 = nn.BatchNorm2d(c)
            self.c2 = nn.Conv2d(c, c, 3, padding=1, groups=2)
            self.b2 = nn.GroupNorm(2, c)

        def forward(self, x: Any) -> Any:
            return F.relu(x + self.b2(self.c2(F.relu_(self.b1(self.c1(x))))))

    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), Block(8), Block(8), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.constant_(m.weight, 1)
            nn.init.zeros_(m.bias)
    ema = copy.deepcopy(net).requires_grad_(False)
    weight = T.tensor([1.0, 2.0, 1.0, 1.0, 0.5])
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1, weight=weight)
    optimizer = T.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    x, y = T.randn(32, 3, 10, 10), T.randint(0, 5, (32,))
    losses = []
    for step in range(8):
        optimizer.zero_grad()
        for xb, yb in zip(x.chunk(4), y.chunk(4)):
            loss = criterion(net(xb), yb) / 4
            loss.backward()
            losses.append(loss.item())
        losses.append(nn.utils.clip_grad_norm_(net.parameters(), max_norm=0.5).item())
        optimizer.step()
        with T.no_grad():
            now = net.state_dict()
            for key, value in ema.state_dict().items():
                if value.dtype.is_floating_point:
                    value.mul_(0.9).add_(now[key], alpha=0.1)
                else:
                    value.copy_(now[key])
        if step == 3:  # stop, and go on from a file
            file = io.BytesIO()
            T.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
            file.seek(0)
            saved = T.load(file, map_location="cpu")
            net.load_state_dict(saved["net"])
            optimizer.load_state_dict(saved["optimizer"])
    ema.eval()
    scores = ema(x)
    losses += scores[0].tolist()
    return {"losses": losses, "labels": scores.argmax(1).tolist(), "shown": str(net)}


def attack(T: Any) -> dict[str, Any]:
    """A trained net fooled by steps along the sign of the input's gradient; then clusters."""
    nn, F = T.nn, T.nn.functional
    T.manual_seed(42)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, 4),
        nn.LogSoftmax(dim=1),
    )  # fmt: skip
    x = T.rand(64, 1, 12, 12)
    y = (x[:, 0, :6, :6].mean((1, 2)) > 0.5).long() * 2 + (x[:, 0, 6:, 6:].mean((1, 2)) > 0.5)
    optimizer = T.optim.Adadelta(net.parameters(), lr=1.0)
    losses, labels = [], []
    for _ in range(15):
        optimizer.zero_grad()
        loss = F.nll_loss(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    net.eval()
    for epsilon in (0.0, 0.1, 0.2):
        for k in range(8):
            image = x[k : k + 1].clone()
            image.requires_grad = True
            loss = F.nll_loss(net(image), y[k : k + 1])
            net.zero_grad()
            loss.backward()
            changed = T.clamp(image + epsilon * image.grad.data.sign(), 0, 1)
            losses.append(F.nll_loss(net(changed), y[k : k + 1]).item())
            labels.append(net(changed).max(1, keepdim=True)[1].item())
    points = x.flatten(1)[:, :2]
    centres = points[T.randperm(len(points))[:3]].clone()
    for _ in range(5):
        near = ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(dim=1)
        centres.zero_().scatter_add_(0, near[:, None].repeat(1, 2), points)
        centres /= T.bincount(near, minlength=3).type_as(centres).view(3, 1)
    return {"losses": losses + centres.flatten().tolist(), "labels": labels + near.tolist()}


WILD = (dcgan, reinforce, crf, translation, siamese, factorisation, averaged, attack)
