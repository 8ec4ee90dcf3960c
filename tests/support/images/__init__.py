"""Builds the images of `images/Dockerfile`: `make images`, and what the local cluster runs."""
