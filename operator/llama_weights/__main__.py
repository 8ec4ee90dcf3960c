"""`python -m llama_weights`: the same as the script."""

from llama_weights.cli import main

main()
