"""Distils the student from the teacher's own fresh samples. See README.md."""

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import torch

from student import Student, StudentConfig
from teacher import Teacher

HERE = Path(__file__).resolve().parent
TEACHER = HERE.parent / "packages/model/data/stories260K/stories260K.bin"

# Mean squares before norms lie within e^(+-this) of 1, those of heads below HEAD_CEILING, except against a penalty. The first
# position is free: it is always public, so nothing of it is encrypted.
NORM_SLACK = 0.55
HEAD_CEILING = 6.0
# Texts a batch that are spoiled and count for the penalties alone: ranges must hold for rare tokens too. Share of spoiled tokens.
SPOILED_TEXTS = 4
SPOILED_SHARE = 0.15


def orthogonalise(g):
    """Five Newton-Schulz steps towards the nearest orthogonal matrix: the update of Muon (Jordan et al., 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = g.shape[0] > g.shape[1]
    x = (g.T if tall else g) / (g.norm() + 1e-7)
    for _ in range(5):
        y = x @ x.T
        x = a * x + (b * y + c * y @ y) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr: float, momentum: float = 0.95, decay: float = 0.05):
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                mean = state.setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalise(p.grad.lerp(mean, group["momentum"]))
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(update, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


class Pool:
    """Recent teacher texts. Every text is drawn `uses` times on average before a fresh one takes its place."""

    def __init__(self, teacher, length, generator, chunk=512, chunks=3, uses=3.5):
        self.teacher, self.length, self.generator = teacher, length, generator
        self.chunk, self.limit, self.uses = chunk, chunks, uses
        self.chunks, self.drawn, self.sampled = [], 0, 0

    def draw(self, batch):
        if not self.chunks or self.drawn >= self.uses * self.chunk * (1 if len(self.chunks) >= self.limit else 0.5):
            self.chunks = [*self.chunks, self.teacher.sample(self.chunk, self.length, self.generator)][-self.limit :]
            self.sampled += self.chunk * self.length
            self.drawn = 0
        self.drawn += batch
        tokens, log_probs = self.chunks[torch.randint(len(self.chunks), (1,), generator=self.generator).item()]
        rows = torch.randint(self.chunk, (batch,), generator=self.generator)
        return tokens[rows], log_probs[rows]


@torch.no_grad()
def evaluate(student, held_out):
    """Nats a token on the teacher's text: student, teacher, KL; argmax agreement; ranges."""
    tokens, log_probs = held_out
    sums = dict(student=0.0, teacher=0.0, kl=0.0, agree=0.0)
    squares, heads = {}, {}

    def see(name, layer, value):
        store = heads if name == "head" else squares
        store.setdefault((name, layer), []).append(value[..., 1:, :].flatten())

    for at in range(0, len(tokens), 32):
        t, target = tokens[at : at + 32], log_probs[at : at + 32].float()
        own = student(t[:, :-1], see=see).log_softmax(-1)
        sums["student"] -= own.gather(-1, t[:, 1:, None]).sum().item()
        sums["teacher"] -= target.gather(-1, t[:, 1:, None]).sum().item()
        sums["kl"] += (target.exp() * (target - own)).sum().item()
        sums["agree"] += (own.argmax(-1) == target.argmax(-1)).sum().item()
    count = tokens[:, 1:].numel()
    out = {name: value / count for name, value in sums.items()}
    out["ratio"] = math.exp(out["student"] - out["teacher"])
    low = min(min(v.min().item() for v in values) for (n, _), values in squares.items() if n == "square")
    high = max(max(v.max().item() for v in values) for (n, _), values in squares.items() if n == "square")
    return out | {"square_low": low, "square_high": high, "head_high": max(v.max().item() for x in heads.values() for v in x)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--decay", type=int, default=2000, help="steps over which the rates fall to zero at the end")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=4e-3)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--resume", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)

    config = StudentConfig()
    teacher = Teacher(TEACHER)
    held_out = teacher.sample(128, config.context, torch.Generator().manual_seed(1_000_003))
    generator = torch.Generator().manual_seed(args.seed)
    student = Student(config, generator)
    matrices = [p for b in student.blocks for p in (b.wq, b.wk, b.wv, b.wo, b.w1, b.w2, b.w3)]
    taken = {id(p) for p in matrices}
    rest = [p for p in student.parameters() if id(p) not in taken]
    muon = Muon(matrices, args.muon_rate)
    adam = torch.optim.AdamW(rest, lr=args.adam_rate, betas=(0.9, 0.95), weight_decay=0.0)
    step, tokens_seen = 0, 0
    if args.resume:
        saved = torch.load(args.resume, weights_only=True)
        student.load_state_dict(saved["student"])
        muon.load_state_dict(saved["muon"])
        adam.load_state_dict(saved["adam"])
        generator.set_state(saved["generator"])
        step, tokens_seen = saved["step"], saved["tokens"]
    pool = Pool(teacher, config.context, generator)
    log = (args.out / "log.jsonl").open("a")
    started, running = time.process_time(), None

    while step < args.steps:
        rate = min(1, (step + 1) / 100, (args.steps - step) / args.decay)
        muon.param_groups[0]["lr"], adam.param_groups[0]["lr"] = args.muon_rate * rate, args.adam_rate * rate
        tokens, target = pool.draw(args.batch)
        target = target.float()
        inputs = tokens[:, :-1]
        count = inputs.numel()
        spoiled = inputs[:SPOILED_TEXTS].clone()
        wrong = torch.rand(spoiled.shape, generator=generator) < SPOILED_SHARE
        spoiled[wrong] = torch.randint(3, config.vocab, (int(wrong.sum()),), generator=generator)
        penalties = []

        def see(name, layer, value):
            value = value[..., 1:, :]
            if name == "square":
                penalties.append(3 * torch.relu(value.log().abs() - NORM_SLACK).square().sum())
            elif name == "head":
                penalties.append(3 * torch.relu(((value + config.head_eps) / HEAD_CEILING).log()).square().sum())

        logits = student(torch.cat((inputs, spoiled)), score_penalty=0.2 / count, see=see)[: len(inputs)]
        kl = (target.exp() * (target - logits.log_softmax(-1))).sum() / count
        loss = kl + sum(penalties) / count
        muon.zero_grad(set_to_none=True)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        muon.step()
        adam.step()
        step += 1
        tokens_seen += count
        running = kl.item() if running is None else 0.98 * running + 0.02 * kl.item()
        if step % args.every == 0 or step == args.steps:
            seconds = time.process_time() - started
            entry = {"step": step, "tokens": tokens_seen, "cpu_s": round(seconds), "rate": round(rate, 3)}
            entry |= {"train_kl": running, "penalty": (loss - kl).item()} | evaluate(student, held_out)
            line = json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in entry.items()})
            print(line, flush=True)
            log.write(line + "\n")
            log.flush()
            state = {"student": student.state_dict(), "muon": muon.state_dict(), "adam": adam.state_dict()}
            state |= {"generator": generator.get_state(), "step": step, "tokens": tokens_seen, "config": asdict(config)}
            torch.save(state, args.out / "checkpoint.tmp")
            (args.out / "checkpoint.tmp").rename(args.out / "checkpoint.pt")


if __name__ == "__main__":
    main()
