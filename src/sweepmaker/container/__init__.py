"""A trial inside a SageMaker container: what came with the job becomes one run of ``train.py``.

Nothing here imports a package of AWS; until ``train.py`` itself runs, hardly anything beyond the
standard library is imported, so that whatever goes wrong can still be told.
"""
