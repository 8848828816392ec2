"""Benchmarks of text- and image-to-audio systems: suites, systems, metrics, controls, uncertainty, and a report."""
