"""Where checkpoints come from; every source lists files and opens ranges of them."""
