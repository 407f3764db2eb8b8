"""Hidden states of a Llama model as features of texts, in bfloat16 by torch: the fast forward of `bench/sst2-chat-model.mjs`.

The first line of stdin is JSON: {"weights": path, "config": {...}, "last": [layers], "mean": [layers], "suffix": tokens, "threads": n}.
Every further line is a JSON list of token lists; the answer to it on stdout is float32, one row a list: the state of the last token after
each of the layers `last`, then the mean over the tokens between the first and the last `suffix` ones after each of the layers `mean`.
Lists of one line share the work of their common prefixes.
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F


class Model:
    def __init__(self, path, config, depth):
        self.config = config
        dim, hidden, heads, kv_heads = config["dim"], config["hiddenDim"], config["headCount"], config["kvHeadCount"]
        head_dim = dim // heads
        data = np.memmap(path, dtype=np.float32, mode="r")
        at = 0

        def take(*shape):
            nonlocal at
            count = int(np.prod(shape))
            tensor = torch.from_numpy(np.array(data[at : at + count]).reshape(shape))
            at += count
            return tensor

        # Pairs (2i, 2i+1) become (i, i + half): rotating is then two slices, and scores do not change.
        def halves(weight):
            rows = weight.reshape(-1, head_dim // 2, 2, dim)
            return rows.transpose(1, 2).reshape(-1, dim)

        self.embedding = take(config["vocabSize"], dim).bfloat16()
        self.layers = []
        for _ in range(depth):
            attention_norm = take(dim)
            q, k, v = take(dim, dim), take(kv_heads * head_dim, dim), take(kv_heads * head_dim, dim)
            o = take(dim, dim)
            feed_norm = take(dim)
            gate, up, down = take(hidden, dim), take(hidden, dim), take(dim, hidden)
            # The gains of the norms go into the matrices behind them.
            qkv = torch.cat([halves(q), halves(k), v]) * attention_norm
            gate_up = torch.cat([gate, up]) * feed_norm
            self.layers.append(tuple(w.bfloat16() for w in (qkv, o, gate_up, down)))
        self.head_dim = head_dim
        pairs = torch.arange(head_dim // 2, dtype=torch.float64)
        angles = torch.arange(512, dtype=torch.float64)[:, None] * config["ropeBase"] ** (-2 * pairs / head_dim)
        self.cos, self.sin = angles.cos().float(), angles.sin().float()

    def norm(self, x):
        return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config["normEps"])).bfloat16()

    def rotate(self, x, cos, sin):
        half = self.head_dim // 2
        a, b = x[..., :half].float(), x[..., half:].float()
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    def features(self, lists, last, mean, suffix):
        """Tokens with the same past are computed once: a row of the packed matrix is a node of the tree of prefixes."""
        nodes, tokens, positions, index = {}, [], [], []
        longest = max(len(ids) for ids in lists)
        for ids in lists:
            path, node = [], -1
            for position, token in enumerate(ids):
                key = (node, token)
                node = nodes.get(key, -1)
                if node < 0:
                    node = nodes[key] = len(tokens)
                    tokens.append(token)
                    positions.append(position)
                path.append(node)
            index.append(path + [node] * (longest - len(path)))
        index = torch.tensor(index)
        flat = index.reshape(-1)
        count = len(lists)
        # Where each node is found among the padded rows.
        where = torch.empty(len(tokens), dtype=torch.long)
        where[flat.flip(0)] = torch.arange(flat.numel() - 1, -1, -1)
        lengths = torch.tensor([len(ids) for ids in lists])
        final = index[torch.arange(count), lengths - 1]
        inside = torch.arange(longest)[None, :]
        inside = ((inside >= 1) & (inside < (lengths - suffix)[:, None])).float()
        inside = inside / inside.sum(1, keepdim=True)
        x = self.embedding[torch.tensor(tokens)].float()
        positions = torch.tensor(positions)
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        heads, kv_heads, dim = self.config["headCount"], self.config["kvHeadCount"], self.config["dim"]
        group, depth = heads // kv_heads, len(self.layers)
        kv_width = kv_heads * self.head_dim
        mask = torch.full((longest, longest), float("-inf")).triu(1)
        found = {}
        for layer, (qkv, o, gate_up, down) in enumerate(self.layers):
            mixed = F.linear(self.norm(x), qkv)
            q = self.rotate(mixed[:, :dim].view(-1, heads, self.head_dim), cos, sin)
            k = self.rotate(mixed[:, dim : dim + kv_width].view(-1, kv_heads, self.head_dim), cos, sin)
            v = mixed[:, dim + kv_width :].float().view(-1, kv_heads, self.head_dim)
            # One product for the query heads that share a key: short texts make the fused attention kernels slow.
            ks = k[flat].view(count, longest, kv_heads, self.head_dim).permute(0, 2, 3, 1)
            vs = v[flat].view(count, longest, kv_heads, self.head_dim).transpose(1, 2)
            qs = q[flat].view(count, longest, kv_heads, group, self.head_dim).permute(0, 2, 3, 1, 4)
            qs = qs.reshape(count, kv_heads, group * longest, self.head_dim)
            scores = torch.matmul(qs, ks).view(count, kv_heads, group, longest, longest)
            scores = (scores.mul_(self.head_dim**-0.5).add_(mask)).softmax(-1)
            attended = torch.matmul(scores.view(count, kv_heads, group * longest, longest), vs)
            attended = attended.view(count, heads, longest, self.head_dim).transpose(1, 2)
            attended = attended.reshape(count * longest, dim).bfloat16()
            if layer == depth - 1 and depth not in mean:
                rows = torch.arange(count) * longest + lengths - 1
                x = x[final] + F.linear(attended[rows], o)
                final = torch.arange(count)
            else:
                x = x + F.linear(attended[where], o)
            both = F.linear(self.norm(x), gate_up)
            hidden = both.shape[1] // 2
            x = x + F.linear(F.silu(both[:, :hidden]) * both[:, hidden:], down)
            if layer + 1 in last:
                found["last", layer + 1] = x[final]
            if layer + 1 in mean:
                found["mean", layer + 1] = torch.einsum("sl,sld->sd", inside, x[flat].view(count, longest, dim))
        return torch.cat([found["last", l] for l in last] + [found["mean", l] for l in mean], 1)


def main():
    settings = json.loads(sys.stdin.readline())
    torch.set_num_threads(settings["threads"])
    last, mean = settings["last"], settings["mean"]
    model = Model(settings["weights"], settings["config"], max(last + mean))
    with torch.inference_mode():
        for line in sys.stdin:
            rows = model.features(json.loads(line), last, mean, settings["suffix"])
            sys.stdout.buffer.write(rows.contiguous().numpy().tobytes())
            sys.stdout.buffer.flush()


main()
