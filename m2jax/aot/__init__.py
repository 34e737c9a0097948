"""Ahead of time: a config's programs through the TPU compiler, for devices that are not there."""
