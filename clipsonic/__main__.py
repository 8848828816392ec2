"""`python -m clipsonic`, and `torchrun … -m clipsonic`: the `clipsonic` command."""

from clipsonic.cli import main

main()
