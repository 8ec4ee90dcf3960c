"""Meta's original checkpoints (`consolidated.NN.pth`) to what vLLM loads, tensor by tensor."""
