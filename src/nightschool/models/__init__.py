"""Base models and encoders: the catalogue (light), llama.cpp encoders, the reader, torch (heavy)."""
