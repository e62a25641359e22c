"""Fine-tuning, the second step of transfer learning: train the backbones themselves, too.

`committee.improve` reads from top to bottom: which members, what `advice`, `budget` and `decisions`
say, one `member` after the other. Each is trained in a process of its own (`process`, `worker`) by
`training_loop`, on `batches` of augmented photos, at the rates of `range_test` and `schedule`;
finished epochs are on disk as `checkpoints`.
"""
