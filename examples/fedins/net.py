"""A vision transformer that stands still, with pools of scales and shifts of which every image picks its own (FedIns).

Feng, Li, Huang, Zhang and others, "Towards instance-adaptive inference for federated learning", ICCV 2023, arXiv
2308.06051. After the embedding and after every block l the features z become

    z <- scale_l z + shift_l,      (scale_l, shift_l) = sum over the chosen p of w_p (scale_pl, shift_pl)

The chosen are the k of P pools whose keys are nearest, by cosine, to what the bare backbone says of the image; w is the
softmax of these cosines, so that keys have a gradient. How the chosen are put together was reconstructed, not read in
the paper. Only scales, shifts, keys and the head train, and so only they travel. The backbone is tiny and random.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


def chosen(query: Tensor, keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return which keys (P, d) are nearest to each query (B, d), (B, count), and the weights of all of them (B, P)."""
    cosines = normalize(query, dim=-1) @ normalize(keys, dim=-1).T
    places = cosines.topk(count, dim=-1).indices
    picked = (places.unsqueeze(-1) == torch.arange(len(keys), device=keys.device)).any(dim=-2)
    return places, cosines.masked_fill(~picked, -torch.inf).softmax(dim=-1)


class Block(nn.Module):
    """Attention and two layers, each behind a norm and around a shortcut."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before, self.behind = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, z: Tensor) -> Tensor:
        """Return the features (B, tokens, width) of the next block."""
        parts = self.attend(self.before(z)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in parts)
        looks = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
        z = z + self.out((looks @ v).transpose(-2, -3).flatten(-2))
        return z + self.mlp(self.behind(z))


class Backbone(nn.Module):
    """A vision transformer without a head: patches, places, blocks."""

    def __init__(self, input_shape: tuple[int, ...], width: int, depth: int, heads: int, patch: int):
        super().__init__()
        channels = input_shape[0] if len(input_shape) == 3 else 1
        height, breadth = input_shape[-2:]
        self.shape, self.patch = (channels, height, breadth), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.places = nn.Parameter(torch.randn((height // patch) * (breadth // patch), width) * 0.2)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Return all tokens (B, tokens x width); scale and shift, (B, depth + 1, width), are for all tokens alike."""
        x = x.reshape(-1, *self.shape)
        size = self.patch
        rows = x.unflatten(-1, (-1, size)).unflatten(-3, (-1, size))  # (B, C, rows, size, columns, size)
        z = self.embed(rows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)) + self.places
        for layer in range(len(self.blocks) + 1):
            z = self.blocks[layer - 1](z) if layer else z
            if scale is not None and shift is not None:
                z = scale[:, layer, None] * z + shift[:, layer, None]
        return z.flatten(1)


class FedIns(nn.Module):
    """The backbone, pools of scales and shifts with their keys, and the head."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        width: int = 16,
        depth: int = 2,
        heads: int = 2,
        patch: int = 4,
        pools: int = 8,
        chosen: int = 3,
    ):
        super().__init__()
        self.backbone = Backbone(input_shape, width, depth, heads, patch).requires_grad_(False)
        self.scales = nn.Parameter(torch.ones(pools, depth + 1, width))
        self.shifts = nn.Parameter(torch.zeros(pools, depth + 1, width))
        size = self.backbone.places.numel()
        self.keys = nn.Parameter(torch.randn(pools, size))
        self.head = nn.Linear(size, num_classes)
        self.chosen = chosen

    def features(self, x: Tensor) -> Tensor:
        """Return what the head sees of each image, (B, tokens x width)."""
        _, weights = chosen(self.backbone(x), self.keys, self.chosen)
        scale, shift = (torch.einsum("bp,pld->bld", weights, pool) for pool in (self.scales, self.shifts))
        return self.backbone(x, scale, shift)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of each class, (B, classes)."""
        return self.head(self.features(x))
