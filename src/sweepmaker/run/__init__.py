"""The run folder: its writer and reader, interruption, and exact resume."""
