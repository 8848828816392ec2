"""From a folder of sounds to a checked study folder: `samples` finds, `decode` reads, `presets` design, `render` makes.

    samples.py    systems and prompts, inferred from a folder or read from one that benchmarks exported
    inspect.py    every file decoded once: faults, rates, lengths
    presets/      gen, mushra, mos, pairs, abx: which stimuli, which pages
    render.py     common rate and channels, loudness, anchors, FLAC of equal size per prompt
    build.py      all of it, into a folder that appears whole or not at all

The same input gives the same bytes, whatever the number of workers.
"""
