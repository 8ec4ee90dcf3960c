"""`python -m llama_operator`."""

from llama_operator.main import main

main()
