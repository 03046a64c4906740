"""Answers: llama.cpp with the adapter of the night, the reader, and the check of what they say."""
