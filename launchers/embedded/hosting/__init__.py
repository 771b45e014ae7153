"""Endpoints at work: the process behind each, its model, its log, and requests handed on to it."""
