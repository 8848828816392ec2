"""How everything small was trained: one module per model, all through the same loop, all resumable."""
