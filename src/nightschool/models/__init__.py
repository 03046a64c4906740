"""Base models and encoders: the catalogue is light, everything else is heavy."""
