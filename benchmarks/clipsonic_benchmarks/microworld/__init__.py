"""The micro-world: a procedural corpus of short videos with sound, and the recipes of the small models trained on it.

Ten kinds of sound source are drawn and synthesised from five shared factors, so a frame, a sound and a caption of one
item agree because the same factors made them, not because anyone aligned them afterwards. Frame and sound also carry
nuisance of their own (pose, light, props; phase, jitter, level), and a caption names only some of the factors.
"""
