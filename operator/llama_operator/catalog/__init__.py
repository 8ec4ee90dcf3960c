"""What models and GPUs are: facts, names and shapes. Reads only its own packaged data."""
