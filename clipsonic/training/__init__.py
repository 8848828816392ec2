"""Training: one loop for CLIPSonic and for its prior, on Lightning Fabric under `torchrun`.

`config` the numbers of a training; `objective` what the loop asks of what it trains; `loop` the visible `while`;
`trainee` the network, its optimiser and its average; `strategy` one process, DDP or FSDP2; `state` what a checkpoint
holds; `saver` writes it in a thread; `prefetch` draws batches ahead; `log` JSONL and TensorBoard; `stop` Ctrl-C and
SIGTERM. `dataset`, `draw`, `loss`, `render` and `clipsonic` make the CLIPSonic of it. Nothing is imported here: presets
read `config` without torch.
"""
