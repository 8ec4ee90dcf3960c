"""Which layout a model needs on which GPUs. Pure: no I/O beyond the packaged tables, no clock."""
