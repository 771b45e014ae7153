"""From run folders to one answer: which run is best, with which settings, by how much, and why.

Reads what runs left (contract 3 of the run folder, or what Hydra, CSV and TensorBoard loggers leave)
and nothing else. torch is not imported.
"""
