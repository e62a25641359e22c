"""Networks as data: backbones, their weights, heads, and the classes of ImageNet."""
