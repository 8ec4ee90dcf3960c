"""Tests, and what supports them."""
