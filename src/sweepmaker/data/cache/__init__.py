"""What a run computes from its images and every later run and trial shares: pixels and features.

``blob`` is one file that is whole or absent, ``shared`` lets any number of processes want it at once,
``pixels`` keeps decoded images, ``features`` what a frozen backbone makes of them.
"""
