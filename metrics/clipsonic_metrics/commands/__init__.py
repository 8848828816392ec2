"""The commands of `clipsonic-metrics`, one module for those that belong together. Everything heavy is imported inside
the functions: `--help` costs nothing."""
