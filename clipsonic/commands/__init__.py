"""The commands of `clipsonic`, one module each. Heavy imports are inside the functions: `--help` costs nothing."""
