"""Fine-tuning, the second step of transfer learning: train the backbones themselves, too.

`committee.improve` reads from top to bottom: which members (`advice`, `probe`, `budget`), with
which random `augmentations`, one `member` after the other. Each gets its `inputs` as files and is
trained in a process of its own (`process`, `worker`) by `training_loop`, on `batches` of augmented
photos, at the rates of `range_test` and `schedule`; finished epochs are on disk as `checkpoints`.
`member_heads` fits its heads, and `decisions` says whether the tuned member is better.
"""
